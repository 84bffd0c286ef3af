r"""Answers of maths in one spelling: their normal form, the numbers and the elements in it.

A normal form is LaTeX still.  Two spellings of one answer, as \dfrac12 and \frac{1}{2} \text{ cm}, have the same; what
has to be worked out, as 0.5, has its own.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

LARGEST_EXPONENT, LONGEST_NUMBER = 5000, 1000  # of a power of ten, and in characters, of what is read as a number

CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq "}
    | {"≠": r"\neq ", "∪": r"\cup ", "∈": r"\in ", "±": r"\pm ", "√": r"\sqrt ", "°": "", "²": "^2", "³": "^3"}
)
DIGITS = r"(?:\d+\.?\d*|\.\d+)"
TEN = r"10 ?\^ ?(?:\{ ?[+-]?\d+ ?\}|\d)"
SCIENTIFIC = rf"(?:{DIGITS}(?:[eE][+-]?\d+| ?(?:\\times|\\cdot|\*|x) ?{TEN})|{TEN})"
FRACTION = rf"(?:\d+ ?)?\\[dtc]?frac ?\{{?-?{DIGITS}\}}? ?\{{?{DIGITS}\}}?|{DIGITS} ?/ ?{DIGITS}"
POWER = r"(?:\^(?:\{-?\d+\}|\d))?"
WORD = rf"(?:[a-zA-Z]{{3,}}|[cmk]m|kg|ft|eV|Hz|in|hr|[a-zA-Z]+/[a-zA-Z]+){POWER}"  # but m and t may be variables
TEXT = rf"\\text ?\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}{POWER}"
TEXTS = rf"(?:(?:{TEXT}|\\[dt]?frac ?\{{ ?{TEXT} ?\}} ?\{{ ?{TEXT} ?\}})(?:[ /*]|\\cdot)*)+"
NO_UNIT = r"(?!.*\b(?:hundred|thousand|million|billion|trillion|dozen|pi|sqrt|and|or|mod)s?\b)"

REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"(?<![\d.,(\[{])0,(?=\d{3}(?![\d,)\]}]))", "0."),  # no thousands: a decimal comma
        (r"(?<=\d)\s*(?:\{,\}|,\\!)\s*(?=\d{3})|(?<!\\)\\!", ""),  # 10{,}080 and 11,\! 111
        (r"(?<!\\)\\[,;: ]|~|\\q?quad(?![a-zA-Z])|\s+", " "),
        (r"\\\$|\$|£|€|\\[()\[\]]|\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])", ""),
        (r"\\(?:mbox|mathrm|mathit|mathbf|textbf|textit|textrm|textnormal) ?\{", r"\\text{"),
        (r"\\operatorname ?\{([a-zA-Z]+)\}", r"\\\1"),
        (r" ?(?:\\text ?\{ ?(?:percent|percentage|pct) ?\}|\b(?:percent|percentage|pct)\b|\\?%)", "%"),
        (r" ?\^ ?(?:\\circ(?![a-zA-Z])|\{ ?\\circ ?\})|\\degrees?(?![a-zA-Z])", ""),
        (r",? ?(?:\\text ?\{ ?)?\b(?:where|for all|for any|for every)\b.*$|,? ?\\forall.*$", ""),
        (r"\\text ?\{ ?(?:and|or) ?\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])", ","),
        (r" ?([,;])(?: ?[,;])* ?", r"\1"),
        (r"^[ :,;]+|[ .,:;]+$", ""),
        (r"^\\text ?\{([^{}]*)\}$", r"\1"),
        (rf"^([+-]? ?{SCIENTIFIC}) +{NO_UNIT}[a-zA-Z][\w ^/*.{{}}-]*$", r"\1"),
        (rf"^([+-]? ?(?:{FRACTION}|{SCIENTIFIC}|{DIGITS})%?) +{NO_UNIT}(?:{WORD}(?: |$))+$", r"\1"),
        (rf"^((?!\\text).*?[0-9a-zA-Z)}}%]) ?(?:\\cdot|/)? ?{NO_UNIT}{TEXTS}$", r"\1"),
        (r"\\[dtc]frac", r"\\frac"),
        (r"<=|\\leqslant|\\le(?![a-zA-Z])", r"\\leq "),
        (r">=|\\geqslant|\\ge(?![a-zA-Z])", r"\\geq "),
        (r"!=|\\ne(?![a-zA-Z])", r"\\neq "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\langle", "("),
        (r"\\rangle", ")"),
        (r"(?<![\w.])(?:np|math)\.(?=[a-z])", r"\\"),  # np.arcsin(10/13)
        (r"\\frac ?([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"\\frac ?(\{[^{}]*\}) ?([0-9a-zA-Z])", r"\\frac\1{\2}"),
        (r"\\sqrt ?([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"([\^_]) ?\{ ?(\w) ?\}", r"\1\2"),
    ]
]
THOUSANDS = re.compile(  # not (312,123,231)
    r"([(\[{]\s*)?(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!,?\d)(\s*(?:\\right\s*)?[)\]}])?"
    r"|(?<![\d. ])[1-9]\d{0,2}(?: \d{3})+(?!\d| \d+(?![\d/]))"
)
MIXED = re.compile(r"(?<![\d/.])([+-]?(?:\d{1,3}(?: \d{3})+|\d{1,9})) +(\d{1,9})/(\d{1,9})(?![\d/])")
SPACE = re.compile(r"(\\[a-zA-Z]+ (?=[a-zA-Z])|\d (?=\d))| ")  # what is kept, or a space to leave out
ONLY_WORDS = re.compile(r"\(?(?:\\text\{\(?[a-zA-Z ]*\)?\}|[a-zA-Z ])+\)?")
NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:(?P<whole>\d+)?\\frac\{{(?P<top>-?{DIGITS})\}}\{{(?P<bottom>{DIGITS})\}}"
    rf"|(?P<above>{DIGITS})/(?P<below>{DIGITS})"
    rf"|(?P<digits>{DIGITS})(?:(?:[eE]|(?:\\times|\\cdot|\*|x)10\^)\{{?(?P<exponent>[+-]?\d+)\}}?)?"
    r"|10\^\{?(?P<power>[+-]?\d+)\}?)(?P<percent>%?)"
)


@dataclass(frozen=True)
class Number:
    value: Fraction  # the number before the sign of a percentage
    fraction: bool  # written as one: exact; otherwise a decimal, perhaps rounded
    percent: bool

    def scaled(self) -> Fraction:
        return self.value / 100 if self.percent else self.value


def unescaped(latex: str) -> str:
    """Commands with one backslash, where they have two as in a string of a programming language."""
    return latex if "matrix" in latex or "array" in latex else re.sub(r"\\\\(?=[a-zA-Z])", r"\\", latex)


def mixed_numbers(text: str, quote: str = "") -> str:
    r"""With 4\frac{4}{9}, quoted, for 4 4/9."""
    spelt = r"{0}{1}\frac{{{2}}}{{{3}}}{0}".format
    return MIXED.sub(lambda m: spelt(quote, *m.groups()) if int(m[2]) < int(m[3]) else m[0], text)


def normal(latex: str) -> str:
    """One spelling for what means the same to a reader: spacing, units, degrees, fractions, relations, words."""
    latex = THOUSANDS.sub(lambda run: run[0] if run[1] or run[2] else re.sub("[, ]", "", run[0]), unescaped(latex))
    latex = mixed_numbers(latex).translate(CHARACTERS)
    for pattern, replacement in REWRITES:
        latex = pattern.sub(replacement, latex)
    latex = SPACE.sub(lambda space: space[1] or "", latex)
    if ONLY_WORDS.fullmatch(latex):
        latex = re.sub(r"\\text|[^a-zA-Z]", "", latex)
        return latex.lower() if len(latex) > 2 else latex
    groups = elements(latex, ";")
    tuples = len(groups) > 1 and any(len(elements(group)) > 1 for group in groups)  # a=1,b=2;a=2,b=1
    return (",".join(f"({group})" for group in groups) if tuples else latex).replace(";", ",")


def number(normal_form: str) -> Number | None:
    """The number that a normal form is, exactly, where it is one and no more: 8.7e8, -3/4, 62.5%, 1 4/5."""
    match = NUMBER.fullmatch(normal_form)
    if not match or len(normal_form) > LONGEST_NUMBER:
        return None
    part = match.groupdict()
    exponent = int(part["exponent"] or part["power"] or 0)
    if abs(exponent) > LARGEST_EXPONENT:
        return None
    top, bottom = part["top"] or part["above"], part["bottom"] or part["below"]
    if top and bottom:
        if not Fraction(bottom):
            return None
        value = Fraction(part["whole"] or 0) + Fraction(top) / Fraction(bottom)
    else:
        value = Fraction(part["digits"] or 1) * Fraction(10) ** exponent
    return Number(-value if part["sign"] == "-" else value, bool(top), bool(part["percent"]))


def elements(normal_form: str, separator: str = ",") -> list[str]:
    """What stands between separators that no bracket holds."""
    found, depth, start = [], 0, 0
    for match in re.finditer(rf"[(\[{{]|[)\]}}]|{separator}", normal_form):
        depth += 1 if match[0] in "([{" else -1 if match[0] in ")]}" else 0
        if depth == 0 and match[0] not in "()[]{}":
            found.append(normal_form[start : match.start()])
            start = match.end()
    return [*found, normal_form[start:]]


def bracketed(normal_form: str) -> bool:
    """Whether it is (...), [...], or half of each, as one."""
    return normal_form[:1] in ("(", "[") and normal_form[-1:] in (")", "]") and closes_last(normal_form)


def closes_last(form: str) -> bool:
    """Whether the bracket that begins it closes at its end, and not before."""
    depth = 0
    for position, character in enumerate(form):
        depth += 1 if character in "([{" else -1 if character in ")]}" else 0
        if depth == 0:
            return position == len(form) - 1
    return False
