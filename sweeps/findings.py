"""What the store says of each claim of the paper: does it hold, by how much, on which records.

python -m sweeps.findings sweep=paper
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analysis import findings
from analysis.findings import Finding, Part
from analysis.findings.written import STYLES, files, printed
from analysis.seeds import tested
from analysis.tables import Tables, load
from em.cli.command import run_command, terminal
from em.cli.words import read
from em.errors import InputError
from em.store import Store
from sweeps import expand
from sweeps.config import LAUNCH, Launch, with_axes
from sweeps.figures import command
from sweeps.source import opened

RATE = "optimizer.lr"


def found(config: Launch, store: Store) -> list[Finding]:
    """What is found of every claim that rests on a sweep of this launch.

    Raises InputError where no claim does, or where nothing is recorded of them.
    """
    asked = rested(config)
    if not asked:
        known = sorted({name for claim in findings.claims() for name in claim.SWEEPS})
        raise InputError(f"sweep={config.sweep.name}: no claim rests on it; take paper, or {', '.join(known)}")
    return found_in(asked, load(store, expand.trial_ids(asked)))


def found_in(asked: Sequence[Launch], tables: Tables) -> list[Finding]:
    """The same, of sweeps that claims rest on, in tables that have all of their trials."""
    return findings.all_of(
        [
            Part(
                name=part.sweep.name,
                axes=part.sweep.varied,
                cells=expand.frame(part),
                headline=part.headline(),
                evaluations=tested(part.evaluations),
                steps=part.eval.steps,
                rate=usual_rate(part),
                command=command(part),
                tables=tables,
            )
            for part in asked
        ]
    )


def rested(config: Launch) -> list[Launch]:
    """The sweeps that a claim rests on."""
    names = {name for claim in findings.claims() for name in claim.SWEEPS}
    return [part for part in config.sweeps if part.sweep.name in names]


def usual_rate(part: Launch) -> float:
    """The learning rate of the config, also where words vary it."""
    if RATE not in part.sweep.varied:
        return part.optimizer.lr
    _, composed, _ = with_axes([word for word in part.words if read(word).key_or_group != RATE])
    return composed.optimizer.lr


def show(found: list[Finding], store: Store, console: Console) -> list[Path]:
    """Print the findings with their notes, and save them beside the figures; the files."""
    console.print(printed(found))
    for finding in found:
        for note in finding.notes:
            console.print(f"{finding.id}: {note}", style=STYLES[finding.verdict], highlight=False, soft_wrap=True)
    paths = [store.save_figure(name, content) for name, content in files(found).items()]
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return paths


def main(arguments: list[str]) -> None:
    config, store = opened(arguments)
    show(found(config, store), store, terminal())


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
