"""Errors that a user can mend: one line with field, value and remedy; the command line prints no traceback for them."""

import difflib
import math
from collections.abc import Iterable

from em.masking import masked

CHOICES = 50  # names that an error lists


LONGEST = 2000  # characters of an error
LONGEST_NAME = 100  # bytes, of 255 that a file's may have and 128 that W&B takes


class InputError(ValueError):
    """Something that was asked for cannot be; the message is one line and names what to do."""

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in masked(message))
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}")


class UnavailableError(InputError):
    """Something that was asked for is not to be had here and now; elsewhere, or later, it may be."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line: its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like it, whatever its capitals."""
    small = {item.lower(): item for item in valid}
    near = difflib.get_close_matches(name.lower(), small, n=1)
    return small[near[0]] if near else None


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """The error for a name that is not among the valid ones; it suggests the nearest."""
    names = sorted(valid)
    near = nearest(name, names)
    choice = ", ".join(names[:CHOICES]) + ", ..." * (len(names) > CHOICES)
    hint = f"did you mean {near!r}?" if near else f"choose from {choice}"
    return InputError(f"unknown {kind} {name!r}: {hint}")


def require(holds: bool, field_path: str, value: object, remedy: str) -> None:
    """Raise the InputError `field_path=value: remedy` unless the condition holds."""
    if not holds:
        raise InputError(f"{field_path}={value}: {remedy}")


def require_no_key(field_path: str, text: str) -> None:
    """Raise InputError where the text holds a key, or a URL with user and password: a config is recorded."""
    names = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, HF_TOKEN, PGPASSWORD, WANDB_API_KEY"
    require(masked(text) == text, field_path, text, f"would be recorded; leave the key out and export it: {names}")


def require_positive(owner: str, **values: float) -> None:
    for name, value in values.items():
        require(value > 0 and math.isfinite(value), f"{owner}.{name}", value, "must be a number greater than 0")


def require_known(kind: str, name: str, valid: Iterable[str]) -> None:
    """Raise the error of `unknown_name` unless the name is among the valid ones."""
    names = list(valid)
    if name not in names:
        raise unknown_name(kind, name, names)


def require_file_name(field_path: str, name: str) -> None:
    """Raise InputError unless files, and W&B's runs and projects, can be called so, with what is put behind it."""
    fits = 0 < len(name.encode(errors="replace")) <= LONGEST_NAME and name.isprintable() and name.strip() == name
    remedy = f"give a name that can be a file's: at most {LONGEST_NAME} bytes, none of them '/', not '.' or '-' first"
    require(fits and "/" not in name and name[0] not in ".-", field_path, repr(name), remedy)
