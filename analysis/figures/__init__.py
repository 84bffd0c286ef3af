"""The kinds of figures: one module each, named as `sweep.figures[...].kind` names it.

Importing a kind, and checking that a sweep fits it, loads neither matplotlib nor SciPy: a launch checks before it
trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

import polars as pl
from numpy.random import Generator

from analysis.load import Headline
from em.errors import InputError, require, require_known
from em.trial.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Page


@dataclass(frozen=True)
class Figure:
    """One figure of a sweep."""

    name: str  # of its files
    kind: str
    axes: Sequence[str]  # dotted paths of what it shows the score against
    headline: Headline  # the score
    measured: Sequence[Evaluation] = ()  # everything that the sweep measures, at all temperatures
    steps: Sequence[int] = ()  # that the sweep measures; others may have measured more; empty: all
    pool: Sequence[str] = ()  # what else is varied: its values are taken together, as if they were more seeds


class Kind(Protocol):
    """What the module of a kind holds: three functions.

    `seeds` are made by `analysis.load.seeds`: one row per wanted trial, with its value on every axis, `seed`, `score`
    in [0, 1] (null: none), `outcome` and `base_score`.  They are sorted by the figure's axes and the seed.

    A kind that shows more than this one score holds a fourth, `scored(figure, seeds, scores)`: the seeds with other
    scores or more columns, made of all that is recorded of them (`analysis.load.scores`).
    """

    def check(self, figure: Figure, cells: pl.DataFrame) -> None:
        """Raise InputError where the sweep does not fit, before anything is trained.

        `cells` are made by `analysis.load.cells`.  That no two of them have the same values on the axes and the same
        seed is checked for every kind.
        """
        ...

    def numbers(self, seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
        """The figure's numbers, one row per cell: the columns of `analysis.summary.summarise`, and any others.

        Saved as CSV, so without nested columns.  All randomness comes from `rng`: same seeds, same numbers.
        """
        ...

    def draw(self, page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
        """Draw on an empty page, in the style of `analysis.style`.  Title and legend are added to it.

        The legend lists, in the order they were drawn, the artists with a label.
        """
        ...


def kind_of(name: str) -> Kind:
    """The kind of that name; raises InputError, with the nearest name, where there is none."""
    require_known("kind of figure", name, [module.name for module in iter_modules(__path__)])
    return cast(Kind, import_module(f"{__name__}.{name}"))


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Raise InputError where the figure cannot show the cells."""
    kind_of(figure.kind).check(figure, cells)
    if cells.select(*figure.axes, *figure.pool, "seed").is_duplicated().any():
        shown = ", ".join([*figure.axes, "the seed"])
        remedy = "fix the rest, or take it together with sweep.figures.pool"
        raise InputError(f"figure {figure.name}: the sweep varies more than {shown}; {remedy}")


def scored(figure: Figure, seeds: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The seeds with the scores that the figure shows."""
    own = getattr(kind_of(figure.kind), "scored", None)
    return own(figure, seeds, scores) if own else seeds


def require_axes(figure: Figure, number: int) -> None:
    """For kinds that are drawn against so many axes."""
    remedy = f"a figure of kind {figure.kind} has {number}"
    require(len(figure.axes) == number, f"figure {figure.name}: axes", list(figure.axes), remedy)
