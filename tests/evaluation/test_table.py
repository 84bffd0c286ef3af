"""The paper's table: each number against one that is counted by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from em.evaluation.table import MATHS, table
from em.store.record import EvaluationResult


def result(
    benchmark: str, temperature: float, correct_PK: Sequence[Sequence[bool | None]], **changes: Any
) -> EvaluationResult:
    flat = [value for row in correct_PK for value in row]
    made = EvaluationResult(
        step=0,
        evaluation_id=benchmark,
        benchmark=benchmark,
        temperature=temperature,
        problems=len(correct_PK),
        samples=len(correct_PK[0]),
        accuracy=0.0,
        correct=flat,
        extracted=[None] * len(flat),
        lengths=[1] * len(flat),
        truncated=[False] * len(flat),
        texts=[None] * len(flat),
    )
    return replace(made, **changes)


def lines(results: list[EvaluationResult]) -> list[list[str]]:
    """The cells of the printed table, row by row."""
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table("m", results))
    rows = [line for line in capture.get().splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in row.replace("┃", "│").split("│")[1:-1]] for row in rows]


def test_greedy_and_avg_at_n_stand_side_by_side():
    half = [[True], [False], [True], [False]]
    sampled = [[True, True], [False, True], [False, False], [True, False]]
    found = lines([result("sum", 0.0, half), result("sum", 0.6, sampled, truncated=[True, *[False] * 7])])
    shown = ["cut off", "not graded"]
    assert found[0] == ["benchmark", "greedy", *shown, "avg@2, T 0.6", "pass@2", *shown]
    # standard errors: of 1, 0, 1, 0: .577 / 2; of 1, .5, 0, .5: .408 / 2
    assert found[1] == ["sum", "50.0 ± 56.6", "0%", "0", "50.0 ± 40.0", "75.0", "12%", "0"]
    assert found[2] == ["average", *found[1][1:]]


def test_what_could_not_be_graded_is_not_correct_and_is_counted():
    found = lines([result("sum", 0.0, [[True], [None], [None], [False]], timeouts=1, grader_failures=1)])
    assert found[1] == ["sum", "25.0 ± 49.0", "0%", "2"]


def test_the_rules_of_the_paper_have_a_column_where_a_benchmark_has_them():
    rows = [[True], [False], [False], [False]]
    found = lines([result("amc23", 0.0, rows, paper_rules=[True, True, None, False]), result("kk", 0.0, rows)])
    assert [row[2] for row in found] == ["paper's rules", "50.0", "25.0", "37.5"]


def test_the_average_of_four_is_of_the_maths_benchmarks():
    right = {name: [[number > place] for place in range(4)] for number, name in enumerate(MATHS)}
    found = lines([result(name, 0.0, rows) for name, rows in right.items()] + [result("kk", 0.0, [[True]] * 4)])
    scores = {row[0]: row[1].split()[0] for row in found[1:]}
    assert [scores[name] for name in MATHS] == ["0.0", "25.0", "50.0", "75.0"]
    assert (scores["average of four"], scores["average"]) == ("37.5", "50.0")
