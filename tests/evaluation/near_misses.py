r"""Wrong answers that look like the right one: a digit, an end, a sign, a word away.  Each kind is one function.

A function takes a gold without its dollar signs and a random generator, and gives LaTeX that is wrong as mathematics;
None where the kind does not apply, or might leave the meaning as it is (a palindrome, \sqrt{1}, |7|).
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from numpy.random import Generator

from tests.evaluation.golds import (
    COMPLEX,
    LABELLED,
    RELATION,
    as_matrix,
    clean,
    coordinates,
    decimal,
    expression,
    interval,
    listed,
    matrix,
    number,
    scientific,
    signature,
    spelt,
    split,
    surely_interval,
    terms,
    total,
    words,
)

Spoil = Callable[[str, Generator], str | None]
LEQ = r"\leq"
SPOILS: dict[str, Spoil] = {}
WEAKENED = (
    r"{} \text{{ or more}}",
    r"{} \text{{ or less}}",
    r"\text{{at least }} {}",
    r"\text{{at most }} {}",
    r"\text{{less than }} {}",
    r"\text{{more than }} {}",
    r"\text{{about half of }} {}",
    r"\text{{twice }} {}",
    r"\text{{between 1 and }} {}",
)
NEGATED = (
    r"\text{{not }} {}",
    r"{} \text{{ is not a solution}}",
    r"\text{{all but }} {}",
    r"\text{{anything except }} {}",
    r"{} \text{{ is wrong}}",
)
COUNTED = ("million", "thousand", "hundred", "dozen", "thirds", "halves", "billion", "percent of 50")
UNITS = {"cm": "m", "km": "m", "m": "km", "inches": "feet", "cents": "dollars", "degrees": "radians", "kg": "g"}
UNITS |= {"minutes": "hours", "s": "ms", "hours": "minutes", "km/h": "m/s"}
OTHER_WORDS = {"east": "west", "even": "odd", "ellipse": "parabola", "true": "false", "yes": "no"}
COEFFICIENT = re.compile(r"(?<![\d.^_])(\d+)(?= ?(?:\\sqrt|\\pi|[a-zA-Z(]))")
ARBITRARY = re.compile(r"C_\{1\}|\+ ?[Cc](?![a-z\\])")  # a constant of integration: its sign says nothing
EXPONENT = re.compile(r"(?<!(?<![\d])1)\^ ?(?:(\d)(?!\d)|\{(\d+)\})")


def spoil(function: Spoil) -> Spoil:
    SPOILS[function.__name__.replace("_", " ")] = function
    return function


def near_misses(gold: str, rng: Generator) -> Iterator[tuple[str, str]]:
    """(kind, wrong answer) of each kind that applies to a gold."""
    latex = clean(gold)
    if "where" in latex or "np." in latex or ARBITRARY.search(latex):
        return
    for kind, function in SPOILS.items():
        wrong = function(latex, rng)
        if wrong is not None and re.sub(r"\s", "", wrong) != re.sub(r"\s", "", latex):
            yield kind, wrong


def chosen(rng: Generator, among: "list[re.Match[str]]") -> "re.Match[str] | None":
    return among[rng.integers(len(among))] if among else None


def put(latex: str, match: "re.Match[str] | None", new: str) -> str | None:
    return match and latex[: match.start()] + new + latex[match.end() :]


def value_of(latex: str) -> Fraction | None:
    one = number(latex)
    return one.value if one else None


def grouped(latex: str) -> str:
    """In brackets where it is a sum."""
    return rf"\left({latex}\right)" if len(terms(latex)) > 1 or latex.startswith("-") else latex


def single(latex: str) -> str | None:
    """A number without a unit, or an expression: what may stand in a formula."""
    one = number(latex)
    if one and not one.after and not one.money:
        return latex if one.form != "scientific" else None
    return latex if not one and expression(latex) else None


def not_trivial(latex: str) -> str | None:
    """`single`, and neither 0, 1 nor -1."""
    return single(latex) if value_of(latex) not in (0, 1, -1) else None


# Digits of numbers


@spoil
def digits_transposed(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    if not one or one.form not in ("integer", "decimal"):
        return None
    digits = spelt(abs(one.value))
    places = [i for i in range(len(digits) - 1) if digits[i : i + 2].isdigit() and digits[i] != digits[i + 1]]
    places = [i for i in places if i or digits[1] != "0"]
    if not places:
        return None
    i = places[rng.integers(len(places))]
    changed = Fraction(digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :])
    return one.like(changed if one.value > 0 else -changed)


@spoil
def thousands_digit_dropped(latex: str, _: Generator) -> str | None:
    one = number(latex)
    if not one or one.form not in ("integer", "decimal") or abs(one.value) < 1000:
        return None
    digits = str(int(one.value))
    return one.like(Fraction(digits[:-4] + digits[-3:]) + one.value % 1) if one.value > 0 else None


@spoil
def point_moved(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    if not one or one.form not in ("integer", "decimal") or not one.value:
        return None
    return one.like(one.value * (10 if rng.random() < 0.5 else Fraction(1, 10)))


@spoil
def mantissa_changed(latex: str, rng: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    step = Fraction(1, 10 ** len(mantissa.partition(".")[2])) * int(rng.choice([-1, 1]))
    return rf"{spelt(Fraction(mantissa) + step)} \times 10^{{{exponent}}}" if Fraction(mantissa) + step else None


@spoil
def power_of_ten_changed(latex: str, rng: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    return rf"{mantissa} \times 10^{{{exponent + int(rng.choice([-1, 1]))}}}"


@spoil
def power_of_ten_inverted(latex: str, _: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    return rf"{mantissa} \times 10^{{{-exponent}}}"


@spoil
def numerator_off_by_one(latex: str, rng: Generator) -> str | None:
    return put(latex, found := chosen(rng, list(re.finditer(r"(?<=frac\{)\d+(?=\})", latex))), plus_one(found))


@spoil
def denominator_off_by_one(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, list(re.finditer(r"(?<=\}\{)\d+(?=\})", latex))) if "frac" in latex else None
    return put(latex, found, plus_one(found)) if not latex.startswith((r"\frac{0}", r"\binom", r"\begin")) else None


def plus_one(match: "re.Match[str] | None") -> str:
    return str(int(match[0]) + 1) if match else ""


@spoil
def reciprocal(latex: str, _: Generator) -> str | None:
    one = number(latex)
    if one and (one.after or one.form == "scientific" or abs(one.value) in (0, 1)):
        return None
    if one:
        top, bottom = one.value.denominator, abs(one.value.numerator)
        sign = "-" if one.value < 0 else ""
        return f"{sign}{top}" if bottom == 1 else rf"{sign}\frac{{{top}}}{{{bottom}}}"
    return rf"\frac{{1}}{{{latex}}}" if expression(latex) else None


@spoil
def numerator_and_denominator_swapped(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, list(re.finditer(r"\\frac(\{[^{}]+\})(\{[^{}]+\})", latex)))
    return put(latex, found, rf"\frac{found[2]}{found[1]}") if found and found[1] != found[2] else None


@spoil
def mixed_number_as_product(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return latex.replace(r"\frac", r"\cdot \frac", 1) if one and one.form == "mixed" else None


# What is written beside a number


@spoil
def number_word_appended(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    plain = one and not one.after and not one.money and one.value and one.form in ("integer", "decimal")
    return rf"{latex} \text{{ {rng.choice(COUNTED)}}}" if plain else None


@spoil
def percent_added_to_a_number(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{latex}\%" if one and single(latex) and one.value and one.form in ("integer", "decimal") else None


@spoil
def percent_added_to_an_expression(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{latex}\%" if single(latex) and (one.form == "fraction" if one else "\\" in latex) else None


@spoil
def base_added(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    if not one or not one.body.isdigit() or one.after or one.money or one.value < 10:
        return None
    bases = [base for base in (7, 8, 9) if str(base) > max(str(abs(one.value)))]
    return rf"{latex}_{{{bases[rng.integers(len(bases))]}}}" if bases else None


@spoil
def base_changed(latex: str, _: Generator) -> str | None:
    based = re.fullmatch(r"(\d{2,})_\{?(\d)\}?", latex)
    return f"{based[1]}_{{{int(based[2]) + 1}}}" if based else None


@spoil
def letter_appended(latex: str, rng: Generator) -> str | None:
    letters = [letter for letter in "xynk" if letter not in re.sub(r"\\[a-z]+", "", latex)]
    plain = single(latex) and letters and value_of(latex) != 0
    return grouped(latex) + " " * latex[-1:].isalpha() + str(rng.choice(letters)) if plain else None


@spoil
def constant_appended(latex: str, rng: Generator) -> str | None:
    constant = str(rng.choice([r"\pi", "e", "i"]))
    return rf"{grouped(latex)} {constant}" if single(latex) and value_of(latex) != 0 else None


@spoil
def factorial_added(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return f"{latex}!" if one and one.form == "integer" and single(latex) and one.value >= 3 else None


@spoil
def square_root_added(latex: str, _: Generator) -> str | None:
    return rf"\sqrt{{{latex}}}" if not_trivial(latex) else None


@spoil
def squared(latex: str, _: Generator) -> str | None:
    return rf"\left({latex}\right)^2" if not_trivial(latex) else None


@spoil
def function_applied(latex: str, rng: Generator) -> str | None:
    function = str(rng.choice([r"\sin", r"\cos", r"\ln", r"\tan"]))
    return rf"{function}\left({latex}\right)" if not_trivial(latex) and "log" not in latex else None


@spoil
def absolute_value_added(latex: str, _: Generator) -> str | None:
    one = number(latex)
    negative = (one and one.value < 0) or re.fullmatch(r"[a-z] ?- ?[a-z]|-\\(?:sqrt\{\d+\}|frac\{\\pi\}\{\d\})", latex)
    return rf"\left|{latex}\right|" if negative and single(latex) else None


@spoil
def floor_added(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    irrational = re.search(r"sqrt|pi", latex) and not re.search("[a-zA-Z]", re.sub(r"\\[a-z]+", "", latex))
    side = str(rng.choice(["floor", "ceil"]))
    broken = one.value.denominator > 1 if one else irrational
    return rf"\left\l{side} {latex} \right\r{side}" if single(latex) and broken else None


@spoil
def floor_removed(latex: str, _: Generator) -> str | None:
    if "floor" in latex or "ceil" in latex:
        return re.sub(r"(?:\\left ?)?\\l(?:floor|ceil)", "(", re.sub(r"(?:\\right ?)?\\r(?:floor|ceil)", ")", latex))
    return None


@spoil
def floor_and_ceiling_swapped(latex: str, _: Generator) -> str | None:
    if "floor" in latex:
        return latex.replace("floor", "ceil")
    return latex.replace("ceil", "floor") if "ceil" in latex else None


@spoil
def one_added(latex: str, rng: Generator) -> str | None:
    return f"{latex} {rng.choice(['+', '-'])} 1" if single(latex) else None


@spoil
def plus_minus_added(latex: str, _: Generator) -> str | None:
    return rf"\pm {latex.lstrip('-')}" if single(latex) and value_of(latex) != 0 and len(terms(latex)) == 1 else None


@spoil
def tolerance_added(latex: str, _: Generator) -> str | None:
    return rf"{latex} \pm 1" if number(latex) and single(latex) else None


@spoil
def range_added(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    integer = one and single(latex) and one.form == "integer" and one.value > 0
    return rf"{latex} \text{{ to }} {one.value + int(rng.integers(1, 4))}" if one and integer else None


@spoil
def weakened(latex: str, rng: Generator) -> str | None:
    return str(rng.choice(WEAKENED)).format(latex) if number(latex) and value_of(latex) else None


@spoil
def negated(latex: str, rng: Generator) -> str | None:
    return str(rng.choice(NEGATED)).format(latex) if number(latex) or expression(latex) else None


@spoil
def relation_added(latex: str, rng: Generator) -> str | None:
    sign = str(rng.choice([r"\geq", r"\leq", ">", "<", r"\neq"]))
    return f"x {sign} {latex}" if number(latex) and single(latex) else None


@spoil
def unequal_values_joined(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    integer = one and single(latex) and one.form == "integer"
    return rf"{latex} = {one.value + int(rng.integers(1, 9))}" if one and integer else None


@spoil
def unit_changed(latex: str, _: Generator) -> str | None:
    one = number(latex)
    unit = re.search(r"\{ ?([a-z/]+) ?\}", one.after) if one else None
    if not one or not one.value:
        return None
    if one.money:
        return rf"{one.sign}{one.body} \text{{ cents}}"
    if unit and unit[1] in UNITS:
        return latex.replace(unit[1], UNITS[unit[1]])
    return rf"{one.sign}{one.body} \text{{ minutes}}" if "circ" in one.after else None


@spoil
def radians_for_degrees(latex: str, _: Generator) -> str | None:
    one = number(latex)
    if one and "circ" in one.after and one.value:
        return rf"{one.sign}{one.body} \text{{ radians}}"
    return rf"\left({latex}\right)^\circ" if re.fullmatch(r"-?\\frac\{\\pi\}\{\d+\}|\\pi", latex) else None


# Parts of an expression


@spoil
def exponent_off_by_one(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    found = chosen(rng, list(EXPONENT.finditer(latex))) if not one and "text" not in latex else None
    return found and put(latex, found, f"^{{{int(found[1] or found[2]) + 1}}}")


@spoil
def coefficient_dropped(latex: str, rng: Generator) -> str | None:
    found = [match for match in COEFFICIENT.finditer(latex) if int(match[1]) > 1]
    return put(latex, chosen(rng, found), "") if expression(latex) and not number(latex) else None


@spoil
def coefficient_changed(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, [match for match in COEFFICIENT.finditer(latex) if int(match[1]) > 0])
    return put(latex, found, plus_one(found)) if expression(latex) and not number(latex) else None


@spoil
def term_dropped(latex: str, rng: Generator) -> str | None:
    signed = terms(latex)
    if len(signed) < 2 or not expression(latex) or number(latex):
        return None
    drop = rng.integers(len(signed))
    return total(signed[:drop] + signed[drop + 1 :])


@spoil
def sign_of_a_term_changed(latex: str, rng: Generator) -> str | None:
    signed = terms(latex)
    if len(signed) < 2 or not expression(latex) or number(latex):
        return None
    at = rng.integers(len(signed))
    signed[at] = ("-" if signed[at][0] == "+" else "+") + signed[at][1:]
    return total(signed)


@spoil
def square_root_removed(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, [match for match in re.finditer(r"\\sqrt\{([^{}]+)\}", latex) if match[1] != "1"])
    return put(latex, found, f"({found[1]})") if found and expression(latex) else None


@spoil
def root_index_changed(latex: str, _: Generator) -> str | None:
    if r"\sqrt[" in latex:
        return re.sub(r"\\sqrt\[(\d)\]", lambda root: rf"\sqrt[{int(root[1]) + 1}]", latex)
    return re.sub(r"\\sqrt\{", r"\\sqrt[3]{", latex, count=1) if expression(latex) and r"\sqrt{" in latex else None


@spoil
def radicand_off_by_one(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, list(re.finditer(r"(?<=\\sqrt\{)\d+(?=\})", latex)))
    return put(latex, found, plus_one(found)) if expression(latex) else None


@spoil
def pi_dropped(latex: str, _: Generator) -> str | None:
    return re.sub(r" ?\\pi", "", latex) if re.fullmatch(r"-?\d+ ?\\pi", latex) else None


@spoil
def base_of_logarithm_changed(latex: str, _: Generator) -> str | None:
    based = re.search(r"\\log ?_ ?\{?(\d+)\}?", latex)
    if based:
        return latex.replace(based[0], rf"\log_{{{int(based[1]) + 1}}} ")
    return latex.replace(r"\ln", r"\log_{2}") if r"\ln" in latex else None


@spoil
def sine_and_cosine_swapped(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, list(re.finditer(r"\\(sin|cos)(?![a-z])", latex)))
    return put(latex, found, r"\cos" if found and found[1] == "sin" else r"\sin") if expression(latex) else None


@spoil
def difference_reversed(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"([a-z]) ?- ?([a-z]|\d+)", latex)
    return f"{found[2]} - {found[1]}" if found else None


@spoil
def binomial_changed(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"\\binom\{(\w+)\}\{(\w+)\}", latex)
    return rf"\binom{{{found[1]} + 1}}{{{found[2]}}}" if found else None


@spoil
def conjugate(latex: str, _: Generator) -> str | None:
    found = COMPLEX.fullmatch(latex)
    return found and f"{found['real']} {'-' if found['sign'] == '+' else '+'} {found['size']}i"


@spoil
def real_and_imaginary_part_swapped(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"(-?\d+) ?([+-]) ?(\d+) ?i", latex)
    return f"{found[2].strip('+')}{found[3]} + {found[1]}i".replace("+ -", "- ") if found else None


@spoil
def one_sign_of_plus_minus(latex: str, _: Generator) -> str | None:
    return latex.replace(r"\pm", "+", 1).removeprefix("+") if r"\pm" in latex else None


@spoil
def plus_minus_made_independent(latex: str, _: Generator) -> str | None:
    return re.sub(r"^(\\\{)?(?=\d)", r"\g<0>\\pm ", latex) if r"\pm" in latex and not latex.startswith(r"\pm") else None


# Labels, equations, inequalities


@spoil
def wrong_label(latex: str, rng: Generator) -> str | None:
    found = LABELLED.fullmatch(latex)
    if not found or not (expression(found["rest"]) or number(found["rest"])):
        return None
    others = [letter for letter in "bqsuw" if letter not in latex]
    return str(rng.choice(others)) + latex[1:]


@spoil
def prime_added(latex: str, _: Generator) -> str | None:
    found = re.match(r"([a-zA-Z])(\([a-z]\)) ?=", latex)
    return f"{found[1]}'{latex[1:]}" if found and len(split(latex)) == 1 else None


@spoil
def equation_with_a_changed_coefficient(latex: str, rng: Generator) -> str | None:
    sides = split(latex, "=")
    if len(sides) != 2 or len(split(latex)) > 1 or "where" in latex:
        return None
    several = sum(len(terms(side)) for side in sides if side != "0") > 1
    found = chosen(rng, list(re.finditer(r"(?<![\d._{^])\d+(?= ?[a-zA-Z\\(])", latex)))
    return put(latex, found, plus_one(found)) if several else None


@spoil
def one_side_doubled(latex: str, _: Generator) -> str | None:
    sides = split(latex, "=")
    symbols = len(sides) == 2 and len(split(latex)) == 1 and "where" not in latex and sides[1] != "0"
    return rf"{sides[0]} = 2\left({sides[1]}\right)" if symbols else None


@spoil
def right_side_alone(latex: str, _: Generator) -> str | None:
    sides = split(latex, "=")
    equation = len(sides) == 2 and len(split(latex)) == 1 and (sides[1] == "0" or len(terms(sides[0])) > 1)
    return sides[1] if equation else None


@spoil
def direction_of_inequality_flipped(latex: str, _: Generator) -> str | None:
    found = list(RELATION.finditer(latex))
    if not found:
        return None
    sign = found[0][0]
    up, strict = sign == ">" or sign.startswith(r"\ge"), sign in "<>"
    return put(latex, found[0], ("<" if strict else r"\leq") if up else (">" if strict else r"\geq"))


@spoil
def strictness_of_inequality_changed(latex: str, rng: Generator) -> str | None:
    found = chosen(rng, list(RELATION.finditer(latex)))
    if not found:
        return None
    up = found[0] == ">" or found[0].startswith(r"\ge")
    return put(latex, found, (r"\geq " if up else r"\leq ") if found[0] in "<>" else ("> " if up else "< "))


# Intervals


@spoil
def end_of_interval_opened_or_closed(latex: str, rng: Generator) -> str | None:
    name, member, rest = latex.rpartition(r"\in ")
    if not (found := interval(rest)) or not (surely_interval(rest) or _rising(found)):
        return None
    opening, low, high, closing = found
    at_left = r"\infty" in high or (r"\infty" not in low and rng.random() < 0.5)
    if at_left:
        opening = "(" if opening == "[" else "["
    else:
        closing = ")" if closing == "]" else "]"
    return f"{name}{member}{opening}{low}, {high}{closing}"


def _rising(found: tuple[str, str, str, str]) -> bool:
    low, high = value_of(found[1]), value_of(found[2])
    return low is not None and high is not None and low < high


@spoil
def end_of_interval_changed(latex: str, _: Generator) -> str | None:
    name, member, rest = latex.rpartition(r"\in ")
    if not (found := interval(rest)) or not surely_interval(rest):
        return None
    opening, low, high, closing = found
    changed = (low, f"{high} + 1") if r"\infty" in low else (f"{low} - 1", high)
    return f"{name}{member}{opening}{', '.join(changed)}{closing}"


@spoil
def other_half_line(latex: str, _: Generator) -> str | None:
    found = interval(latex)
    if not found or r"\infty" not in latex:
        return None
    opening, low, high, closing = found
    if r"\infty" in low:
        return f"{'[' if closing == ']' else '('}{high}, \\infty)"
    return f"(-\\infty, {low}{']' if opening == '[' else ')'}"


@spoil
def strictness_of_interval_changed(latex: str, _: Generator) -> str | None:
    if not (found := interval(latex)) or not surely_interval(latex):
        return None
    opening, low, high, closing = found
    below, above = "<" if opening == "[" else LEQ, "<" if closing == "]" else LEQ
    if r"\infty" in low:
        return f"x {above} {high}"
    if r"\infty" in high:
        return f"{low} {below} x"
    return f"{low} {below} x {above} {high}"


@spoil
def intersection_for_union(latex: str, _: Generator) -> str | None:
    return latex.replace(r"\cup", r"\cap ") if r"\cup" in latex else None


@spoil
def part_of_union_missing(latex: str, rng: Generator) -> str | None:
    parts = split(latex, r"\\cup")
    return parts[rng.integers(len(parts))] if len(parts) > 1 else None


# Lists, sets, tuples, matrices, words


def joined(latex: str, elements: list[str]) -> str:
    inner = ", ".join(elements)
    return rf"\{{{inner}\}}" if latex.startswith(r"\{") else inner


@spoil
def element_missing(latex: str, rng: Generator) -> str | None:
    elements = listed(latex)
    if not elements or len(set(signature(elements))) < len(elements):
        return None
    drop = rng.integers(len(elements))
    return joined(latex, elements[:drop] + elements[drop + 1 :])


def _other_element(elements: list[str], rng: Generator) -> str | None:
    """One that is not among them: a last number off by some."""
    element = elements[rng.integers(len(elements))]
    numbers = [m for m in re.finditer(r"\d+", element) if not re.search(r"_\{?$", element[: m.start()])]
    last = numbers[-1] if numbers else None
    changed = put(element, last, str(int(last[0]) + int(rng.integers(1, 5)))) if last else None
    return changed if changed and not set(signature([changed])) & set(signature(elements)) else None


@spoil
def element_added(latex: str, rng: Generator) -> str | None:
    elements = listed(latex)
    other = _other_element(elements, rng) if elements else None
    return joined(latex, [*elements, other]) if other and r"\pm" not in latex else None


@spoil
def second_value_added(latex: str, rng: Generator) -> str | None:
    one = number(latex)
    integer = one and single(latex) and one.form == "integer"
    return rf"{latex} \text{{ or }} {one.value + int(rng.integers(1, 9))}" if one and integer else None


@spoil
def element_replaced_by_another_of_the_list(latex: str, rng: Generator) -> str | None:
    elements = listed(latex)
    if not elements or len(set(signature(elements))) < len(elements):
        return None
    i, j = rng.choice(len(elements), 2, replace=False)
    return joined(latex, [elements[j] if at == i else element for at, element in enumerate(elements)])


@spoil
def list_goes_on(latex: str, _: Generator) -> str | None:
    elements = listed(latex)
    integer = (one := number(latex)) and single(latex) and one.form == "integer"
    return rf"{latex}, \ldots" if (elements and not latex.startswith(r"\{")) or integer else None


@spoil
def tuple_permuted(latex: str, rng: Generator) -> str | None:
    elements = listed(latex) or [latex]
    places = [at for at, element in enumerate(elements) if len(set(signature(coordinates(element)))) > 1]
    if not places or surely_interval(latex) or latex.startswith(r"\{"):
        return None
    at = places[rng.integers(len(places))]
    inner = coordinates(elements[at])
    turned = [*inner[1:], inner[0]]
    changed = [*elements[:at], f"({', '.join(turned)})", *elements[at + 1 :]]
    same = signature(changed) == signature(
        [f"({', '.join(coordinates(e))})" if coordinates(e) else e for e in elements]
    )
    return None if same or turned == inner else ", ".join(changed)


@spoil
def coordinate_missing(latex: str, _: Generator) -> str | None:
    inner = coordinates(latex)
    return f"({', '.join(inner[:-1])})" if len(inner) > 2 else None


@spoil
def matrix_transposed(latex: str, _: Generator) -> str | None:
    rows = matrix(latex)
    turned = [list(row) for row in zip(*rows, strict=True)]
    return as_matrix(turned) if rows and turned != rows else None


@spoil
def entry_of_matrix_changed(latex: str, rng: Generator) -> str | None:
    rows = matrix(latex)
    if not rows:
        return None
    row = rows[rng.integers(len(rows))]
    at = rng.integers(len(row))
    value = value_of(row[at])
    row[at] = f"{row[at]} + 1" if value is None else spelt(value + 1)
    return as_matrix(rows)


@spoil
def determinant_for_matrix(latex: str, _: Generator) -> str | None:
    rows = matrix(latex)
    return as_matrix(rows, "vmatrix") if len(rows) > 1 and len(rows) == len(rows[0]) else None


@spoil
def ratio_inverted(latex: str, _: Generator) -> str | None:
    parts = latex.split(":")
    return ":".join(reversed(parts)) if len(parts) > 1 and parts[0] != parts[-1] else None


@spoil
def word_negated(latex: str, _: Generator) -> str | None:
    found = words(latex)
    return rf"\text{{not {found['word']}}}" if found and not found["word"].startswith("no ") else None


@spoil
def other_word(latex: str, _: Generator) -> str | None:
    if not (found := words(latex)):
        return None
    if len(found["word"]) == 1:
        return rf"\text{{({chr(ord(found['word']) + 1)})}}"
    return rf"\text{{{OTHER_WORDS.get(found['word'].lower(), 'Margaret')}}}"


@spoil
def second_word_added(latex: str, _: Generator) -> str | None:
    if not (found := words(latex)):
        return None
    other = (
        chr(ord(found["word"]) + 1) if len(found["word"]) == 1 else OTHER_WORDS.get(found["word"].lower(), "Margaret")
    )
    return rf"\text{{{found['word']} or {other}}}"


@spoil
def rounded(latex: str, _: Generator) -> str | None:
    """To three digits, where the gold has more."""
    one = number(latex)
    if not one or one.form != "integer" or not single(latex) or abs(one.value) < 1000:
        return None
    size = 10 ** (len(str(abs(one.value))) - 3)
    return decimal(Fraction(round(one.value / size) * size)) if round(one.value / size) * size != one.value else None
