"""One trial in the terminal: hand-made records whose numbers are known, and the command that repeats one."""

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import em.__main__
from analysis.show import __main__ as show
from analysis.show import settings
from analysis.show.terminal import listed, number, printable, shortened, sparkline, written
from analysis.show.trial import Curve, compared, curves, gather, score_curves
from em.errors import InputError
from em.store import Store
from em.store.record import EvaluationResult, Metric, Record, Status
from em.trial.fields import with_value
from em.trial.trial import Earlier
from tests.analysis.test_why import SUM, TRIAL, commit, failed, made
from tests.trials import phase_of

ROOT = Path(__file__).parents[2]
BASE = TRIAL.base


def untrained(**fields: Any) -> Record:
    """The base model's record: of each three problems one answer is right in the first alone."""
    record = made(BASE, steps=0, measured=(0,), **fields)
    for result in record.evaluations:
        result.correct = [True, False, False, False, False, False]
        result.accuracy = 1 / 6
        result.texts, result.extracted = ["#9"] * 6, ["9"] * 6
    return record


def printed(capsys: pytest.CaptureFixture[str], store: Store, word: str, *words: str) -> list[str]:
    show.main([word, *words, f"store={store.root}"])
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def section(lines: list[str], heading: str) -> list[str]:
    """The lines below a heading, up to the next."""
    start = next(place for place, line in enumerate(lines) if line.startswith(heading)) + 1
    end = next((place for place in range(start, len(lines)) if lines[place][:1].strip()), len(lines))
    return [line for line in lines[start:end] if line]


def result(correct: list[bool | None], problems: int, samples: int) -> EvaluationResult:
    it = made().evaluations[0]
    right = sum(verdict is True for verdict in correct)
    return replace(it, correct=correct, problems=problems, samples=samples, accuracy=right / (problems * samples))


# Numbers and texts.


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8, "▁▂▃▄▅▆▇█"),
        ([0.0, 7.0, 3.5], 8, "▁█▅"),
        ([2.0, 2.0], 8, "▄▄"),
        ([0.0, 2.0, 6.0, 8.0], 2, "▁█"),  # means 1 and 7
        ([0.0, 2.0, 4.0, 6.0, 8.0], 2, "▁█"),  # two, then three
        ([0.0, math.nan, math.inf, 1.0], 8, "▁xx█"),
        ([0.0, None, 1.0], 8, "▁·█"),
        ([math.nan], 8, "x"),
        ([], 8, ""),
    ],
)
def test_sparkline(values, width, drawn):
    assert sparkline(values, width) == drawn


def test_numbers_steps_and_texts():
    assert [number(it) for it in (0.28741, 1264.0, 3e-9, -0.5, math.nan, math.inf, None)] == [
        *("0.287", "1,264", "3e-09", "-0.5", "nan", "inf", "-"),
    ]
    assert listed([10, 1, 2, 3, 2]) == "1 to 3, 10"
    assert listed([]) == ""
    assert [written(it) for it in (1e-5, True, None, "", [1, "a"], list(range(9)))] == [
        *("1e-05", "true", "none", "''", "[1, a]", "[0, 1, 2, 3, 4, ...] (9)"),
    ]
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert shortened("abcdefghijkl", 9) == "ab...ijkl"
    assert shortened("abc", 3) == "abc"


# What is told of a config.


def test_settings_by_dotted_path():
    trial = replace(with_value(TRIAL, "phase.optimizer.lr", 1e-3), seed=3)
    trial = replace(trial, before=(Earlier(phase=phase_of(TRIAL), steps=7),))
    told = {setting.path: setting for setting in settings.of_trial(trial)}
    differing = [path for path, it in told.items() if it.identifies and not it.is_default]
    assert differing == [
        *("model.path", "prompts.texts", "optimizer.lr", "seed", "before.0.prompts.texts", "before.0.steps"),
    ]
    assert told["optimizer.lr"].value == 1e-3
    assert told["rollout.temperature"] == settings.Setting("rollout.temperature", 0.5, is_default=True)
    assert not told["rollout.max_num_seqs"].identifies
    assert not told["model.digest"].identifies


