"""Asks the running launches of a sweep for something, from any machine that sees the store.

python -m sweeps.steer pause sweep=temperature                    # lanes finish what they hold and wait
python -m sweeps.steer resume sweep=temperature
python -m sweeps.steer stop sweep=temperature                     # lanes finish what they hold, the launch ends
python -m sweeps.steer add sweep=temperature sweep.seeds=32       # more seeds, or cells: a sweep that has them
python -m sweeps.steer first sweep=temperature sweep.seeds=4      # these before all others
"""

import sys

from em.cli.command import run_command
from em.errors import InputError, require_known
from em.store import Store
from sweeps.board import ask, notices
from sweeps.config import compose_launch

ACTIONS = ("pause", "resume", "stop", "add", "first")


def main(arguments: list[str]) -> None:
    action, *overrides = arguments or [""]
    require_known("action", action, ACTIONS)
    config = compose_launch(overrides)  # a mistake is said here, not there
    store = Store(config.store)
    live = [notice for notice in notices(store, config.sweep.name) if notice.is_live]
    if not live:
        start = f"start one with `make sweep-{config.sweep.name}`"
        raise InputError(f"sweep={config.sweep.name}: no launch of it is running on store={config.store}; {start}")
    answers = [(notice.folder, ask(store, notice, action, overrides)) for notice in live]
    for name, answer in answers:
        print(f"{name}: {answer}")
    if any(answer.startswith("error: ") for _, answer in answers):
        sys.exit(2)


if __name__ == "__main__":
    run_command(main, __doc__)
