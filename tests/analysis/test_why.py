"""How two records differ: hand-made records whose first difference is known, and which record a prefix names."""

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import why
from analysis.why import ENDS, Change, Parting, Place, compare, resolve
from em.config import Benchmark, Evaluation, Measurement, Model, Prompts, Trial, Unit, with_value
from em.errors import InputError
from em.record import EvaluationResult, Provenance, Record, Sample, Status, StepMetrics, WeightDigest
from em.store import Store

TRIAL = Trial(model=Model(path="models/small"), prompts=Prompts(texts=["1+1="]))
SUM, MAX = (
    Evaluation(benchmark=Benchmark(name=name, suite=name, grader="tiny"), temperature=1.0, top_p=1.0, samples=2, seed=0)
    for name in ("sum", "max")
)
ENVIRONMENT = {"python": "3.11.7", "torch": "2.13.0"}


def made(
    trial: Trial = TRIAL,
    steps: int = 2,
    measured: tuple[int, ...] = (0, 2),
    evaluations: tuple[Evaluation, ...] = (SUM, MAX),
    status: Status = Status.done,
    attempt_id: str = "a1",
    started: str = "2026-01-01T00:00:00+00:00",
    planned: tuple[int, ...] | None = None,
    error: str | None = None,
) -> Record:
    """A record of a trajectory in which every number is a function of its place alone."""
    wanted = tuple(
        Measurement(step, evaluation)
        for step in (measured if planned is None else planned)
        for evaluation in evaluations
    )
    return Record.of(
        Unit(trial, wanted),
        status=status,
        attempt=1,
        error=error,
        prompts=[[49, 43, 49]],
        steps=[
            StepMetrics(
                step=step,
                loss=0.5 / step,
                entropy=0.25 / step,
                logprob=-1.0,
                tokens=6,
                mean_length=3.0,
                truncated=0.0,
                grad_norm=0.125,
            )
            for step in range(1, steps + 1)
        ],
        rollouts=[
            Sample(step=step, prompt=0, token_ids=[step, 50 + sample, 7], truncated=False)
            for step in range(1, steps + 1)
            for sample in range(2)
        ],
        digests=[WeightDigest(step=step, sha256=f"{step:064x}") for step in measured],
        evaluations=[
            EvaluationResult(
                step=step,
                evaluation_id=evaluation.id,
                benchmark=evaluation.benchmark.name,
                temperature=1.0,
                problems=3,
                samples=2,
                accuracy=0.5,
                correct=[True, False] * 3,
                extracted=["1", None] * 3,
                lengths=[2, 9] * 3,
                truncated=[False] * 6,
                texts=["#1", "1=1"] * 3,
            )
            for step in measured
            for evaluation in evaluations
        ],
        provenance=Provenance(
            attempt_id=attempt_id,
            node="n1",
            pid=1,
            lane="0",
            started=started,
            seconds=1.0,
            turnover_seconds=None,
            code_version="v1",
            environment=json.dumps(ENVIRONMENT),
        ),
    )


def row(record: Record | None = None) -> dict[str, Any]:
    return copy.deepcopy(dataclasses.asdict(record or made()))


def changed(change: Callable[[dict[str, Any]], None], record: Record | None = None) -> dict[str, Any]:
    found = row(record)
    change(found)
    return found


def parting(b: dict[str, Any], a: dict[str, Any] | None = None) -> Parting:
    found = compare(a or row(), b).parting
    assert found is not None
    return found


def result(found: dict[str, Any], step: int, benchmark: str) -> dict[str, Any]:
    return next(it for it in found["evaluations"] if (it["step"], it["benchmark"]) == (step, benchmark))


def test_equal_records_part_nowhere():
    found = compare(row(), row(made(attempt_id="b2", started="2026-02-02T00:00:00+00:00")))
    assert found.config == found.evaluations == found.environment == []
    assert found.parting is None
    shared = found.shared
    assert (shared.prompts, shared.samples, shared.tokens, shared.metrics) == (1, 4, 12, [1, 2])
    assert (shared.weights, shared.evaluations, shared.answers) == ([0, 2], 4, 24)
    assert found.unshared == {"A": [], "B": []}


