"""How two records differ: hand-made records whose first difference is known, and which record a prefix names."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import why
from analysis.difference import ABSENT, ENDS, Change, Parting, Place, acting, compare
from analysis.find import resolve
from em.errors import InputError
from em.store import Store
from em.store.record import EvaluationResult, Provenance, Record, Status, StepMetrics, WeightDigest
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.sample import Sample
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase

TRIAL = one_phase(model=Model(path="models/small"), prompts=Prompts(texts=["1+1="]))
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


def row(record: Record | None = None) -> Record:
    return copy.deepcopy(record or made())


def changed(change: Callable[[Record], None], record: Record | None = None) -> Record:
    other = row(record)
    change(other)
    return other


def parting(b: Record, a: Record | None = None) -> Parting:
    first = compare(a or row(), b).parting
    assert first is not None
    return first


def result(record: Record, step: int, benchmark: str) -> EvaluationResult:
    return next(it for it in record.evaluations if (it.step, it.benchmark) == (step, benchmark))


def answers(step: int, evaluation: Evaluation) -> Place:
    return Place(step, "answers", evaluation.id)


def test_equal_records_part_nowhere():
    difference = compare(row(), row(made(attempt_id="b2", started="2026-02-02T00:00:00+00:00")))
    assert difference.config == difference.evaluations == difference.environment == []
    assert difference.parting is None
    assert difference.same == [
        Place(0, "prompts"),
        *(Place(0, "weights"), answers(0, SUM), answers(0, MAX)),
        *(Place(1, "samples"), Place(1, "metrics"), Place(2, "samples"), Place(2, "metrics")),
        *(Place(2, "weights"), answers(2, SUM), answers(2, MAX)),
    ]
    assert difference.only == {"A": [], "B": []}


def test_a_token_of_the_prompt():
    def change(record: Record) -> None:
        record.prompts[0] = [49, 43]

    expected = Parting(Place(0, "prompts"), "prompt 0", [Change("token 2", 49, ENDS)], "1 of 1")
    assert parting(changed(change)) == expected


def test_a_trial_with_more_prompts():
    def change(record: Record) -> None:
        record.prompts.append([50])

    assert parting(changed(change)) == Parting(Place(0, "prompts"), "", [Change("number", 1, 2)], "")


def test_a_sampled_token():
    def change(record: Record) -> None:
        record.rollouts[3].token_ids = [2, 99, 7]
        record.steps[1].loss = 9.0  # later in the same step

    difference = compare(row(), changed(change))
    assert difference.parting == Parting(Place(2, "samples"), "sample 1", [Change("token 1", 51, 99)], "1 of 2")
    assert difference.same[-1] == Place(1, "metrics")


def test_a_sample_that_goes_on_and_one_that_met_the_limit():
    def change(record: Record) -> None:
        record.rollouts[0].token_ids.append(8)
        record.rollouts[1].truncated = True

    first = parting(changed(change))
    assert first == Parting(Place(1, "samples"), "sample 0", [Change("token 3", ENDS, 8)], "2 of 2")
    first = parting(changed(lambda it: setattr(it.rollouts[1], "truncated", True)))
    assert first == Parting(Place(1, "samples"), "sample 1", [Change("truncated", False, True)], "1 of 2")


def test_more_samples_of_which_the_first_are_the_same():
    def change(record: Record) -> None:
        record.rollouts.insert(2, record.rollouts[1])

    assert parting(changed(change)) == Parting(Place(1, "samples"), "", [Change("number", 2, 3)], "")


def test_metrics_by_name_and_by_the_last_bit():
    def change(record: Record) -> None:
        record.steps[1].loss = math.nextafter(0.25, 1)
        record.steps[1].grad_norm = 0.5
        record.digests[1].sha256 = "f" * 64

    first = parting(changed(change))
    assert first.place == Place(2, "metrics")
    assert first.changes == [Change("loss", 0.25, math.nextafter(0.25, 1)), Change("grad_norm", 0.125, 0.5)]


def test_a_metric_that_one_version_does_not_know():
    assert compare(changed(lambda record: setattr(record.steps[0], "loss", None)), row()).parting is None


def test_nan_is_nan():
    def diverge(record: Record) -> None:
        record.steps[1].loss = math.nan

    assert compare(changed(diverge), changed(diverge)).parting is None
    [change] = parting(changed(diverge)).changes
    assert (change.name, change.a) == ("loss", 0.25)
    assert math.isnan(change.b)


@pytest.mark.parametrize(("index", "step"), [(0, 0), (1, 2)])
def test_weights_come_before_the_answers_of_their_step(index, step):
    def change(record: Record) -> None:
        record.digests[index].sha256 = "f" * 64
        result(record, step, "sum").texts[0] = "#2"

    first = parting(changed(change))
    assert first.place == Place(step, "weights")
    assert first.changes == [Change("sha256", f"{step:064x}", "f" * 64)]


def test_digests_of_two_kinds_say_nothing():
    def change(record: Record) -> None:
        for digest in record.digests:
            digest.sha256, digest.kind = "f" * 64, "tensors"

    found = compare(row(), changed(change))
    assert found.parting is None
    assert Place(2, "weights", "tensors") in found.only["B"]


def test_step_0_is_measured_before_anything_is_sampled():
    def change(record: Record) -> None:
        result(record, 0, "max").texts[5] = "1=2"
        record.rollouts[0].token_ids = [0]

    assert parting(changed(change)) == Parting(
        answers(0, MAX), "max at temperature 1, problem 2, sample 1", [Change("texts", "1=1", "1=2")], "1 of 6"
    )


def test_an_answer_with_all_that_differs_of_it():
    def change(record: Record) -> None:
        changing = result(record, 2, "sum")
        changing.texts[2], changing.extracted[2], changing.lengths[2] = "#22", "22", 3
        changing.correct[2] = False
        changing.texts[3] = "?"

    assert parting(changed(change)) == Parting(
        answers(2, SUM),
        "sum at temperature 1, problem 1, sample 0",
        [
            Change("texts", "#1", "#22"),
            Change("extracted", "1", "22"),
            Change("lengths", 2, 3),
            Change("correct", True, False),
        ],
        "2 of 6",
    )


@pytest.mark.parametrize("texts", [None, [None] * 6, ["#1", None] * 3], ids=["column", "all", "second"])
def test_texts_that_were_not_kept_are_not_compared(texts):
    def without(record: Record) -> None:
        result(record, 2, "sum").texts = texts

    def other(record: Record) -> None:
        result(record, 2, "sum").extracted[3] = "1"
        without(record)

    assert compare(row(), changed(without)).parting is None
    assert compare(changed(without), row()).parting is None
    first = parting(changed(other))
    assert first.item == "sum at temperature 1, problem 1, sample 1"
    assert first.changes == [Change("extracted", None, "1")]


def test_one_trajectory_ends_earlier():
    difference = compare(row(made(measured=(0,))), row(made(steps=3, measured=(0, 3))))
    assert difference.parting is None
    assert difference.same[-1] == Place(2, "metrics")
    later = [Place(3, "samples"), Place(3, "metrics"), Place(3, "weights"), answers(3, SUM), answers(3, MAX)]
    assert difference.only == {"A": [], "B": later}


def test_an_attempt_whose_process_died_holds_nothing():
    attempt = row(made(steps=0, measured=(), planned=(0, 2), status=Status.failed))
    attempt.prompts = []
    difference = compare(attempt, row())
    assert (difference.parting, difference.same, difference.only["A"]) == (None, [], [])


def test_measurements_of_one_side_are_no_difference():
    difference = compare(row(made(measured=(2,), evaluations=(SUM,))), row(made(measured=(2,), evaluations=(MAX,))))
    assert difference.parting is None
    assert difference.same[-1] == Place(2, "weights")
    assert difference.only == {"A": [answers(2, SUM)], "B": [answers(2, MAX)]}
    assert [change.name for change in difference.evaluations] == ["sum at temperature 1", "max at temperature 1"]
    assert difference.evaluations[0].b is ABSENT


def test_config_by_dotted_path():
    other = replace(with_value(TRIAL, "phase.rollout.temperature", 1.0), seed=3)
    assert compare(row(), row(made(other))).config == [
        Change("rollout.temperature", 0.5, 1.0),
        Change("seed", 0, 3),
    ]


def test_a_field_that_one_version_does_not_know():
    def older(record: Record) -> None:
        trial = json.loads(record.trial)
        del trial["optimizer"]["eps"]
        record.trial = json.dumps(trial)
        record.digests = []

    difference = compare(changed(older), row())
    assert difference.config == [Change("optimizer.eps", ABSENT, 1e-8)]
    assert difference.parting is None
    assert difference.only["B"] == [Place(0, "weights"), Place(2, "weights")]


def test_evaluations_by_benchmark_and_temperature():
    evaluations = compare(row(), row(made(evaluations=(SUM, replace(MAX, samples=8))))).evaluations
    assert evaluations == [Change("max at temperature 1.samples", 2, 8)]


def test_environment_code_and_node():
    def elsewhere(record: Record) -> None:
        made = record.provenance
        made.node, made.code_version, made.replayed = "n2", "v2", "c3"
        made.environment = json.dumps(ENVIRONMENT | {"torch": "2.14.0", "vllm": "0.32.0"})

    assert compare(row(), changed(elsewhere)).environment == [
        Change("torch", "2.13.0", "2.14.0"),
        Change("code", "v1", "v2"),
        Change("node", "n1", "n2"),
        Change("replayed", None, "c3"),
        Change("vllm", ABSENT, "0.32.0"),
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
    assert all(name.startswith(acting(place)) for name in can)
    assert not any(name.startswith(acting(place)) for name in cannot)


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


def name_of(row: Record) -> str:
    """The stem of the file that it is from."""
    attempt = f"-{row.provenance.attempt_id}" if row.status == Status.failed else ""
    return row.unit_id + attempt


def test_what_is_stored_is_compared_as_it_was_made(store):
    stems = [commit(store, made()), commit(store, made(replace(TRIAL, seed=1), steps=3, measured=(0, 3)))]
    a, b = (resolve(store, "A", stem) for stem in stems)
    assert a == row()
    assert compare(a, b).config == [Change("seed", 0, 1)]


def test_a_trial_is_its_furthest_and_then_its_fullest_record(store):
    commit(store, made())
    far = commit(store, made(steps=5, measured=(5,), evaluations=(SUM,)))
    fullest = commit(store, made(steps=5, measured=(3, 5)))
    commit(store, failed("f1", steps=9, measured=(9,)))
    assert name_of(resolve(store, "A", TRIAL.id[:6])) == fullest != far
    assert name_of(resolve(store, "A", far[:-3])) == far


def test_a_trial_without_a_record_is_its_latest_attempt(store):
    late = commit(store, failed("aa", "2026-01-03T00:00:00+00:00"))
    commit(store, failed("bb", "2026-01-02T00:00:00+00:00"))
    assert name_of(resolve(store, "A", TRIAL.id)) == late


def test_a_record_wins_over_attempts_unless_they_are_named(store):
    unit = commit(store, made())
    attempt = commit(store, failed("c0ffee"))
    assert name_of(resolve(store, "A", unit)) == unit
    assert name_of(resolve(store, "A", attempt)) == attempt
    assert name_of(resolve(store, "A", f"{unit}-c0")) == attempt
    assert name_of(resolve(store, "A", str(store.root / "records" / f"{unit}.parquet"))) == unit


def test_a_prefix_of_several_trials_lists_them(store):
    for index in range(7):
        record = made()
        record.trial_id = f"abcd{index}fffffffffff"
        record.unit_id = f"{record.trial_id}-{index}000"
        commit(store, record)
    with pytest.raises(InputError) as error:
        resolve(store, "B", "abcd")
    ids = ", ".join(f"abcd{index}fffffffffff" for index in range(5))
    assert str(error.value) == f"B=abcd: 7 trials begin so, give more of {ids} ..."
    assert name_of(resolve(store, "B", "abcd3")) == "abcd3fffffffffff-3000"


def test_what_names_nothing(store):
    with pytest.raises(InputError, match=f"^A=zzzz: no record and no failed attempt in {store.root} begins so$"):
        resolve(store, "A", "zzzz")
    with pytest.raises(InputError, match=r"^A=no.parquet: is not a file$"):
        resolve(store, "A", "no.parquet")


def test_a_damaged_record_is_named(store):
    unit = commit(store, made())
    (store.root / "records" / f"{unit}.parquet").write_bytes(b"PAR1 and then the power went")
    with pytest.raises(InputError, match=f"{unit}.parquet: damaged"):
        resolve(store, "A", unit)


# What is printed.


def printed(capsys: pytest.CaptureFixture[str], store: Store, a: str, b: str) -> list[str]:
    why.main([a, b, f"store={store.root}"])
    return capsys.readouterr().out.splitlines()


def test_the_whole_answer(store, capsys):
    record = made(replace(with_value(TRIAL, "phase.optimizer.lr", 1e-3), seed=1), attempt_id="b2")
    record.rollouts[1].token_ids[2] = 8
    a, b = commit(store, made()), commit(store, record)
    assert printed(capsys, store, a, b) == [
        f"A  {a}  done, attempt a1",
        "   2 steps, 4 evaluations, 2026-01-01 00:00:00 UTC, 1.0 s, node n1, lane 0, code v1",
        f"B  {b}  done, attempt b2",
        "   2 steps, 4 evaluations, 2026-01-01 00:00:00 UTC, 1.0 s, node n1, lane 0, code v1",
        "",
        "config: different",
        "                A      B",
        "  optimizer.lr  2e-05  0.001",
        "  seed          0      1",
        "evaluations: same",
        "environment: same",
        "",
        "they part in the samples of step 1: sample 1, counted from 0 (1 of 2 differ)",
        "           A  B",
        "  token 2  7  8",
        "  the same before: prompts of step 0; weights after step 0; answers after step 0",
        "  differs and can act there: seed",
    ]


def test_metrics_differ_and_nothing_explains_it(store, capsys):
    record = made(with_value(TRIAL, "phase.prompts.texts", ["2+2="]), attempt_id="b2")
    record.steps[1].loss = 0.25000001
    lines = printed(capsys, store, commit(store, made()), commit(store, record))
    start = lines.index("they part in the metrics of step 2")
    assert lines[start + 1 : start + 3] == ["        A     B", "  loss  0.25  0.25000001"]
    assert lines[-1] == "  nothing of what is recorded explains it"


def test_long_texts_are_shown_around_their_first_difference(store, capsys):
    first, second = made(), made(replace(TRIAL, seed=1), attempt_id="b2")
    for record, middle in ((first, "one\x1b[31m"), (second, "two")):
        record.evaluations[2].texts[0] = "x" * 100 + middle + "y" * 100
    lines = printed(capsys, store, commit(store, first), commit(store, second))
    [text] = [line.split() for line in lines if line.startswith("  texts")]
    assert text == ["texts", f"...{'x' * 11}one\\x1b[31m{'y' * 22}...", f"...{'x' * 11}two{'y' * 30}..."]


def test_a_failed_attempt_shows_the_last_line_of_its_error_and_how_far_it_came(store, capsys):
    unit = commit(store, made())
    attempt = commit(store, failed("dead", steps=1, measured=(0,), planned=(0, 2)))
    lines = printed(capsys, store, attempt, unit)
    assert lines[0] == f"A  {unit}  failed, attempt dead"
    assert lines[2] == "   'E: why'"
    assert lines[-3] == "they part in nothing that both recorded"
    assert lines[-1] == (
        "  only in B: samples of step 2; metrics of step 2; weights after step 2; answers after step 2"
    )


def test_identical_records_of_two_stores(store, capsys, tmp_path):
    other = Store(tmp_path / "other")
    a, b = commit(store, made()), commit(other, made(attempt_id="b2"))
    lines = printed(capsys, store, a, str(other.root / "records" / f"{b}.parquet"))
    assert lines[-2:] == [
        "they part in nothing that both recorded",
        "  the same: prompts of step 0; samples of step 1, 2; metrics of step 1, 2; weights after step 0, 2; "
        "answers after step 0, 2",
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
    with pytest.raises(InputError, match=rf"^B={unit}: is the same attempt as A, at {unit}$"):
        why.main([TRIAL.id, unit, f"store={store.root}"])
