"""Confidence against accuracy, from answers to the command's files."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import StringIO
from typing import cast
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import sem, t

import analysis.reliability
from analysis import calibration
from analysis.calibration import agreement, brier, ece, reliability
from em.errors import InputError
from em.store import Store
from em.store.provenance import provenance
from em.store.record import EvaluationResult, Record, Status
from em.trial.unit import Measurement, Unit
from sweeps import expand
from sweeps.calibration import calibrate, main
from sweeps.config import Launch, compose_launch

AXIS = "rollout.temperature"
WORDS = ["sweep=smoke", f"{AXIS}=0.5,1.0", "sweep.seeds=2", "eval.statistics=tokens", "eval.samples=2"]
PATH = "{http://www.w3.org/2000/svg}path"
Recorder = Callable[..., Launch]


def test_by_hand() -> None:
    confidence_K, correct_K = np.array([0.0, 0.1, 0.15, 0.65, 0.95, 1.0]), np.array([0, 0, 1, 1, 1, 0.0])
    of = reliability(confidence_K, correct_K)
    assert of.count_B.tolist() == [2, 1, 0, 0, 0, 0, 1, 0, 0, 2]  # the upper end of a bin is its own
    held = of.count_B > 0
    assert of.confidence_B[held] == pytest.approx([0.05, 0.15, 0.65, 0.975])
    assert of.accuracy_B[held] == pytest.approx([0, 1, 1, 0.5])
    assert np.isnan(of.accuracy_B[~held]).all()
    assert ece(of) == pytest.approx((2 * 0.05 + 0.85 + 0.35 + 2 * 0.475) / 6)
    assert brier(confidence_K, correct_K) == pytest.approx((0.01 + 0.85**2 + 0.35**2 + 0.05**2 + 1) / 6)
    assert ece(reliability(confidence_K, correct_K, bins=1)) == pytest.approx(abs(2.85 - 3) / 6)


def test_every_tenth_is_in_the_bin_that_it_closes() -> None:
    tenths_K = np.arange(11) / 10
    assert reliability(tenths_K, tenths_K).count_B.tolist() == [2] + [1] * 9


def test_calibrated_and_overconfident_answers() -> None:
    rng = np.random.default_rng(0)
    confidence_K = rng.uniform(0.3, 1.0, 200_000)
    for excess in (0.0, 0.2):
        correct_K = (rng.random(len(confidence_K)) < confidence_K - excess).astype(float)
        assert ece(reliability(confidence_K, correct_K)) == pytest.approx(excess, abs=0.005)
    expected = np.mean(confidence_K * (1 - confidence_K))
    calibrated_K = (rng.random(len(confidence_K)) < confidence_K).astype(float)
    assert brier(confidence_K, calibrated_K) == pytest.approx(expected, abs=0.002)


def test_agreement_among_the_samples_of_each_problem() -> None:
    extracted_K = ["4", "4", "5", None, "4", None, None, "6"]
    assert agreement(extracted_K, 4).tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0, 0, 0, 0, 0])
    assert agreement(["1", "1", "1", "1", "2", "2"], samples=3).tolist() == [1, 1, 1, 0, 1 / 2, 1 / 2]
    assert agreement(["4", "4", None, "4"], 2).tolist() == [1, 1, 0, 0]


def result(
    correct: Sequence[bool | None], extracted: Sequence[str | None], probabilities: list[float] | None, samples: int = 2
) -> EvaluationResult:
    return EvaluationResult(
        step=0,
        evaluation_id="e",
        benchmark="sum",
        temperature=1.0,
        problems=len(correct) // samples,
        samples=samples,
        accuracy=sum(map(bool, correct)) / len(correct),
        timeouts=sum(one is None for one in correct),
        correct=list(correct),
        extracted=list(extracted),
        lengths=[1] * len(correct),
        truncated=[False] * len(correct),
        texts=[None] * len(correct),
        probabilities=probabilities,
    )


def test_a_measurement_pools_its_benchmarks_and_what_is_ungraded_counts_as_wrong() -> None:
    one = result([True, None], ["4", "4"], [0.9, 0.8])
    two = result([False, False, True, True], ["1", None, "2", "3"], [0.5, 0.5, 1.0, 1.0])
    measured = calibration.measurements(pl.concat(calibration.answers("t", of) for of in (one, two)))
    assert measured.drop("ece", "brier").rows() == [
        ("t", 0, 1.0, "tokens", pytest.approx(4.7 / 6), 0.5, 6, 1),
        ("t", 0, 1.0, "agreement", pytest.approx(2 / 6), 0.5, 6, 1),
    ]
    # tokens: .9 right in (.8, .9], .8 wrong in (.7, .8], two of .5 wrong, two of 1 right
    assert measured["ece"].to_list() == pytest.approx([(0.1 + 0.8 + 1.0) / 6, (abs(1 - 2) + 2) / 6])
    assert measured["brier"].to_list() == pytest.approx([(0.01 + 0.64 + 0.5) / 6, (1 + 2) / 6])


def test_a_confidence_that_not_all_answers_have_has_no_row() -> None:
    def kinds(*results: EvaluationResult) -> list[str]:
        return calibration.measurements(pl.concat(calibration.answers("t", of) for of in results))["kind"].to_list()

    assert kinds(result([True, True], ["4", "4"], None)) == ["agreement"]
    assert kinds(result([True, True], ["4", "4"], [0.5, 0.5], samples=1)) == ["tokens"]
    assert kinds(result([True, True], ["4", "4"], [0.5, 0.5]), result([True, True], ["4", "4"], None)) == ["agreement"]
    assert kinds(result([True, True], ["4", "4"], None, samples=1)) == []


@cache
def launch(*words: str) -> Launch:
    return compose_launch([*WORDS, *words])


@pytest.fixture
def record(store: Store) -> Recorder:
    """Record a sweep: answers are sure of .9 and `correct`, two to a problem; those of EM's seed 0 are all right."""

    def record(*words: str, units: int = 100, correct: Sequence[bool | None] = (True, False)) -> Launch:
        config = launch(*words)
        for unit in expand.units(config)[:units]:
            store.commit(recorded(unit, correct))
        return config

    return record