def test_a_token_of_the_prompt():
    def change(found: dict[str, Any]) -> None:
        found["prompts"][0] = [49, 43]

    assert parting(changed(change)) == Parting(
        Place(0, "prompts"), "prompt 0, token 2", (Change("token id", 49, ENDS),), "1 of 1 prompts differ"
    )


def test_a_trial_with_more_prompts():
    def change(found: dict[str, Any]) -> None:
        found["prompts"].append([50])

    assert parting(changed(change)) == Parting(Place(0, "prompts"), "", (Change("number of prompts", 1, 2),))


def test_a_sampled_token():
    def change(found: dict[str, Any]) -> None:
        found["rollouts"][3]["token_ids"] = [2, 99, 7]
        found["steps"][1]["loss"] = 9.0  # later in the same step

    found = compare(row(), changed(change))
    assert found.parting == Parting(
        Place(2, "samples"), "sample 1, token 1", (Change("token id", 51, 99),), "1 of 2 samples differ"
    )
    assert (found.shared.samples, found.shared.metrics, found.shared.weights) == (2, [1], [0])


def test_a_sample_that_goes_on():
    def change(found: dict[str, Any]) -> None:
        found["rollouts"][0]["token_ids"].append(8)
        found["rollouts"][1]["truncated"] = True

    assert parting(changed(change)) == Parting(
        Place(1, "samples"), "sample 0, token 3", (Change("token id", ENDS, 8),), "2 of 2 samples differ"
    )


def test_a_sample_that_met_the_limit_with_the_same_tokens():
    def change(found: dict[str, Any]) -> None:
        found["rollouts"][1]["truncated"] = True

    assert parting(changed(change)) == Parting(
        Place(1, "samples"), "sample 1", (Change("truncated", False, True),), "1 of 2 samples differ"
    )


def test_more_samples_of_which_the_first_are_the_same():
    def change(found: dict[str, Any]) -> None:
        found["rollouts"].insert(2, found["rollouts"][1])

    assert parting(changed(change)) == Parting(Place(1, "samples"), "", (Change("number of samples", 2, 3),))


def test_metrics_by_name_and_by_the_last_bit():
    def change(found: dict[str, Any]) -> None:
        found["steps"][1]["loss"] = math.nextafter(0.25, 1)
        found["steps"][1]["grad_norm"] = 0.5
        found["digests"][1]["sha256"] = "f" * 64

    found = parting(changed(change))
    assert found.place == Place(2, "metrics")
    assert found.changes == (Change("loss", 0.25, math.nextafter(0.25, 1)), Change("grad_norm", 0.125, 0.5))


def test_nan_is_nan():
    def diverge(found: dict[str, Any]) -> None:
        found["steps"][1]["loss"] = math.nan

    assert compare(changed(diverge), changed(diverge)).parting is None
    [change] = parting(changed(diverge)).changes
    assert (change.name, change.a) == ("loss", 0.25)
    assert math.isnan(change.b)


@pytest.mark.parametrize(("index", "step"), [(0, 0), (1, 2)])
def test_weights_come_before_the_answers_of_their_step(index, step):
    def change(found: dict[str, Any]) -> None:
        found["digests"][index]["sha256"] = "f" * 64
        result(found, step, "sum")["texts"][0] = "#2"

    expected = Parting(Place(step, "weights"), "", (Change("sha256", f"{step:064x}", "f" * 64),))
    assert parting(changed(change)) == expected


def test_step_0_is_measured_before_anything_is_sampled():
    def change(found: dict[str, Any]) -> None:
        result(found, 0, "max")["texts"][5] = "1=2"
        found["rollouts"][0]["token_ids"] = [0]

    assert parting(changed(change)) == Parting(
        Place(0, "answers", MAX.id),
        "max at temperature 1, problem 2, sample 1",
        (Change("text", "1=1", "1=2"),),
        "1 of 6 answers differ",
    )


