"""Where an answer repeats itself: its last tokens are one span, over and over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True)
class Loop:
    """What counts as one: a span of at most `longest` tokens that the last tokens repeat, exactly and in a row, at
    least `times` times and for `tokens` tokens in all.

    Hundreds of equal tokens are no loop yet: a decimal's digits, a matrix of zeros and a table of equal rows are
    legitimate, and take fewer.  A paragraph comes several times before it counts.
    """

    longest: int = 256
    times: int = 4  # three at least
    tokens: int = 512

    def needed(self, span: int) -> int:
        """Tokens in a row that are each equal to the one a span before: all of the loop but its first span."""
        return max(self.tokens, self.times * span) - span

    @cached_property
    def fewest(self) -> int:
        """What any loop needs."""
        return min(map(self.needed, range(1, self.longest + 1)))


class Repeats:
    """Reads an answer of at most `limit` tokens as they come, in pieces of any size.

    It ends at the place in its span at which the limit would end the same loop, so that its last words are those that
    it would have had: a loop may go back and forth between two answers.
    """

    def __init__(self, loop: Loop, limit: int) -> None:
        self.loop, self.left = loop, limit  # tokens, of which none has been read
        self.tail = min(16, loop.fewest // 2)  # tokens that are compared first: most texts have them nowhere else
        self.stride = loop.fewest - self.tail  # of what becomes a loop within so many, the tail was there twice
        self.kept = max(loop.tokens, loop.times * loop.longest)
        self.last = np.array([], dtype=np.int64)

    def read(self, new: Sequence[int]) -> int | None:
        """With how many of the new tokens the answer first is at such a place of a loop; None: with none."""
        for start in range(0, len(new), self.stride):
            if count := self._read(new[start : start + self.stride]):
                return start + count
        return None

    def _read(self, new: Sequence[int]) -> int | None:
        known, spans = len(self.last), self._spans()
        tokens = np.concatenate([self.last, np.asarray(new)])
        self.last = tokens[-self.kept :]
        counts = [count for span in spans if (count := self._first(tokens, known, span))]
        self.left -= len(new)
        return min(counts) - known if counts else None

    def _spans(self) -> Iterable[int]:
        """After how many tokens the last ones came again."""
        recent = self.last[-self.loop.longest - self.tail :]
        if len(recent) <= self.tail:
            return []
        tails = sliding_window_view(recent, self.tail)
        return len(tails) - 1 - np.flatnonzero((tails[:-1] == tails[-1]).all(axis=1))

    def _first(self, tokens: np.ndarray, known: int, span: int) -> int | None:
        """How many of the tokens, more than are known, end in a loop of this span, as many spans before the limit."""
        needed = self.loop.needed(span)
        low = max(span, known - needed)
        differ = low + np.flatnonzero(tokens[low:] != tokens[low - span : -span])
        place = int(np.searchsorted(differ, known))
        begin = int(differ[place - 1]) + 1 if place else low
        end = int(differ[place]) if place < len(differ) else len(tokens)
        count = max(begin + needed, known + 1)
        count += (known + self.left - count) % span
        return count if count <= end else None
