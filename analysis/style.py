"""How figures look: the size of a paper's column, readable fonts, colours that a colour-blind reader can tell apart."""

from contextlib import AbstractContextManager
from typing import Any

LABELS = {
    "rollout.temperature": "training temperature",
    "optimizer.lr": "learning rate",
    "model.pretrain.seed": "base model",
}
LOGARITHMIC = {"optimizer.lr"}

# Okabe and Ito's palette
BLUE = "#0072B2"
SKY = "#56B4E9"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
INK = "#222222"
GREY = "#6E6E6E"
PALE = "#D0D0D0"

COLOURS = (BLUE, VERMILION, SKY, ORANGE, "#009E73", "#CC79A7")  # of cells that are told apart by colour

ROOM = 40  # characters of a value
WIDTH_INCHES = 5.5  # the text width of a NeurIPS or ICML paper
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 8.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8,
    "legend.columnspacing": 1.4,
    "legend.handletextpad": 0.5,
    "figure.titlesize": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a $ in a prompt or a name is a $
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: text stays text, as publishers ask
}


def paper() -> AbstractContextManager[None]:
    """The style, for as long as the context lasts."""
    import matplotlib

    return matplotlib.rc_context(SETTINGS)


def label(axis: str) -> str:
    """What an axis is called."""
    return LABELS.get(axis, axis)


def written(axis: str, value: object) -> str:
    """A value on the axis as people write it: 0.5, 2e-5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return line(str(value))
    if axis not in LOGARITHMIC:
        return f"{value:g}"
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def line(text: str) -> str:
    """A text in one line that has room on an axis."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return shown if len(shown) <= ROOM else f"{shown[: ROOM - 3]}..."
