"""One training trajectory: a model, a phase of training, and what came before it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

from em.errors import require
from em.trial.identity import added, content_id, fields_off_default
from em.trial.method import Method, Need, default_method
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, Rollout
from em.trial.stabiliser import Stabilised, Stabiliser


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Training of one kind: on what, towards what, how weights are updated and answers sampled, what holds it back."""

    prompts: Prompts
    objective: Method = field(default_factory=default_method)
    optimizer: Optimizer = field(default_factory=Optimizer)
    rollout: Rollout = field(default_factory=Rollout)
    stabilisers: dict[str, Stabiliser] = added(default_factory=dict)  # by name

    def __post_init__(self) -> None:
        require(self.prompts.most > 0, "prompts.texts", [], "a phase of training needs at least one prompt")
        rewarded = self.prompts.have_answers or Need.rewards not in self.objective.needs
        require(rewarded, "prompts.answers", [], f"objective {self.objective.name} needs an answer to each prompt")
        each, group = self.rollout.samples_per_prompt, self.objective.group
        fewest = each or self.rollout.samples // self.prompts.most
        said = f"objective {self.objective.name} compares the answers to a prompt, give it {group} or more"
        require(group == 1 or fewest >= group, "rollout.samples_per_prompt", each, said)
        accumulate, updates = self.optimizer.accumulate, self.objective.updates
        remedy = f"goes with one update a step, and objective {self.objective.name} makes {updates}; set it to 1"
        require(accumulate == 1 or updates == 1, "optimizer.accumulate", accumulate, remedy)

    @cached_property
    def method(self) -> Method:
        """What is trained with: the objective, and the stabilisers over it."""
        ordered = [self.stabilisers[name] for name in sorted(self.stabilisers)]  # the order of the words is no matter
        return Stabilised(method=self.objective.of(self.rollout), stabilisers=ordered)

    @property
    def averaged(self) -> int:
        """Over so many of the last steps the weights that are measured are averaged."""
        return max((stabiliser.averaged for stabiliser in self.stabilisers.values()), default=1)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A phase that came before, how long it was, and its own seed: so that many trials share one."""

    phase: Phase
    steps: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            require(whole, f"before.{name}", value, f"must be a whole number, {least} or greater")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Its id is the content of these fields; how far its last phase is followed is not part of it.

    Steps count within the last phase.  The base model is a trial without a phase, measured at step 0.
    """

    model: Model
    engine: EngineConfig = field(default_factory=EngineConfig)
    phase: Phase | None = None
    before: tuple[Earlier, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "must be 0 or greater")
        require(self.phase is not None or not self.before, "before", len(self.before), "needs a phase that follows")

    @cached_property
    def id(self) -> str:
        return content_id(self)

    def identity(self) -> dict[str, object]:
        """The fields of the last phase beside the trial's own, the engine's among the rollout's: what a trial of one
        phase has always been."""
        own = fields_off_default(self)
        phase = dict(own.pop("phase", {"prompts": {}}))
        rollout = own.pop("engine", {}) | phase.pop("rollout", {})
        return own | phase | ({"rollout": rollout} if rollout else {})

    @property
    def is_base(self) -> bool:
        """Whether this is the untrained model."""
        return self.phase is None

    @cached_property
    def base(self) -> Trial:
        """The untrained model that this trial starts from, the same for all trials of one model and engine."""
        return Trial(model=self.model, engine=self.engine)

    @cached_property
    def origin(self) -> tuple[Trial, int]:
        """The trial, and its step, whose weights the last phase starts from."""
        if not self.before:
            return self.base, 0
        *before, last = self.before
        trial = dataclasses.replace(self, phase=last.phase, before=tuple(before), seed=last.seed)
        return trial, last.steps

    @property
    def path(self) -> tuple[tuple[Trial, int], ...]:
        """The trials, and how many steps of each, that lead to where the last phase starts: the first phase first."""
        return (*self.origin[0].path, self.origin) if self.before else ()

    def with_seed(self, seed: int) -> Trial:
        """Another seed of the same cell; what both start from are the same objects, their ids made once."""
        made = dataclasses.replace(self, seed=seed)
        made.__dict__.update(base=self.base, origin=self.origin)
        return made
