"""Keys are read from the environment and never written: not to records, boards, logs or a terminal."""

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

MASK = "***"
SHORTEST = 8  # characters of a key; what is shorter may be part of any word
VARIABLE = re.compile(r"(TOKEN|API_KEY|ACCESS_KEY|ACCESS_KEY_ID|SECRET|PASSWORD)$")  # whose value is a key
IN_URL = re.compile(r"(?<=://)[^\s/:@]*:(?!\d+/)[^\s@]+(?=@)")  # user:password
SHAPES = re.compile(r"\bhf_\w{20,}|\bAKIA[0-9A-Z]{16}\b|(?<=Bearer )[\w.~+/=-]+")  # also of keys that lie in files


def keys() -> Iterator[str]:
    """Those of this process's environment, as they are and as a URL spells them."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and VARIABLE.search(name.upper()):
            yield from (value, quote(value, safe=""))


def masked(text: str) -> str:
    """The text with *** in place of each key, and of a URL's user and password."""
    if len(text) < SHORTEST:
        return text
    for key in sorted(keys(), key=len, reverse=True):  # one may begin another
        text = text.replace(key, MASK)
    return SHAPES.sub(MASK, IN_URL.sub(MASK, text))
