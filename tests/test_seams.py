"""The places to extend, each used by an extension that lives here alone: one file, nothing of the product changed."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from torch import Tensor

from em.cli import local
from em.cli.compose import compose_trial
from em.errors import InputError
from em.evaluation import graders
from em.evaluation.graders import Entry, Grade
from em.rollout import Completion, Request
from em.store import Store
from em.store.missing import missing_units
from em.store.record import Record
from em.train.local import LocalPolicy
from em.train.policy import Policy, Update
from em.train.trainer import Trainer
from em.train.weights import LATEST
from em.trial import method, stabiliser
from em.trial.config import Config
from em.trial.method import Method, Need, Tokens
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample
from em.trial.trial import Earlier
from em.trial.unit import Unit
from sweeps import expand, figures
from sweeps.__main__ import main
from sweeps.config import Launch, compose_launch
from tests import near_empty
from tests.memory import MemoryFiles
from tests.trials import NOT_REPRODUCED, run


def small(checkpoint: Callable[..., Path], store: Path, *overrides: str) -> Config:
    """A random checkpoint, eight samples of eight tokens, three problems."""
    return compose_trial(
        [
            *("model=checkpoint", f"model.path={checkpoint(tied=True)}", "rollout=transformers"),
            *("rollout.samples=8", "rollout.max_new_tokens=8", "rollout.temperature=1.0", "optimizer.lr=1e-3"),
            *("prompts.texts=['1+0M7*5?']", "benchmark=tiny", "eval.samples=2", "eval.steps=[2]", f"store={store}"),
            *(f"benchmarks.{suite}.limit=1" for suite in ("sum", "difference", "product", "max", "bit", "mixed")),
            *overrides,
        ]
    )


def reproduced(record: Record) -> dict[str, object]:
    return {name: value for name, value in dataclasses.asdict(record).items() if name not in NOT_REPRODUCED}


# --- a second objective


@dataclass(kw_only=True)
class Reinforce(Method):
    """The policy gradient of a reward with a constant baseline, with the importance ratio of the sampling engine."""

    baseline: float = 0.5

    name = "reinforce"
    needs = frozenset({Need.rewards, Need.logprobs})

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        return [((sample.reward or 0) - self.baseline) / self.counted(samples) for sample in samples]

    def terms(self, tokens: Tokens) -> Tensor:
        assert tokens.sampled_logprob_N is not None
        return -tokens.weight_N * (tokens.logprob_N - tokens.sampled_logprob_N).exp()

    def metrics(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        return {"reward": sum(sample.reward or 0 for sample in samples) / len(samples)}


def starts_low(text: str, reference: str) -> Grade:
    """A reward that a random model gets now and then."""
    return Grade(correct=text[:1] < reference, extracted=text[:1])


@pytest.fixture
def reinforce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(method.METHODS, "reinforce", f"{__name__}:Reinforce")
    monkeypatch.setitem(graders.GRADERS, "starts_low", Entry(f"{__name__}:starts_low", instant=True))


REINFORCE = ["objective=reinforce", "objective.baseline=0.25", "prompts.answers=[P]", "prompts.grader=starts_low"]


@pytest.mark.usefixtures("reinforce")
def test_a_second_objective(checkpoint, tmp_path):
    config = small(checkpoint, tmp_path, *REINFORCE)
    assert config.trial.id != small(checkpoint, tmp_path).trial.id
    store, units = Store(config.store), config.units([config.trial])
    local.run(units, store, Console(quiet=True))
    record = store.record(units[1].id)
    rewards = {
        step: [float(sample.reward or 0) for sample in record.rollouts if sample.step == step] for step in (1, 2)
    }
    assert {reward for of in rewards.values() for reward in of} == {0.0, 1.0}
    assert [(m.step, m.name, m.value) for m in record.metrics] == [
        (step, "reward", pytest.approx(sum(of) / 8)) for step, of in rewards.items()
    ]
    for metrics in record.steps:  # the ratio is 1 before the step's own update
        samples = [sample for sample in record.rollouts if sample.step == metrics.step]
        expected = -sum(((sample.reward or 0) - 0.25) * len(sample.token_ids) for sample in samples) / metrics.tokens
        assert metrics.loss == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert metrics.grad_norm > 0
    again = Unit(config.trial, config.measurements([3]), source=record.unit_id)
    local.run([again], store, Console(quiet=True))
    longer = store.record(again.id)
    assert longer.provenance.replayed == record.provenance.attempt_id
    assert longer.steps[:2] == record.steps
    assert longer.rollouts[: len(record.rollouts)] == record.rollouts


@pytest.mark.usefixtures("reinforce")
def test_what_an_objective_needs_is_asked_for(checkpoint, tmp_path):
    refused = r"prompts.answers=\[\]: objective reinforce needs an answer to each prompt"
    with pytest.raises(InputError, match=refused):
        _ = small(checkpoint, tmp_path, "objective=reinforce").trial
    with pytest.raises(InputError, match=r"unknown objective 'reinforced': did you mean 'reinforce'\?"):
        small(checkpoint, tmp_path, "objective=reinforced")
    with pytest.raises(InputError, match=r"unknown option 'objective.basline': did you mean 'objective.baseline'\?"):
        small(checkpoint, tmp_path, "objective=reinforce", "objective.basline=1")


# --- a trial of two phases


def test_two_phases_share_the_first(checkpoint, tmp_path):
    """The end of the first phase is a measurement of the trial that ended there: trained once, gone on from twice."""
    config = small(checkpoint, tmp_path)
    first = dataclasses.replace(config.phase, optimizer=Optimizer(lr=3e-3))
    trial = dataclasses.replace(config.trial, before=(Earlier(phase=first, steps=3, seed=5),))
    trials = [trial, trial.with_seed(1)]
    units, store = config.units(trials), Store(config.store)
    assert [unit.last_step for unit in units] == [0, 3, 2, 2]
    local.run(units, store, Console(quiet=True))
    origin, *records = [store.record(unit.id) for unit in units[1:]]
    assert origin.trial_id == dataclasses.replace(config.trial, phase=first, seed=5).id
    for record in records:
        assert [digest.step for digest in record.digests] == [0, 2]
        assert record.digests[0].sha256 == origin.digests[-1].sha256
        assert [metrics.step for metrics in record.steps] == [1, 2]
    assert records[0].rollouts != records[1].rollouts
    assert missing_units(units, store.records()[0]) == []
    alone = Store(tmp_path / "alone")  # nothing is recorded of the first phase: it is sampled, and leads to the same
    local.run([units[2]], alone, Console(quiet=True))
    assert reproduced(alone.record(units[2].id)) == reproduced(records[0])


# --- a policy of two ranks


class TwoRanks(Policy):
    """Two copies of model and engine in one process.  Each samples half of every request; both make every update."""

    def __init__(self, ranks: Sequence[LocalPolicy]) -> None:
        self.ranks = ranks
        self.context, self.device = ranks[0].context, ranks[0].device

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        for index, request in enumerate(requests):
            first = (request.samples + 1) // 2  # sample i draws from the stream `seed + i`, whoever samples it
            shares = [
                dataclasses.replace(request, samples=first),
                dataclasses.replace(request, samples=request.samples - first, seed=request.seed + first),
            ]
            asked = [(rank, share) for rank, share in zip(self.ranks, shares, strict=True) if share.samples]
            yield index, [answer for rank, share in asked for answer in rank.generate([share], logprobs)[0]]

    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        first, second = (rank.step(prompts, samples, method, max_norm) for rank in self.ranks)
        assert first == second
        return first

    def digest(self, kind: str | None = LATEST) -> str:
        [digest] = {rank.digest(kind) for rank in self.ranks}
        return digest

    def are_finite(self) -> bool:
        return all(rank.are_finite() for rank in self.ranks)

    def begin(self, optimizer: Optimizer) -> None:
        for rank in self.ranks:
            rank.begin(optimizer)

    def push(self) -> None:
        for rank in self.ranks:
            rank.push()

    def restore(self) -> None:
        for rank in self.ranks:
            rank.restore()

    def clear_cache(self) -> None:
        for rank in self.ranks:
            rank.clear_cache()

    def close(self) -> None:
        for rank in self.ranks:
            rank.close()


def test_a_policy_of_two_ranks(checkpoint, tmp_path):
    """Trainer, evaluator and record do not know how many hold the model."""
    config, folder = small(checkpoint, tmp_path), checkpoint(tied=True)
    trial = config.trial
    unit = Unit(trial, config.measurements([0, 2]))
    ranks = TwoRanks([LocalPolicy(folder, trial.model, trial.engine) for _ in range(2)])
    both = run(Trainer(trial.model, trial.engine, ranks), unit)
    one = run(Trainer(trial.model, trial.engine), unit)
    assert reproduced(both) == reproduced(one)
    assert len(both.rollouts) == 16


# --- a store that is no file system


def test_a_store_in_memory(tmp_path, monkeypatch):
    """Two workers, two launches: one record, one claim, nothing left to do."""
    monkeypatch.chdir(tmp_path)  # what needs a file system in any case lies beside
    files, launch = MemoryFiles(), compose_launch(["sweep=smoke", "sweep.seeds=1"])
    store, units = Store("memory", files), expand.units(launch)
    runner = near_empty.Trainer(launch.model, launch.trial.engine)
    for unit in units:
        with store.claim(unit.id, "0", 60.0) or pytest.fail("claimed"):
            assert Store("memory", files).claim(unit.id, "1", 60.0) is None
            assert store.commit(run(runner, unit))
        assert not Store("memory", files).commit(run(runner, unit))
    assert missing_units(units, Store("memory", files).records()[0]) == []
    figures.draw_all(launch, store, Console(quiet=True))
    assert files.list("figures") == ["smoke-seeds.csv", "smoke.csv", "smoke.pdf", "smoke.png", "smoke.svg"]


# --- a figure of two axes


def test_a_heat_map_says_how_many_how_sure_and_what_is_missing(tmp_path):
    """Named in the sweep, drawn by the command's path: n, the interval's width and the missing seeds of each cell."""
    words = ["rollout.temperature=0.5,1.0", "optimizer.lr=1e-4,1e-3", "seed=range(0,3)", f"store={tmp_path}"]
    launch = compose_launch([*words, "sweep.figures=[{kind: heatmap}]", "sweep.name=map"])
    store, runner = Store(tmp_path), near_empty.Trainer(launch.model, launch.trial.engine)
    base, *trained = launch.units(expand.trials(launch))
    for unit in [base, *trained[:9]]:  # breadth first: of the last three cells the third seed is missing
        store.commit(run(runner, unit))
    figures.draw_all(launch, store, Console(quiet=True))
    cells = pl.read_csv(tmp_path / "figures" / "map.csv").filter(pl.col("metric") == "average")
    assert cells.select("rollout.temperature", "optimizer.lr", "n", "missing").rows() == [
        (0.5, 1e-4, 3, 0),
        (0.5, 1e-3, 2, 1),
        (1.0, 1e-4, 2, 1),
        (1.0, 1e-3, 2, 1),
    ]
    assert all(high > low for high, low in cells.select("high", "low").iter_rows())


# --- a source that adds work after results


@dataclass(frozen=True)
class Successive:
    """Seed 0 of every cell; then all seeds of the cell that did best."""

    launch: Launch
    store: Store
    follows_results = True

    def wanted(self, records: pl.DataFrame) -> list[Unit]:
        trials = expand.trials(self.launch)
        first = [trial for trial in trials if trial.seed == 0]
        scores = dict(
            records.explode("evaluations")
            .unnest("evaluations")
            .group_by("trial_id")
            .agg(pl.mean("accuracy"))
            .filter(pl.col("trial_id").is_in([trial.id for trial in first]))
            .iter_rows()
        )
        if len(scores) < len(first):
            return self.launch.units(first)
        best = max(first, key=lambda trial: (scores[trial.id], -first.index(trial)))
        return self.launch.units([*first, *(trial for trial in trials if trial.phase == best.phase and trial.seed)])


SWEEP = ["sweep=temperature", "sweep.seeds=3", "tracking=quiet", "cluster.lanes=2"]


@pytest.mark.slow
def test_a_source_that_adds_work_after_results(tmp_path):
    """Through queue, lanes and workers; launched again it finds that nothing is missing."""
    words = [*SWEEP, f"store={tmp_path}"]
    command = [sys.executable, "-m", "tests.test_seams", *words]
    subprocess.run(command, check=True, timeout=300)
    again = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    assert "recorded 11 of 11 units of work" in again.stdout
    records = Store(tmp_path).records()[0]
    seeds = [json.loads(Store(tmp_path).record(unit).trial)["seed"] for unit in records["unit_id"]]
    assert sorted(seeds) == [0] * 9 + [1, 2]


# --- what the documents show


def documented(holding: str) -> str:
    """The example of docs/extending.md that holds this."""
    page = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
    [block] = [block for part in page.split("```python\n")[1:] if holding in (block := part.split("```")[0])]
    return block


def test_the_documented_objective_minimises_the_entropy_of_answers(checkpoint, tmp_path, monkeypatch):
    """One file of at most 60 lines: its loss is the score function's, and answers become likelier."""
    code = documented("class SequenceEntropy")
    assert len(code.splitlines()) <= 60
    (tmp_path / "sequence.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(method.METHODS, "sequence_em", "sequence:SequenceEntropy")
    config = small(checkpoint, tmp_path, "objective=sequence_em", "eval.steps=[8]", "rollout.samples=16")
    store, units = Store(config.store), config.units([config.trial])
    local.run(units, store, Console(quiet=True))
    record = store.record(units[1].id)
    first = [sample for sample in record.rollouts if sample.step == 1]
    likelihoods = [sum(sample.logprobs or []) for sample in first]
    others = [(sum(likelihoods) - own) / (len(first) - 1) for own in likelihoods]
    expected = [own - other for own, other in zip(likelihoods, others, strict=True)]
    assert config.objective.advantages(first) == pytest.approx(expected)
    loss = -sum(a * own for a, own in zip(expected, likelihoods, strict=True)) / len(first)
    assert record.steps[0].loss == pytest.approx(loss, rel=1e-4)
    entropies = [metric.value for metric in record.metrics if metric.name == "sequence_entropy"]
    assert entropies[0] == pytest.approx(-sum(likelihoods) / len(first))
    assert sum(entropies[-3:]) < sum(entropies[:3])


def test_the_documented_stabiliser_goes_with_any_method(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "sure.py").write_text(documented("class Sure"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(stabiliser.STABILISERS, "sure", "sure:Sure")
    words = ["stabiliser=[sure]", "stabilisers.sure.probability=1e-9"]  # every token is likelier: nothing is trained
    config = small(checkpoint, tmp_path, *words)
    assert config.trial.id != small(checkpoint, tmp_path).trial.id
    store, units = Store(config.store), config.units([config.trial])
    local.run(units, store, Console(quiet=True))
    assert [metrics.grad_norm for metrics in store.record(units[1].id).steps] == [0.0, 0.0]


def test_the_documented_method_and_phases_are_complete(tmp_path, monkeypatch):
    """The method is written to a file, as the page says, and chosen by its name; the phases make eighteen units."""
    (tmp_path / "documented.py").write_text(documented("class Reinforce"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(method.METHODS, "reinforce", "documented:Reinforce")
    words = ["objective=reinforce", "objective.baseline=0.2"]  # the selected prompt has its reference
    objective = compose_trial(words).objective
    samples = [Sample(step=1, prompt=0, token_ids=[1] * n, truncated=False, reward=float(n == 2)) for n in (2, 3)]
    assert objective.weights(samples) == pytest.approx([0.8 / 5, -0.2 / 5])
    assert objective.metrics(samples) == {"reward": 0.5}
    made: dict[str, list[Unit]] = {}
    exec(documented("Earlier(phase=first"), made)
    assert [unit.last_step for unit in made["units"]] == [0, 5, *[10] * 16]


if __name__ == "__main__":
    main(sys.argv[1:], trainer="tests.near_empty:Trainer", source_of=Successive)