def said(config: Launch, store: Store) -> str:
    console = Console(file=StringIO(), width=100)
    calibrate(config, store, console)
    return cast(StringIO, console.file).getvalue()


def recorded(unit: Unit, correct: Sequence[bool | None]) -> Record:
    made = replace(provenance(lane="", device="none", started=datetime.now(UTC)), code_version="abc")
    right = unit.trial.phase is not None and unit.trial.seed == 0
    answered = [measured(item, [True, True] if right else correct) for item in unit.measurements]
    return Record.of(unit, made, status=Status.done, evaluations=answered)


def measured(measurement: Measurement, correct: Sequence[bool | None]) -> EvaluationResult:
    step, evaluation = measurement.step, measurement.evaluation
    probabilities = [0.9, 0.9] if evaluation.statistics.value != "none" else None
    answers = result(correct, ["4", "4"] if all(correct) else ["4", "5"], probabilities, samples=evaluation.samples)
    name, temperature = evaluation.benchmark.name, evaluation.temperature
    return replace(answers, step=step, evaluation_id=evaluation.id, benchmark=name, temperature=temperature)


def test_the_command_from_store_to_files(
    store: Store, record: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record()
    monkeypatch.setenv("COLUMNS", "120")
    main([*WORDS, f"store={store.root}"])
    text = capsys.readouterr().out
    low, high = student([0.1, 0.4])
    assert "40.0" in text  # the base model's
    assert f"25.0 ({100 * low:.1f}-{100 * high:.1f})" in text
    assert "warning" not in text
    names = [f"smoke-calibration{end}" for end in (".pdf", ".png", ".svg", ".csv", "-seeds.csv", "-bins.csv")]
    assert sorted(path.name for path in (store.root / "figures").iterdir()) == sorted(names)
    assert all(str(store.root / "figures" / name) in text for name in names)
    numbers = pl.read_csv(store.root / "figures" / "smoke-calibration.csv")
    scores = numbers.select(AXIS, "step", "kind", "trials", "ece", "ece_low", "ece_high", "confidence", "accuracy")
    assert [tuple(row) for row in scores.rows()] == [
        (None, 0, "tokens", 1, pytest.approx(0.4), None, None, pytest.approx(0.9), 0.5),
        (None, 0, "agreement", 1, 0.5, None, None, 0.0, 0.5),
        *(
            row
            for temperature in (0.5, 1.0)
            for row in (
                (temperature, 10, "tokens", 2, *map(pytest.approx, (0.25, low, high, 0.9)), 0.75),
                (temperature, 10, "agreement", 2, 0.25, *map(pytest.approx, student([0.0, 0.5])), 0.5, 0.75),
            )
        ),
    ]
    seeds = pl.read_csv(store.root / "figures" / "smoke-calibration-seeds.csv")
    assert seeds.filter(pl.col("kind") == "tokens").select("step", "seed", "ece", "n").rows() == [
        (0, None, pytest.approx(0.4), 12),
        *[(10, 0, pytest.approx(0.1), 12), (10, 1, pytest.approx(0.4), 12)] * 2,
    ]
    bins = pl.read_csv(store.root / "figures" / "smoke-calibration-bins.csv").filter(pl.col("count") > 0)
    assert bins.select("kind", "step", "high", "count", "accuracy").rows() == [
        ("tokens", 0, 0.9, 12, 0.5),
        ("tokens", 10, 0.9, 48, 0.75),
        ("agreement", 0, 0.1, 12, 0.5),
        ("agreement", 10, 0.1, 24, 0.5),
        ("agreement", 10, 1.0, 24, 1.0),
    ]


def student(scores_S: Sequence[float]) -> tuple[float, float]:
    """Student's 95% interval of the mean of few seeds, within [0, 1]."""
    low, high = t.interval(0.95, len(scores_S) - 1, np.mean(scores_S), sem(scores_S))
    return max(low, 0.0), min(high, 1.0)


def test_means_over_the_seeds_of_each_cell() -> None:
    """Of three seeds and of one, a score that is missing, and another cell."""
    ece_by_cell = {("a", 0): [0.1, 0.2, 0.15], ("a", 10): [0.3, None], ("b", 10): [None]}
    rows = [(cell, step, error) for (cell, step), errors in ece_by_cell.items() for error in errors]
    seeds = pl.DataFrame(rows, ["cell", "step", "ece"], orient="row").with_columns(
        temperature=1.0,
        kind=pl.lit("tokens", calibration.KIND),
        outcome=pl.when(pl.col("ece").is_null()).then(pl.lit("diverged")).otherwise(pl.lit("scored")),
        score=pl.lit(0.5),
        **{name: 1 - pl.col("ece") for name in ("brier", "confidence", "accuracy")},
    )
    numbers = calibration.summarise(seeds, ["cell"], np.random.default_rng(0))
    low, high = student([0.1, 0.2, 0.15])
    assert numbers.select("cell", "step", "trials", "diverged", "ece", "ece_low", "ece_high", "brier").rows() == [
        ("a", 0, 3, 0, *map(pytest.approx, (0.15, low, high, 0.85))),
        ("a", 10, 1, 1, 0.3, None, None, 0.7),
        ("b", 10, 0, 1, None, None, None, None),
    ]
    assert 0 < low < high < 1


def test_the_diagram_has_a_marker_and_a_bar_for_each_bin_that_holds_answers(store: Store, record: Recorder) -> None:
    calibrate(record(), store, Console(file=StringIO()))
    bins = pl.read_csv(store.root / "figures" / "smoke-calibration-bins.csv")
    rows = analysis.reliability.shown(bins)
    assert rows.select("kind", "step", "share", "called").rows() == [
        ("tokens", 0, 1.0, "base: ECE 40.0%"),
        ("tokens", 10, 1.0, "EM, step 10: ECE 15.0%"),
        ("agreement", 0, 1.0, "base: ECE 50.0%"),
        ("agreement", 10, 0.5, "EM, step 10: ECE 25.0%"),
        ("agreement", 10, 0.5, "EM, step 10: ECE 25.0%"),
    ]
    picture = ElementTree.parse(store.root / "figures" / "smoke-calibration.svg").getroot()
    drawn = {item.get("aria-label", ""): item.get("d", "") for item in picture.iter(PATH)}
    bars = [said.split("; ") for said in drawn if said.startswith("low: ")]
    assert sorted(bars) == sorted(
        [f"low: {ends}", f"share: {share}", f"called: {called}"]
        for ends, share, called in [
            ("80% – 90%", "100%", "base: ECE 40.0%"),
            ("80% – 90%", "100%", "EM, step 10: ECE 15.0%"),
            ("0% – 10%", "100%", "base: ECE 50.0%"),
            ("0% – 10%", "50%", "EM, step 10: ECE 25.0%"),
            ("90% – 100%", "50%", "EM, step 10: ECE 25.0%"),
        ]
    )
    markers = {said: path for said, path in drawn.items() if "; count: " in said}
    assert sorted(said.partition("; share")[0] for said in markers) == [
        "confidence: 0.9; accuracy: 50%; called: base: ECE 40.0%",
        "confidence: 0.9; accuracy: 75%; called: EM, step 10: ECE 15.0%",
        "confidence: 0; accuracy: 50%; called: EM, step 10: ECE 25.0%",
        "confidence: 0; accuracy: 50%; called: base: ECE 50.0%",
        "confidence: 1; accuracy: 100%; called: EM, step 10: ECE 25.0%",
    ]
    for words, path in markers.items():
        [share], [radius] = re.findall(r"share: ([\d.]+)", words), re.findall(r"^M([\d.]+),0", path)
        assert (2 * float(radius)) ** 2 == pytest.approx(analysis.reliability.AREA * float(share), rel=1e-3)


def test_the_same_records_give_the_same_bytes(store: Store, record: Recorder) -> None:
    said(record(), store)
    first = {path: path.read_bytes() for path in (store.root / "figures").iterdir()}
    said(launch(f"{AXIS}=1.0,0.5"), store)
    assert {path: path.read_bytes() for path in first} == first


def test_what_is_missing_and_ungraded_is_said(store: Store, record: Recorder) -> None:
    text = said(record(units=4, correct=[True, None]), store)
    assert "warning: 1 of 5 measurements are missing: diverged, failed or not made yet" in text
    assert "warning: 12 answers could not be graded and count as wrong" in text


def test_one_confidence_is_shown_where_the_other_is_not_recorded(store: Store, record: Recorder) -> None:
    text = said(record("eval.statistics=none"), store)
    assert "warning: no confidence by tokens at temperature 1: eval.statistics=tokens" in text
    bins = pl.read_csv(store.root / "figures" / "smoke-calibration-bins.csv")
    assert bins["kind"].unique().to_list() == ["agreement"]


def test_the_base_model_alone_and_a_measurement_that_was_made_twice(store: Store, record: Recorder) -> None:
    config = record(units=1)
    base, *_ = expand.units(config)
    store.commit(recorded(Unit(base.trial, base.measurements[:3]), [False, False]))
    said(config, store)
    bins = pl.read_csv(store.root / "figures" / "smoke-calibration-bins.csv").filter(pl.col("count") > 0)
    assert bins.select("kind", "step", "count", "accuracy").rows() == [
        ("tokens", 0, 12, 0.5),
        ("agreement", 0, 12, 0.5),
    ]


def test_nothing_of_the_kind_is_refused_in_one_line(store: Store, record: Recorder) -> None:
    record()
    with pytest.raises(InputError, match=r"^store=.*: holds no complete measurement with eval.statistics=none eval.s"):
        said(launch("eval.statistics=none"), store)
    with pytest.raises(
        InputError,
        match=r"^eval.statistics=none eval.samples=1: no confidence is recorded of these answers; run the sweep with "
        r"eval.statistics=tokens or eval.samples=2",
    ):
        said(record("eval.statistics=none", "eval.samples=1"), store)
