"""The frame of every command: its words, help, Hydra's flags, one-line errors, exit statuses."""

import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any

from rich.console import Console

from em import temporary
from em.cli.compose import Root
from em.cli.flags import answer_flags
from em.cli.help import describe
from em.cli.words import unquoted
from em.errors import InputError, require_known
from em.masking import masked
from em.paths import one_line


def run_command(command: Callable[[list[str]], None], usage: str | None, root: Root | None = None) -> None:
    """Run the body of a command: help on -h; an InputError is one line and exit status 2, Ctrl-C 130.

    `root` is what the command composes, where all its words are overrides: then it takes Hydra's flags too.
    """
    words = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(words):
            print(describe(usage or "", root, [word for word in words if word not in ("-h", "--help")]))
        elif not answer_flags(words, root):
            temporary.settle()
            with one_line():
                command(words)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # not foreseen: all of it, but no key
        print(masked(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)


def terminal(**options: Any) -> Console:
    """The terminal, on which names and values are shown as they are, whatever brackets and colons they hold."""
    return Console(markup=False, emoji=False, **options)


def read_words(words: Sequence[str], options: Collection[str] | None = None) -> tuple[list[str], dict[str, str]]:
    """The words that name something, and the values of the `name=value` ones, without Hydra's prefixes and quotes.

    Raises InputError for a name that is not among the options, where these are given.
    """
    pairs = (word.lstrip("+~").partition("=") for word in words if "=" in word)
    given = {name: unquoted(value) for name, _, value in pairs}
    if options is not None:
        for name in given:
            require_known("option", name, options)
    return [word for word in words if "=" not in word], given
