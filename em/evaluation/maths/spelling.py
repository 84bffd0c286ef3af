r"""One spelling of LaTeX, Unicode, plain text and Python, as models mix them: what follows reads LaTeX in ASCII."""

import re
import unicodedata

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix", strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢₓ", "0123456789+-()nix", strict=True))
GREEK = "ALPHA BETA GAMMA DELTA EPSILON ZETA ETA THETA KAPPA MU NU XI PI RHO SIGMA TAU PHI CHI PSI OMEGA"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad✓✔∎■□"
CHARACTERS = {
    **dict.fromkeys("−–—‐‑﹣", "-"),
    **{"∗": "*", "÷": "/", "∕": "/", "⁄": "/", "∶": ":", "′": "'", "’": "'", "…": "..."},
    **{"×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "√": r"\surd ", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"},
    **{"≤": r"\leq ", "≥": r"\geq ", "⩽": r"\leq ", "⩾": r"\geq ", "≠": r"\neq ", "≡": r"\equiv ", "→": r"\to "},
    **{"≈": r"\approx ", "≃": r"\approx ", "∼": r"\approx ", "↦": r"\mapsto ", "∞": r"\infty ", "∅": r"\emptyset "},
    **{"∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "∀": r"\forall "},
    **{"⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil "},
    **{"∨": r"\lor ", "∧": r"\land ", "°": r"\degree ", "º": r"\degree ", "∠": r"\angle ", "△": r"\triangle "},
    **{"ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}"},
    **{"¢": r"\text{cents}", "€": r"\text{euros}", "Å": r"\AA ", "\u212b": r"\AA ", "µ": r"\mu ", "\u2126": r"\Omega "},
    **{unicodedata.lookup(f"GREEK SMALL LETTER {name}"): rf"\{name.lower()} " for name in GREEK.split()},
    **{unicodedata.lookup(f"GREEK CAPITAL LETTER {name}"): rf"\{name.capitalize()} " for name in GREEK.split()},
    **{"λ": r"\lambda ", "Λ": r"\Lambda "},
    **dict.fromkeys(INVISIBLE, ""),
}
TRANSLATED = str.maketrans(CHARACTERS)
VULGAR_FRACTION = re.compile("[¼-¾⅐-⅞↉]")

NESTED = r"[^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*"
ESCAPED = re.compile(r"\\\\(?=[a-zA-Z])")  # as in a string of a programming language
REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"(?<!\\)((?:\\\\)*)\\?$", r"\1"),  # what escaped a space
        (r"(?<!\.)\.$", ""),
        (r"(?<=\d)\s*(?:\{,\}(?:\s*\\!)?|,\s*\\!)\s*(?=\d{3})", ""),  # 10{,}080 and 11,\! 111
        (r"(?<=\d)\{([.:])\}(?=\d)", r"\1"),
        (rf"\{{({NESTED})\\over(?![a-z])({NESTED})\}}", r"\\frac{\1}{\2}"),
        (rf"\{{({NESTED})\\choose(?![a-z])({NESTED})\}}", r"\\binom{\1}{\2}"),
        (r"\\root ?(\{[^{}]*\}|\S+) ?\\of ?(\{[^{}]*\}|\S+)", r"\\sqrt[\1]{\2}"),
        (r"\^ ?(?:\\circ(?![a-z])|\{ ?\\circ ?\})", r"\\degree "),
        (r"\\mathring ?\{ ?A ?\}", r"\\AA "),
        (r"\\(?:SI|qty) ?\{([^{}]*)\} ?\{\\?([^{}]*)\}", r"\1\\text{ \2}"),
        (r"\\not ?=", r"\\neq "),
        (r"\\not ?\\in(?![a-z])", r"\\notin "),
        (r"\bper ?cents?\b", "percent"),
        (r"(?<![\w.\\])(?:np|numpy|math|cmath|sympy|sp)\.(?=[a-z])", ""),
        (r"(?<=[\d)}\]])(or|and)(?=[a-zA-Z](?:\(\w\))? ?=)", r" \1 "),  # x=1orx=2
    ]
]


def spelt(latex: str) -> str:
    """An answer in LaTeX and ASCII, but for characters that have no other spelling."""
    latex = latex.strip()
    if not any(name in latex for name in ("matrix", "array", "cases")):
        latex = ESCAPED.sub(r"\\", latex)
    if not latex.isascii():
        latex = _in_braces(latex, SUPERSCRIPTS, "^")
        latex = _in_braces(latex, SUBSCRIPTS, "_")
        latex = VULGAR_FRACTION.sub(_fraction, latex).translate(TRANSLATED)
        latex = unicodedata.normalize("NFKC", latex).translate(TRANSLATED)
    for pattern, replacement in REWRITES:
        latex = pattern.sub(replacement, latex)
    return latex


def _in_braces(latex: str, raised: dict[str, str], sign: str) -> str:
    """With 10^{12} for ten and small digits."""
    run = re.compile(f"[{''.join(raised)}]+")
    return run.sub(lambda match: f"{sign}{{{''.join(map(raised.__getitem__, match[0]))}}}", latex)


def _fraction(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}"
