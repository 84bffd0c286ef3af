"""Knights and Knaves: where identities are read, how they may be written, and every row of the published test set."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from em.evaluation.graders.knights import grade, identities

GOLD = "(1) Zoey is a knave\n(2) Oliver is a knight"
FOUR = "(1) Iris is a knight\n(2) Marlon is a knave\n(3) Quentin is a knave\n(4) Tamsin is a knight"


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
        GOLD,
        "<answer>" + GOLD,
        answer(GOLD + ". So Zoey is a knave, because Oliver is a knight"),
        f"CONCLUSION:\n{GOLD}\nThis conclusion agrees with all that they say.",
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
        ("", None),
        (answer(""), None),
        (answer("They are both knights."), "Zoey knight, Oliver knight"),
        (answer("Zoey is a knave"), "Zoey knave"),
        (answer("Zoey is a knight, Oliver is a knight"), "Zoey knight, Oliver knight"),
        (answer("Zoey is not a knave, Oliver is a knight"), "Zoey knight, Oliver knight"),
        (answer(GOLD + ". Zoey is a knight"), "Zoey knave, Oliver knight, Zoey knight"),
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
            assert grade(answer(f"{lines}\n{person}"), lines).correct
            for changed in ([other], [], [person, other]):
                text = "\n".join([*people[:index], *changed, *people[index + 1 :]])
                assert grade(answer(text), lines).correct is False, text


@pytest.mark.parametrize(
    "text",
    [
        "Iris is a knight, Marlon is a knave, Quentin is a knave and Tamsin is a knight.",
        "Iris and Tamsin are knights; Marlon and Quentin are knaves.",
        "Both Marlon and Quentin are knaves, while Iris and Tamsin are both knights.",
        "Knights: Iris, Tamsin\nKnaves: Marlon, Quentin",
        "Knights: Iris and Tamsin. Knaves: Marlon and Quentin.",
        "**Knights**\n: Iris & Tamsin; **Knaves**: Marlon & Quentin".replace("\n", ""),
        "Knights:\n- Iris\n- Tamsin\n\nKnaves:\n- Marlon\n- Quentin",
        "The knights are Iris and Tamsin, and the knaves are Marlon and Quentin.",
        "Iris (knight), Marlon (knave), Quentin (a knave), Tamsin (knight)",
        "(1) Iris (the first to speak): Knight\n(2) Marlon: Knave\n(3) Quentin: Knave\n(4) Tamsin: Knight",
        "Iris is indeed a knight. Marlon is therefore a knave. Quentin is clearly a knave. Tamsin is also a knight.",
        "Iris is a knight because Marlon is a knave, and Tamsin is a knight since Quentin is a knave.",
        "Neither Iris nor Tamsin is a knave. Marlon isn't a knight, and Quentin cannot be a knight.",
        "Iris is a knight, not a knave, and so Marlon is a knave. Quentin is not a knight but a knave. Tamsin: knight",
        "Iris and Tamsin are knights, and the others are knaves.",
        "Marlon is a knave; Quentin, too: Quentin is a knave. Everyone else is a knight.",
        '{"Iris": "knight", "Marlon": "knave", "Quentin": "knave", "Tamsin": "knight"}',
        "| Name | Role |\n|---|---|\n| Iris | Knight |\n| Marlon | Knave |\n| Quentin | Knave |\n| Tamsin | Knight |",
        f"{FOUR}\n\nIris is a knight. Marlon is a knave.",
        f"{FOUR}\nIf Marlon were a knight, Iris is a knave, which she is not.",
        f"{FOUR}\nMarlon says Iris is a knave, but Iris is a knight.",
        f'{FOUR}\nThis agrees with "Quentin is a knight", as Marlon said.',
        f"{FOUR}\nIs Marlon a knight? No.",
        f"{FOUR}\nIt is false that Iris is a knave, so Iris is a knight.",
    ],
)
def test_right_in_other_words(text):
    assert grade(f"I have thought.\n\nCONCLUSION:\n{text}", FOUR).correct
    assert grade(f"Suppose that Marlon is a knight. Then Iris is a knave.\n\nSo we are done:\n{text}", FOUR).correct
    assert grade(answer(text), FOUR).correct


@pytest.mark.parametrize(
    "text",
    [
        "If Iris is a knight, then Marlon is a knave.",
        "Suppose Iris is a knight and Marlon is a knave.",
        "Assuming that Iris is a knight, Marlon is a knave.",
        "In this case, Iris is a knight.",
        "Case 2: Iris is a knight.",
        "Marlon is a knave if Iris is a knight.",
        "Marlon is a knave, if Iris is a knight.",
        "Marlon is a knave unless Iris is a knave.",
        "Marlon says Iris is a knight.",
        "Marlon claims that Iris is a knight and that Quentin is a knave.",
        "According to Marlon, Iris is a knight.",
        'Marlon: "Iris is a knight"',
        "Marlon said: “Iris is a knight.”",
        "Marlon's claim that Iris is a knight is a lie",
        "It is false that Iris is a knave.",
        "It is not true that Iris is a knave.",
        "It cannot be that Iris is a knave",
        "We cannot conclude that Iris is a knight.",
        "I do not think Iris is a knave.",
        "That Iris is a knave is impossible.",
        "Iris is a knave: false",
        "Iris is a knight? Unknown",
        "Is Iris a knight?",
        "Either Iris is a knight or Marlon is a knave.",
        "Iris is a knight or Marlon is a knave.",
        "Iris is a knight, or Marlon is a knave.",
        "Iris is a knight or a knave.",
        "Iris: knight/knave",
        "Whether Iris is a knight is unknown.",
        "Maybe Iris is a knight.",
        "Iris is probably a knight.",
        "Iris could be a knight.",
        "Not all of them are knights.",
        "Iris and Marlon are not both knights.",
        "Iris and Marlon cannot both be knaves.",
        "Iris is not necessarily a knight.",
        "Knights always tell the truth, and knaves always lie.",
        "The knights are those who tell the truth.",
        "She is a knight, and he is a knave.",
        "Someone is a knight, and nobody is a knave.",
        "Iris tells the truth.",
        "Exactly one of Iris and Marlon is a knave.",
        "None of Iris, Marlon is a knave.",
        "We reject that Iris is a knave.",
        "We can rule out that Iris is a knave.",
        "This disproves that Iris is a knight.",
        "Let Iris be a knight.",
        "Were Iris a knight, Marlon is a knave.",
        "Iris is a knave (incorrect).",
        "Iris is a knave when Marlon is a knight.",
        "Marlon's claim is that Iris is a knave.",
        "Iris, Marlon and Quentin are a knight and a knave, respectively.",
    ],
)
def test_what_is_supposed_reported_denied_or_asked_is_not_stated(text):
    assert identities(text, ("Iris", "Marlon", "Quentin", "Tamsin")) == []


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("All of them are knights.", "Iris knight, Marlon knight, Quentin knight, Tamsin knight"),
        ("Everyone is a knave.", "Iris knave, Marlon knave, Quentin knave, Tamsin knave"),
        ("They are both knights.", ""),  # of four
        ("Iris is a knave; the rest are knights.", "Iris knave, Marlon knight, Quentin knight, Tamsin knight"),
        ("Hence, as for Iris, Marlon is a knave.", "Marlon knave"),
        ("Marlon lies when he says that Iris is a knave, so Marlon is a knave.", ""),
        ("Marlon said Iris is a knave, so Marlon is a knave.", "Marlon knave"),
        ("Iris is a knight who says that Marlon is a knave.", "Iris knight"),
        ("Iris is a knight, while Marlon is a knave or Quentin is a knave.", "Iris knight"),
        ("Iris and Marlon are not knights.", "Iris knave, Marlon knave"),
        ("IRIS is a KNIGHT, marlon: knave", "IRIS knight, marlon knave"),
        ("Iris is a knight. Iris is a knave.", "Iris knight, Iris knave"),
        ("A knight is Iris", "Iris knight"),
        ("Consequently, Iris and Marlon are knaves.", "Iris knave, Marlon knave"),
        ("Similarly, Iris must be a knight.", "Iris knight"),
        ("Zed and Iris are knights.", "Zed knight, Iris knight"),
        ("Iris and Marlon are a knight and a knave, respectively.", "Iris knight, Marlon knave"),
        ("Marlon's claim is false, so Marlon is a knave.", "Marlon knave"),
        ("Only one of them, Iris, is a knight.", "Iris knight"),
        ("Then Iris is a knight. Thus Marlon is a knave.", "Marlon knave"),
    ],
)
def test_stated(text, stated):
    found = identities(text, ("Iris", "Marlon", "Quentin", "Tamsin"))
    assert ", ".join(f"{name} {role}" for name, role in found) == stated


def test_without_people_nothing_is_said_of_all():
    assert identities("All of them are knights. Ana-Lu and O'Neil are knaves.") == [
        ("Ana-Lu", "knave"),
        ("O'Neil", "knave"),
    ]


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("Zoey is a knave.\n\nOliver is a knight.\n\nI hope this helps!", True),
        ("So Zoey is a knight.\nNo, we were wrong.\nZoey is a knave, Oliver is a knight.", True),
        ("Zoey is a knight.\nZoey is a knave, Oliver is a knight.", False),
        ("Zoey is a knave.\nNow for the other one.\nOliver is a knight.", False),
        ("Zoey is a knave and Oliver is a knight." + " No doubt." * 9 + "\n\nSo Zoey is a knave.", False),
        ("Knights:\nOliver\n\nKnaves:\nZoey", True),
        ("1. Zoey is a knave\n   - She calls Oliver a liar.\n2. Oliver is a knight\n   - He says so.", True),
        ("Zoey is a knave\nShe calls Oliver a liar.\nOliver is a knight", False),
    ],
)
def test_without_a_heading_the_last_lines_count(text, correct):
    assert grade(text, GOLD).correct is correct


@pytest.mark.parametrize(
    "piece",
    [
        "<answer>",
        "conclusion",
        "a",
        "- ",
        "\\",
        " ",
        "Zoey is a knave ",
        "<answer></answer>",
        "Ava, ",
        "“",
        '"',
        "(",
        "Knights: ",
        "not ",
        "or ",
        "the others are knaves ",
    ],
)
def test_long_texts_take_linear_time(piece):
    text = piece * (300_000 // len(piece))
    begun = time.monotonic()
    assert grade("conclusion " + text, GOLD).correct is False
    assert grade("Zoey " + text + "\n" + text, GOLD).correct is False
    assert time.monotonic() - begun < 20
