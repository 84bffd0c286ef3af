"""What happens along a trial, and the contract of who makes it happen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from em.store.record import (
    EvaluationResult,
    Metric,
    Record,
    Status,
    StepMetrics,
    StepSeconds,
    WeightDigest,
)
from em.store.states import States
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample
from em.trial.unit import Unit

OnStep = Callable[[int | None], None]  # hears at which step a trial is; None: it waits for grades


@dataclass(kw_only=True)
class Trajectory:
    """What a record keeps of one trial; the fields are those of em.store.record.Record."""

    status: Status = Status.done
    error: str | None = None
    prompts: list[list[int]] = field(default_factory=list)
    steps: list[StepMetrics] = field(default_factory=list)
    rollouts: list[Sample] = field(default_factory=list)
    digests: list[WeightDigest] = field(default_factory=list)
    evaluations: list[EvaluationResult] = field(default_factory=list)
    seconds: list[StepSeconds] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """How a unit of work ended."""

    unit: Unit  # what was measured: `anew` where the recorded tokens led elsewhere
    trajectory: Trajectory
    replayed: str | None = None  # attempt whose tokens were trained on again
    resumed: int | None = None  # step that another process had come to, from whose state this one went on


class Runner(Protocol):
    """Takes one model through one trial after another.  What a worker holds; `Trainer` is the real one.

    Made once for a model and an engine, which takes as long as loading them does; serves every trial of these two.
    It knows no store, no lane and no attempts: who calls it stamps these onto the record.
    """

    device: str  # what it runs on, for the record's provenance

    @staticmethod
    def prepare(model: Model, engine: EngineConfig) -> None:
        """Load libraries, and touch no device: another process may still be at it."""

    def __init__(self, model: Model, engine: EngineConfig) -> None: ...

    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        """Follow the unit's trial to its last measured step, from the base weights.

        Calls `on_step(step)` at each step, and now and then while a step takes long: without this sign of life its
        process is ended.  `on_step(None)` says that all is sampled and that grades alone are awaited.  `recorded`: by
        trial id, records whose tokens are trained on again instead of sampling; where that leads to other numbers than
        these records hold, `unit.anew` is measured from the start.  `states`: where weights are kept that save work, as
        `unit.keep` says; the record is the same without.

        A trial whose numbers become non-finite ends as `diverged`, one that raises as `failed`, traceback inside.
        Raises InputError for what no other attempt would do better, and nothing else.
        """
        ...

    def reset(self) -> None:
        """Back to the base weights; called right after each trial, so that the trial that did harm is the one that is
        blamed.  Raises where that is not possible: this process must not record anything more."""
        ...

    def close(self) -> None:
        """Free what is held, before another Runner asks for its own."""
        ...
