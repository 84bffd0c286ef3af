"""What a search chooses from: the axes of a sweep as Optuna's distributions, and its sampler."""

import math
from collections.abc import Mapping
from decimal import Decimal
from inspect import Parameter, signature
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
from em.cli.overrides import PARTS, choices
from em.errors import InputError, first_line, require, require_known
from em.trial.config import Config
from em.trial.fields import WORDS, type_in
from em.trial.identity import canonical
from em.trial.seeds import stream
from sweeps.config import Launch
from sweeps.grids import Axis
from sweeps.search.config import SearchConfig

optuna.logging.set_verbosity(optuna.logging.WARNING)

Space = dict[str, BaseDistribution]  # by field or group
DIGITS = 4  # significant, of the numbers that are tried; more where a range is narrow
MOST_DIGITS = 17  # that a number has
ALIKE = 1e-9  # of a step, by which numbers that were written down and read again may be off
NUMBERS_ONLY = ("CmaEsSampler",)  # samplers that draw values at random where these have no distance
SEQUENCES = ("QMCSampler",)  # samplers whose points are those of one sequence, and their first ones random
OWN = ("seed", "constraints_func", "independent_sampler")  # of a sampler's arguments, what the search gives it
SEEDS = 2**32  # that samplers take


def space_of(launch: Launch) -> Space:
    """Raises InputError where a sweep varies what a search cannot, or its sampler cannot do what is asked of it."""
    sweep, search = launch.sweep, launch.search
    for name, given in (("grids", sweep.grids), ("exclude", sweep.exclude), ("depends", sweep.depends)):
        require(not given, f"sweep.{name}", given, "is for every combination; a search varies sweep.axes alone")
    axes = [axis for axis in sweep.axes if axis.field != "seed"]
    remedy = f"sweep {sweep.name} has no axis that a search could choose on; give one, or leave it out"
    require(bool(axes), "sweep.axes", [], remedy)
    for axis in axes:
        remedy = "points of one base model are compared; search each by itself, model=NAME"
        require(axis.field.partition(".")[0] != "model", "sweep.axes", axis.field, remedy)
    has_spread = "spread" in (*search.objectives, *search.constraints.given)
    remedy = "a point's spread is that of two seeds or more; give sweep.seeds=2, or leave spread out"
    require(not has_spread or len(launch.seeds) > 1, "sweep.seeds", len(launch.seeds), remedy)
    space = {axis.field: distribution_of(axis, launch) for axis in axes}
    if search.sampler in NUMBERS_ONLY:
        check_numbers(search, space)
    return space


def check_numbers(search: SearchConfig, space: Space) -> None:
    """Raise InputError unless all are numbers between two ends, and one number says how good a point is."""
    sampler, others = f"search.sampler={search.sampler}", "take search=tpe, gp or nsga2"
    words = [name for name, kind in space.items() if isinstance(kind, CategoricalDistribution)]
    if words:
        remedy = "this sampler needs numbers between two ends: {field: ..., low: ..., high: ...}"
        raise InputError(f"{sampler}: {words[0]} has values; {remedy}")
    remedy = f"{search.sampler} takes one objective; {others}"
    require(len(search.objectives) == 1, "search.objectives", search.objectives, remedy)
    for name in search.constraints.given:
        raise InputError(f"{sampler}: {name} is bounded, and this sampler knows no constraints; {others}")
    if search.goal.constraints:
        name = search.objectives[0]
        remedy = f"does not see that seeds diverged, which is kept out by a constraint; {search.sampler} knows none"
        raise InputError(f"search.objectives={search.objectives}: {name} {remedy}; {others}")


def distribution_of(axis: Axis, launch: Launch) -> BaseDistribution:
    """A range of numbers, whole where the field is, or the choice among values."""
    if not axis.is_range:
        for value in axis.values:
            plain = value is None or isinstance(value, bool | int | float | str)
            require(plain, axis.field, value, "a search chooses among numbers and words")
        return CategoricalDistribution(list(dict.fromkeys(axis.values)))
    assert axis.low is not None
    assert axis.high is not None
    require(axis.field not in choices(), axis.field, f"{axis.low} to {axis.high}", "is a group; give its choices")
    step = axis.step
    highest = at_step(axis.low, step, int((axis.high - axis.low) / step + ALIKE)) if step else axis.high
    if int not in {type_in(variant.config, axis.field) for variant in launch.variants}:
        return FloatDistribution(axis.low, highest, log=axis.log, step=step)
    numbers = (axis.low, axis.high, axis.step or 1.0)
    said = "holds whole numbers; give whole ends, and a whole step"
    require(all(map(float.is_integer, numbers)), f"sweep.axes[{axis.field}]", f"{axis.low} to {axis.high}", said)
    return IntDistribution(int(axis.low), int(highest), log=axis.log, step=int(axis.step or 1))


