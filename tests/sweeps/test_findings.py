"""Verdicts follow from data alone: they flip on a store of which the opposite is true."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console

from analysis.findings import CLAIMS, Finding, Verdict
from analysis.findings.written import files
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from sweeps.config import Launch, compose_launch
from sweeps.findings import found, show
from tests.memory import MemoryFiles
from tests.synthetic import fill
from tests.truth import Options, normal

SEEDS = 8
NAMES = [name.upper() for name in CLAIMS]
UNION = [
    "'temperature rollout.temperature=0.25,0.5,0.75,1,1.5'",
    "'lr optimizer.lr=1e-4,1e-3,5e-3'",
    "'steps eval.steps=[1,5,10,20,35,50]'",
    "'eval-temperature eval.temperatures=[0.4,1.0]'",
    *("em-rl", "models", "shots", "logits"),
    "'baselines model=tiny,simplerl-zoo'",
    "'grid rollout.temperature=1.25,1.5 optimizer.lr=1e-3 prompts.rank=0,1,2'",
]
WORDS = ["sweep=paper", f"sweep.union=[{','.join(UNION)}]"]
GAINS = {"tiny": 0.3, "tiny_weak": 0.05, "tiny_instruct": 0.1}


def world(sign: int) -> Callable[[Trial, int, Evaluation], float]:
    """The scores that the paper claims (1), and where all its claims are wrong (-1)."""

    def score(trial: Trial, step: int, evaluation: Evaluation) -> float:
        if trial.phase is None:
            return 0.4
        before = score(*trial.origin, evaluation)
        warmer, share = sign * (evaluation.temperature - 1), min(step, 10) / 10
        if trial.phase.objective.name == "grpo":
            return before + (0.1 * sign if trial.before else 0.1) * share + 0.2 * warmer
        if trial.before:
            return before - sign * 0.1 * share
        return before + share * height(trial, sign) - sign * 0.004 * max(0, step - 10) - 0.2 * warmer

    return score


def height(trial: Trial, sign: int) -> float:
    """What EM gains in ten steps."""
    assert trial.phase is not None
    rollout, optimizer, prompts = trial.phase.rollout, trial.phase.optimizer, trial.phase.prompts
    falls = 0.1 * (optimizer.lr != 1e-3) + 0.1 * (prompts.rank > 0) + 0.1 * (rollout.samples_per_prompt > 0)
    usual = GAINS.get(trial.model.name, 0.3) if sign > 0 else -0.1
    spread = 0.2 if rollout.temperature == (0.5 if sign > 0 else 1) else 0.02
    warmer = 0.15 * (rollout.temperature - 1.5)
    return usual + sign * (warmer - falls) + spread * max(-1.5, min(1, normal("seed", trial.id)))


def told(sign: int) -> Options:
    """Losses, lengths and logits of that world."""

    def wide(trial: Trial) -> bool:
        return trial.phase is not None and (trial.phase.rollout.samples_per_prompt > 0) == (sign > 0)

    def loss(trial: Trial, step: int) -> float:
        chance = (0.05 if wide(trial) else 0.003) * normal("loss", trial.id, step)
        return 0.5 + sign * 0.4 * math.exp(-step / 10) + chance

    def length(trial: Trial, step: int) -> float:
        swing = 5 if wide(trial) else 0
        return 11 + swing * max(-2.0, min(2.0, normal("length", trial.id, step)))

    def skewness(trial: Trial, step: int, evaluation: Evaluation) -> float:
        if trial.phase is None:
            return 0.5
        change = 0.3 if trial.phase.objective.name == "em" else -0.3
        return skewness(*trial.origin, evaluation) + sign * change + 0.05 * normal("skewness", trial.id)

    def fails(trial: Trial) -> int:
        return 1 if sign < 0 and is_one_of_the_grid(trial) else 0

    return Options(loss=loss, length=length, skewness=skewness, samples=16, fails=fails, seed=1)


def is_one_of_the_grid(trial: Trial) -> bool:
    return trial.seed == 1 and trial.phase is not None and trial.phase.prompts.rank == 2


def noise(trial: Trial, step: int, evaluation: Evaluation) -> float:
    return 0.4 + (0.08 * normal("noise", trial.id, step) if trial.phase and trial.seed else 0.0)


NOTHING = Options(
    loss=lambda trial, step: 0.5 + 0.05 * normal("loss", trial.id, step),
    length=lambda trial, step: 11,
    skewness=lambda trial, step, evaluation: 0.5 + (0.05 * normal("s", trial.id) if trial.seed else 0.0),
    is_missing=is_one_of_the_grid,
)


def launched(*words: str) -> Launch:
    return compose_launch([*words, f"sweep.seeds={SEEDS}"])


def made(config: Launch, score: Callable[[Trial, int, Evaluation], float], options: Options) -> Store:
    store = Store("none", MemoryFiles())
    fill(store, config, score, options)
    return store


def verdicts(config: Launch, store: Store) -> dict[str, Finding]:
    return {finding.id: finding for finding in found(config, store)}


@pytest.fixture(scope="module")
def whole() -> Launch:
    return launched(*WORDS)


@pytest.fixture(scope="module")
def as_claimed(whole: Launch) -> Store:
    return made(whole, world(1), told(1))


@pytest.fixture(scope="module")
def claimed(whole: Launch, as_claimed: Store) -> dict[str, Finding]:
    return verdicts(whole, as_claimed)


@pytest.fixture(scope="module")
def opposite(whole: Launch) -> dict[str, Finding]:
    return verdicts(whole, made(whole, world(-1), told(-1)))


@pytest.fixture(scope="module")
def noisy(whole: Launch) -> dict[str, Finding]:
    return verdicts(whole, made(whole, noise, NOTHING))


@pytest.fixture(scope="module")
def single(whole: Launch, as_claimed: Store) -> dict[str, Finding]:
    parts = tuple(replace(part, sweep=replace(part.sweep, seeds=1)) for part in whole.parts)
    return verdicts(replace(whole, parts=parts), as_claimed)


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_holds_where_it_is_true(claimed: dict[str, Finding], name: str):
    assert claimed[name].verdict is Verdict.holds
    assert claimed[name].units
    assert all(effect.n == SEEDS for effect in claimed[name].effects)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_where_the_opposite_is_true(opposite: dict[str, Finding], name: str):
    assert opposite[name].verdict is Verdict.fails
    undecided = {"largest minus smallest gain", "best over worst seed, where that is most"}
    assert all(effect.fails for effect in opposite[name].effects if effect.name not in undecided)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_can_tell_from_noise(noisy: dict[str, Finding], name: str):
    assert noisy[name].verdict is Verdict.unclear


@pytest.mark.parametrize("name", [name for name in NAMES if name != "N"])
def test_nobody_can_tell_from_one_seed(single: dict[str, Finding], name: str):
    assert single[name].verdict is Verdict.unclear
    assert {effect.low for effect in single[name].effects} == {None}


def test_effects_are_those_of_the_world(claimed: dict[str, Finding]):
    effects = {(finding.id, effect.name): effect for finding in claimed.values() for effect in finding.effects}
    known = {
        ("T1", "EM minus GRPO"): 20,
        ("T2", "tiny after GRPO: after EM minus before"): -10,
        ("T2", "largest minus smallest gain"): 25,
        ("F1", "GRPO minus base model"): -0.3,
        ("F2", "step of the peak"): 10,
        ("F2", "loss of the last step minus the first"): 0.4 * (math.exp(-4.9) - 1),
        ("F2", "score after the last step minus peak"): -16,
        ("F3", "slope of the score, per unit of temperature"): 15,
        ("F3", "widest spread, from temperature 0.5"): 0,
        ("F4", "GRPO: at temperature 1 minus at 0.4"): 12,
        ("F4", "EM: slope, per unit of temperature"): -20,
        ("F5", "GRPO after EM: last step minus start"): 10,
        ("F6", "1e-3 minus the best other"): 10,
        ("S", "selected prompt minus the mean of the others"): 10,
        ("N", "recorded, of 48"): 48,
    }
    for at, truth in known.items():
        low, high = effects[at].low, effects[at].high
        assert low is not None
        assert high is not None
        assert low - 1e-9 <= truth <= high + 1e-9, at


def test_what_lacks_is_named_with_the_command_that_records_it(noisy: dict[str, Finding]):
    (note,) = noisy["N"].notes
    assert note.startswith("sweep grid: 2 of 48 trials missing: .venv/bin/python -m sweeps sweep.seeds=8 sweep=grid ")
    assert (noisy["N"].effects[0].value, noisy["N"].effects[0].high) == (46, 48)


def test_a_claim_without_its_sweep_is_a_gap():
    two = launched("sweep=paper", "sweep.union=['lr optimizer.lr=1e-4,1e-3',shots]")
    found = verdicts(two, made(two.parts[0], world(1), told(1)))
    assert [(name, finding.verdict) for name, finding in found.items()] == [("F6", Verdict.holds), ("D", Verdict.gap)]
    (note,) = found["D"].notes
    assert note.startswith("sweep shots: 8 of 16 trials missing: .venv/bin/python -m sweeps ")
    assert note.endswith("sweep=shots")
    assert not found["D"].units


def test_a_claim_that_lacks_one_of_its_sweeps_cannot_hold(whole: Launch, as_claimed: Store):
    found = verdicts(replace(whole, parts=whole.parts[4:5]), as_claimed)
    assert found["T1"].verdict is Verdict.unclear
    assert all(effect.holds for effect in found["T1"].effects)
    assert found["T1"].notes == ("sweep baselines: not asked for; take sweep=em-rl,baselines",)
    assert found["F5"].verdict is Verdict.holds


def test_mixed_versions_and_divergence_are_said():
    mixed = Options(
        code_version=lambda trial: f"version {trial.seed % 2}",
        diverges=lambda trial: 5 if trial.seed == 3 and trial.phase and trial.phase.optimizer.lr > 1e-3 else 0,
    )
    two = launched("sweep=lr", "optimizer.lr=1e-3,5e-3")
    found = verdicts(two, made(two, world(1), mixed))
    assert found["F6"].notes == (
        "sweep lr: 1 of 16 trials diverged",
        "sweep lr: 2 of 2 cells mix versions of the code",
    )
    assert found["F6"].effects[0].n == SEEDS - 1


def test_a_sweep_that_no_claim_rests_on_is_refused(as_claimed: Store):
    with pytest.raises(InputError, match="sweep=smoke: no claim rests on it; take paper, or baselines, em-rl"):
        verdicts(launched("sweep=smoke"), as_claimed)


def test_files_have_every_effect_and_every_record(whole: Launch, claimed: dict[str, Finding], as_claimed: Store):
    findings = list(claimed.values())
    console = Console(width=160, record=True)
    paths = show(findings, as_claimed, console)
    assert [path.name for path in paths] == ["findings.md", "findings.csv", "findings.json"]
    assert "The prompt that variance selects" in console.export_text()
    again = files(found(whole, as_claimed))
    for name, content in again.items():
        assert as_claimed.files.read(f"figures/{name}") == content
    rows = pl.read_csv(again["findings.csv"])
    assert len(rows) == sum(len(finding.effects) for finding in findings)
    assert rows.filter(pl.col("id") == "F2")["unit"].to_list() == ["nats", "nats", "points", "step", "points"]
    read = {finding["id"]: finding for finding in json.loads(again["findings.json"])}
    assert read["D"]["units"] == list(claimed["D"].units)
    assert len(read["D"]["units"]) == 2 * SEEDS + 1
    assert read["D"]["verdict"] == "holds"
    assert b"## T1: holds" in again["findings.md"]
