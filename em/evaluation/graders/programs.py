"""Which part of an answer is the program.

The names that the tests take from it decide.  Blocks of code are looked through from the last to the first, and a block
is taken if it binds a name that is wanted and not bound by a later one.  What a taken block uses, and nobody binds so
far, is wanted too: so a helper, or an import, in a block of its own comes along, and a block that only shows how the
function is used, tests it or prints does not.  The blocks that were taken are joined in their order.

Blocks that have an end come before one that has none, and those of Python or of no language are looked at alone.  If no
block binds a wanted name, the program is the last block that defines a function or class, else the last that binds a
name, else the last; blocks of Python come first in this, since one of no language may be a program's output.
"""

import builtins
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from em.evaluation.sandbox.script import Names, compiler, names_of

OPENING = re.compile(r"[^\n`]*?(`{3,})([^\n`]*)$")
SPAN = re.compile(r"```(?:python3?|py)[ \t]+([^\n`]+)```", re.IGNORECASE)  # a block that is one line
LANGUAGES = ("python", "py", "python3")
PROGRAM_START = re.compile(r"(?:async def|def|class|from|import)\s|@\w")
DEFINES = re.compile(r"^(?:(?:async )?def |class |\w+ *= *lambda\b)", re.MULTILINE)
BINDS = re.compile(r"^\w+ *=(?!=)", re.MULTILINE)
TRIES = 100  # programs compiled in search of one within prose: a tenth of a second
PARTS = 8  # that end in [DONE]
ENDS = 8  # fences that may be the end of one block
UNCOMPILED = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)  # what compile() makes of any text
BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True)
class Block:
    source: str
    language: str
    closed: bool

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        return bool(DEFINES.search(self.source)), bool(BINDS.search(self.source)), bool(self.language)


def extract(text: str, wanted: Collection[str] = ()) -> str | None:
    """The program in an answer, for tests that want these names; None: there is none.  It may not compile.

    In this order: fenced blocks; what stands before [DONE]; all of the text; its longest part that compiles.  Of
    several parts that end in [DONE] it is the first that binds a wanted name (base models go on with a next problem),
    else the first.
    """
    text = text.removeprefix("\ufeff")
    parts = text.split("[DONE]", PARTS)[:PARTS]
    first = None
    ended = text.count("[DONE]")
    for number, part in enumerate(parts):
        program = _in_part(part, number < ended, wanted)
        if program is not None and set(wanted) & bound(program):
            return program
        first = program if number == 0 else first
    return first


def is_final(text: str, wanted: Collection[str]) -> bool:
    """Whether `extract` reads no further: a part that ends in [DONE] binds a wanted name, or no more parts are read."""
    *ended, _ = text.removeprefix("\ufeff").split("[DONE]", PARTS)
    programs = (_in_part(part, done=True, wanted=wanted) for part in ended)
    return len(ended) == PARTS or any(program and set(wanted) & bound(program) for program in programs)


def _in_part(text: str, done: bool, wanted: Collection[str]) -> str | None:
    fenced = [*blocks(text)]
    if fenced:
        return chosen(fenced, wanted)
    text = _dedented(text.rpartition("[BEGIN]")[2])
    if not text:
        return None
    return text if done or fault(text) is None else _leading(text.split("\n"), wanted)


def chosen(found: Sequence[Block], wanted: Collection[str]) -> str | None:
    closed = [block for block in found if block.closed]
    for candidates in (closed, found):
        taken, open_names = list[int](), set(wanted)
        names = [names_in(block.source) for block in candidates]
        for number in reversed(range(len(candidates))):
            if open_names & names[number].bound:
                taken.append(number)
                later = frozenset().union(*(names[other].bound for other in taken))
                open_names = (open_names | names[number].used) - BUILTINS - later
        if any(set(wanted) & names[number].bound for number in taken):
            joined = "\n".join(candidates[number].source for number in sorted(taken))
            return joined if fault(joined) is None else candidates[taken[0]].source
    best = closed or found
    return max(reversed(best), key=lambda block: block.rank).source if closed else best[-1].source


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of Python or of no language, in their order."""
    lines, number = text.split("\n"), 0
    while number < len(lines):
        line = lines[number]
        number += 1
        yield from (Block(span.strip(), "python", True) for span in SPAN.findall(line) if fault(span.strip()) is None)
        opening = OPENING.match(re.sub(r"```[^`]+```", "", line))
        if not opening:
            continue
        end, source = _end(lines, number, opening[2], opening[1])
        words = opening[2].split()
        language = words[0].lower() if words else ""
        if source and (not language or language in LANGUAGES):
            yield Block(source, language, end < len(lines))
        number = end + 1


def _end(lines: Sequence[str], start: int, info: str, fence: str) -> tuple[int, str]:
    """Where a block ends, and what it holds: at the first fence behind which it compiles (there are fences within
    docstrings), else at the first."""
    ends = [number for number in range(start, len(lines)) if fence in lines[number]]
    first = None
    rest = info.strip().partition(" ")[2].strip()  # code that begins beside the name of the language
    for end in ends[:ENDS] or [len(lines)]:
        tail = [lines[end].partition(fence)[0]] if end < len(lines) else []
        source = _dedented("\n".join([*([rest] if PROGRAM_START.match(rest) else []), *lines[start:end], *tail]))
        if fault(source) is None:
            return end, source
        first = first or (end, source)
    assert first is not None
    return first


def bound(source: str) -> frozenset[str]:
    return names_in(source).bound


@lru_cache(maxsize=64)
def names_in(source: str) -> Names:
    """None at all of what does not compile."""
    if fault(source) is not None:
        return Names(frozenset(), frozenset())
    return names_of(source)


def _dedented(source: str) -> str:
    """Without blank lines around it, and without the margin of a fenced block in a list."""
    source = source.strip("\r\n").rstrip()
    if source[:1].isspace():
        source = textwrap.dedent(source).strip()
    return source


def _leading(lines: list[str], wanted: Collection[str]) -> str | None:
    """The longest part that compiles, from the first line on that begins like a program, gives any, and binds a wanted
    name, if there is such a line."""
    tries, first, start = TRIES, None, 0
    while start < len(lines) and tries:
        end, program = len(lines) if PROGRAM_START.match(lines[start]) else start, None
        while end > start and tries and program is None:
            tries -= 1
            source = "\n".join(lines[start:end])
            line = fault(source)
            if line is None:
                program = source.rstrip()
            else:  # no part with the line at fault compiles
                end = min(end - 1, start + line - 1) if line else end - 1
        if program is not None:
            if not wanted or set(wanted) & bound(program):
                return program
            first = first or program
        start = max(end, start + 1)
    return first


@lru_cache(maxsize=64)  # a block is asked about several times
def fault(source: str) -> int | None:
    """None where the source compiles, else the line at fault, from 1; 0 where Python names none."""
    with compiler():
        try:
            compile(source, "<answer>", "exec", dont_inherit=True)
        except UNCOMPILED as error:
            return (error.lineno or 0) if isinstance(error, SyntaxError) else 0
    return None
