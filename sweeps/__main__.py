"""A sweep: plan it, run what is missing, draw its figures.

    python -m sweeps sweep=temperature
    python -m sweeps optimizer.lr=1e-5,2e-5,5e-5 'seed=range(0,4)'      # several values are an axis
    python -m sweeps sweep=temperature objective=paper,reference_code   # ... beside those of the sweep's file

The same command again goes on where it was stopped, and ends at once where nothing is missing.
"""

import sys
from collections.abc import Callable

from rich.console import Console

from em.cli.command import run_command, terminal
from em.errors import InputError
from em.store import Store
from sweeps.config import LAUNCH, Launch, compose_launch
from sweeps.figures import check_all, draw_all, listing
from sweeps.plan import describe, plan, quoted
from sweeps.protocol import TRAINER, insist
from sweeps.source import Growing, Source, settled, source_of


def main(
    arguments: list[str], trainer: str = TRAINER, source_of: Callable[[Launch, Store], Source] = source_of
) -> None:
    config = compose_launch(arguments)
    store, console = Store(config.store, decides=True), terminal()
    source, spent = source_of(config, store), ""
    planned, shown = plan(config, store, source), settled(config, store, source)
    console.print(describe(shown, planned, store), highlight=False, soft_wrap=True)
    if planned.todo and config.cluster.is_submitted:
        from sweeps.slurm import submit

        check_all(shown)
        console.print("\n".join(quoted(config, planned, store, source)), highlight=False, soft_wrap=True)
        cluster = config.cluster
        said = submit(cluster, cluster.bundle(cluster.gpus_per_node), config.sweep.name, arguments)
        console.print("\n".join(said), highlight=False, soft_wrap=True)
        return
    if planned.todo:
        from sweeps.launch import launch
        from sweeps.supervisor import SpentError

        check_all(shown)  # what cannot be drawn is said before it is trained
        store.set_aside(planned.damaged)
        try:
            config = launch(config, arguments, source, planned, store, console, trainer)
        except SpentError as error:
            spent = str(error)
            console.print(f"stopped: {spent}", highlight=False, soft_wrap=True)
        except KeyboardInterrupt:
            left = plan(config, store, source)
            console.print(f"stopped: {left.recorded} of {len(left.wanted)} recorded; the same command goes on")
            sys.exit(130)
        seconds = config.cluster.outage_seconds
        source = source_of(config, store)
        planned = insist(lambda: plan(config, store, source), seconds, console.print)
        for trial_id, step in () if planned.todo else planned.unneeded:  # a launch that was killed left them
            store.states.drop_end(trial_id, step)
    # What is still to do after a launch that was not stopped would fail again, unless it is wanted by the last results.
    todo = [] if spent else planned.todo
    left = sum(not planned.attempts[unit.id] for unit in todo) if source.follows_results else 0
    given_up = len(planned.given_up) + len(todo) - left
    if given_up:
        console.print(f"{given_up} trials failed too often and were given up; `make failures` says why")
    if left:
        console.print(f"{left} trials are left; the same command goes on with them")
    shown = settled(config, store, source)
    try:
        drawn = draw_all(shown, store, console)
    except InputError:
        if not spent:
            raise
        drawn = {}  # nothing is there yet
    if isinstance(source, Growing):
        say_all(source, store, console)
    if shown.parts or spent:
        console.print(listing(shown, drawn, store))
    if given_up or left:
        sys.exit(1)


def say_all(source: Growing, store: Store, console: Console) -> None:
    """What came out, and where else it is shown."""
    lines = source.said(store.records()[0])
    try:
        lines += source.publish()
    except InputError as error:
        lines.append(f"  not shown: {error}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def command() -> None:
    run_command(main, __doc__, LAUNCH)


if __name__ == "__main__":
    command()
