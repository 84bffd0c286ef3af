"""How figures look: colours that stay apart for a colour-blind reader, and in print without colour."""

from itertools import combinations, pairwise

import pytest

from analysis import style

OKABE_ITO = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}


def lightness(colour: str) -> float:
    """L* of #rrggbb (CIE 1976), 0 to 100."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16


def test_lightness_of_known_colours() -> None:
    assert lightness("#ffffff") == pytest.approx(100)
    assert lightness("#777777") == pytest.approx(50.03, abs=0.01)


def test_cells_have_colours_that_the_colour_blind_tell_apart() -> None:
    assert {*style.COLOURS} <= OKABE_ITO
    assert len({*style.COLOURS}) == 6


def test_up_to_four_cells_are_told_apart_in_print() -> None:
    assert min(abs(lightness(a) - lightness(b)) for a, b in combinations(style.COLOURS[:4], 2)) >= 5
    assert min(abs(lightness(a) - lightness(b)) for a, b in pairwise(style.COLOURS)) >= 5
