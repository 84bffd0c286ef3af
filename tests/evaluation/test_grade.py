"""Grading recorded answers again: new grades beside records that stay as they are, and the latest ones count."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from em.errors import InputError
from em.evaluation import grade
from em.evaluation.graders import GRADERS, Grade
from em.store import Store
from em.store.provenance import provenance
from em.store.record import EvaluationResult, Record, Status
from em.store.recorded import evaluations_of
from em.trial.evaluation import Benchmark, Evaluation, Texts
from em.trial.identity import content_id
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.unit import Measurement, Unit
from tests.evaluation.test_problems import jsonl
from tests.trials import one_phase

TEXTS = [r"it is $\boxed{1/2}$", r"it is \boxed{3}", r"\boxed{0.50}", "no answer", r"\boxed{7}", r"x \boxed{6}"]
RIGHT = [True, False, False, False, True, False]  # of two problems, three answers each: 1/2 and 7


def evaluation(path: str, pairs: list[tuple[str, str]], **settings: Any) -> Evaluation:
    benchmark = Benchmark(name="mine", path=path, grader="maths", digest=content_id(pairs))
    return Evaluation(benchmark=benchmark, temperature=1.0, top_p=1.0, samples=3, seed=0, **settings)


@pytest.fixture
def problems(tmp_path: Path) -> str:
    return jsonl(tmp_path / "mine.jsonl", {"problem": "a?", "answer": "1/2"}, {"problem": "b?", "answer": "7"})


def recorded(
    store: Store,
    measured: Evaluation,
    texts: list[str | None],
    results: bool = True,
    correct: Sequence[bool] = RIGHT,
    samples: int = 3,
    version: int = GRADERS["maths"].version,
) -> Unit:
    """A record whose grades are wrong: as if an old grader had compared strings."""
    unit = Unit(one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1?"])), (Measurement(1, measured),))
    result = EvaluationResult(
        step=1,
        evaluation_id=measured.id,
        benchmark="mine",
        temperature=1.0,
        problems=len(texts) // samples,
        samples=samples,
        accuracy=sum(correct) / len(correct),
        correct=list(correct),
        extracted=[None] * len(correct),
        lengths=[1] * len(correct),
        truncated=[False] * len(correct),
        texts=texts,
        grader_version=version,
    )
    made = provenance(lane="0", device="none", started=datetime.now(UTC))
    store.commit(Record.of(unit, status=Status.done, attempt=1, evaluations=[result] * results, provenance=made))
    return unit


PAIRS = [("a?", "1/2"), ("b?", "7")]


def test_new_grades_count_and_the_record_stays(tmp_path, problems, capsys):
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    before = (store.root / "records" / f"{unit.id}.parquet").read_bytes()
    grade.main([f"store={store.root}"])
    row = capsys.readouterr().out.splitlines()[-2].replace("│", " ").split()
    assert row == ["mine", "6", "2", "3", "1", "0", "0", "0", "0"]  # 0.50 is 1/2
    assert (store.root / "records" / f"{unit.id}.parquet").read_bytes() == before
    assert store.records()[0]["evaluations"][0][0]["accuracy"] == 3 / 6
    [result] = store.evaluations(unit.trial.id)
    assert result.correct == [True, False, True, False, True, False]
    assert result.extracted == ["1/2", "3", "0.50", None, "7", "6"]
    assert result.paper_rules == [True, False, True, False, True, False]
    assert result.texts == TEXTS


def test_the_latest_grading_counts(tmp_path, problems, capsys):
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    grade.main([f"store={store.root}"])
    first = store.evaluations(unit.trial.id)
    grade.main([f"store={store.root}", "benchmark=mine", f"trial={unit.trial.id}"])
    assert len(store.files.list("grades")) == 1  # nothing has changed
    row = capsys.readouterr().out.splitlines()[-2].replace("│", " ").split()
    assert row == ["mine", "6", "3", "3", "0", "0", "0", "0", "0"]
    assert store.evaluations(unit.trial.id) == first
    assert store.records()[0]["evaluations"][0][0]["accuracy"] == 3 / 6


def test_a_new_version_of_a_grader_grades_again_what_the_old_one_did(tmp_path, problems, capsys, monkeypatch):
    """Also where every grade comes out as it was: from then on they are the new version's."""
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    grade.main([f"store={store.root}"])
    before = store.evaluations(unit.trial.id)[0]
    name = evaluation(problems, PAIRS).benchmark.grader
    newer = GRADERS[name].version + 1
    monkeypatch.setitem(GRADERS, name, dataclasses.replace(GRADERS[name], version=newer))
    capsys.readouterr()
    for older in ("6", "0"):
        grade.main([f"store={store.root}"])
        row = capsys.readouterr().out.splitlines()[-2].replace("│", " ").split()
        assert row == ["mine", "6", "3", "3", "0", older, "0", "0", "0"]
    after = store.evaluations(unit.trial.id)[0]
    assert (before.grader_version, after.grader_version) == (newer - 1, newer)
    assert dataclasses.replace(after, grader_version=before.grader_version) == before
    assert len(store.files.list("grades")) == 2


