r"""What counts as the answer of mathematics and what as equal, kind by kind, in both directions.

Each line is a gold, then answers after <- that are right, or after </- that are wrong; parted by ¦.
"""

import pytest

from em.evaluation.graders import maths

KINDS = {
    "thousands": r"""
        12 </- 12,000 ¦ 12{,}000 ¦ 12 000
        1.5 <- 1,5 ¦ 1,50
        1.5 </- 1,500 ¦ 15
        \frac{20000}{\pi} <- \frac{20,000}{\pi} ¦ \dfrac{20{,}000}{\pi}
        10:30 <- 10{:}30
        """,
    "nothing is left": r"""
        0 <- \sin\pi ¦ \tan 180^\circ ¦ \cos\frac{\pi}{2} ¦ e^{i\pi} + 1 ¦ \log_2 8 - 3 ¦ \sqrt2\sqrt2 - 2
        0 </- e^{-2000} ¦ 10^{-40} ¦ \sin(\pi + 10^{-60}) ¦ \sqrt2 - 1.41421356
        (0, 1) <- (\cos 90^\circ, \sin 90^\circ)
        e^{-2000} </- e^{-2001} ¦ 0
        """,
    "far from zero": r"""
        |x-5| <- |5-x| ¦ \sqrt{(x-5)^2}
        |x-5| </- x-5 ¦ 5-x
        \sqrt{x^2-20x+100} </- x-10 ¦ 10-x
        |x+100| </- x+100
        |a-b| <- |b-a|
        |a-b| </- a-b ¦ b-a
        \max(x,100) </- x ¦ 100
        \lfloor\frac{n}{1000}\rfloor </- 0 ¦ \frac{n}{1000}
        \ln|x|+C </- \ln x+C
        """,
    "numbers behind letters": r"""
        e^{2\pi i/3} <- e^{i 2\pi/3} ¦ e^{i2\pi/3}
        6 - 5i <- 6 - i5
        """,
    "golds that are words and numbers": r"""
        4:40 a.m. <- 4:40\text{ a.m.} ¦ 4:40 a.m.
        4:40 a.m. </- 40 ¦ 4
        \text{January 15} <- \text{January 15}
        \text{January 15} </- 15 ¦ 15 \text{ cm}
        \text{at least 5} <- \text{at least }5
        \text{at least 5} </- 5
        P(X=2) <- P(X=2)
        P(X=2) </- 2
        """,
    "bases": r"""
        52_8 <- 52_{\text{eight}} ¦ (52)_8 ¦ 52_{(8)} ¦ 52 \text{ base } 8 ¦ 52\text{ (base 8)}
        52_8 <- 52 \text{ in base eight}
        52_8 </- 52_9 ¦ 52 \text{ base } 9 ¦ 42 ¦ (52)_{16}
        """,
    "all numbers": r"""
        (-\infty,\infty) <- \mathbb{R} ¦ x\in\mathbb{R} ¦ \text{all real numbers}
        (-\infty,\infty) </- \mathbb{Q} ¦ x \in \mathbb{Z} ¦ R
        """,
    "what rejects, and what counts": r"""
        12 </- 12\text{ rejected} ¦ 12\text{ extraneous solutions} ¦ 12\text{ discarded} ¦ 12\text{ couple}
        12 <- 12\text{ roots} ¦ 12\text{ points} ¦ 12\text{ primes} ¦ 12\text{ feet per second} ¦ 12\text{ sec}
        """,
    "spacing": r"""
        12 <- 12 \, \text{cm} ¦ 12 \;\mathrm{m} ¦ 12~\text{kg} ¦ 12\quad\text{units} ¦ \ 12\
        12 <- 12\,. ¦ {12} ¦ 12 \! \text{s}
        1000000 <- 1\,000\,000 ¦ 1{,}000{,}000 ¦ 1 000 000 ¦ 10^6 ¦ {10}^{6} ¦ 10⁶ ¦ 1,\!000,\!000 ¦ 1000000.0
        5.4 <- \approx 5.4 ¦ \text{about } 5.4 ¦ 5.4 \text{ (approx.)} ¦ 5{.}4 ¦ 5.4\ldots ¦ 5.40 ¦ 5,4
        7 <- \boldsymbol{7} ¦ \textcolor{red}{7} ¦ \color{blue} 7 ¦ \displaystyle 7
        7 <- 7 \tag{1} ¦ 7^{\text{th}} ¦ 7 \checkmark
        \begin{pmatrix} 1 \\ 2 \end{pmatrix} <- \begin{bmatrix} 1 \\[6pt] 2 \end{bmatrix}
        \begin{pmatrix} 1 \\ 2 \end{pmatrix} <- \frac12\begin{pmatrix}2\\4\end{pmatrix}
        12 </- 1 2 ¦ 1,2 ¦ 1.2 ¦ 1\,2 ¦ 12 \cdot
        """,
    "units": r"""
        12 <- 12 m ¦ 12 apples ¦ 12 \frac{\text{km}}{\text{h}} ¦ 12\,N\cdot m
        12 <- 12 \text{ square feet} ¦ 12\rm cm ¦ \SI{12}{cm}
        12 <- 12 \text{ kg}\,\text{m}^{-3} ¦ 12 \text{ red marbles} ¦ \$12 ¦ 12 \text{ euros}
        12 <- 12^{\circ}\text{C} ¦ 12 \ \Omega
        12 </- 12\mathrm{e} ¦ 12\mathrm{i} ¦ 12\text{x} ¦ 12! ¦ 12_8
        12 </- 12^2 ¦ 12 \text{ squared} ¦ 12 \text{ thirds} ¦ 12 \text{ dozen}
        2 </- 2\mathrm{e}^{3} ¦ 2 \text{ million} ¦ 2\text{pi} ¦ 2 \text{ half}
        2 </- 2 \text{ plus} ¦ 2 \text{ factorial} ¦ 2\%
        5 \text{ cm} <- 5 ¦ 50 \text{ mm} ¦ 0.05 \text{ m} ¦ 5\,\mathrm{cm} ¦ 5 \text{ centimeters}
        5 \text{ cm} </- 5 \text{ m} ¦ 5 \text{ cm}^2 ¦ 5 \text{ s} ¦ 50 ¦ 5 \text{ inches}
        -2.3e-5 <- -23 \mu \text{m} ¦ -2.3 \times 10^{-5}\ \text{m} ¦ -0.000023
        12 </- 12 \text{ quadrillion} ¦ 12 \text{ tenfold} ¦ 12 \text{ upwards} ¦ 12 \text{ twelfths} ¦ 12 \text{ ppm}
        12 <- 12 \text{ solutions} ¦ 12 \text{ different ways} ¦ 12 \text{ positive integers}
        5 \text{ km/h} </- 5 \text{ apples} ¦ 5 \text{ m/s} ¦ 5 \text{ celsius}
        2:30 \text{ PM} <- 2:30 ¦ 2:30 \text{ pm}
        2:30 \text{ PM} </- 2:30 \text{ AM} ¦ 1:15 ¦ 14:30
        """,
    "labels": r"""
        7 <- f(2)=7 ¦ P(X=2) = 7 ¦ m+n=7 ¦ 7 = f(2) ¦ \angle A = 7
        7 <- |AB| = 7 ¦ k_{\max} = 7 ¦ \text{Area of } ABC = 7 ¦ x = 2 + 5 = 7
        7 </- 7 = 8 ¦ 2 + 6 = 7 ¦ x = 8 ¦ x > 7 ¦ x \ge 7 ¦ 7 \ne 8 ¦ x \in \{7, 8\} ¦ 2x = 14
        x = 3 <- 3 ¦ 3 = x ¦ 2x = 6
        x = 3 </- y = 3 ¦ x > 3 ¦ x = -3
        f(x) = x + 1 <- f(t) = t + 1 ¦ x + 1 ¦ f : x \mapsto x + 1 ¦ y = x + 1 ¦ f(x) = x + 1 \text{ for all } x
        0 </- x + y = 0 ¦ x^2 - 1 = 0 ¦ 0 \text{ is wrong}
        """,
    "regions": r"""
        (5, \infty) <- x > 5 ¦ 5 < x ¦ ]5, \infty[ ¦ \{x \mid x > 5\} ¦ 2x > 10 ¦ x \in (5, +\infty)
        (5, \infty) </- [5, \infty) ¦ x \ge 5 ¦ x < 5 ¦ (-\infty, 5) ¦ \{5\}
        (-\infty, 2] \cup [5, \infty) <- x \le 2 \text{ or } x \ge 5 ¦ [5, \infty) \cup (-\infty, 2]
        (-\infty, 2] \cup [5, \infty) <- \mathbb{R} \setminus (2, 5)
        (-\infty, 2] \cup [5, \infty) </- (-\infty, 2] \cap [5, \infty) ¦ x \le 2 \text{ and } x \ge 5 ¦ [2, 5]
        (-\infty, 2] \cup [5, \infty) </- (-\infty, 2]
        -2 \le x < 7 <- [-2, 7) ¦ 7 > x \ge -2 ¦ x \in [-2, 7)
        -2 \le x < 7 </- [-2, 7] ¦ (-2, 7) ¦ -2 \le y < 7 ¦ -2, 7
        (2, 5) <- x > 2, x < 5 ¦ x > 2 \text{ and } x < 5
        (-\infty, 2) \cup (3, \infty) <- x < 2, x > 3
        \mathbb{R} </- x > 2, x < 5
        x > 3 </- 2|x| > 6 ¦ \lfloor x \rfloor > 3 ¦ \sqrt{x^2} > 3
        x \ne 3 <- (-\infty, 3) \cup (3, \infty) ¦ \mathbb{R} \setminus \{3\}
        """,
    "numbers": r"""
        \frac45 <- 2\left(\frac{2}{5}\right) ¦ 0.8 ¦ 80\% ¦ \frac{8}{10} ¦ 4/5
        2\frac25 <- 2.4 ¦ \frac{12}{5} ¦ 2 2/5 ¦ 2{\frac{2}{5}}
        2\frac25 </- \frac45 ¦ 2 \cdot \frac25 ¦ 2(\frac25)
        3e11 <- 3 \times 10^{11} ¦ 300000000000 ¦ 3\mathrm{e}11
        3e11 </- 33e ¦ 3e + 11 ¦ 3 \times 10^{10}
        \frac13 <- 0.\overline{3} ¦ 0.333333 ¦ 33\frac13\% ¦ \frac13 \approx 0.33
        \frac13 </- 0.33 ¦ 0.3333 ¦ 0.333334 ¦ 33\%
        10 </- 10\% ¦ -10 ¦ 10i ¦ 10\pi
        15552 <- 2^6 3^5 ¦ 2^6 \cdot 3^5 ¦ 15{,}552
        2000000 <- 2 \text{ million} ¦ 2 \times 10^6 ¦ 20 \text{ hundred thousand}
        \frac23 <- \text{two thirds} ¦ 2 \text{ thirds}
        3:4 <- 6:8 ¦ \frac34 ¦ 3 \text{ to } 4
        3:4 </- 4:3 ¦ 3, 4
        52_8 <- 52 ¦ 52_{8}
        52_8 </- 52_9 ¦ 42
        """,
    "angles": r"""
        90^\circ <- \frac{\pi}{2} ¦ 90 ¦ 90 \text{ degrees} ¦ \angle A = 90^{\circ} ¦ 90\degree
        90^\circ </- 90 \text{ radians} ¦ \frac{\pi}{3} ¦ 90 \text{ minutes}
        \frac{\pi}{2} <- 90^\circ ¦ \frac{\pi}{2} \text{ rad}
        \frac{\pi}{2} </- 90
        \frac12 <- \sin 30^\circ ¦ \cos 60^\circ
        \frac12 </- \sin 30 ¦ \sin 60^\circ
        """,
    "dropped": r"""
        x </- \sqrt{x^2} ¦ \sqrt[4]{x^4}
        \lfloor n/6 \rfloor </- \lfloor (n+1)/6 \rfloor ¦ \lfloor n/5 \rfloor
        9 </- 3x = 9 ¦ -x = 9 ¦ |x| = 9
        x </- x' ¦ \sin x ¦ f(x) ¦ |x| ¦ \sqrt{x} ¦ \lfloor x \rfloor ¦ \lceil x \rceil ¦ x^2 ¦ -x ¦ x!
        2.5 </- \lfloor 2.5 \rfloor ¦ \lceil 2.5 \rceil ¦ \sqrt{2.5} ¦ 2.5i
        7 </- 7 \text{ or more} ¦ \text{at least } 7 ¦ \text{not } 7 ¦ 7 \text{ is not a solution}
        7 </- \text{less than } 7 ¦ \text{half of } 7
        \log_2 3 </- \log_3 2 ¦ \log 3 ¦ \ln 3
        \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} </- \begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}
        \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} </- \begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}
        """,
    "several": r"""
        1, 2 <- x = 1 \text{ or } x = 2 ¦ \{2, 1\} ¦ x \in \{1, 2\} ¦ 1;2 ¦ x_1 = 1, x_2 = 2 ¦ 1 \lor 2
        1, 2 </- 1 ¦ 1, 2, 3 ¦ 1, -2 ¦ 1.2 ¦ 12
        180, 360 <- 180,360 ¦ 180 \text{ and } 360
        180, 360 </- 180360 ¦ 180
        1.2 </- 1, 2
        $69$,$84$ </- 69.84
        (3, -1) <- x = 3, y = -1 ¦ (x, y) = (3, -1) ¦ \langle 3, -1 \rangle ¦ P(3, -1)
        (3, -1) <- \begin{pmatrix} 3 \\ -1 \end{pmatrix} ¦ 3, -1
        (3, -1) <- y = -1, x = 3
        (3, -1) </- y = 3, x = -1 ¦ x = 3, x = -1 ¦ 3 \text{ or } -1
        (3, -1) </- (-1, 3) ¦ -1, 3 ¦ (3, 1) ¦ x = -1, y = 3
        (2, 4) </- [2, 4] ¦ 2, 4 ¦ (4, 2) ¦ \{2, 4\}
        1 \pm \sqrt2 <- 1 + \sqrt2, 1 - \sqrt2 ¦ \{1 - \sqrt2, 1 + \sqrt2\}
        1 \pm \sqrt2 </- 1 + \sqrt2 ¦ -1 \pm \sqrt2
        \sqrt2+\sqrt3, -\sqrt2-\sqrt3 </- \pm\sqrt2\pm\sqrt3 ¦ \pm\sqrt2\mp\sqrt3
        \text{no solution} <- \emptyset ¦ \{\} ¦ \text{None} ¦ \text{No real solutions}
        \text{no solution} </- 0 ¦ \{0\} ¦ \text{one solution}
        """,
    "letters": r"""
        k_B <- k_{\mathrm{B}} ¦ k_{B}
        e^{i\theta} <- \cos\theta + i\sin\theta ¦ \exp(i\theta) ¦ \mathrm{e}^{\mathrm{i}\theta}
        n(n-1) <- n^2 - n ¦ n (n - 1) ¦ (n-1)n
        n(n-1) </- n(n+1) ¦ n^2 ¦ n - 1
        \binom{n}{2} <- \frac{n(n-1)}{2} ¦ {n \choose 2}
        \text{east} <- East ¦ \textbf{east}
        \text{east} </- seat ¦ \text{west}
        \text{(C)} <- C ¦ \text{C} ¦ (C)
        \text{(C)} </- \text{(D)} ¦ c
        """,
}  # fmt: skip


