"""The kinds of figures: one module each, named as `sweep.figures[...].kind` names it.

Importing a kind, and checking that a sweep fits it, loads neither Altair nor SciPy: a launch checks before it trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

import polars as pl
from numpy.random import Generator

from analysis import style
from analysis.search import Goal
from analysis.seeds import AVERAGE, PLACE, Headline, observe
from analysis.summary import summarise
from analysis.tables import Tables
from em.errors import InputError, require, require_known
from em.trial.evaluation import Evaluation

if TYPE_CHECKING:
    from analysis.charts import Chart


# KEY of kinds with a curve for each cell
CURVES = "thick: mean of the seeds, with its 95% interval;  thin, where they are few: a seed"


@dataclass(frozen=True)
class Figure:
    """One figure of a sweep."""

    name: str  # of its files
    kind: str
    axes: Sequence[str]  # dotted paths of what it shows the score against
    headline: Headline  # the score
    measured: Sequence[Evaluation] = ()  # everything that the sweep measures, at all temperatures
    steps: Sequence[int] = ()  # that the sweep measures; others may have measured more
    pool: Sequence[str] = ()  # what else is varied: the combinations of its values are strata of a cell
    metric: str = AVERAGE  # or a benchmark's name
    goal: Goal | None = None  # of a search
    seeds: int = 0  # of a search's point, unless some are left out

    @property
    def temperatures(self) -> list[float]:
        """Of evaluation."""
        return sorted({item.temperature for item in self.measured})


class Kind(Protocol):
    """What the module of a kind holds: these two functions.

    A kind that shows more than the headline has a third, `observed(figure, cells, tables)`: what it shows of each
    wanted trial, with the columns of `analysis.seeds.observe`.  One that shows more than `analysis.summary.summarise`
    computes has a fourth, `numbers(figure, seeds, rng)`.  All are asked for `figure.metric`, the average and then each
    benchmark, unless a constant BY_BENCHMARK is False.  KEY, a text, is shown below the title.
    """

    def check(self, figure: Figure, cells: pl.DataFrame) -> None:
        """Raise InputError where the sweep does not fit, before anything is trained.

        `cells` are made by `analysis.seeds.cells`.  That no two of them have the same values on the axes and the same
        seed is checked for every kind.
        """
        ...

    def draw(self, figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
        """A chart of the named data `numbers` and `seeds`, made of `analysis.charts`.

        Both are given to lay it out by.  They have another column `cell`, the values on the axes as text.  Title, size
        and look are added to it.
        """
        ...


def kind_of(name: str) -> Kind:
    """The kind of that name; raises InputError, with the nearest name, where there is none."""
    require_known("kind of figure", name, [module.name for module in iter_modules(__path__)])
    return cast(Kind, import_module(f"{__name__}.{name}"))


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Raise InputError where the figure cannot show the cells."""
    for name in (*figure.axes, *figure.pool):
        require_known(f"axis of figure {figure.name}", name, cells.columns)
    kind_of(figure.kind).check(figure, cells)
    if cells.select(*figure.axes, *figure.pool, "seed").is_duplicated().any():
        shown = ", ".join([*figure.axes, "the seed"])
        remedy = "fix the rest, or take it together with sweep.figures.pool"
        raise InputError(f"figure {figure.name}: the sweep varies more than {shown}; {remedy}")


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """What a figure shows of each wanted trial, these sorted by its axes, the pooled fields and the seed."""
    own = getattr(kind_of(figure.kind), "observed", None)
    headline, cells = figure.headline, cells.sort(*figure.axes, *figure.pool, "seed", maintain_order=True)
    if own:
        return own(figure, cells, tables)
    return observe(cells, tables, headline.evaluations, [headline.step], metric=figure.metric)


def benchmarks(figure: Figure) -> list[str]:
    """The metrics beside the average that its kind can show as well, one at a time."""
    names = list(dict.fromkeys(item.benchmark.name for item in figure.headline.evaluations))
    by_benchmark = getattr(kind_of(figure.kind), "BY_BENCHMARK", True)
    return names if by_benchmark and len(names) > 1 else []


def numbers(figure: Figure, seeds: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """The numbers of a figure, one row per cell, metric and place, sorted by these.

    All randomness is `rng`'s: same seeds, same numbers.
    """
    own = getattr(kind_of(figure.kind), "numbers", None)
    made = own(figure, seeds, rng) if own else summarise(seeds, figure.axes, rng, figure.pool)
    return made.sort(*figure.axes, *PLACE, maintain_order=True)


def require_axes(figure: Figure, number: int) -> None:
    """For kinds that are drawn against so many axes."""
    remedy = f"a figure of kind {figure.kind} has {number}"
    require(len(figure.axes) == number, f"figure {figure.name}: axes", list(figure.axes), remedy)


def require_curves(figure: Figure, cells: pl.DataFrame, beside: int = 0) -> None:
    """For kinds with a curve for each cell, and so many beside: as many as there are colours, of one base model."""
    shown = cells.select(figure.axes).unique().height if figure.axes else 1
    remedy = "a figure of curves has one for each; name fewer values"
    require(shown <= len(style.COLOURS) - beside, f"figure {figure.name}: cells", shown, remedy)
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, a figure of curves shows one")