def test_what_changed_is_said_with_a_few_examples(tmp_path, capsys, monkeypatch):
    """Golds and answers are cut short, and no more than a few of a kind are shown."""
    pairs = [(f"{n}?", rf"so \boxed{{{n}}}") for n in range(8)] + [("long?", "7" * 90)]
    path = jsonl(tmp_path / "mine.jsonl", *({"problem": problem, "answer": answer} for problem, answer in pairs))
    store, measured = Store(tmp_path / "store"), dataclasses.replace(evaluation(path, pairs), samples=1)
    texts = [rf"\boxed{{{n}.0}}" for n in range(8)] + [rf"\boxed{{{'8' * 90}}}"]
    recorded(store, measured, [*texts], correct=[False] * 8 + [True], samples=1, version=1)
    name = measured.benchmark.grader
    monkeypatch.setitem(GRADERS, name, dataclasses.replace(GRADERS[name], version=3))
    grade.main([f"store={store.root}"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[: lines.index("mine: wrong -> right, such as") + 4] == [
        "mine: 9 answers had grades of maths 1; it is 3 now",
        "mine: right -> wrong, such as",
        f"    gold {'7' * 40}...: nothing -> {'8' * 40}...",
        "mine: wrong -> right, such as",
        *(f"    gold {n}: nothing -> {n}.0" for n in range(3)),
    ]
    assert lines[-2].replace("│", " ").split() == ["mine", "9", "1", "8", "9", "9", "0", "0", "0"]
    grade.main([f"store={store.root}"])
    assert "->" not in capsys.readouterr().out


def test_answers_whose_text_was_not_kept_keep_their_grades(tmp_path, problems, capsys):
    store = Store(tmp_path / "store")
    unit = recorded(
        store, evaluation(problems, PAIRS, texts=Texts.sample), [TEXTS[0], None, None, TEXTS[3], None, None]
    )
    grade.main([f"store={store.root}"])
    assert capsys.readouterr().out.splitlines()[-2].replace("│", " ").split()[-1] == "6"
    assert store.files.list("grades") == []
    assert store.evaluations(unit.trial.id)[0].correct == RIGHT


def test_other_problems_than_those_that_were_answered_are_refused(tmp_path, problems):
    store = Store(tmp_path / "store")
    recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    kept = tmp_path / "kept"
    kept.mkdir()
    Path(problems).rename(kept / "mine.jsonl")
    jsonl(Path(problems), {"problem": "a?", "answer": "2"}, {"problem": "b?", "answer": "7"})
    with pytest.raises(InputError, match=r"benchmarks.mine: .*mine.jsonl holds other problems than those"):
        grade.main([f"store={store.root}"])
    assert store.files.list("grades") == []
    grade.main([f"store={store.root}", f"data={kept}"])
    assert len(store.files.list("grades")) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["benchmrk=mine"], "unknown option 'benchmrk': did you mean 'benchmark'?"),
        (["trial=feed"], "unknown trial 'feed': choose from "),
        (["benchmark=other"], "store={store}: holds no answers to benchmark=other"),
        (["data=/nope"], "data=/nope: no such folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, problems, words, message):
    store = Store(tmp_path / "store")
    recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    with pytest.raises(InputError) as raised:
        grade.main([f"store={store.root}", *words])
    assert str(raised.value).startswith(message.format(store=store.root))


@pytest.mark.parametrize("words", [[], ["trial=feed"]])
def test_an_empty_store_is_said(tmp_path, words):
    with pytest.raises(InputError, match=r"^store=.*: holds no records$"):
        grade.main([f"store={tmp_path}", *words])


def test_records_without_answers_are_said(tmp_path, problems):
    store = Store(tmp_path / "store")
    recorded(store, evaluation(problems, PAIRS), [], results=False)
    with pytest.raises(InputError, match=r"^store=.*: holds no answers$"):
        grade.main([f"store={store.root}"])


def test_grades_are_of_the_attempt_whose_texts_were_graded(tmp_path, problems):
    """The record is deleted and made again, with other texts: the old grades say nothing of these."""
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    grade.main([f"store={store.root}"])
    (store.root / "records" / f"{unit.id}.parquet").unlink()
    assert recorded(store, evaluation(problems, PAIRS), ["no"] * 6) == unit
    assert store.evaluations(unit.trial.id)[0].correct == RIGHT
    assert store.records()[0]["evaluations"][0][0]["accuracy"] == 2 / 6
    grade.main([f"store={store.root}"])
    assert store.evaluations(unit.trial.id)[0].correct == [False] * 6
    assert store.records()[0]["evaluations"][0][0]["accuracy"] == 0.0


def test_grades_of_a_version_that_named_no_attempt_count_no_more(tmp_path, problems):
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    grade.main([f"store={store.root}"])
    [path] = (store.root / "grades").iterdir()
    pl.read_parquet(path).drop("attempt_id").write_parquet(path)
    assert store.evaluations(unit.trial.id)[0].correct == RIGHT
    assert store.records()[0]["evaluations"][0][0]["accuracy"] == 2 / 6


def test_an_error_of_today_replaces_no_grade(tmp_path, problems, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    monkeypatch.setattr(grade, "grade_of", lambda future: Grade(None, None, error="timeout"))
    grade.main([f"store={store.root}"])
    assert store.files.list("grades") == []
    row = capsys.readouterr().out.splitlines()[-2].replace("│", " ").split()
    assert row == ["mine", "6", "2", "2", "0", "0", "6", "0", "0"]
    monkeypatch.undo()
    grade.main([f"store={store.root}"])
    [graded] = store.evaluations(unit.trial.id)
    monkeypatch.setattr(grade, "grade_of", lambda future: Grade(None, None, error="timeout"))
    grade.main([f"store={store.root}"])
    assert store.evaluations(unit.trial.id) == [graded]
    assert (graded.correct.count(True), graded.timeouts) == (3, 0)


@pytest.mark.parametrize("raising", [False, True])
def test_a_damaged_record_costs_no_others_their_grades(tmp_path, problems, capsys, monkeypatch, raising):
    """It is named at the end; nor does what ends the pass."""
    store = Store(tmp_path / "store")
    unit = recorded(store, evaluation(problems, PAIRS), list(TEXTS))
    damaged = store.root / "records" / f"{'f' * 16}-0.parquet"  # the last in order
    damaged.write_bytes(b"PAR1 and then the power went")
    if raising:
        read = store.record
        monkeypatch.setattr(Store, "record", lambda _, name: read(name) if name == unit.id else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            grade.main([f"store={store.root}"])
    else:
        grade.main([f"store={store.root}"])
        assert f"not graded: {damaged}: damaged (" in capsys.readouterr().out
    assert store.evaluations(unit.trial.id)[0].correct.count(True) == 3


def test_a_record_of_the_version_before_is_read_and_graded(tmp_path, problems):
    """Its benchmark has problem_field and answer_field, its answers no rules of the paper."""
    measured = evaluation(problems, PAIRS)
    old: dict[str, Any] = dataclasses.asdict(measured)
    for name in ("problem_fields", "answer_fields"):
        [old["benchmark"][name.removesuffix("s")]] = old["benchmark"].pop(name)
    text = json.dumps({measured.id: old}, default=lambda item: item.value)
    made = provenance(lane="0", device="none", started=datetime.now(UTC))
    unit = Unit(one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1?"])), ())
    record = Record.of(unit, made, status=Status.done)
    assert evaluations_of(dataclasses.replace(record, evaluations_config=text))[measured.id] == measured
