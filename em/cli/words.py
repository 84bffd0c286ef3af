"""The words of a command line before Hydra reads them: what needs quotes, and how to write them."""

import re
import shlex
from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, Transformer
from hydra.errors import HydraException

from em.errors import InputError
from em.paths import expanded
from em.trial.fields import literal

PIECE = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\$\{[^}]*\}|[^,()\[\]{}'"]+""", re.DOTALL)
KEY = re.compile(r"\s*(?:[\w.-]+\s*:)?\s*")  # before an item of a dict
PLAIN = re.compile(r"[\w/\\+.$%*@?|:\s-]", re.ASCII)  # what Hydra takes without quotes


def read(word: str) -> Override:
    """The word as Hydra reads it, where `~` needs no quotes.

    Raises InputError, with what to write instead, for one that is no override.
    """
    name, equals, value = word.partition("=")
    if not name.strip("+~@/ ") or not (equals or name.startswith("~")):
        raise InputError(f"cannot read {word!r}: overrides are written name=value")
    word = f"{name}{equals}{quote_items(value, lambda item: '~' in item)}"
    try:
        return parsed(word)
    except HydraException as error:
        raise unreadable(word, f"{name}=", value, error) from None


def parsed(word: str) -> Override:
    """Raises HydraException for what is no override, whatever Hydra raises."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        raise
    except Exception as error:
        raise HydraException(f"{type(error).__name__}: {error}") from error


def is_readable(word: str) -> bool:
    try:
        return bool(parsed(word))
    except HydraException:
        return False


def unreadable(word: str, name: str, value: str, error: Exception) -> InputError:
    """What Hydra's grammar does not take: which character, and the word as a shell takes it."""
    if not is_readable(f"{name}1"):
        return InputError(f"cannot read {word!r}: {name[:-1]!r} is no name; one is written as in rollout.temperature=1")
    start = getattr(error.__cause__, "startIndex", None)  # of the lexer
    odd = word[start] if isinstance(start, int) else next((it for it in value if not PLAIN.match(it)), value[-1:])
    reason = str(error).splitlines()[0] + ", " if "while evaluating" in str(error) else ""
    listed = name + quote_items(value, lambda item: odd in item)
    written = shlex.quote(listed) if value[:1] in ("[", "{") and is_readable(listed) else in_quotes(name, value)
    return InputError(f"cannot read {word!r}: {reason}{odd!r} has to be in quotes{there_is(value)}: {written}")


def there_is(value: str) -> str:
    """What speaks for a value that is meant as it stands."""
    try:
        return ", there is a file of that name" if expanded(value).exists() else ""
    except (OSError, ValueError):
        return ""


def quote_items(value: str, odd: Callable[[str], bool]) -> str:
    """The value, with quotes around those of its items that are odd and have none."""
    nested = value.lstrip()[:1] in ("[", "{")

    def quote(match: re.Match[str]) -> str:
        item = match[0]
        if item[0] in "'\"" or item.startswith("${") or not odd(item):
            return item
        key = KEY.match(item) if nested else None
        start = key.end() if key else len(item) - len(item.lstrip())
        return item[:start] + as_text(item[start:].rstrip())

    return PIECE.sub(quote, value)


def in_quotes(name: str, value: str) -> str:
    """`name=` and a text, to be pasted into a shell."""
    return shlex.quote(name + as_text(value))


def as_text(value: str) -> str:
    """A text in quotes, as Hydra takes it: whatever it holds, it is no number, list, function or interpolation."""
    return text(QuotedString(literal(value), Quote.double))


def unquoted(value: str) -> str:
    """The text of a value that may be in Hydra's quotes."""
    try:
        given = parsed(f"x={value}").value()
    except HydraException:
        return value
    return given if isinstance(given, str) and value[:1] in ("'", '"') else value


def text(value: Any) -> str:
    """A value as Hydra writes it."""
    return Transformer.str(value)


def quoted(value: object) -> object:
    """A value whose texts are in quotes: they may look like a number, or hold a comma."""
    match value:
        case str():
            return QuotedString(value, Quote.single)
        case list():
            return [quoted(item) for item in value]
        case dict():
            return {key: quoted(item) for key, item in value.items()}
    return value
