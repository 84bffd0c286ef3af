"""What one trial scores beside its base model, and its first answers, for the terminal."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from analysis.show.terminal import printable, shortened
from analysis.show.trial import Comparison, OneTrial, compared
from em.errors import InputError
from em.evaluation.problems import digested_problems
from em.store.record import EvaluationResult
from em.store.recorded import evaluations_of
from em.trial.evaluation import Evaluation

LINES = 4  # of an answer
Cells = dict[str, str | Text]  # of a row, by column
CLEAR = 2.0  # standard errors, from which on a difference has a colour
COLUMNS = ("benchmark", "step", "at", "answers", "base", "score", "difference", "paper's", "ungraded")
MEAN = "mean"
MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


def scores(of: OneTrial, everything: bool) -> Table | None:
    """A row for each benchmark and temperature, after its last measured step; `everything`: after each of its steps."""
    measured = of.results if everything else of.latest
    if not measured:
        return None
    rows = []
    for _, group in groupby(measured, key=lambda result: (result.step, result.temperature)):
        results = list(group)
        bases = [of.base.get(result.evaluation_id) for result in results]
        rows += [*map(row, results, bases), *([mean_row(results, bases)] if len(results) > 1 else []), {}]
    said = {name for cells in rows for name, cell in cells.items() if str(cell) not in ("", "-")}
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    shown = [name for name in COLUMNS if name in said]
    for name in shown:
        table.add_column(name, justify="left" if name == "benchmark" else "right", no_wrap=True)
    for cells in rows[:-1]:
        table.add_row(*(cells.get(name, "") for name in shown), style="bold" if cells.get("benchmark") == MEAN else "")
    return table


def row(own: EvaluationResult, base: EvaluationResult | None) -> Cells:
    return {
        "benchmark": own.benchmark,
        "step": str(own.step),
        "at": f"{own.temperature:g}",
        "answers": f"{own.problems} x {own.samples}",
        "base": percent(base.accuracy if base else None),
        "score": percent(own.accuracy),
        "difference": difference(gain(own, base)) if base else "-",
        "paper's": percent(own.paper_accuracy),
        "ungraded": str((own.timeouts or 0) + (own.grader_failures or 0) or ""),
    }


def mean_row(own: Sequence[EvaluationResult], bases: Sequence[EvaluationResult | None]) -> Cells:
    """Over benchmarks, whose problems are independent of each other's; no mean is over fewer."""
    mean, whole = fmean(result.accuracy for result in own), [base for base in bases if base is not None]
    cells: Cells = {"benchmark": MEAN, "step": str(own[0].step), "at": f"{own[0].temperature:g}"}
    if len(whole) < len(own):
        return cells | {"base": "-", "score": percent(mean), "difference": "-"}
    base, gains = fmean(result.accuracy for result in whole), [*map(gain, own, whole)]
    error = math.hypot(*(of.error for of in gains)) / len(own)
    united = Comparison(fmean(of.difference for of in gains), error, sum(result.problems for result in own))
    return cells | {"base": percent(base), "score": percent(mean), "difference": difference(united)}


def gain(own: EvaluationResult, base: EvaluationResult) -> Comparison:
    """On the problems that both answered where single answers are recorded, else of the accuracies, without error."""
    return compared(own, base) or Comparison(own.accuracy - base.accuracy, math.nan, own.problems)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def difference(of: Comparison) -> Text:
    """`+26.9 ± 4.1`, in points; coloured where it is clear."""
    gained, error = of.difference, of.error
    style = ("green" if gained > 0 else "red") if abs(gained) > CLEAR * error else ""
    return Text(f"{100 * gained:+.1f}" + (f" ± {100 * error:.1f}" if math.isfinite(error) else ""), style=style)


def answers(of: OneTrial, width: int) -> Table | None:
    """The first answer to the first problem of each benchmark after the last step, beside the base model's."""
    last = [result for result in of.results if result.step == of.last_step]
    firsts = {result.benchmark: result for result in reversed(last)}  # at its lowest temperature
    if not firsts:
        return None
    room = LINES * max(16, (width - 24) // (2 if of.base else 1) - 2)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", ratio=2, overflow="fold")
    for heading in (*(["base model"] if of.base else []), f"after step {of.last_step}"):
        table.add_column(heading, ratio=3, overflow="fold")
    evaluations = known(of)
    for result in reversed(firsts.values()):
        base, first = of.base.get(result.evaluation_id), next(iter(result.asked or [0]))
        sides = [(base, first * base.samples if base else 0)] if of.base else []
        cells = [answer(side, room, place) for side, place in (*sides, (result, 0))]
        table.add_row(asked(result, evaluations.get(result.evaluation_id), room // LINES), *cells)
    return table


def known(of: OneTrial) -> Mapping[str, Evaluation]:
    """The evaluations of all records, as far as this version can read them."""
    found: dict[str, Evaluation] = {}
    for record in of.records or [of.record]:
        try:
            found |= evaluations_of(record)
        except InputError:
            continue
    return found


def asked(result: EvaluationResult, evaluation: Evaluation | None, room: int) -> Text:
    """A benchmark, the first problem that was asked and the reference, where these are at hand without a network."""
    named = Text(f"{result.benchmark} at {result.temperature:g}")
    if evaluation is None or (evaluation.benchmark.hub and not evaluation.benchmark.path):
        return named
    try:
        problem, reference = digested_problems(evaluation.benchmark)[next(iter(result.asked or [0]))]
    except (InputError, OSError):  # moved, or other problems by now
        return named
    cut = partial(shortened, length=2 * room)
    return named.append(f"\n{cut(printable(problem))} → {cut(printable(reference))}", style="dim")


def answer(result: EvaluationResult | None, room: int, place: int) -> Text:
    """Its grade, its text and what the grader took from it."""
    if result is None:
        return Text("not recorded", style="dim")
    if not result.correct:
        return Text("single answers are not recorded", style="dim")
    mark, style = MARKS[result.correct[place]]
    text, extracted = result.texts[place] if result.texts else None, result.extracted[place]
    took = "no answer" if extracted is None else shortened(printable(extracted), room)
    said = Text.assemble((mark, style), " ")
    if text is None:
        return said.append(took).append("  (text not kept)", style="dim")
    return said.append(shortened(printable(text), room))
