"""Answers like a model's, no two the same: some sentences of reasoning, then the gold, a near miss, another problem's
gold or nothing.
"""

import json
import random
from pathlib import Path

from em.evaluation.graders.boxed import last_boxed
from em.evaluation.problems import problems
from em.trial.evaluation import Benchmark


def answers(benchmark: Benchmark, rng: random.Random, samples: int) -> list[list[str]]:
    """For each problem, so many texts."""
    pairs = problems(benchmark)
    if benchmark.grader == "code":
        rows = map(json.loads, Path(benchmark.path).read_text().splitlines())
        programs = [row["code"] for row in rows if 11 <= row["task_id"] <= 510]
        return [[program(rng, code) for _ in range(samples)] for code in programs]
    if benchmark.grader == "knights":
        return [[islanders(rng, reference) for _ in range(samples)] for _, reference in pairs]
    golds = [gold_of(reference) for _, reference in pairs]
    return [[formula(rng, gold, golds) for _ in range(samples)] for gold in golds]


def gold_of(reference: str) -> str:
    """The gold as a model would write it into a box."""
    gold = last_boxed(reference) or reference
    return json.loads(gold)["final_answer"][0].replace("$", "") if gold.startswith('{"') else gold


def formula(rng: random.Random, gold: str, golds: list[str]) -> str:
    digits = [place for place, letter in enumerate(gold) if letter.isdigit()]
    place = rng.choice(digits) if digits else 0
    near = gold[:place] + str((int(gold[place]) + 1) % 10) + gold[place + 1 :] if digits else f"{gold} + 1"
    final = rng.choices([gold, near, rng.choice(golds)], [50, 35, 15])[0]
    return reasoning(rng) + rng.choices([f"$\\boxed{{{final}}}$.", f"that the answer is ${final}$."], [95, 5])[0]


def islanders(rng: random.Random, reference: str) -> str:
    if rng.random() < 0.5:
        reference = reference.replace("knave", "?", 1).replace("knight", "knave", 1).replace("?", "knight")
    return f"{reasoning(rng)}a contradiction.\n\nCONCLUSION:\n{reference}"


def program(rng: random.Random, code: str) -> str:
    wrong = rng.choices(["", "\n    return None", "\ndef :"], [60, 30, 10])[0]
    return f"{reasoning(rng)}this:\n```python\n# {rng.random()}\n{code}{wrong}\n```\nIt passes the tests."


def reasoning(rng: random.Random) -> str:
    a, b, c = (rng.randint(2, 99) for _ in range(3))
    return (
        f"We start from $f(x) = {a}x^2 + {b}x$ and look for the values that satisfy the condition. Substituting "
        f"$x = {c}$ gives \\[{a} \\cdot {c}^2 + {b} \\cdot {c} = {a * c * c + b * c}.\\] Since the left side is at "
        f"least $\\frac{{{a}}}{{{b}}}$, we divide both sides and simplify. The second equation has $y = {b - c}$, so "
        f"the remaining case is excluded. Adding the two contributions and checking the boundary, we find "
    )
