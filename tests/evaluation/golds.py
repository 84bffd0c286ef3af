"""What kind of answer a gold is, and its pieces.  Apart from the graders, since answers made from these test them."""

import re
from dataclasses import dataclass
from fractions import Fraction

CLEANED = re.compile(r"(?<!\\)\$|^\\quad|[. ]+$")
OPENING, CLOSING = r"[(\[{]|\\lfloor|\\lceil", r"[)\]}]|\\rfloor|\\rceil"
NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<money>\\\$)?(?:"
    r"(?P<whole>\d+) ?\\[dt]?frac\{(?P<part>\d+)\}\{(?P<parts>\d+)\}"
    r"|\\[dt]?frac ?(?:\{(?P<top>-?\d+)\}|(?P<top1>\d)) ?(?:\{(?P<bottom>\d+)\}|(?P<bottom1>\d))"
    r"|(?P<above>\d+)/(?P<below>\d+)"
    r"|(?P<mantissa>\d+(?:\.\d+)?)e(?P<exponent>-?\d+)"
    r"|(?P<grouped>\d{1,3}(?:,(?:\\! ?)?\d{3})+)"
    r"|(?P<decimal>\d*\.\d+)|(?P<integer>\d+))"
    r"(?P<after> ?\\?%| ?\^ ?(?:\\circ|\{\\circ\})|_(?:\d|\{\d+\})| ?\\(?:text|mbox|mathrm) ?\{[^{}]*\}(?:\^\d)?|)"
)
LABELLED = re.compile(r"(?P<label>[a-zA-Z]|[a-zA-Z]_\{[^{}]*\}|[a-zA-Z]\([a-z]\)) ?= ?(?P<rest>[^=]+)")
INTERVAL = re.compile(r"(?:\\left ?)?(?P<open>[(\[])(?P<inner>.*?)(?:\\right ?)?(?P<close>[)\]])")
MATRIX = re.compile(r"\\begin\{pmatrix\}(?P<cells>.*)\\end\{pmatrix\}")
COMPLEX = re.compile(r"(?P<real>-?\d+) ?(?P<sign>[+-]) ?(?P<size>\d*(?: ?\\sqrt\{\d+\})?) ?i")
RELATION = re.compile(r"\\(?:geqslant|leqslant|geq|leq|ge|le)(?![a-z])|[<>]")
WORDS = re.compile(r"\\text\{(?P<choice>\(?)(?P<word>[A-Za-z ]+)\)?\}")
STRUCTURE = re.compile(
    r"[=<>;:]|\\(?:geq|leq|[gl]e(?![a-z])|in|cup|pm|begin|text|mbox|%|\$|\{|ldots)|where|\.(?!\d)|%|np\.|\*|circ"
)


@dataclass(frozen=True)
class Number:
    sign: str
    money: str
    body: str  # as the gold writes it
    after: str  # a sign of percent or degree, a base, a unit
    value: Fraction  # with its sign, of what stands before `after`
    form: str  # integer, decimal, scientific, fraction or mixed

    def like(self, value: Fraction) -> str:
        """Another number in this one's dress."""
        return f"{'-' if value < 0 else ''}{self.money}{spelt(abs(value))}{self.after}"


def clean(latex: str) -> str:
    return CLEANED.sub("", latex.strip()).strip()


def number(latex: str) -> Number | None:
    match = NUMBER.fullmatch(latex.strip())
    if not match:
        return None
    part = match.groupdict()
    top, bottom = part["top"] or part["top1"] or part["above"], part["bottom"] or part["bottom1"] or part["below"]
    if part["whole"]:
        value, form = int(part["whole"]) + Fraction(int(part["part"]), int(part["parts"])), "mixed"
    elif top:
        value, form = Fraction(int(top), int(bottom)), "fraction"
    elif part["mantissa"]:
        value, form = Fraction(part["mantissa"]) * Fraction(10) ** int(part["exponent"]), "scientific"
    elif part["decimal"]:
        value, form = Fraction(part["decimal"]), "decimal"
    else:
        value, form = Fraction(re.sub(r"\D", "", part["grouped"] or part["integer"])), "integer"
    body = latex.strip()[match.end("money") if part["money"] else match.end("sign") : match.start("after")]
    signed = -value if part["sign"] == "-" else value
    return Number(part["sign"], part["money"] or "", body, part["after"], signed, form)