def test_an_answer_with_all_that_differs_of_it():
    def change(found: dict[str, Any]) -> None:
        answers = result(found, 2, "sum")
        answers["texts"][2], answers["extracted"][2], answers["lengths"][2] = "#22", "22", 3
        answers["correct"][2] = False
        answers["texts"][3] = "?"

    assert parting(changed(change)) == Parting(
        Place(2, "answers", SUM.id),
        "sum at temperature 1, problem 1, sample 0",
        (
            Change("text", "#1", "#22"),
            Change("extracted", "1", "22"),
            Change("tokens", 2, 3),
            Change("correct", True, False),
        ),
        "2 of 6 answers differ",
    )


@pytest.mark.parametrize("texts", [None, [None] * 6, ["#1", None] * 3], ids=["column", "all", "second"])
def test_texts_that_were_not_kept_are_not_compared(texts):
    def without(found: dict[str, Any]) -> None:
        result(found, 2, "sum")["texts"] = texts

    def other(found: dict[str, Any]) -> None:
        result(found, 2, "sum")["extracted"][3] = "1"
        without(found)

    assert compare(row(), changed(without)).parting is None
    assert compare(changed(without), row()).parting is None
    found = parting(changed(other))
    assert found.where == "sum at temperature 1, problem 1, sample 1"
    assert found.changes == (Change("extracted", None, "1"),)


def test_one_trajectory_ends_earlier():
    longer = row(made(steps=5, measured=(5,)))
    for a, b, name in ((row(), longer, "A"), (longer, row(), "B")):
        found = compare(a, b)
        last = {"A": "answers after step 2", "B": "answers after step 5"}
        first, second = (last["A"], last["B"]) if name == "A" else (last["B"], last["A"])
        assert found.parting is not None
        assert found.parting.ended == name
        assert found.parting.place.step == 2
        assert found.parting.changes == (Change("recorded up to", first, second),)
        assert (found.shared.samples, found.shared.metrics, found.shared.weights) == (4, [1, 2], [])
        assert {place.step for place in found.unshared[name]} == {0, 2}


def test_an_attempt_that_failed_in_mid_step():
    attempt = changed(
        lambda found: found["steps"].pop(),
        made(measured=(0,), planned=(0, 2), status=Status.failed, error="Traceback\nRuntimeError: out of memory"),
    )
    found = parting(attempt)
    assert (found.ended, found.place) == ("B", Place(2, "samples"))
    assert found.changes == (
        Change("recorded up to", "answers after step 2", "samples of step 2"),
        Change("status", "done", "failed"),
    )


def test_an_attempt_that_failed_in_the_last_evaluation():
    found = parting(row(), a=row(made(measured=(0,), planned=(0, 2), status=Status.failed)))
    assert found.ended == "A"
    assert found.changes[1] == Change("status", "failed", "done")


def test_an_attempt_whose_process_died_holds_nothing():
    attempt = row(made(steps=0, measured=(), planned=(0, 2), status=Status.failed))
    attempt["prompts"] = []
    found = compare(attempt, row())
    assert found.parting is not None
    assert (found.parting.ended, found.parting.changes[0].a) == ("A", "nothing")
    assert found.shared == why.Shared()


def test_measurements_of_one_side_are_no_difference():
    found = compare(row(made(measured=(2,), evaluations=(SUM,))), row(made(measured=(2,), evaluations=(MAX,))))
    assert found.parting is None
    assert found.unshared == {"A": [Place(2, "answers", SUM.id)], "B": [Place(2, "answers", MAX.id)]}
    assert found.shared.weights == [2]
    assert found.evaluations == [
        Change("measured (max at temperature 1)", "no", "yes"),
        Change("measured (sum at temperature 1)", "yes", "no"),
    ]


