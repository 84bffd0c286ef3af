"""How figures look: the size of a paper's column, readable fonts, colours that a colour-blind reader can tell apart."""

from typing import Any

LABELS = {
    "rollout.temperature": "training temperature",
    "optimizer.lr": "learning rate",
    "model.pretrain.seed": "base model",
}
WORDS = {
    "em": "EM",
    "grpo": "GRPO",
    "em_after_grpo": "EM after GRPO",
    "grpo_after_em": "GRPO after EM",
    "multi_shot": "EM, many prompts",
    "multi_shot_after_grpo": "EM, many prompts, after GRPO",
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

# Of cells that are told apart by colour; four and fewer by their lightness too, 5 L* and more, the others by dashes.
COLOURS = (BLUE, VERMILION, SKY, "#CC79A7", ORANGE, "#009E73")
DASHES = ((1, 0), (1, 0), (1, 0), (1, 0), (6, 2), (2, 2))

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # of one metric; the first comes with the renderer
ROOM = 40  # characters of a value
WIDTH = 400  # points of the axes: with their names the text width of a NeurIPS or ICML paper
HEIGHT = 220


def config(dark: bool = False) -> dict[str, Any]:
    """Vega-Lite's `config`: a paper's column, or the same on a dark page."""
    ink, grey, pale = (PALE, "#A0A0A0", "#3A3A3A") if dark else (INK, GREY, "#E6E6E6")
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 9, "titleFontSize": 9.5, "titleFontWeight": "normal"}
    return {
        "font": FONT,
        "background": None if dark else "white",
        "padding": 6,
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": ink,
            "fontSize": 10.5,
            "fontWeight": "normal",
            "subtitleColor": grey,
            "subtitleFontSize": 9,
            "subtitlePadding": 4,
            "offset": 12,
        },
        "axis": {**text, "domainColor": ink, "tickColor": ink, "tickSize": 3, "gridColor": pale, "titlePadding": 7},
        "axisX": {"grid": False, "labelFlush": False},
        "axisXQuantitative": {"grid": False},
        "legend": {
            **text,
            "title": None,
            "orient": "bottom",
            "symbolSize": 60,
            "columnPadding": 14,
            "labelLimit": 300,
            "symbolOpacity": 1,
        },
        "header": {"labelColor": ink, "titleColor": ink, "labelFontSize": 9.5, "title": None},
        "style": {
            "base": {"color": ink, "strokeWidth": 0.9, "strokeDash": [4, 2.5], "opacity": 1},
            "said": {"color": grey, "fontSize": 8},
            "ink": {"color": ink, "fontSize": 9},
            "lost": {"color": VERMILION, "fontSize": 8},
            "gap": {"filled": False, "color": grey, "strokeDash": [2, 2], "strokeWidth": 0.6},
        },
    }


def label(axis: str) -> str:
    """What an axis is called."""
    return LABELS.get(axis, axis)


def written(axis: str, value: object) -> str:
    """A value on the axis as people write it: 0.5, 2e-5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return line(WORDS.get(str(value), str(value)) if axis == "phase" else str(value))
    if axis not in LOGARITHMIC:
        return f"{value:g}"
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def line(text: str) -> str:
    """A text in one line that has room on an axis."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return shown if len(shown) <= ROOM else f"{shown[: ROOM - 3]}..."
