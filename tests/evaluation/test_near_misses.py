"""The graders of maths on answers made from golds: near misses are refused, the same in other words is accepted."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest

from em.evaluation.graders import grader
from tests.evaluation.equivalents import RESPELLINGS, equivalents
from tests.evaluation.golds import clean
from tests.evaluation.near_misses import SPOILS, near_misses
from tests.evaluation.test_maths import golds

OF_A_KIND = 60  # cases of one kind, of all golds
WRITTEN = r"""
7 ¦ 12 ¦ 341 ¦ 2025 ¦ -8 ¦ 58,500 ¦ 10,\!080 ¦ 0 ¦ 1 ¦ 0.25 ¦ -3.75 ¦ .045 ¦ 12.0 ¦ 8.7e8 ¦ 2.55e-10 ¦ 1e-5 ¦
4.03188 ¦ \frac{3}{8} ¦ \dfrac{17}{50} ¦ -\frac{14}{3} ¦ \frac65 ¦ 3/7 ¦ 2\frac{3}{4} ¦ 15\% ¦ 62.5% ¦
75^\circ ¦ 36^{\circ} ¦ \$18.90 ¦ \$45 ¦ 5 \text{ cm} ¦ 15\mbox{ cm}^2 ¦ 5.4 \text{ cents} ¦ 40 \text{ km/h} ¦
143_5 ¦ 2516_{8} ¦ 3\sqrt{13} ¦ \sqrt{51} ¦ \frac{\sqrt{3}}{4} ¦ 5 \sqrt[3]{4} ¦ 1 + 2\sqrt{3} ¦
\frac{-1+\sqrt{5}}{2} ¦ -\sqrt{7} ¦ 12\pi ¦ \frac{\pi}{6} ¦ \frac{5 \pi}{4} \sqrt{17} ¦ 18 + 2\pi ¦ 6 - 5i ¦
-2 + 7i ¦ -8-8 \sqrt{3} i ¦ \ln 2 ¦ \log_2 3 ¦ \frac{\log 2}{\log 2-\log 3} ¦ \lfloor\sqrt{n-1}\rfloor ¦
\lceil n / 2\rceil+1 ¦ \left\lfloor\log _{2} n\right\rfloor+1 ¦ 2^{1009} ¦ \frac{100!}{2^{50}} ¦
\binom{2n}{n} ¦ n(n-1) ¦ \frac{n(n+1)}{2} ¦ x^3+3x-6 ¦ 8n^2 + 4n + 1 ¦ p - q ¦ (a+5)(b+2) ¦ \frac{11+9a}{20} ¦
2021 \cdot 505 ¦ x=5 ¦ k=2 n-1 ¦ f(x)=\frac{1}{x} ¦ f(n) = 2 n+1007 ¦ y = 2x + 3 ¦ 5x - 7y + 11z + 4 = 0 ¦
m \frac{d v}{d t}+b v=f ¦ e^{-t} \sin(2t) ¦ \frac{1}{s+a} ¦ \sqrt{2} \cos (2 t-\pi / 4) ¦ 1 \pm \sqrt{19} ¦
3 \pm 2 \sqrt{2} ¦ \{1\pm\sqrt{5},-2\} ¦ k \geqslant 2 ¦ x > 4 ¦ a \le -1 ¦ 0 < x < 5 ¦ (3,4] ¦
[-1,-\frac{1}{2}] ¦ (2,\infty) ¦ (-\infty, 0] ¦ x \in [-2,7] ¦ (-\infty, 2) \cup (3, \infty) ¦
(0,9) \cup (9,36) ¦ (2,4) ¦ (6,31,-1) ¦ \left( 3, \frac{\pi}{2} \right) ¦ (1,1), (3,2) ¦ (3,0),(-3,1) ¦ 1,-2 ¦
3, 5, 7 ¦ 16,3,1,1 ¦ \frac{1}{3},-2,5 ¦ f(x)=x,f(x)=2-x ¦ \{1, 4, 9\} ¦
\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix} ¦ \begin{pmatrix} -7 \\ 16 \\ 5 \end{pmatrix} ¦
\begin{pmatrix} 1 & 2 \\ 0 & -1 \end{pmatrix} ¦ 3:4 ¦ \text{even} ¦ \text{Evelyn} ¦ \text{(C)} ¦
\text{no solution}
"""


class Case(NamedTuple):
    kind: str
    grader: str
    reference: str
    gold: str
    answer: str

    @property
    def text(self) -> str:
        return rf"So the answer is $\boxed{{{self.answer}}}$."


Gold = tuple[str, str, str]  # grader, reference, LaTeX
Made = Callable[[str, np.random.Generator], Iterator[tuple[str, str]]]


def published() -> list[Gold]:
    found = [
        ("olympiad" if name == "olympiadbench" else "maths", reference, gold) for name, _, reference, gold in golds()
    ]
    return list(dict.fromkeys(found))


def written() -> list[Gold]:
    return [("maths", clean(gold), clean(gold)) for gold in WRITTEN.replace("\n", " ").split("¦")]


def cases(of: list[Gold], made: Made, seed: int = 0, of_a_kind: int = OF_A_KIND) -> list[Case]:
    """Of golds in a random order, so many of each kind."""
    rng = np.random.default_rng(seed)
    counted: Counter[str] = Counter()
    found: list[Case] = []
    for at in rng.permutation(len(of)):
        name, reference, gold = of[at]
        for kind, answer in made(gold, rng):
            if counted[kind] < of_a_kind:
                counted[kind] += 1
                found.append(Case(kind, name, reference, gold, answer))
    return found


def offenders(of: list[Case], right: bool) -> list[Case]:
    return [case for case in of if (grader(case.grader)(case.text, case.reference).correct is True) != right]


def require_few(wrong: list[Case], of: list[Case], share: float) -> None:
    """Fails with each kind of the offenders, how many there are of how many, and some of them."""
    if len(wrong) <= share * len(of):
        return
    kinds: dict[str, list[Case]] = defaultdict(list)
    for case in wrong:
        kinds[case.kind].append(case)
    counted = Counter(case.kind for case in of)
    lines = [f"{len(wrong)} of {len(of)}"]
    for kind, some in sorted(kinds.items(), key=lambda item: -len(item[1])):
        shown = "; ".join(f"{case.gold} <- {case.answer}" for case in some[:6])
        lines.append(f"{len(some):4} of {counted[kind]:4}  {kind}: {shown}")
    pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.slow
def test_near_misses_of_published_golds_are_refused():
    made = cases(published(), near_misses)
    assert len(made) >= 2000
    require_few(offenders(made, right=False), made, share=0.005)


@pytest.mark.slow
def test_published_golds_are_right_in_other_words():
    made = cases(published(), equivalents)
    assert len(made) >= 2000
    require_few(offenders(made, right=True), made, share=0.02)


def test_near_misses_of_written_golds_are_refused():
    made = cases(written(), near_misses)
    assert {case.kind for case in made} == set(SPOILS)
    require_few(offenders(made, right=False), made, share=0.005)


def test_written_golds_are_right_in_other_words():
    made = cases(written(), equivalents)
    assert {case.kind for case in made} == set(RESPELLINGS)
    require_few(offenders(made, right=True), made, share=0.02)


def test_a_seed_makes_the_same_cases():
    assert cases(written(), near_misses) == cases(written(), near_misses)
    assert cases(written(), near_misses) != cases(written(), near_misses, seed=1)
    assert json.dumps(cases(written(), equivalents)) == json.dumps(cases(written(), equivalents))


@pytest.mark.parametrize("made", [near_misses, equivalents])
def test_no_case_is_made_of_a_gold_that_is_not_read(made):
    assert list(made("f(x)=a x+b, where $b$ is an arbitrary integer", np.random.default_rng(0))) == []
