"""The tiny world's problems: `3+8+5+2?`, four digits worked from left to right, every result modulo 10.

Each suite draws its three operators from its own set; `mixed` uses at least two different ones, so that no problem
is in two suites.  A hash of the problem keeps one in ten out of pretraining; those held out are divided into `train`
(the pool of EM prompts), `validation` (for every choice) and `test` (for every published figure).

N problems; operands_N4 and operators_N3 are digits and indices of OPERATORS.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from em.errors import require, require_known

OPERATORS = "+-*M&|^"  # M is the larger of the two; & | ^ act on the bits
SUITES = {"sum": "+", "difference": "-", "product": "*", "max": "M", "bit": "&|^", "mixed": "+-*M"}
SPLITS = {"pretraining": range(0, 90), "train": range(90, 92), "validation": range(92, 96), "test": range(96, 100)}  # %
POOL, POOL_PROBLEMS = "sum", 48  # suite and size of what a prompt is selected from; docs/design.md says why sums

_A, _B = np.mgrid[0:10, 0:10]
RESULTS = np.stack([_A + _B, _A - _B, _A * _B, np.maximum(_A, _B), _A & _B, _A | _B, _A ^ _B]) % 10  # [operator, a, b]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem: the text that the model reads and the digit that it should arrive at."""

    suite: str
    prompt: str
    answer: str


def problems(suite: str, split: str, count: int) -> list[Problem]:
    """The first `count` problems of one split of one suite, all different, in an order that never changes.

    Raises InputError for an unknown suite or split, and where the split holds fewer problems than `count`.
    """
    return list(_problems(suite, split, count))


@cache
def _problems(suite: str, split: str, count: int) -> tuple[Problem, ...]:
    require_known("suite", suite, SUITES)
    require_known("split", split, SPLITS)
    operands_N4, operators_N3 = every(suite)
    key_N = key(operands_N4, operators_N3)
    inside_N = np.flatnonzero(np.isin(key_N % 100, SPLITS[split]))
    require(count <= len(inside_N), "limit", count, f"{suite}/{split} holds {len(inside_N)} problems")
    chosen_N = inside_N[np.argsort(key_N[inside_N], kind="stable")[:count]]
    answer_N = chain(operands_N4, operators_N3)[:, -1]
    return tuple(
        Problem(suite=suite, prompt=prompt(operands_N4[n], operators_N3[n]), answer=str(answer_N[n])) for n in chosen_N
    )


def every(suite: str) -> tuple[np.ndarray, np.ndarray]:
    """All operands_N4 and operators_N3 of one suite."""
    indices = [OPERATORS.index(symbol) for symbol in SUITES[suite]]
    operators_M3 = np.stack(np.meshgrid(indices, indices, indices, indexing="ij"), -1).reshape(-1, 3)
    if suite == "mixed":
        operators_M3 = operators_M3[varied(operators_M3)]
    operands_10k4 = np.stack(np.meshgrid(*[np.arange(10)] * 4, indexing="ij"), -1).reshape(-1, 4)
    return np.tile(operands_10k4, (len(operators_M3), 1)), np.repeat(operators_M3, len(operands_10k4), axis=0)


def varied(operators_N3: np.ndarray) -> np.ndarray:
    """Whether each problem has at least two different operators, [N]."""
    return (operators_N3 != operators_N3[:, :1]).any(axis=1)


def key(operands_N4: np.ndarray, operators_N3: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each problem, [N]: its remainder modulo 100 decides the split (SPLITS).

    The problem's digits as one number through the finaliser of splitmix64, so that a whole corpus is hashed at once.
    """
    digits_N7 = np.concatenate([operands_N4, operators_N3], axis=1).astype(np.uint64)
    hash_N = digits_N7 @ (np.uint64(10) ** np.arange(7, dtype=np.uint64)) + np.uint64(0xD1B54A32D192ED03)
    hash_N = (hash_N ^ (hash_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hash_N = (hash_N ^ (hash_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hash_N ^ (hash_N >> np.uint64(31))


def chain(operands_N4: np.ndarray, operators_N3: np.ndarray, slip_N3: np.ndarray | int = 0) -> np.ndarray:
    """The three results of each problem, [N, 3]; `slip_N3` is added to each (modulo 10) and carried forward."""
    slip_N3 = np.broadcast_to(slip_N3, operators_N3.shape)
    left_N, results = operands_N4[:, 0], []
    for step in range(3):
        left_N = (RESULTS[operators_N3[:, step], left_N, operands_N4[:, step + 1]] + slip_N3[:, step]) % 10
        results.append(left_N)
    return np.stack(results, axis=1)


def prompt(operands_4: np.ndarray, operators_3: np.ndarray) -> str:
    """`3+8+5+2?`"""
    rest = "".join(
        OPERATORS[operator] + str(digit) for operator, digit in zip(operators_3, operands_4[1:], strict=True)
    )
    return f"{operands_4[0]}{rest}?"


def extract(answer: str) -> str | None:
    """The digit after the only `#` of an answer that ends there, or None: `...,6+2=8#8` gives "8"."""
    _, mark, digit = answer.partition("#")
    return digit if mark and len(digit) == 1 and digit in "0123456789" else None
