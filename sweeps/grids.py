"""What a sweep varies: axes, unions of grids of them, combinations that are left out, values that depend on others."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from omegaconf import MISSING

from em.cli.overrides import VALUES, VARIED
from em.errors import require, require_file_name, require_known, require_positive
from em.trial.trial import Trial

TRIALS = 200_000  # of a sweep, at most: its plan takes seconds then


def require_varied(owner: str, name: str, values: Sequence[object]) -> None:
    """Raise InputError for an axis that is no part of a trial, or has no values."""
    require(bool(values), f"{owner}[{name}].values", values, "give at least one value")
    varied = name.partition(".")[0] in VARIED
    require(varied, name, ",".join(map(str, values)), f"is no part of a trial; give it one value, not among {owner}")


@dataclass(kw_only=True)
class Axis:
    """What is varied: a field of the config by its dotted path, or a group of conf/ (`objective`), and its values.

    The values of `seed` are the seeds of every cell; without such an axis `sweep.seeds` counts them from `seed` on.
    A search may take numbers between two ends instead of values.
    """

    field: str = MISSING
    values: list[Any] = dataclasses.field(default_factory=list)
    low: float | None = None
    high: float | None = None
    log: bool = False  # whether equal ratios count alike
    step: float | None = None  # from low on; None: every number

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            require_varied("sweep.axes", self.field, self.values)
            return
        name, ends = f"sweep.axes[{self.field}]", f"low={self.low} high={self.high} values={self.values}"
        require(not self.values, name, ends, "give values, or both ends, and not both")
        require_varied("sweep.axes", self.field, [self.low, self.high])
        low, high = self.low if self.low is not None else math.nan, self.high if self.high is not None else math.nan
        require(-math.inf < low < high < math.inf, name, ends, "give a finite low that is below a finite high")
        require(not self.log or low > 0, name, ends, "where log=true, low must be greater than 0")
        require(self.field != "seed", name, ends, "every cell has the same seeds; give values")
        steps = self.step is None or (0 < self.step <= high - low and not self.log)
        require(steps, f"{name}.step", self.step, "must be above 0, at most high - low, and without log")

    @property
    def is_range(self) -> bool:
        return self.low is not None


@dataclass(kw_only=True)
class Dependence:
    """Values that depend on others: `{when: {model: tiny_weak}, set: {optimizer.lr: 3e-4}}`."""

    when: dict[str, Any] = MISSING  # value, or list of values, by axis; all must agree
    set: dict[str, Any] = MISSING  # value by field or group


@dataclass(kw_only=True)
class FigureConfig:
    """A figure of the sweep: its seeds' scores against axes."""

    kind: str = "axis"  # a module of analysis/figures
    axes: list[str] = field(default_factory=list)  # fields among those of sweep.axes; empty: all of them
    pool: list[str] = field(default_factory=list)  # fields whose values are taken together, as if they were more seeds
    name: str = ""  # of its files; empty: the sweep's for the first figure, <sweep>-<kind> for others
    step: int | None = None  # of eval.steps, after which the score is measured; None: the last
    temperature: float | None = None  # of eval.temperatures; None: the first

    def __post_init__(self) -> None:
        if self.name:
            require_file_name("sweep.figures.name", self.name)


@dataclass(kw_only=True)
class TableConfig:
    """The table of the sweep: a block of rows for each of its cells (analysis/table)."""

    paper: int | None = None  # which of the paper's tables stands beside it, 1 or 2; 0: neither; None: no table
    temperature: float | None = None  # of eval.temperatures; None: the first

    def __post_init__(self) -> None:
        require(self.paper in (None, 0, 1, 2), "sweep.table.paper", self.paper, "must be 1 or 2, or 0 (neither)")


@dataclass(frozen=True)
class Point:
    """A combination of values: one cell of the sweep."""

    shown: Mapping[str, Any]  # by axis
    settings: Mapping[str, Any]  # these, and what depends on them, by field or group


@dataclass(frozen=True)
class Cell:
    """One combination of the axes' values, and its trials, one a seed; a model as it is has one, without seeds."""

    values: dict[str, object]  # by axis: the value of a field, the name of a group's choice
    trials: list[Trial]
    steps: Sequence[int]  # after which they are measured
    verdict: str = ""  # where seeds are stopped, what is decided of it (`analysis.sequential.Verdict`)
    is_open: bool = False  # it may get more seeds, by what results say