def test_a_config_of_another_version_is_shown_as_it_is_written(store, capsys):
    record = made()
    written = json.loads(record.trial)
    record.trial = json.dumps(written | {"model": written["model"] | {"colour": "blue"}})
    commit(store, record)
    lines = printed(capsys, store, TRIAL.id)
    assert lines[1].startswith("note: this version cannot read its config: colour: no field of this version")
    assert "  model.colour                    blue" in section(lines, "config")
    assert section(lines, "scores")[2].split() == ["max", "2", "1", "3", "x", "2", "50.0"]  # without the base model's


def test_a_trial_that_would_have_another_id_by_now(store, capsys):
    record = made()
    record.trial_id, record.unit_id = "f" * 16, f"{'f' * 16}-0"
    commit(store, record)
    lines = printed(capsys, store, "ffff")
    assert lines[1] == f"note: by this version it would be trial {TRIAL.id}: a method, or a"
    assert section(lines, "again") == []
    assert lines[-1].startswith("not by this version of the code: trial ffffffffffffffff: by this version's reading")
    assert lines[-1].endswith("(v1)")


# Beside the base model.


def test_paired_over_problems():
    own = result([True, True, True, False, False, False], 3, 2)  # 1, .5, 0
    base = result([False, False, True, False, None, True], 3, 2)  # 0, .5, .5
    comparison = compared(own, base)
    assert comparison is not None
    assert comparison.difference == pytest.approx(1 / 6)  # 1, 0, -.5
    assert comparison.error == pytest.approx(math.sqrt((25 + 1 + 16) / 36 / 2 / 3))  # deviations 5/6, -1/6, -2/3
    assert comparison.problems == 3


def test_one_problem_has_no_standard_error():
    comparison = compared(result([True], 1, 1), result([False], 1, 1))
    assert comparison is not None
    assert comparison[::2] == (1.0, 1)
    assert math.isnan(comparison.error)


@pytest.mark.parametrize("correct", [[], [True]])
def test_without_single_grades_nothing_is_paired(correct):
    assert compared(result([True] * 6, 3, 2), result(correct, 3, 2)) is None
    assert compared(result(correct, 3, 2), result([True] * 6, 3, 2)) is None


def test_scores_beside_the_base_model(store, capsys):
    commit(store, made())
    commit(store, untrained())
    lines = printed(capsys, store, TRIAL.id)
    cells = [line.split() for line in section(lines, "scores, %; difference in points")]
    assert cells[0] == ["benchmark", "step", "at", "answers", "base", "score", "difference"]
    # of each problem .5 against .5, 0, 0: differences 0, .5, .5 with a standard error of 1/6
    assert cells[2] == ["max", "2", "1", "3", "x", "2", "16.7", "50.0", "+33.3", "±", "16.7"]
    assert cells[4] == ["mean", "2", "1", "16.7", "50.0", "+33.3", "±", "11.8"]  # sqrt(2) / 6 / 2
    assert len(cells) == 5


def test_a_benchmark_that_the_base_model_lacks_has_no_difference_and_no_mean(store, capsys):
    commit(store, made())
    commit(store, made(BASE, steps=0, measured=(0,), evaluations=(SUM,)))
    cells = [line.split() for line in section(printed(capsys, store, TRIAL.id), "scores")]
    rows = {row[0]: row[6:] for row in cells}
    assert rows["max"] == ["-", "50.0", "-"]
    assert rows["sum"] == ["50.0", "50.0", "+0.0", "±", "0.0"]
    assert cells[-1] == ["mean", "2", "1", "-", "50.0", "-"]


def test_the_base_model_has_nothing_beside_it(store, capsys):
    commit(store, untrained())
    lines = printed(capsys, store, BASE.id)
    assert lines[0] == f"{BASE.id}  done  small, the base model itself"
    assert not any(line.startswith("training") for line in lines)
    assert section(lines, "scores, %")[-1].split() == ["mean", "0", "1", "16.7"]
    assert section(lines, "first answers")[0].split() == ["after", "step", "0"]


def test_a_damaged_base_model_is_a_note(store, capsys):
    commit(store, made())
    unit = commit(store, untrained())
    (store.root / "records" / f"{unit}.parquet").write_bytes(b"PAR1 and then the power went")
    lines = printed(capsys, store, TRIAL.id)
    assert lines[1].startswith("note: base model:")
    assert section(lines, "scores, %")[-1].split() == ["mean", "2", "1", "50.0"]