def cases(sign: str) -> list[tuple[str, str, str]]:
    """(kind, gold, answer) of the lines with a sign."""
    lines = [(kind, line.strip()) for kind, text in KINDS.items() for line in text.strip().splitlines()]
    parted = [(kind, *line.split(f" {sign} ")) for kind, line in lines if f" {sign} " in line]
    return [(kind, gold, answer.strip()) for kind, gold, answers in parted for answer in answers.split("¦")]


def correct(answer: str, gold: str) -> bool | None:
    return maths.grade(rf"So the answer is $\boxed{{{answer}}}$.", gold).correct


@pytest.mark.parametrize(("kind", "gold", "answer"), cases("<-"))
def test_right(kind, gold, answer):
    assert correct(answer, gold) is True


@pytest.mark.parametrize(("kind", "gold", "answer"), cases("</-"))
def test_wrong(kind, gold, answer):
    assert correct(answer, gold) is False


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"First \boxed{3}. Then we add 2 and get \boxed{5}.", "5"),
        (r"$x = \boxed{1}$ and $y = \boxed{2}$", "1, 2"),
        (r"\boxed{2}, \boxed{3} or \boxed{5}", "2, 3, 5"),
        (r"\boxed{200}, so the total is \boxed{455}", "455"),
        (r"The answer is \boxed{4}. I was asked for \boxed{}.", "4"),
        (r"Write \boxed{your answer}: \boxed{6}", "6"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\fbox{7}", "7"),
        (r"\boxed\{7\}", "7"),
        (r"\boxed 7", "7"),
        (r"so \boxed{7", "7"),
        (r"$\boxed{5}\pi$", r"(5)\pi"),
        (r"$-\boxed{256}$", "-(256)"),
        (r"$\boxed{5}$ million", "5 million"),
        (r"$2\sqrt{3}\boxed{x}$", r"2\sqrt{3}(x)"),
        (r"This is a \boxed{5} in the end", "5"),
        (r"$x = -\,\boxed{5}$", r"-\,(5)"),
        (r"$x = -\boxed{5}$", "-(5)"),
        (r"$\boxed{5}\alpha$", r"(5)\alpha"),
        (r"$-(\boxed{5})$", "-((5))"),
        (r"$2^{\boxed{5}}$ m", "2^{(5)}"),
        (r"$1 + 4 = \boxed{5} - 0, n = 2$", "(5)- 0"),
        (r"$x > \boxed{5}$", "x >(5)"),
        (r"It is not $\boxed{5}$.", "not 5"),
        (r"$\boxed{5}$ is not a solution.", "5 is not a solution"),
        (r"$4 + 3 \equiv \boxed{5} \pmod{2}$", "5"),
        (r"$\therefore \boxed{5}$, $\boxed{5}$ cm, $\Rightarrow\boxed{5}$", "5"),
        (r"$-$ no, -$\boxed{5}$", "-(5)"),
        (r"$x = \pm\boxed{3}$", r"\pm(3)"),
        (r"$\boxed{5} \times 10^3$ m", r"(5)\times 10^3"),
        (r"$\boxed{52}_8$", "52_8"),
        (r"$\boxed{5}\text{ or more}$", "5 or more"),
        ("The answer is $5$ or $6$.", "5, 6"),
        ("Answer: 5\nLet me check.\nAnswer: 7", "7"),
        ("**Answer:** 7", "7"),
        ("#### 7", "7"),
        ("<answer>7</answer> and 8", "7"),
        (r"Final answer: \(7\)", "7"),
        ("The final answer is $x^2$. I hope it is correct.", "x^2"),
        ("It is 28 percent.", "28 percent"),
        ("I do not know.", None),
    ],
)
def test_which_part_of_a_text_is_the_answer(text, answer):
    assert maths.grade(text, "7").extracted == answer
