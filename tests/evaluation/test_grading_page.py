"""The tables of docs/grading.md: each example is right or wrong as it says."""

import re
from pathlib import Path

import pytest

from tests.evaluation.test_answers import correct

PAGE = Path(__file__).parents[2] / "docs" / "grading.md"


def examples(column: int) -> list[tuple[str, str]]:
    """(gold, answer) of the rows of all tables."""
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in PAGE.read_text().splitlines() if line[:3] == "| `"]
    assert len(rows) > 20
    return [(row[0].strip("`"), answer) for row in rows for answer in re.findall("`([^`]+)`", row[column])]


@pytest.mark.parametrize(("gold", "answer"), examples(1))
def test_right(gold, answer):
    assert correct(answer, gold) is True


@pytest.mark.parametrize(("gold", "answer"), examples(2))
def test_wrong(gold, answer):
    assert correct(answer, gold) is False