# Curves.


def test_curves_of_steps_and_of_what_a_method_records():
    record = made(steps=3)
    record.metrics = [Metric(step=step, name="reward", value=step / 4) for step in (1, 2, 3)]
    drawn = {curve.name: curve for curve in curves(record)}
    assert list(drawn) == ["loss", "entropy", "grad_norm", "mean_length", "truncated", "reward"]
    assert drawn["loss"] == Curve("loss", [1, 2, 3], [0.5, 0.25, 0.5 / 3])
    assert drawn["reward"] == Curve("reward", [1, 2, 3], [0.25, 0.5, 0.75])
    assert [curve.name for curve in curves(record, everything=True)][5:] == ["logprob", "tokens", "reward"]


def test_a_line_for_each_curve(store, capsys):
    record = made(steps=3, measured=(1, 3))
    record.evaluations[2].accuracy, record.evaluations[3].accuracy = 1.0, 0.75
    record.steps[1].grad_norm = math.inf
    commit(store, record)
    commit(store, untrained())
    told = section(printed(capsys, store, TRIAL.id), "training")
    assert told[0].split() == ["first", "last", "min", "max"]
    assert told[1].split() == ["loss", "█▃▁", "0.5", "0.167", "0.167", "0.5"]
    assert told[3].split() == ["grad", "norm", "▄x▄", "0.125", "0.125", "0.125", "0.125"]
    assert told[6].split() == ["score", "at", "1", "▁▄█", "16.7", "87.5", "16.7", "87.5"]
    assert told[7] == "  scores: mean over benchmarks, %, after step 0 to 1, 3"


def test_a_score_is_of_the_steps_that_have_all_benchmarks(store):
    record = made(measured=(1, 2))
    del record.evaluations[0]
    commit(store, record)
    assert list(score_curves(gather(store, TRIAL.id))) == [Curve("score at 1", [2], [50.0])]


def test_what_a_version_did_not_record(store, capsys):
    record = made()
    for metrics in record.steps:
        metrics.entropy = None  # pyright: ignore[reportAttributeAccessIssue]
    record.schema_version = None
    commit(store, record)
    lines = printed(capsys, store, TRIAL.id)
    assert section(lines, "training")[2].split() == ["entropy", "··", "not", "recorded"]
    assert "    schema  version 1: what was to be measured, and replays, are not recorded" in lines


def test_a_store_of_the_first_version(capsys):
    old = Store(ROOT / "tests" / "golden" / "store-v1")
    lines = printed(capsys, old, "066c")
    assert lines[0] == "066c8b653f45e93e  done  model, em, 5 steps, seed 1"
    assert "    on      environment not recorded" in lines
    assert "recorded by a version that did not say what was to be measured (v)" in lines[-1]


# Several records, and attempts.


def test_several_records_are_one_trial(store, capsys):
    first = made(measured=(2,), attempt_id="a1", started="2026-01-01T00:00:00+00:00")
    later = made(steps=5, measured=(2, 5), evaluations=(SUM,), attempt_id="a2", started="2026-01-02T00:00:00+00:00")
    later.provenance.replayed, later.provenance.resumed, later.provenance.model_commit = "a1", 3, "c0ffee"
    units = [commit(store, record) for record in (first, later)]
    of = gather(store, TRIAL.id)
    assert [(it.step, it.benchmark) for it in of.results] == [(2, "max"), (2, "sum"), (5, "sum")]
    assert of.record.unit_id == units[1]
    lines = printed(capsys, store, TRIAL.id)
    told = section(lines, "records")
    assert [line.strip() for line in told if not line.startswith("   ")] == units
    assert [line.split(maxsplit=1) for line in told[-6:]] == [
        ["holds", "done, 5 steps, 2 evaluations after step 2, 5"],
        ["made", "2026-01-02 00:00:00 UTC, 1.0 s, node n1, lane 0, attempt 1 (a2)"],
        ["code", "v1"],
        ["replayed", "trained on the tokens of attempt a1, its digests equal"],
        ["resumed", "went on from the state after step 3"],
        ["model", "commit c0ffee"],
    ]
    assert lines[-4].startswith(f".venv/bin/python -m em.rerun {units[1]} store={store.root} to={store.root}-again")
    assert lines[-3] == f".venv/bin/python -m em.rebuild {TRIAL.id} step=5 out=model store={store.root}"
    assert lines[-2] == "its other records: with their ids in place of this one"
    assert gather(store, units[0]).record.unit_id == units[0]


