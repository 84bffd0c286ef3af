"""The reliability diagram: accuracy against confidence, of base model and EM, one column for each confidence."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analysis import style
from analysis.calibration import Reliability, ece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

AREA = 320  # points², of a marker that stands for all answers
LABELS = {"tokens": "mean token probability", "agreement": "agreement among samples"}


def draw(page: "Page", bins: pl.DataFrame) -> None:
    """`bins` are made by `analysis.calibration.diagram`, of step 0 and one more; in per cent, on an empty page."""
    shown = bins["kind"].unique(maintain_order=True).to_list()
    columns = page.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=[4, 1]).T
    for place, (kind, (ax, below)) in enumerate(zip(shown, columns, strict=True)):
        ax.plot([0, 100], [0, 100], color=style.GREY, linewidth=0.9, linestyle=(0, (4, 2.5)), zorder=1)
        for (step,), of_step in bins.filter(pl.col("kind") == kind).group_by("step", maintain_order=True):
            draw_step(ax, below, int(str(step)), of_step)
        below.set_xlabel(f"confidence, %\n({LABELS[kind]})")
        if place == 0:
            ax.set_ylabel("accuracy, %")
            below.set_ylabel("answers, %")
    for ax, below in columns:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4)
        ax.set(xlim=(-3, 103), ylim=(-3, 103), xticks=range(0, 101, 20), yticks=range(0, 101, 20))
        below.set(ylim=(0, 100), yticks=(0, 50, 100))
    page.align_ylabels(list(columns[0]))


def draw_step(ax: "Axes", below: "Axes", step: int, of_step: pl.DataFrame) -> None:
    """A marker for each bin that holds answers, its area the share of them; below, these shares as bars."""
    count_B, confidence_B, accuracy_B = (of_step[name].to_numpy() for name in ("count", "confidence", "accuracy"))
    share_B, held_B = count_B / count_B.sum(), count_B > 0
    error = 100 * ece(Reliability(count_B, confidence_B, accuracy_B))
    colour, name = (style.BLUE, f"EM, step {step}") if step else (style.ORANGE, "base")
    x, y = 100 * confidence_B[held_B], 100 * accuracy_B[held_B]
    ax.plot(x, y, color=colour, linewidth=1.2, marker="o", markersize=2.5, label=f"{name}: ECE {error:.1f}%", zorder=3)
    ax.scatter(x, y, AREA * share_B[held_B], colour, alpha=0.3, linewidth=0, zorder=2)
    edges = 100 * np.append(of_step["low"].to_numpy(), 1.0)
    below.stairs(100 * share_B, edges, color=colour, fill=True, alpha=0.25)
    below.stairs(100 * share_B, edges, color=colour, linewidth=1.2)