def scientific(latex: str) -> tuple[str, int] | None:
    """(mantissa, exponent) of 8.7e8."""
    mantissa, _, exponent = latex.partition("e")
    one = number(latex)
    return (mantissa, int(exponent)) if one and one.form == "scientific" else None


def spelt(value: Fraction) -> str:
    """As an integer, a decimal or else a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    return decimal(value) or fraction(value)


def fraction(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def decimal(value: Fraction) -> str | None:
    """All digits of a value, of at most thirty; None where it has more."""
    places = next((places for places in range(31) if 10**places % value.denominator == 0), None)
    if places is None:
        return None
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign, point = "-" if value < 0 else "", len(digits) - places
    return sign + (f"{digits[:point]}.{digits[point:]}" if places else digits)


def split(latex: str, separator: str = ",") -> list[str]:
    """What stands between separators outside of brackets."""
    found, depth, start = [], 0, 0
    for match in re.finditer(rf"(?P<open>{OPENING})|(?P<close>{CLOSING})|{separator}", latex):
        if match["open"] or match["close"]:
            depth += 1 if match["open"] else -1
        elif depth == 0:
            found.append(latex[start : match.start()].strip())
            start = match.end()
    return [*found, latex[start:].strip()]


def terms(latex: str) -> list[str]:
    """The terms of a sum, each with its sign."""
    pieces = split(re.sub(r"(?<=[\w})\]])\s*([+-])", r"@\1", latex), "@")
    pieces = [re.sub(r"@", "", piece).strip() for piece in pieces]
    return [piece if piece[:1] in "+-" else f"+{piece}" for piece in pieces]


def total(signed: list[str]) -> str:
    return " ".join(signed).removeprefix("+").strip()


def expression(latex: str) -> bool:
    """Whether it is one value, of numbers and letters, without a relation, a list or a unit."""
    return not STRUCTURE.search(latex) and len(split(latex)) == 1 and not interval(latex) and not words(latex)


def words(latex: str) -> re.Match[str] | None:
    return WORDS.fullmatch(latex)


def interval(latex: str) -> tuple[str, str, str, str] | None:
    """(opening, low, high, closing) of what is an interval or may be one: (2,4) is a point, too."""
    match = INTERVAL.fullmatch(latex)
    ends = split(match["inner"]) if match and len(split(latex)) == len(split(latex, r"\\cup")) == 1 else []
    return (match["open"], ends[0], ends[1], match["close"]) if match and len(ends) == 2 else None


def surely_interval(latex: str) -> bool:
    found = interval(latex)
    return bool(found and (found[0] == "[" or found[3] == "]" or r"\infty" in latex))


def coordinates(latex: str) -> list[str]:
    """Of a tuple in round brackets; none where it is something else."""
    match = INTERVAL.fullmatch(latex)
    whole = bool(match and match["open"] == "(" and match["close"] == ")" and len(split(latex)) == 1)
    return split(match["inner"]) if match and whole and len(split(latex, r"\\cup")) == 1 else []


def listed(latex: str) -> list[str]:
    """The elements of a list or a set of several; none where it is something else."""
    inner = latex[2:-2] if latex.startswith(r"\{") and latex.endswith(r"\}") else latex
    found = split(inner)
    return found if len(found) > 1 and not number(latex) and "where" not in latex else []


def matrix(latex: str) -> list[list[str]]:
    match = MATRIX.fullmatch(latex)
    return [[cell.strip() for cell in row.split("&")] for row in match["cells"].split(r"\\")] if match else []


def as_matrix(rows: list[list[str]], name: str = "pmatrix", end: str = r" \\ ") -> str:
    return rf"\begin{{{name}}} {end.join(' & '.join(row) for row in rows)} \end{{{name}}}"


def signature(elements: list[str]) -> list[str]:
    """Of a list in any order, numbers by value: lists with the same one are equal."""
    read = [(number(element), element) for element in elements]
    return sorted(str(one.value) if one and not one.after else re.sub(r"\s|\\left|\\right", "", e) for one, e in read)