def test_a_measurement_that_was_made_twice_is_the_one_that_figures_show(store):
    alone = made(measured=(2,), evaluations=(SUM,), attempt_id="a1")
    both = made(measured=(2,), attempt_id="b1", started="2026-01-02T00:00:00+00:00")
    for digest in both.digests:
        digest.sha256 = "f" * 64  # another trajectory
    both.evaluations[0].accuracy = 1.0
    for record in (alone, both):
        commit(store, record)
    assert [it.accuracy for it in gather(store, TRIAL.id).results if it.benchmark == "sum"] == [1.0]


def test_a_trial_that_only_failed(store, capsys):
    unit = made(steps=1, measured=(0,), planned=(0, 2)).unit_id
    commit(store, failed("aa", "2026-01-02T00:00:00+00:00", steps=1, measured=(0,), planned=(0, 2)))
    commit(store, failed("bb", "2026-01-01T00:00:00+00:00", steps=0, measured=(), planned=(0, 2)))
    lines = printed(capsys, store, TRIAL.id[:5])
    assert lines[:2] == [f"{TRIAL.id}  failed  small, em, 1 steps, seed 0", "E: why"]
    assert section(lines, "failed attempts") == [
        "  2026-01-01 00:00:00 UTC, node n1, attempt 1 (bb)",
        "    E: why",
        "  2026-01-02 00:00:00 UTC, node n1, attempt 1 (aa)",
        "    E: why",
    ]
    assert not any(line.startswith("record") for line in lines)
    assert lines[-2] == f".venv/bin/python -m em.rerun {unit} store={store.root}"
    assert gather(store, f"{unit}-bb").record.provenance.attempt_id == "bb"


def test_the_latest_attempts_are_shown_and_all_if_asked(store, capsys):
    commit(store, made())
    for index in range(7):
        commit(store, failed(f"a{index}", f"2026-01-0{index + 1}T00:00:00+00:00"))
    lines = section(printed(capsys, store, TRIAL.id), "failed attempts")
    assert (lines[0], len(lines)) == ("  and 2 before", 11)
    assert len(section(printed(capsys, store, TRIAL.id, "all"), "failed attempts")) == 14
    assert printed(capsys, store, f"{made().unit_id}-a3")[0].split()[1] == "done"


def test_a_diverged_trial_says_what_became_non_finite(store, capsys):
    record = made(status=Status.diverged, measured=(0,), planned=(0, 9), error="step 2: loss is nan")
    record.steps[1].loss = math.nan
    commit(store, record)
    lines = printed(capsys, store, TRIAL.id)
    assert lines[:2] == [f"{TRIAL.id}  diverged  small, em, 2 steps, seed 0", "step 2: loss is nan"]
    assert section(lines, "training")[1].split() == ["loss", "▄x", "0.5", "nan", "0.5", "0.5"]
    assert lines[-2].endswith(f"to={store.root}-again")


# Answers.


def test_first_answers_beside_the_base_model(store, capsys):
    record = made()
    record.evaluations[2].texts[0] = "\x1b[31m#1\n"
    record.evaluations[3].correct[0] = None
    commit(store, record)
    commit(store, untrained())
    told = section(printed(capsys, store, TRIAL.id), "first answers")
    assert told[0].split() == ["base", "model", "after", "step", "2"]
    assert told[1].split() == ["max", "at", "1", "✓", "#9", "?", "#1"]
    assert told[2].split() == ["sum", "at", "1", "✓", "#9", "✓", "\\x1b[31m#1\\n"]


@pytest.mark.parametrize("texts", [None, [None] * 6], ids=["column", "all"])
def test_texts_that_were_not_kept(store, capsys, texts):
    record = made()
    for it in record.evaluations:
        it.texts, it.extracted[0] = texts, None
    commit(store, record)
    assert section(printed(capsys, store, TRIAL.id), "first answers")[1].split(maxsplit=3)[3] == (
        "✓ no answer  (text not kept)"
    )


