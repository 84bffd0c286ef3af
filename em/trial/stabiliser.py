"""What keeps training from going too far: the contract that every stabiliser keeps, and the stabilisers by name.

A stabiliser is one file in `em/train/stabilisers`: a dataclass whose fields are its config.  It goes with any method.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from em.errors import require_known
from em.trial.identity import fields_off_default
from em.trial.method import Method, Need, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from em.store.record import StepMetrics
    from em.trial.sample import Sample

STABILISERS = {  # by name: where it is
    "averaging": "em.train.stabilisers.averaging:Averaging",
    "entropy_stop": "em.train.stabilisers.entropy_stop:EntropyStop",
    "token_floor": "em.train.stabilisers.token_floor:TokenFloor",
    "trust_region": "em.train.stabilisers.trust_region:TrustRegion",
}


@dataclass(kw_only=True)
class Stabiliser:
    """Base of all stabilisers; each changes one thing, and leaves the rest as it is here.

    `name` and `version` are part of a trial's id, as those of a method are.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Need]] = frozenset()

    def terms(self, tokens: Tokens, terms_N: Tensor) -> Tensor:
        """[N]: each token's part of the loss, given what it would be without this."""
        return terms_N

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        """[N] each: what is recorded of a step, as `Method.observed` says."""
        return {}

    def ends(self, metrics: StepMetrics) -> bool:
        """Whether this step's update is the last one: what is measured later is measured of the same weights."""
        return False

    @property
    def averaged(self) -> int:
        """Over so many of the last steps the weights that are measured are averaged; 1: they are those of the step."""
        return 1

    def identity(self) -> dict[str, object]:
        """The config off its defaults, and the version unless it is the first."""
        version: dict[str, object] = {"version": self.version} if self.version != 1 else {}
        return version | fields_off_default(self)


@dataclass(kw_only=True)
class Stabilised(Method):
    """A method whose loss goes through stabilisers, one after another: what is trained with."""

    method: Method
    stabilisers: Sequence[Stabiliser]

    def __post_init__(self) -> None:
        self.micro_batch_tokens = self.method.micro_batch_tokens

    @property
    def needs(self) -> frozenset[Need]:  # type: ignore[override]
        return self.method.needs.union(*(stabiliser.needs for stabiliser in self.stabilisers))

    @property
    def temperature(self) -> float:
        return self.method.temperature

    @property
    def skipped(self) -> int:
        return self.method.skipped

    @property
    def updates(self) -> int:
        return self.method.updates

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        return self.method.weights(samples)

    def advantages(self, samples: Sequence[Sample]) -> list[float]:
        return self.method.advantages(samples)

    def terms(self, tokens: Tokens) -> Tensor:
        terms_N = self.method.terms(tokens)
        for stabiliser in self.stabilisers:
            terms_N = stabiliser.terms(tokens, terms_N)
        return terms_N

    def metrics(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        return self.method.metrics(samples)

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        observed = dict(self.method.observed(tokens))
        for stabiliser in self.stabilisers:
            observed |= stabiliser.observed(tokens)
        return observed


def stabiliser_class(name: str) -> type[Stabiliser]:
    """Raises InputError, with the nearest name, where there is no such stabiliser."""
    require_known("stabiliser", name, STABILISERS)
    return pkgutil.resolve_name(STABILISERS[name])
