"""The paper's table for one model: six benchmarks, the average of the first four, the average of all."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from em.evaluation.metrics import avg_at_n, interval, pass_at_k
from em.store.record import EvaluationResult

PAPER = "paper's rules"
MATHS = ("math500", "minerva_math", "olympiadbench", "amc23")  # "average of four" in the paper


def matrix(verdicts: Sequence[bool | None], problems: int) -> NDArray:
    """[P, K] of 0 and 1; what could not be graded counts as 0, and is shown in its own column."""
    return np.array([verdict is True for verdict in verdicts], dtype=float).reshape(problems, -1)


def by_paper_rules(result: EvaluationResult) -> NDArray:
    """[P, K] by the rules of the paper's grader where it has its own, else as graded."""
    return matrix(result.paper_rules or result.correct, result.problems)


def table(title: str, results: Sequence[EvaluationResult]) -> Table:
    """One row for each benchmark, columns for each evaluation temperature."""
    temperatures = sorted({result.temperature for result in results})
    names = list(dict.fromkeys(result.benchmark for result in results))
    found = {(result.benchmark, result.temperature): result for result in results}
    groups = [(name, [name]) for name in names]
    if set(MATHS) < set(names):
        groups.append(("average of four", list(MATHS)))
    groups.append(("average", names))
    rows = {
        name: [columns([found[member, t] for member in members if (member, t) in found]) for t in temperatures]
        for name, members in groups
    }
    has_paper_rules = any(result.paper_rules for result in results)
    made = Table(title=f"{title}: accuracy, % (95% interval over problems)")
    made.add_column("benchmark")
    shown = [
        (at, heading)
        for at, cells in enumerate(rows["average"])
        for heading in cells
        if heading != PAPER or has_paper_rules
    ]
    for _, heading in shown:
        made.add_column(heading, justify="right")
    for name, cells in rows.items():
        made.add_row(name, *(cells[at][heading] for at, heading in shown), style="bold" * name.startswith("average"))
    return made


def columns(results: Sequence[EvaluationResult]) -> dict[str, str]:
    """What is shown of benchmarks at one temperature, by heading."""
    correct = [matrix(result.correct, result.problems) for result in results]
    low, high = interval(*correct)
    samples, temperature = correct[0].shape[1], results[0].temperature
    score = "greedy" if temperature == 0 else f"avg@{samples}, T {temperature:g}"
    shown = {
        score: f"{100 * np.mean([avg_at_n(c) for c in correct]):.1f} ± {50 * (high - low):.1f}",
        PAPER: f"{100 * np.mean([avg_at_n(by_paper_rules(result)) for result in results]):.1f}",
        f"pass@{samples}": f"{100 * np.mean([pass_at_k(c, samples) for c in correct]):.1f}",
        "cut off": f"{100 * np.mean([np.mean(result.truncated) for result in results]):.0f}%",
        "not graded": str(sum((result.timeouts or 0) + (result.grader_failures or 0) for result in results)),
    }
    if samples == 1:
        del shown["pass@1"]
    return shown
