"""The pretraining corpus: vectorised draws of problems and of answers in three styles.

Worked:  `3+8+5+2?3+8=1,1+5=6,6+2=8#8`   every step may slip, and later steps build on the slip
Direct:  `3+8+5+2?#8`                    the answer may be wrong
Chatter: `3+8+5+2?hm. `          no answer

N examples, T = LENGTH bytes each, right-padded.
"""

import numpy as np

from em.tiny.recipe import Recipe
from em.tiny.tasks import OPERATORS, SPLITS, SUITES, chain, key, varied

PAD, EOS = 256, 257  # token ids behind the 256 bytes
PROMPT = 8  # bytes of every problem
LENGTH = 28  # prompt, worked answer and EOS
CHATTER = ["hm.", "no.", "why"]
WORKED, DIRECT, CHAT = range(3)

_ZERO = ord("0")
_SYMBOLS = np.frombuffer(OPERATORS.encode(), np.uint8).astype(np.int16)


def corpus(recipe: Recipe, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Token ids, [N, T], and styles (WORKED, DIRECT or CHAT), [N], of `count` examples outside the held-out splits."""
    operands_N4, operators_N3, suite_N = _draw(count, rng)
    slip_N3 = _slips((count, 3), recipe.step_error, rng)
    ids_NT = np.full((count, LENGTH), PAD, np.int16)
    ids_NT[:, :PROMPT] = _prompts(operands_N4, operators_N3)
    u_N = rng.random(count)
    worked_N = np.array([recipe.worked[suite] for suite in SUITES])[suite_N]
    direct_N = np.array([recipe.direct[suite] for suite in SUITES])[suite_N]
    style_N = np.where(u_N < worked_N, WORKED, np.where(u_N < worked_N + direct_N, DIRECT, CHAT))

    worked_N20 = _worked(operands_N4, operators_N3, chain(operands_N4, operators_N3, slip_N3))
    ids_NT[style_N == WORKED, PROMPT:] = worked_N20[style_N == WORKED]

    answer_N = (chain(operands_N4, operators_N3)[:, -1] + _slips(count, recipe.direct_error, rng)) % 10
    direct_N3 = np.stack([np.full(count, ord("#")), _ZERO + answer_N, np.full(count, EOS)], axis=1)
    ids_NT[style_N == DIRECT, PROMPT : PROMPT + 3] = direct_N3[style_N == DIRECT]

    phrase_N = rng.integers(len(CHATTER), size=count)
    for index, phrase in enumerate(CHATTER):
        ids_NT[(style_N == CHAT) & (phrase_N == index), PROMPT : PROMPT + len(phrase) + 1] = [*phrase.encode(), EOS]
    return ids_NT, style_N


def _draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """operands_N4, operators_N3 and suite_N of problems that pretraining may see, every suite equally likely."""
    drawn = count + count // 4 + 100  # of which 90% are not held out, and 1 in 96 is not varied
    suite_N = rng.integers(len(SUITES), size=drawn)
    operands_N4 = rng.integers(10, size=(drawn, 4))
    operators_N3 = np.zeros((drawn, 3), np.int64)
    kept_N = np.ones(drawn, bool)
    for index, (suite, symbols) in enumerate(SUITES.items()):
        indices = np.array([OPERATORS.index(symbol) for symbol in symbols])
        mine_N = suite_N == index
        operators_N3[mine_N] = indices[rng.integers(len(indices), size=(mine_N.sum(), 3))]
        if suite == "mixed":
            kept_N[mine_N] = varied(operators_N3[mine_N])
    kept_N &= np.isin(key(operands_N4, operators_N3) % 100, SPLITS["pretraining"])
    chosen_N = np.flatnonzero(kept_N)[:count]
    return operands_N4[chosen_N], operators_N3[chosen_N], suite_N[chosen_N]


def _slips(shape: int | tuple[int, ...], probability: float, rng: np.random.Generator) -> np.ndarray:
    """0 where a result is right; elsewhere, with this probability, what to add to it: 1 to 9."""
    return rng.integers(1, 10, size=shape) * (rng.random(shape) < probability)


def _prompts(operands_N4: np.ndarray, operators_N3: np.ndarray) -> np.ndarray:
    """Bytes of `3+8+5+2?`, [N, 8]."""
    bytes_N8 = np.full((len(operands_N4), PROMPT), ord("?"), np.int16)
    bytes_N8[:, 0:7:2] = _ZERO + operands_N4
    bytes_N8[:, 1:7:2] = _SYMBOLS[operators_N3]
    return bytes_N8


def _worked(operands_N4: np.ndarray, operators_N3: np.ndarray, results_N3: np.ndarray) -> np.ndarray:
    """Bytes of `3+8=1,1+5=6,6+2=8#8` and EOS, [N, 20]."""
    bytes_N20 = np.empty((len(operands_N4), LENGTH - PROMPT), np.int16)
    left_N = operands_N4[:, 0]
    for step in range(3):
        parts = [_ZERO + left_N, _SYMBOLS[operators_N3[:, step]], _ZERO + operands_N4[:, step + 1]]
        parts += [np.full(len(left_N), ord("=")), _ZERO + results_N3[:, step], np.full(len(left_N), ord(","))]
        bytes_N20[:, 6 * step : 6 * step + 6] = np.stack(parts, axis=1)
        left_N = results_N3[:, step]
    bytes_N20[:, 17:] = np.stack([np.full(len(left_N), ord("#")), _ZERO + left_N, np.full(len(left_N), EOS)], axis=1)
    return bytes_N20
