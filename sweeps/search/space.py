"""What a search chooses from: the axes of a sweep as Optuna's distributions, and its sampler."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from analysis.search import untroubled
from em.cli.overrides import choices
from em.errors import InputError, require, require_known
from em.trial.fields import type_of
from em.trial.seeds import stream
from sweeps.config import Launch
from sweeps.grids import Axis
from sweeps.search.config import SearchConfig

optuna.logging.set_verbosity(optuna.logging.WARNING)

Space = dict[str, BaseDistribution]  # by field or group
DIGITS = 4  # significant, of the numbers that are tried
ALIKE = 1e-9  # relative, of numbers that were written down and read again
NUMBERS_ONLY = ("CmaEsSampler",)  # samplers that draw values at random where these have no distance
SEQUENCES = ("QMCSampler",)  # samplers whose points are those of one sequence, and their first ones random
OWN = ("seed", "constraints_func", "independent_sampler")  # of a sampler's arguments, what the search gives it
SEEDS = 2**32  # that samplers take


def space_of(launch: Launch) -> Space:
    """Raises InputError where a sweep varies what a search cannot."""
    sweep = launch.sweep
    for name, given in (("grids", sweep.grids), ("exclude", sweep.exclude), ("depends", sweep.depends)):
        require(not given, f"sweep.{name}", given, "is for every combination; a search varies sweep.axes alone")
    axes = [axis for axis in sweep.axes if axis.field != "seed"]
    require(bool(axes), "sweep.axes", [], "a search needs at least one axis to choose on")
    for axis in axes:
        remedy = "points of one base model are compared; search each by itself, model=NAME"
        require(axis.field.partition(".")[0] != "model", "sweep.axes", axis.field, remedy)
    space = {axis.field: distribution_of(axis) for axis in axes}
    words = [name for name, kind in space.items() if isinstance(kind, CategoricalDistribution)]
    if launch.search.sampler in NUMBERS_ONLY and words:
        remedy = "this sampler needs numbers between two ends: {field: ..., low: ..., high: ...}"
        raise InputError(f"search.sampler={launch.search.sampler}: {words[0]} has values; {remedy}")
    constraints = launch.search.goal.constraints
    if launch.search.sampler in NUMBERS_ONLY and constraints:
        remedy = "this sampler knows no constraints; take search=tpe, gp or nsga2"
        raise InputError(f"search.sampler={launch.search.sampler}: {constraints[0]} is one; {remedy}")
    return space


def distribution_of(axis: Axis) -> BaseDistribution:
    """A range of numbers, whole where the field is, or the choice among values."""
    if not axis.is_range:
        for value in axis.values:
            plain = value is None or isinstance(value, bool | int | float | str)
            require(plain, axis.field, value, "a search chooses among numbers and words")
        return CategoricalDistribution(list(dict.fromkeys(axis.values)))
    assert axis.low is not None
    assert axis.high is not None
    require(axis.field not in choices(), axis.field, f"{axis.low} to {axis.high}", "is a group; give its choices")
    kind = type_of(Launch, axis.field)
    if kind is not int:
        return FloatDistribution(axis.low, axis.highest, log=axis.log, step=axis.step)
    numbers = (axis.low, axis.high, axis.step or 1.0)
    said = "holds whole numbers; give whole ends, and a whole step"
    require(all(map(float.is_integer, numbers)), f"sweep.axes[{axis.field}]", f"{axis.low} to {axis.high}", said)
    return IntDistribution(int(axis.low), int(axis.highest), log=axis.log, step=int(axis.step or 1))


def lowest(kind: BaseDistribution) -> Any:
    """Of numbers; of other values the first."""
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low  # type: ignore[attr-defined]


def holds(space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> bool:
    """Whether a point lies in the space."""
    return all(name in values and _in(kind, values[name]) for name, kind in space.items())


def written(space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a point with as many digits as people write down, within their ends."""
    return {name: _short(space[name], value) for name, value in values.items()}


def _short(kind: BaseDistribution, value: Any) -> Any:
    if not isinstance(kind, FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), kind.low), kind.high)


def _in(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    assert isinstance(kind, FloatDistribution | IntDistribution)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    steps = (value - kind.low) / kind.step if kind.step else 0.0
    return kind.low * (1 - ALIKE) <= value <= kind.high * (1 + ALIKE) and abs(steps - round(steps)) < ALIKE


def sampler_of(search: SearchConfig, number: int) -> BaseSampler:
    """The sampler of point `number`, with random numbers of its own.

    Raises InputError where there is none of that name, or it takes no such option.
    """
    names = [name for name in dir(optuna.samplers) if name.endswith("Sampler") and name != "BaseSampler"]
    require_known("search.sampler", search.sampler, names)
    made = getattr(optuna.samplers, search.sampler)
    known = [name for name in signature(made).parameters if name not in OWN]
    for name in search.options:
        require_known(f"option of {search.sampler}", name, known)
    seed, of_search = (stream("search", search.seed, *of) % SEEDS for of in ([number], []))
    seeded: dict[str, Any] = {"seed": seed} if "seed" in signature(made).parameters else {}
    if search.sampler in SEQUENCES:
        seeded = {"seed": of_search, "independent_sampler": optuna.samplers.RandomSampler(seed)}
    with untroubled():
        try:
            return made(**seeded, **search.options)
        except (TypeError, ValueError, ImportError) as error:
            said = str(error).splitlines()[0]
            raise InputError(f"search.sampler={search.sampler}, options={search.options}: {said}") from None