def test_config_by_dotted_path():
    other = replace(with_value(TRIAL, "rollout.temperature", 1.0), seed=3)
    assert compare(row(), row(made(other))).config == [
        Change("rollout.temperature", 0.5, 1.0),
        Change("seed", 0, 3),
    ]


def test_a_field_that_one_version_does_not_know():
    def older(found: dict[str, Any]) -> None:
        trial = json.loads(found["trial"])
        del trial["optimizer"]["eps"]
        found["trial"] = json.dumps(trial)
        del found["digests"]

    found = compare(changed(older), row())
    assert found.config == [Change("optimizer.eps", why.ABSENT, 1e-8)]
    assert found.parting is None
    assert [str(place) for place in found.unshared["B"]] == ["weights after step 0", "weights after step 2"]


def test_what_evaluations_share_is_one_line():
    more = tuple(replace(evaluation, samples=8) for evaluation in (SUM, MAX))
    assert compare(row(), row(made(evaluations=more))).evaluations == [Change("samples (all)", 2, 8)]
    found = compare(row(), row(made(evaluations=(SUM, more[1])))).evaluations
    assert found == [Change("samples (max at temperature 1)", 2, 8)]


def test_environment_code_and_node():
    def elsewhere(found: dict[str, Any]) -> None:
        found["provenance"] |= {
            "node": "n2",
            "code_version": "v2",
            "environment": json.dumps(ENVIRONMENT | {"torch": "2.14.0", "vllm": "0.32.0"}),
        }

    assert compare(row(), changed(elsewhere)).environment == [
        Change("torch", "2.13.0", "2.14.0"),
        Change("code", "v1", "v2"),
        Change("node", "n1", "n2"),
        Change("vllm", why.ABSENT, "0.32.0"),
    ]


@pytest.mark.parametrize(
    ("place", "can", "cannot"),
    [
        (Place(1, "samples"), ["seed", "rollout.temperature"], ["optimizer.lr", "objective.first_token"]),
        (Place(1, "metrics"), ["objective.loss_temperature"], ["optimizer.lr", "seed", "rollout.temperature"]),
        (Place(2, "samples"), ["optimizer.lr", "objective.first_token", "seed"], ["prompts.template"]),
        (Place(0, "weights"), ["model.path"], ["seed", "optimizer.lr"]),
        (Place(2, "weights"), ["optimizer.lr"], ["prompts.path"]),
        (Place(2, "answers"), ["rollout.engine"], ["rollout.temperature", "optimizer.lr"]),
    ],
)
def test_what_can_act_where(place, can, cannot):
    assert all(name.startswith(why.acting(place)) for name in can)
    assert not any(name.startswith(why.acting(place)) for name in cannot)


# Which record a prefix names.


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def commit(store: Store, record: Record) -> str:
    """The stem of the record's file."""
    assert store.commit(record)
    failed = record.status is Status.failed
    return f"{record.unit_id}-{record.provenance.attempt_id}" if failed else record.unit_id


def failed(attempt_id: str, started: str = "2026-01-01T00:00:00+00:00", **fields: Any) -> Record:
    return made(status=Status.failed, attempt_id=attempt_id, started=started, error="E: why", **fields)


def test_what_is_stored_is_compared_as_it_was_made(store):
    stems = [commit(store, made()), commit(store, made(replace(TRIAL, seed=1), steps=3, measured=(0, 3)))]
    a, b = (resolve(store, "A", stem).row for stem in stems)
    assert a == row()
    found = compare(a, b)
    assert found.config == [Change("seed", 0, 1)]
    assert (found.parting.ended if found.parting else None) == "A"


