"""One trial in the terminal: what it is, how training went, what it scores, where it was made, how to run it again.

    python -m analysis.show 303d store=results
    python -m analysis.show 303d all      # its whole config, and the scores after every measured step

TRIAL is the beginning of a trial's id, of a unit's or of a failed attempt's, or the path of a record's file.  Several
records of one trial are shown as one, by the measurements that figures show.  Nothing is written.
"""

import math
import sys

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis.show import measured, provenance, settings
from analysis.show.terminal import listed, number, printable, shortened, sparkline, written
from analysis.show.trial import Curve, OneTrial, curves, gather, score_curves
from em.cli.command import read_words, run_command, terminal
from em.errors import require
from em.store import Store
from em.store.record import Status

LOOKS = {Status.done: "green", Status.diverged: "red", Status.failed: "yellow"}
BESIDE = 50  # columns that a curve's numbers take
NARROWEST = 8  # columns of a curve
LONGEST = 240  # characters of a value of the config
FOLDERS = ("records", "failed")  # of a store


def page(of: OneTrial, width: int, everything: bool = False) -> Group:
    """The answer, for a terminal of so many columns; the command that repeats the trial comes below."""
    parts: list[RenderableType] = [head(of), *(Text(f"note: {note}", style="yellow") for note in of.notes)]
    beside = "; difference in points ± standard error over problems" if of.base else ""
    sections = (
        ("config", config(of, everything)),
        (f"training, step 1 to {len(of.record.steps)}", training(of, width, everything)),
        (f"scores, %{beside}", measured.scores(of, everything)),
        ("first answers to the first problems", measured.answers(of, width)),
        ("records" if len(of.records) > 1 else "record", provenance.records(of)),
        ("failed attempts", provenance.attempts(of, everything)),
    )
    for heading, section in sections:
        if section is not None:
            parts += [Text(), Text(heading, style="bold"), Padding(section, (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def head(of: OneTrial) -> Text:
    """`303dc517303cf8ec  done  tiny-0, em, 50 steps, seed 0`, and what went wrong."""
    record, trial = of.record, of.trial
    what = [f"{len(record.steps)} steps"]
    if trial is not None and trial.phase is None:
        what = [trial.model.label, "the base model itself"]
    elif trial is not None and trial.phase is not None:
        names = [f"{it.phase.objective.name} for {it.steps} steps (seed {it.seed})" for it in trial.before]
        method = ", then ".join([*names, trial.phase.objective.name])
        what = [trial.model.label, method, *what, f"seed {trial.seed}"]
    line = Text.assemble((record.trial_id, "bold"), "  ", (record.status.value, f"bold {LOOKS[record.status]}"), "  ")
    line.append(printable(", ".join(what)))
    if record.error:
        line.append(f"\n{printable(record.error.strip().splitlines()[-1])}", style=LOOKS[record.status])
    return line


def config(of: OneTrial, everything: bool) -> Group:
    """What differs from the defaults, a line each; below what does not and, if asked, what changes no result."""
    every = list(settings.of_trial(of.trial) if of.trial else settings.as_written(of.record))
    table = Table.grid(padding=(0, 2))
    for it in every:
        if it.identifies and not it.is_default:
            value = written(it.value, sys.maxsize) if everything else shortened(written(it.value), LONGEST)
            table.add_row(it.path, Text(value, overflow="fold"))
    usual = [it for it in every if it.identifies and it.is_default and (everything or is_told(it))]
    groups = {"at their default": usual}
    if everything:
        groups["change no result"] = [it for it in every if not it.identifies]
    told = ((name, ", ".join(f"{it.path}={written(it.value)}" for it in group)) for name, group in groups.items())
    rest = (Text(f"{name}: {values}", style="dim") for name, values in told if values)
    return Group(*([table] if table.row_count else []), *rest)


def is_told(setting: settings.Setting) -> bool:
    """Whether a default is worth a place: it is on, and neither the recipe's nor an earlier phase's."""
    return bool(setting.value) and not setting.path.startswith(("model.pretrain.", "before."))


def training(of: OneTrial, width: int, everything: bool) -> Group | None:
    """For each curve its sparkline, first, last, lowest and highest value."""
    scored = [curve for curve in score_curves(of) if len(curve.steps) > 1]
    drawn = [*(curve for curve in curves(of.record, everything) if curve.steps), *scored]
    if not drawn:
        return None
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for heading in ("", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("first", "last", "min", "max"):
        table.add_column(heading, justify="right", no_wrap=True)
    room = max(NARROWEST, width - BESIDE - max(len(curve.name) for curve in drawn))
    for curve in drawn:
        line = Text(sparkline(curve.values, room), style="cyan")
        table.add_row(curve.name.replace("_", " "), line, *ends(curve))
    steps = dict.fromkeys(listed(curve.steps) for curve in scored)
    notes = (f"scores: mean over benchmarks, %, after step {each}" for each in steps)
    return Group(table, *(Text(note, style="dim") for note in notes))


def ends(curve: Curve) -> list[str]:
    """First, last, lowest and highest value."""
    values = [value for value in curve.values if value is not None]
    if not values:
        return ["not recorded"]
    finite = [value for value in values if math.isfinite(value)]
    return [number(it) for it in (values[0], values[-1], min(finite, default=None), max(finite, default=None))]


def holder(word: str, store: Store) -> Store:
    """The store that a record's file lies in, where the word is the path of one."""
    root, _, folder = word.rpartition("/")[0].rpartition("/")
    return Store(root or ".") if word.endswith(".parquet") and folder in FOLDERS else store


def main(arguments: list[str]) -> None:
    words, options = read_words(arguments, ["store"])
    named = [word for word in words if word != "all"]
    usage = "name one: python -m analysis.show TRIAL [store=results] [all]"
    require(len(named) == 1, "TRIAL", " ".join(named), usage)
    store = holder(named[0], Store(options.get("store", "results")))
    console = terminal(highlight=False)
    of = gather(store, named[0])
    console.print(page(of, console.width, "all" in words))
    console.print(Text.assemble("\n", ("again", "bold"), "\n", provenance.again(of, store)), soft_wrap=True)


if __name__ == "__main__":
    run_command(main, __doc__)
