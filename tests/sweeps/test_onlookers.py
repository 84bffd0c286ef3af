"""Who watches a launch shows what the launch decides, also where that was decided by other records than it saw."""

from em.store import Store
from em.trial.trial import Trial
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.source import Growing, source_of
from tests.memory import MemoryFiles
from tests.sweeps.test_budget_source import SWEEP, launch, score
from tests.synthetic import fill


def both(config: Launch) -> tuple[Growing, Growing, Store]:
    """The launch's source, an onlooker's, and the store."""
    files = MemoryFiles()
    store = Store("none", files, decides=True)
    launched, looking = source_of(config, store), source_of(config, Store("none", files))
    assert isinstance(launched, Growing)
    assert isinstance(looking, Growing)
    return launched, looking, store


def wider(trial: Trial, step: int, evaluation: object) -> float:
    return score(trial, step, evaluation) if trial.is_base else 0.5 + 0.07 * (trial.seed % 2)


def test_of_an_evaluation_budget() -> None:
    launched, looking, store = both(launch())
    fill(store, launched.settled(store.records()[0]), score)
    seen = looking.settled(store.records()[0]).eval
    fill(store, compose_launch([*SWEEP, "sweep.seeds=6"]), wider)
    made = launched.settled(store.records()[0])
    assert made.eval != seen
    assert looking.settled(store.records()[0]) == made


def test_of_a_search() -> None:
    """What was recorded of the space when it began is told to it first, and the onlooker began before."""
    words = ["sweep=search", "search=random", "sweep.seeds=2", "search.points=3", "search.ahead=2"]
    launched, looking, store = both(compose_launch(words))
    seen = looking.settled(store.records()[0])
    earlier = ["sweep=search", "search=none", "sweep.seeds=2", "optimizer.lr=1e-3", "rollout.temperature=1"]
    fill(store, compose_launch([*earlier, "rollout.samples=16"]), lambda trial, step, evaluation: 0.5)
    made = launched.settled(store.records()[0])
    assert len(expand.cells(made)) > len(expand.cells(seen))
    assert expand.cells(looking.settled(store.records()[0])) == expand.cells(made)
