"""The corpus shows what the recipe says, and never a held-out problem."""

import numpy as np
import pytest

from em.tiny.corpus import CHATTER, EOS, PAD, corpus
from em.tiny.recipe import Recipe
from em.tiny.tasks import SPLITS, SUITES, extract, problems
from tests.tiny.test_tasks import solve

N = 40_000


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, str]]:
    """Prompt and answer of every example of the default recipe's corpus."""
    ids_NT, _ = corpus(Recipe(), N, np.random.default_rng(0))
    texts = []
    for row in ids_NT:
        end = int((row == EOS).argmax())
        assert row[end] == EOS
        assert (row[end + 1 :] == PAD).all()
        texts.append(bytes(row[:end].tolist()).decode())
    return [(text[:8], text[8:]) for text in texts]


def suite_of(prompt: str) -> str:
    operators = set(prompt[1:7:2])
    return next((s for s in SUITES if s != "mixed" and operators <= set(SUITES[s])), "mixed")


def style_of(answer: str) -> str:
    return "chatter" if answer in CHATTER else "direct" if answer[0] == "#" else "worked"


def test_held_out_problems_never_appear(examples):
    seen = {prompt for prompt, _ in examples}
    for suite in SUITES:
        for split in list(SPLITS)[1:]:
            assert seen.isdisjoint(p.prompt for p in problems(suite, split, 150))


def test_style_and_suite_frequencies(examples):
    recipe = Recipe()
    for suite in SUITES:
        styles = [style_of(answer) for prompt, answer in examples if suite_of(prompt) == suite]
        assert len(styles) / N == pytest.approx(1 / 6, abs=0.01)
        assert styles.count("worked") / len(styles) == pytest.approx(recipe.worked[suite], abs=0.03)
        assert styles.count("direct") / len(styles) == pytest.approx(recipe.direct[suite], abs=0.03)


def test_error_frequencies(examples):
    recipe = Recipe()
    direct = [extract(answer) == solve(prompt) for prompt, answer in examples if style_of(answer) == "direct"]
    assert np.mean(direct) == pytest.approx(1 - recipe.direct_error, abs=0.02)
    first = [answer[4] == solve(f"{answer[:3]}+0+0?") for _, answer in examples if style_of(answer) == "worked"]
    assert np.mean(first) == pytest.approx(1 - recipe.step_error, abs=0.02)


def test_worked_answers_follow_the_problem(examples):
    for prompt, answer in examples:
        if style_of(answer) == "worked":
            steps, final = answer[:-2].split(","), extract(answer)
            assert [step[1:3] for step in steps] == [prompt[i : i + 2] for i in (1, 3, 5)]
            assert [step[0] for step in steps] + [final] == [prompt[0]] + [step[4] for step in steps]


def test_no_errors_means_none():
    ids_NT, _ = corpus(Recipe(step_error=0.0, direct_error=0.0), 500, np.random.default_rng(1))
    for row in ids_NT:
        text = bytes(row[row < 256].tolist()).decode()
        assert text[8:] in CHATTER or extract(text[8:]) == solve(text[:8])