def test_a_trial_is_its_furthest_and_then_its_fullest_record(store):
    commit(store, made())
    far = commit(store, made(steps=5, measured=(5,), evaluations=(SUM,)))
    fullest = commit(store, made(steps=5, measured=(3, 5)))
    commit(store, failed("f1", steps=9, measured=(9,)))
    chosen = resolve(store, "A", TRIAL.id[:6])
    assert chosen.path.stem == fullest != far
    assert chosen.note == "the one that goes furthest of 3 records"
    assert resolve(store, "A", far[:-3]).path.stem == far
    assert resolve(store, "A", far).note == ""


def test_a_trial_without_a_record_is_its_latest_attempt(store):
    late = commit(store, failed("aa", "2026-01-03T00:00:00+00:00"))
    commit(store, failed("bb", "2026-01-02T00:00:00+00:00"))
    chosen = resolve(store, "A", TRIAL.id)
    assert (chosen.path.stem, chosen.note) == (late, "the latest of 2 failed attempts")


def test_a_record_wins_over_attempts_unless_they_are_named(store):
    unit = commit(store, made())
    attempt = commit(store, failed("c0ffee"))
    assert resolve(store, "A", unit).path == store.records / f"{unit}.parquet"
    assert resolve(store, "A", attempt).path == store.failed / f"{attempt}.parquet"
    assert resolve(store, "A", f"{unit}-c0").path == store.failed / f"{attempt}.parquet"
    assert resolve(store, "A", str(store.records / f"{unit}.parquet")).path.stem == unit


def test_a_prefix_of_several_trials_lists_them(store):
    for index in range(7):
        record = made()
        record.trial_id = f"abcd{index}fffffffffff"
        record.unit_id = f"{record.trial_id}-{index}000"
        commit(store, record)
    with pytest.raises(InputError) as error:
        resolve(store, "B", "abcd")
    ids = ", ".join(f"abcd{index}fffffffffff" for index in range(5))
    assert str(error.value) == f"B=abcd: 7 trials begin so, give more of {ids} and 2 more"
    assert resolve(store, "B", "abcd3").path.stem == "abcd3fffffffffff-3000"


def test_an_unknown_prefix_lists_the_nearest(store):
    unit = commit(store, made())
    with pytest.raises(InputError) as error:
        resolve(store, "A", "zzzz")
    assert str(error.value) == f"A=zzzz: no id in {store.root} begins so; the nearest are {TRIAL.id}"
    with pytest.raises(InputError, match=f"the nearest are {unit}$"):
        resolve(store, "A", f"{TRIAL.id}-zz")


@pytest.mark.parametrize(
    ("word", "message"),
    [("abc", "A=abc: give at least 4 characters of an id"), ("no.parquet", "A=no.parquet: is not a file")],
)
def test_what_cannot_be_an_id(store, word, message):
    with pytest.raises(InputError) as error:
        resolve(store, "A", word)
    assert str(error.value) == message


def test_an_empty_store_says_so(store):
    with pytest.raises(InputError, match=rf"^store={store.root}: holds no record and no failed attempt$"):
        resolve(store, "A", "abcd")


def test_a_damaged_record_is_named(store):
    unit = commit(store, made())
    store.record_path(unit).write_bytes(b"PAR1 and then the power went")
    with pytest.raises(InputError, match=f"{unit}.parquet: damaged"):
        resolve(store, "A", unit)


# What is printed.


def printed(capsys: pytest.CaptureFixture[str], store: Store, a: str, b: str) -> list[str]:
    why.main([a, b, f"store={store.root}"])
    return capsys.readouterr().out.splitlines()