def test_long_answers_keep_their_end(store, capsys):
    record = made()
    record.evaluations[3].texts[0] = "x" * 5000 + "#1"
    commit(store, record)
    told = section(printed(capsys, store, TRIAL.id), "first answers")
    assert any(line.endswith("#1") for line in told[1:-1])
    assert max(map(len, told)) <= 80
    assert len(told) <= 8


# Which trial, and what cannot be shown.


def test_a_path_names_a_record_of_its_own_store(store, capsys, monkeypatch, tmp_path):
    unit = commit(store, made())
    commit(store, untrained())
    monkeypatch.chdir(tmp_path)
    show.main([f"results/records/{unit}.parquet", "store=elsewhere"])
    out = capsys.readouterr().out
    assert "16.7" in out
    assert out.splitlines()[-3] == f".venv/bin/python -m em.rerun {unit} to=results-again"
    assert out.splitlines()[-2] == f".venv/bin/python -m em.rebuild {TRIAL.id} step=2 out=model"
    Path("alone.parquet").write_bytes(Path(f"results/records/{unit}.parquet").read_bytes())
    show.main(["alone.parquet", "store=elsewhere"])
    assert capsys.readouterr().out.splitlines()[-1] == "its file lies in no store; put it into records/ of one"


def test_nothing_is_written(store, capsys):
    commit(store, made())
    commit(store, untrained())
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    printed(capsys, store, TRIAL.id, "all")
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_what_names_no_trial(store):
    unit = commit(store, made())
    commit(store, made(replace(TRIAL, seed=1)))
    for words, said in (
        (["zz"], f"TRIAL=zz: no record and no failed attempt in {store.root} begins so"),
        ([""], "TRIAL=: 2 trials begin so, give more of "),
        (["all"], "TRIAL=: name one: python -m analysis.show TRIAL [store=results] [all]"),
        (["a", "b"], "TRIAL=a b: name one: "),
    ):
        with pytest.raises(InputError) as error:
            show.main([*words, f"store={store.root}"])
        assert str(error.value).startswith(said)
    (store.root / "records" / f"{unit}.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"{unit}.parquet: damaged"):
        show.main([TRIAL.id, f"store={store.root}"])


@pytest.mark.parametrize("width", [80, 120, 200])
def test_it_fits_the_terminal(store, capsys, monkeypatch, width):
    record = made(steps=200, measured=(2, 200))
    record.metrics = [Metric(step=step, name="groups_without_signal", value=-1.5e-9) for step in range(1, 201)]
    commit(store, record)
    commit(store, untrained())
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, store, TRIAL.id)
    command = lines.index("again") + 1
    assert max(map(len, lines[:command])) <= width
    assert not any("…" in line for line in lines)


# The command that repeats it.


@pytest.mark.slow
def test_the_printed_command_makes_the_same_record(
    store: Store, capsys: pytest.CaptureFixture[str], checkpoint: Callable[..., Path]
):
    words = [f"model.path={checkpoint(tied=True)}", "model=checkpoint", "rollout=transformers", "eval.steps=[1,2]"]
    words += ["prompts.texts=['1+1?']", "rollout.samples=2", "rollout.max_new_tokens=4", "benchmark=[tiny]"]
    words += [f"benchmarks.{name}.limit=1" for name in ("sum", "max")]
    em.__main__.main([*words, "eval.samples=1", f"store={store.root}"])
    [unit] = [unit for unit in store.recorded_units() if store.record(unit).steps]
    capsys.readouterr()
    command, weights = printed(capsys, store, unit)[-2:]
    trial = unit.partition("-")[0]
    assert weights == f".venv/bin/python -m em.rebuild {trial} step=2 out=model store={store.root}"
    assert command == f".venv/bin/python -m em.rerun {unit} store={store.root} to={store.root}-again"
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    place = store.where(f"records/{unit}.parquet")
    said = f"equal, bit by bit, to {place}: weights after step 1, 2, samples, metrics, answers"
    assert done.stdout.splitlines()[-1] == said
    assert Store(f"{store.root}-again").record(unit).digests == store.record(unit).digests
