"""Knights and Knaves: where identities are read, how they may be written, and every row of the published test set."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from em.evaluation.graders.knights import grade

GOLD = "(1) Zoey is a knave\n(2) Oliver is a knight"


def published() -> Iterator[tuple[str, str]]:
    """Each row's identities, one a line and as a sentence."""
    if "EM_BENCHMARK_DATA" not in os.environ:
        pytest.skip("set EM_BENCHMARK_DATA to a folder with kk.jsonl")
    for line in (Path(os.environ["EM_BENCHMARK_DATA"]) / "kk.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield row["solution_text_format"], row["solution_text"]


def answer(text: str) -> str:
    return f"Assume that Zoey is a knight. No: <answer>{text}</answer> That is all."


@pytest.mark.parametrize(
    "text",
    [
        answer(GOLD),
        answer("(1) **Zoey** is a **knave**.\n(2) **Oliver** is a **knight**."),
        answer("1. Zoey: Knave\n2. Oliver: Knight"),
        answer("Oliver is a knight, and Zoey is a knave."),
        answer("ZOEY IS A KNAVE; OLIVER IS A KNIGHT"),
        answer("- Zoey a knave\n- Oliver – knight"),
        answer("Zoey -> knave, Oliver = a knight"),
        answer("| Zoey | knave |\n| Oliver | knight |"),
        answer(r"\boxed{\text{Zoey is a knave}, \text{Oliver is a knight}}"),
        answer("Zoey is not a knight; Oliver must be a knight, not a knave"),
        answer("Zoey is a knight") + answer(GOLD) + "<answer>and",
        f"Zoey is a knight.\n### CONCLUSION\nI doubt it.\nConclusion: {GOLD}",
        f"Conclusion: Zoey is a knight {answer(GOLD)} Conclusion: none",
    ],
)
def test_right(text):
    verdict = grade(text, GOLD)
    assert verdict.correct is True
    assert verdict.extracted is not None
    assert sorted(verdict.extracted.lower().split(", ")) == ["oliver knight", "zoey knave"]


@pytest.mark.parametrize(
    ("text", "extracted"),
    [
        (GOLD, None),
        ("", None),
        ("<answer>" + GOLD, None),
        (answer(""), None),
        (answer("They are both knights."), None),
        (answer("Zoey is a knave"), "Zoey knave"),
        (answer("Zoey is a knight, Oliver is a knight"), "Zoey knight, Oliver knight"),
        (answer("Zoey is not a knave, Oliver is a knight"), "Zoey knight, Oliver knight"),
        (answer(GOLD + ". Zoey is a knight"), "Zoey knave, Oliver knight, Zoey knight"),
        (answer(GOLD + ". Zoey is a knave"), "Zoey knave, Oliver knight, Zoey knave"),
        (answer(GOLD + ". Ava is a knave"), "Zoey knave, Oliver knight, Ava knave"),
        (answer("Zoey is a knave, Oliver is a knight or a knave"), "Zoey knave"),
        (answer("Zoey is a knave, Oliver: knight/knave"), "Zoey knave"),
        ("CONCLUSION: Zoey is a knight", "Zoey knight"),
    ],
)
def test_wrong(text, extracted):
    verdict = grade(text, GOLD)
    assert (verdict.correct, verdict.extracted) == (False, extracted)


def test_every_published_solution_is_right_and_no_other():
    rows = list(published())
    assert len(rows) == 700
    for lines, sentence in rows:
        assert grade(answer(lines), lines).correct
        assert grade(f"CONCLUSION:\n{sentence}", lines).correct
        people = lines.split("\n")
        for index, person in enumerate(people):
            other = person.replace("knight", "knave") if "knight" in person else person.replace("knave", "knight")
            for changed in ([other], [], [person, person], [person, other]):
                text = "\n".join([*people[:index], *changed, *people[index + 1 :]])
                assert grade(answer(text), lines).correct is False, text


@pytest.mark.parametrize(
    "piece", ["<answer>", "conclusion", "a", "- ", "\\", " ", "Zoey is a knave ", "<answer></answer>"]
)
def test_long_texts_take_linear_time(piece):
    text = "conclusion " + piece * (1_000_000 // len(piece))
    assert grade(text, GOLD).correct is False
