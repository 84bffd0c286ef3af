"""Hydra's own flags, as its users know them: what prints is handed to Hydra, and the others say what to do instead."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser

from em.cli.compose import Root
from em.cli.overrides import CONF
from em.errors import InputError, require_known

PRINTING = ("cfg", "info", "shell_completion", "hydra_help")  # and what goes with them: --package, --resolve
COMPLETION = [f"{action}={shell}" for action in ("install", "uninstall", "query") for shell in ("bash", "fish", "zsh")]
INSTEAD = {
    "multirun": "not needed, `python -m sweeps` takes several values as they are, optimizer.lr=1e-5,2e-5",
    "run": "not needed, leave it out",
    "config_path": "configs lie in conf/: add a file there",
    "config_dir": "configs lie in conf/: add a file there",
    "config_name": "a trial is conf/trial.yaml, a launch conf/launch.yaml: choose within them, model=NAME",
    "experimental_rerun": "`python -m em.rerun UNIT_ID` runs a failed attempt again",
    "package": "goes with --cfg",
    "resolve": "goes with --cfg",
}


def answer_flags(words: Sequence[str], root: Root | None) -> bool:
    """Print what Hydra's flags among the words ask for; False where there are none.

    Raises InputError for those that have no place here.
    """
    if not any(word.startswith("-") for word in words):
        return False
    parser = get_args_parser()
    parser.error = refuse
    if root is None:
        raise InputError(f"{' '.join(words)}: flags are of `python -m em` and `python -m sweeps`; here: -h")
    given = parser.parse_intermixed_args(words)
    asked = [name for name in PRINTING if getattr(given, name)]
    for name, instead in INSTEAD.items():
        if getattr(given, name) and not (asked and name in ("package", "resolve")):
            raise InputError(f"--{name.replace('_', '-')}: {instead}")
    if len(asked) > 1:
        raise InputError(f"--{' --'.join(asked).replace('_', '-')}: one at a time")
    if given.shell_completion:
        require_known("shell completion", " ".join(given.overrides), COMPLETION)
    else:
        overrides = root.words(given.overrides)
        root.compose(overrides)  # says what is wrong in one line
        words = [*(word for word in words if word not in given.overrides), *overrides]
    show(root, words)
    return True


def refuse(message: str) -> NoReturn:
    raise InputError(message)


def show(root: Root, words: Sequence[str]) -> None:
    """What a plain Hydra application on conf/ prints for these words."""
    root.register()
    sys.argv[1:] = words
    if "COMP_LINE" in os.environ:  # a line to complete, which may have axes already: to Hydra these are of --multirun
        os.environ["COMP_LINE"] = os.environ["COMP_LINE"].replace(" ", " --multirun ", 1)
    hydra.main(config_path=str(CONF), config_name=root.name, version_base="1.3")(refuse_to_run)()


def refuse_to_run(_: object) -> NoReturn:
    raise AssertionError("asked to print, not to run")