def at_step(low: float, step: float, number: int) -> float:
    """Of a range in steps, as people write decimals: 0.3, where the sum of floats is 0.30000000000000004."""
    return float(Decimal(str(low)) + number * Decimal(str(step)))


def ends(kind: BaseDistribution) -> tuple[Any, ...]:
    """All values, where they are named; else both ends."""
    return kind.choices if isinstance(kind, CategoricalDistribution) else (kind.low, kind.high)  # type: ignore[attr-defined]


def lowest(kind: BaseDistribution) -> Any:
    """Of numbers; of other values the first."""
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low  # type: ignore[attr-defined]


def holds(space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> bool:
    """Whether a point lies in the space."""
    return all(name in values and _in(kind, values[name]) for name, kind in space.items())


def unvaried(config: Config, space: Space) -> dict[str, Any]:
    """What identifies a config's trials beside the axes and the seed, though the config be none itself."""
    fields = {name: canonical(getattr(config, name)) for name in (*PARTS, "earlier") if name != "seed"}
    for name in space:
        fields = _without(fields, name)
    return fields


def _without(fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    left = {key: value for key, value in fields.items() if key != name}
    return left | ({name: _without(fields[name], rest)} if rest and name in fields else {})


def written(space: Mapping[str, BaseDistribution], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a point with as many digits as people write down, within their ends."""
    return {name: _short(space[name], value) for name, value in values.items()}


def _short(kind: BaseDistribution, value: Any) -> Any:
    if not isinstance(kind, FloatDistribution):
        return value
    if kind.step:
        return at_step(kind.low, kind.step, round((value - kind.low) / kind.step))
    return min(max(float(f"{value:.{digits(kind)}g}"), kind.low), kind.high)


def digits(kind: FloatDistribution) -> int:
    """Significant ones that tell a thousand numbers of a range apart, however narrow it is."""
    largest = max(abs(kind.low), abs(kind.high))
    width = math.log(kind.high / kind.low) if kind.log else (kind.high - kind.low) / largest
    return min(MOST_DIGITS, DIGITS + int(max(0.0, -math.log10(width))))


def _in(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    assert isinstance(kind, FloatDistribution | IntDistribution)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    steps = (value - kind.low) / kind.step if kind.step else 0.0
    return kind.low <= value <= kind.high and abs(steps - round(steps)) < ALIKE


def sampler_of(search: SearchConfig, number: int) -> BaseSampler:
    """The sampler of point `number`, with random numbers of its own.

    Raises InputError where there is none of that name, or it takes no such option.
    """
    names = [name for name in dir(optuna.samplers) if name.endswith("Sampler") and name != "BaseSampler"]
    require_known("search.sampler", search.sampler, names)
    made = getattr(optuna.samplers, search.sampler)
    known = {name: of for name, of in signature(made).parameters.items() if name not in OWN}
    for name, value in search.options.items():
        require_known(f"option of {search.sampler}", name, known)
        check_option(known[name], value)
    seed, of_search = (stream("search", search.seed, *of) % SEEDS for of in ([number], []))
    seeded: dict[str, Any] = {"seed": seed} if "seed" in signature(made).parameters else {}
    if search.sampler in SEQUENCES:
        seeded = {"seed": of_search, "independent_sampler": optuna.samplers.RandomSampler(seed)}
    with untroubled():
        try:
            return made(**seeded, **search.options)
        except (TypeError, ValueError, ImportError) as error:
            said = f"{search.sampler}, options={search.options}: {first_line(error)}"
            raise InputError(f"search.sampler={said}") from None


def check_option(option: Parameter, value: Any) -> None:
    """Raise InputError for a value that a sampler would stumble over when it first needs it; its source says which
    types it takes."""
    named, _, more = str(option.annotation).partition(" | ")
    kind = next((kind for kind in WORDS if kind.__name__ == named), None)
    if kind is None or more not in ("", "None") or (value is None and more):
        return
    fits = isinstance(value, int | float if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    require(fits, f"search.options.{option.name}", value, f"give {WORDS[kind]}")
