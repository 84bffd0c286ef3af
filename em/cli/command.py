"""The frame of every `python -m ...`: help, one-line errors, exit statuses."""

import sys
from collections.abc import Callable

from em.cli.compose import CONF
from em.errors import InputError


def run_command(command: Callable[[list[str]], None], usage: str | None) -> None:
    """Run the body of a `python -m ...`: help on -h; an InputError is one line and exit status 2, Ctrl-C 130."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        groups = sorted(path.name for path in CONF.iterdir() if path.is_dir())
        print(f"{usage}\nChoices lie in conf/: {', '.join(groups)}.")
        return
    try:
        command(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
