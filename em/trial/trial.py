"""One training trajectory."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

from em.errors import require
from em.trial.identity import capacity_fields, content_id
from em.trial.model import Model
from em.trial.objective import Objective
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import Rollout


@dataclass(kw_only=True)
class Trial:
    """One training trajectory.  Its id is the content of these fields; how far it is followed is not part of it."""

    model: Model
    prompts: Prompts
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer = field(default_factory=Optimizer)
    rollout: Rollout = field(default_factory=Rollout)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "must be 0 or greater")

    @cached_property
    def id(self) -> str:
        return content_id(self)

    @property
    def is_base(self) -> bool:
        """Whether this is the untrained model: a trial of zero steps, which needs no prompts."""
        return not self.prompts.texts

    @cached_property
    def base(self) -> "Trial":
        """The untrained model that this trial starts from, the same for all trials of one model and engine."""
        sampling = {name: getattr(self.rollout, name) for name in ("engine", *capacity_fields(Rollout))}
        return Trial(model=self.model, prompts=Prompts(), rollout=Rollout(**sampling))

    def with_seed(self, seed: int) -> "Trial":
        """Another seed of the same cell; the base model that both start from is one object, its id found once."""
        made = dataclasses.replace(self, seed=seed)
        made.__dict__["base"] = self.base
        return made