def test_the_whole_answer(store, capsys):
    other = replace(with_value(TRIAL, "optimizer.lr", 1e-3), seed=1)
    record = made(other)
    record.rollouts[1].token_ids[2] = 8
    a, b = commit(store, made()), commit(store, record)
    assert printed(capsys, store, a, b) == [
        f"A  {a}  done, attempt 1, id a1",
        "   small, seed 0, 2 steps, 4 evaluations after step 0, 2",
        "   2026-01-01 00:00:00 UTC, 1.0 s, node n1, lane 0",
        f"B  {b}  done, attempt 1, id a1",
        "   small, seed 1, 2 steps, 4 evaluations after step 0, 2",
        "   2026-01-01 00:00:00 UTC, 1.0 s, node n1, lane 0",
        "",
        "config: 2 fields differ",
        "                A      B",
        "  optimizer.lr  2e-05  0.001",
        "  seed          0      1",
        "evaluations: same",
        "environment: same; code same (v1); node same (n1)",
        "",
        "they part in the samples of step 1: sample 1, token 2 (counted from 0)",
        "            A  B",
        "  token id  7  8",
        "  1 of 2 samples differ",
        "  the same before: 1 prompt, weights after step 0, 12 answers of 2 evaluations",
        "  differs and can act there: seed",
        "  differs, but cannot act there: optimizer.lr",
    ]


def test_metrics_are_shown_with_their_difference(store, capsys):
    record = made(replace(TRIAL, seed=1))
    record.steps[1].loss = 0.25000001
    lines = printed(capsys, store, commit(store, made()), commit(store, record))
    start = lines.index("they part in the metrics of step 2")
    assert lines[start + 1 : start + 3] == ["        A     B           B - A", "  loss  0.25  0.25000001  +1e-08"]
    assert lines[-1] == "  differs and can act there: seed"


def test_long_texts_are_shown_around_their_first_difference(store, capsys):
    first, second = made(), made(replace(TRIAL, seed=1))
    for record, middle in ((first, "one\x1b[31m"), (second, "two")):
        record.evaluations[2].texts[0] = "x" * 100 + middle + "y" * 100
    lines = printed(capsys, store, commit(store, first), commit(store, second))
    assert "they part in the answers after step 2: sum at temperature 1, problem 0, sample 0 (counted from 0)" in lines
    [text] = [line.split() for line in lines if line.startswith("  text")]
    assert text == ["text", f"...{'x' * 11}one\\x1b[31m{'y' * 22}...", f"...{'x' * 11}two{'y' * 30}..."]
    assert lines[-2:] == ["  nothing of what is recorded explains it", "  differs, but cannot act there: seed"]


def test_a_failed_attempt_shows_the_last_line_of_its_error(store, capsys):
    unit = commit(store, made())
    attempt = commit(store, failed("dead", steps=1, measured=(0,), planned=(0, 2)))
    assert attempt.startswith(unit)
    lines = printed(capsys, store, attempt, unit)
    assert lines[0] == f"A  {unit}  failed, attempt 1, id dead"
    assert lines[3] == "   error: E: why"
    start = lines.index("nothing parts until A ends")
    assert lines[start + 1 : start + 4] == [
        "                  A                  B",
        "  recorded up to  metrics of step 1  answers after step 2",
        "  status          failed             done",
    ]


def test_identical_records_of_two_stores(store, capsys, tmp_path):
    other = Store(tmp_path / "other")
    a, b = commit(store, made()), commit(other, made(attempt_id="b2"))
    lines = printed(capsys, store, a, str(other.records / f"{b}.parquet"))
    assert lines[-2:] == [
        "nothing parts: they are identical in everything that a run must reproduce",
        "  the same: 1 prompt, 4 samples (12 tokens), metrics of 2 steps, weights after step 0, 2, "
        "24 answers of 4 evaluations",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1d71"], "A B=1d71: name two: python -m analysis.why A B [store=results]"),
        (["1d71", "d225", "stroe=x"], "unknown option 'stroe': did you mean 'store'?"),
    ],
)
def test_words_that_cannot_be_read(words, message):
    with pytest.raises(InputError) as error:
        why.main(words)
    assert str(error.value) == message


def test_a_record_is_not_compared_with_itself(store):
    unit = commit(store, made())
    with pytest.raises(InputError, match=rf"^B={unit}: is the same record as A, {unit}; give more of"):
        why.main([TRIAL.id, unit, f"store={store.root}"])
