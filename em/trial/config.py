"""Everything that `python -m em` takes."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from omegaconf import MISSING

from em.errors import require
from em.paths import expanded
from em.trial.evaluation import Benchmark, Chat, Eval, Evaluation
from em.trial.method import Method
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import RolloutConfig
from em.trial.stabiliser import Stabiliser
from em.trial.trial import Earlier, Phase, Trial
from em.trial.unit import Keep, Measurement, Unit, united

# Of Eval and Evaluation.
SHARED = ("top_p", "seed", "texts", "statistics", "ends", "numbers", "problems", "base_samples")


@dataclass(kw_only=True)
class Config:
    """Everything that `python -m em` takes: a trial, what is measured of it, and where the record goes."""

    model: Model = MISSING
    prompts: Prompts = MISSING
    objective: Method = MISSING
    optimizer: Optimizer = MISSING
    rollout: RolloutConfig = MISSING
    stabilisers: dict[str, Stabiliser] = field(default_factory=dict)
    before: list[Any] = field(default_factory=list)  # earlier phases, the first one first: grpo, or {phase: grpo, ...}
    earlier: tuple[Earlier, ...] = field(default=(), metadata={"omegaconf_ignore": True})  # what `before` composes to
    seed: int = 0
    keep: Keep = field(default_factory=Keep)
    eval: Eval = MISSING
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    store: str = "results"  # folder of records and figures, or s3://bucket/prefix

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "must be 0 or greater")
        require(bool(self.store), "store", repr(self.store), "name the folder of the records")
        unknown = str(expanded(self.store)).startswith("~")
        require(not unknown, "store", repr(self.store), "there is no such user; write the folder's whole path")
        plain = self.eval.chat is Chat.model and not self.model.chat_template
        require(not plain, "eval.chat", "model", "would be plain text: set model.chat_template=true, or leave it out")
        names = [benchmark.name for benchmark in self.benchmarks.values()]
        for key, benchmark in self.benchmarks.items():
            own = names.count(benchmark.name) == 1
            require(own, f"benchmarks.{key}.name", benchmark.name, "another benchmark has it; give each its own")

    @property
    def trial(self) -> Trial:
        return Trial(
            model=self.model, engine=self.rollout.loaded, phase=self.phase, before=self.earlier, seed=self.seed
        )

    @property
    def phase(self) -> Phase:
        return Phase(
            prompts=self.prompts,
            objective=self.objective,
            optimizer=self.optimizer,
            rollout=self.rollout.sampling,
            stabilisers=self.stabilisers,
        )

    @property
    def evaluations(self) -> list[Evaluation]:
        chosen = self.eval
        benchmarks = [
            dataclasses.replace(benchmark, chat=chosen.chat) if chosen.chat else benchmark
            for benchmark in self.benchmarks.values()
        ]
        shared = {name: getattr(chosen, name) for name in SHARED}
        return [
            Evaluation(
                benchmark=benchmark,
                temperature=temperature,
                samples=chosen.samples if temperature > 0 else 1,
                strata=chosen.strata.get(benchmark.name, ""),
                **shared,
            )
            for temperature in chosen.temperatures
            for benchmark in benchmarks
        ]

    def measurements(self, steps: Sequence[int]) -> tuple[Measurement, ...]:
        """After step 0 as base models are measured."""
        return tuple(Measurement(step, of if step else of.of_base) for step in steps for of in self.evaluations)

    def units(self, trials: Iterable[Trial], steps: Mapping[str, Sequence[int]] | None = None) -> list[Unit]:
        """What is wanted of these trials: each base model once, at step 0, the end of each earlier phase, once for all
        trials that start from it, then every trial at its later steps (`steps` by trial, or those of `eval`).  Where
        that end is one of a trial that is wanted too, both are one unit.
        """
        trials = list(trials)
        bases = {trial.base.id: trial.base for trial in trials}
        ends = {(end.id, reached): (end, reached) for trial in trials for end, reached in trial.path}
        measured = cache(lambda steps: self.measurements([step for step in steps if step > 0]))
        untrained = self.measurements([0])
        units = [Unit(base, untrained) for base in bases.values()]
        units += [Unit(end, self.measurements([at]), ends=(at,), keep=self.keep) for end, at in ends.values()]
        for trial in trials:
            if what := measured(tuple((steps or {}).get(trial.id, self.eval.steps))):
                units.append(Unit(trial, what, keep=self.keep))
        return united(units) if ends else units
