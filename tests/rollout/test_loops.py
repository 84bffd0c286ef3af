"""What counts as a loop, and that it is found at its first token, in whatever pieces an answer comes."""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from em.rollout.loops import Loop, Repeats

LOOPS = [Loop(4, 3, 9), Loop(5, 3, 12), Loop(3, 4, 20), Loop(6, 3, 3), Loop(8, 3, 30)]
TEXT = list(range(1000, 2000))


def by_definition(ids: Sequence[int], loop: Loop, limit: int) -> int | None:
    for count in range(1, len(ids) + 1):
        for span in range(1, loop.longest + 1):
            first = count - max(loop.tokens, loop.times * span)
            is_place = first >= 0 and (limit - count) % span == 0
            if is_place and all(ids[place] == ids[place - span] for place in range(first + span, count)):
                return count
    return None


def found(ids: Sequence[int], loop: Loop, pieces: Iterator[int], limit: int = 3072) -> int | None:
    repeats, start = Repeats(loop, limit), 0
    while start < len(ids):
        piece = ids[start : start + next(pieces)]
        if count := repeats.read(piece):
            return start + count
        start += len(piece)
    return None


def answers(count: int) -> Iterator[list[int]]:
    """Spans that come again up to five times, broken off anywhere, between other tokens."""
    draw = random.Random(0)
    for _ in range(count):
        ids: list[int] = []
        while len(ids) < 80:
            span = [draw.randrange(2) for _ in range(draw.randint(1, 9))]
            ids += span * draw.randint(0, 5) + span[: draw.randrange(9)]
            ids += [draw.randrange(4) for _ in range(draw.randint(0, 5))]
        yield ids


def test_the_first_token_at_which_the_definition_holds():
    draw = random.Random(1)
    expected, seen = [], []
    for ids in answers(400):
        loop = draw.choice(LOOPS)
        limit = draw.randint(len(ids), 200)
        expected.append(by_definition(ids, loop, limit))
        seen.append(found(ids, loop, iter(lambda: draw.choice([1, 2, 5, 20, 64]), None), limit))
    assert seen == expected
    assert 80 < seen.count(None) < 320


@pytest.mark.parametrize("span", [1, 2, 7, 100, 128, 200, 256])
def test_of_an_answer_that_loops_so_much_is_kept(span):
    """512 tokens of the loop, or four spans of it; a token that differs begins it anew."""
    kept = max(512, 4 * span)
    looping = [number % span for number in range(3072)]
    whole = len(TEXT) + kept
    assert found(TEXT + looping, Loop(), iter(lambda: 64, None), limit=whole + 5 * span) == whole
    broken = [*looping[: kept - 1], -1, *looping]
    assert found(TEXT + broken, Loop(), iter(lambda: 64, None), limit=whole + kept) == whole + kept


@pytest.mark.parametrize("span", [1, 2, 7, 100, 256])
@pytest.mark.parametrize("limit", [2500, 3001, 3072])
def test_an_ended_loop_ends_as_the_limit_would_have_ended_it(span, limit):
    answer = (TEXT + [number % span for number in range(3072)])[:limit]
    count = found(answer, Loop(), iter(lambda: 64, None), limit)
    assert count is not None
    assert len(TEXT) + 512 <= count < len(TEXT) + max(512, 4 * span) + span
    assert answer[:count][-500:] == answer[-500:]


def tokens(text: str) -> list[int]:
    """A token for each character: several times as many as a tokenizer of words makes of it."""
    return list(text.encode())


@pytest.mark.parametrize(
    "ids",
    [
        tokens("x = 0." + "3" * 500 + "..."),
        tokens("10^{400} = 1" + "0" * 400),
        tokens(r"\begin{pmatrix}" + (" & ".join("0" * 9) + r" \\ ") * 9 + r"\end{pmatrix}"),
        tokens("".join(f"{n} + {n} = {2 * n}, " for n in range(100))),
        tokens("".join(f"| {n:03b} | T | F | T | F |\n" for n in range(8)) * 3),
        tokens("- [ ] item\n" * 40),
        tokens("    result.append(0)\n" * 20),
        tokens("-" * 80 + "\n" + " " * 400 + "=" * 80),
        [number % 257 for number in range(3072)],  # longer than the longest span
        list(range(255)) * 3,  # a paragraph, three times
    ],
    ids=["decimal", "power", "matrix", "sums", "table", "list", "code", "rules", "long", "thrice"],
)
def test_legitimate_repetition_is_no_loop(ids):
    assert found(TEXT + ids + TEXT, Loop(), iter(lambda: 64, None)) is None


@pytest.mark.skipif("EM_BENCHMARK_DATA" not in os.environ, reason="EM_BENCHMARK_DATA names no folder of benchmarks")
def test_no_line_of_the_benchmarks_holds_a_loop_of_bytes():
    files = Path(os.environ["EM_BENCHMARK_DATA"]).glob("*.jsonl")
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    assert len(lines) > 2000
    assert not any(found(list(line), Loop(), iter(lambda: 256, None), len(line)) for line in lines)