@dataclass(kw_only=True)
class Sweep:
    """Every combination of the axes' values, each with so many seeds: one trial each.

    Where there are `grids`, every combination of the axes' values with every point of each grid: a union of grids.
    """

    name: str = MISSING
    axes: list[Axis] = field(default_factory=list)
    grids: list[dict[str, list[Any]]] = field(default_factory=list)  # values by field or group
    exclude: list[dict[str, Any]] = field(default_factory=list)  # value, or list of values, by axis: left out
    depends: list[Dependence] = field(default_factory=list)
    union: list[str] = field(default_factory=list)  # other sweeps: all that they want, each with its own figures
    figures: list[FigureConfig] | None = None  # None: the score against the axes, where these are one or two
    table: TableConfig = field(default_factory=TableConfig)
    seeds: int = 16  # of every cell, from `seed` on
    max_attempts: int = 3  # after so many failed attempts a trial is given up

    def __post_init__(self) -> None:
        require_positive("sweep", seeds=self.seeds, max_attempts=self.max_attempts)
        require(self.seeds <= VALUES, "sweep.seeds", self.seeds, f"must be at most {VALUES:,}")
        require_file_name("sweep.name", self.name)
        names = [axis.field for axis in self.axes]
        require(len(names) == len(set(names)), "sweep.axes", names, "name each field once")
        for grid in self.grids:
            for name, values in grid.items():
                require_varied("sweep.grids", name, values)
                once = name not in names and name != "seed"
                require(once, "sweep.grids", name, "is an axis of all grids already; name it in sweep.axes alone")
        for entry in (*self.exclude, *(item.when for item in self.depends)):
            for name in entry:
                require_known("axis of sweep.exclude and sweep.depends", name, self.varied)
                self._require_alike(name, entry[name])
        for item in self.depends:
            for name, value in item.set.items():
                require_varied("sweep.depends", name, [value])
                require(name != "seed", "sweep.depends", name, "every cell has the same seeds; leave it out")
        for figure in self.figures or []:
            for name in (*figure.axes, *figure.pool):
                require_known("axis of sweep.figures", name, self.varied)
        require(not (self.union and self.varied), "sweep.union", self.union, "each has its own axes; leave these out")

    def _require_alike(self, name: str, wanted: Any) -> None:
        """Raise InputError for a value that none on the axis can equal: a text among numbers, or a number among
        texts."""
        axes = [axis.values for axis in self.axes if axis.field == name]
        values = [value for of in (*axes, *(grid[name] for grid in self.grids if name in grid)) for value in of]
        texts = {isinstance(value, str) for value in values}
        for value in wanted if isinstance(wanted, list) else [wanted]:
            said = f"is {'a text' if isinstance(value, str) else 'no text'}, and what {name} has are others"
            require(isinstance(value, str) in texts, f"{name} of sweep.exclude or sweep.depends", repr(value), said)

    @property
    def varied(self) -> list[str]:
        """All that is varied, by name, the seed left out."""
        names = [axis.field for axis in self.axes] + [name for grid in self.grids for name in grid]
        return [name for name in dict.fromkeys(names) if name != "seed"]

    @property
    def partly_varied(self) -> list[str]:
        """What not all of the grids vary: elsewhere it is as the config has it."""
        names = dict.fromkeys(name for grid in self.grids for name in grid)
        return [name for name in names if not all(name in grid for grid in self.grids)]

    def only(self, names: Collection[str]) -> Iterator[Point]:
        """The combinations of the values of these axes alone; what the sweep says of others is no part of them."""
        axes = [axis for axis in self.axes if axis.field in names]
        return replace(self, axes=axes, exclude=[], depends=[], figures=None).points(1)

    def points(self, seeds: int) -> Iterator[Point]:
        """The cells, each with so many seeds: grid by grid, the values of the last axis next to each other."""
        for axis in self.axes:
            remedy = "is for a search: search=tpe takes numbers between the ends; or give values"
            require(not axis.is_range, f"sweep.axes[{axis.field}]", f"{axis.low} to {axis.high}", remedy)
        axes = {axis.field: axis.values for axis in self.axes if axis.field != "seed"}
        blocks = [axes | grid for grid in self.grids or [{}]]
        asked = seeds * sum(math.prod(map(len, block.values())) for block in blocks)
        require(asked <= TRIALS, "sweep", self.name, f"is {asked:,} trials, plan at most {TRIALS:,} at once")
        for block in blocks:
            for values in product(*block.values()):
                shown = dict(zip(block, values, strict=True))
                if not any(agrees(shown, entry) for entry in self.exclude):
                    more = [item.set for item in self.depends if agrees(shown, item.when)]
                    yield Point(shown, shown | {name: value for each in more for name, value in each.items()})


def agrees(shown: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether a cell has these values: of each axis the one, or one of the list."""
    return bool(entry) and all(
        name in shown and shown[name] in (wanted if isinstance(wanted, list) else [wanted])
        for name, wanted in entry.items()
    )
