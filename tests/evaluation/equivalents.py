r"""The right answer in other words: other commands, spacing, order, notation, labels.  Each kind is one function.

A function takes a gold without its dollar signs and a random generator, and gives LaTeX that a reader takes for the
same answer; None where the kind does not apply.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from numpy.random import Generator

from tests.evaluation.golds import (
    COMPLEX,
    LABELLED,
    Number,
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
    spelt,
    split,
    surely_interval,
    terms,
    total,
    words,
)

Respell = Callable[[str, Generator], str | None]
GEQ = r"\geq"
RESPELLINGS: dict[str, Respell] = {}
UNITS = "cm", "m", "km", "kg", "m/s", "km/h", "cm^2", "units", "square units", "dollars", "minutes", "people", "ways"
MATHRM_UNITS = r"cm", r"~cm", r"m^3", r"kg \cdot m", r"~m/s", r"J"
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
FRACTION = re.compile(r"\\frac\{([^{}]+)\}\{([^{}]+)\}")
PRODUCT = re.compile(r"(-?)(\d+) ?(\\sqrt\{\d+\}|\\pi|[a-zA-Z])")


def respelling(function: Respell) -> Respell:
    RESPELLINGS[function.__name__.replace("_", " ")] = function
    return function


def equivalents(gold: str, rng: Generator) -> Iterator[tuple[str, str]]:
    """(kind, right answer) of each kind that applies to a gold."""
    latex = clean(gold)
    if "where" in latex or "np." in latex:
        return
    for kind, function in RESPELLINGS.items():
        right = function(latex, rng)
        if right is not None and right != latex:
            yield kind, right


def changed(latex: str, old: str, new: str) -> str | None:
    return latex.replace(old, new) if old in latex else None


def bare(latex: str) -> Number | None:
    """A number without a sign of percent or degree, a base or a unit."""
    one = number(latex)
    return one if one and not one.after and not one.money else None


def integer(latex: str) -> int | None:
    one = bare(latex)
    return int(one.value) if one and one.form == "integer" else None


def one_value(latex: str) -> bool:
    return bool(number(latex)) or expression(latex)


# Commands and spacing


@respelling
def dfrac(latex: str, _: Generator) -> str | None:
    return changed(latex, r"\frac", r"\dfrac")


@respelling
def tfrac(latex: str, _: Generator) -> str | None:
    return changed(latex, r"\frac", r"\tfrac")


@respelling
def slash(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    return f"{one.value.numerator}/{one.value.denominator}" if one and one.form == "fraction" else None


@respelling
def slash_of_symbols(latex: str, _: Generator) -> str | None:
    found = FRACTION.fullmatch(latex)
    return f"({found[1]})/({found[2]})" if found and not number(latex) else None


@respelling
def over(latex: str, _: Generator) -> str | None:
    return FRACTION.sub(r"{\1 \\over \2}", latex) if FRACTION.search(latex) else None


@respelling
def fraction_without_braces(latex: str, _: Generator) -> str | None:
    return re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2", latex) if r"\frac" in latex else None


@respelling
def left_and_right(latex: str, _: Generator) -> str | None:
    if r"\left" in latex:
        return re.sub(r"\\(?:left|right) ?(?=[()\[\].|])", "", latex)
    sized = re.sub(r"([(\[])", r"\\left\1 ", re.sub(r"([)\]])", r" \\right\1", latex))
    return sized if re.search(r"[(\[]", latex) and r"\sqrt[" not in latex and r"\text" not in latex else None


@respelling
def big_brackets(latex: str, _: Generator) -> str | None:
    plain = r"\left" not in latex and r"\sqrt[" not in latex and r"\text" not in latex and re.search(r"[(\[]", latex)
    return re.sub(r"([(\[])", r"\\bigl\1", re.sub(r"([)\]])", r"\\bigr\1", latex)) if plain else None


@respelling
def thin_spaces(latex: str, _: Generator) -> str | None:
    several = len(listed(latex)) > 1 or coordinates(latex)
    return re.sub(r", ?", r",\\, ", latex) if several else rf"\,{latex}\,"


@respelling
def wide_spaces(latex: str, rng: Generator) -> str | None:
    space = str(rng.choice([r"\;", r"\quad ", r"\ ", "~", r"\:"]))
    return re.sub(r" ?([+=]) ?", lambda sign: f"{space}{sign[1]}{space}", latex) if re.search("[+=]", latex) else None


@respelling
def spaces_at_the_ends(latex: str, rng: Generator) -> str | None:
    return str(rng.choice([r"\ {}\ ", "~{}", "{}\\!", "\n{}\n", r"\;{}\;"])).replace("{}", latex)


@respelling
def no_spaces(latex: str, _: Generator) -> str | None:
    plain = not re.search(r"text|mbox|begin", latex) and not re.search(r"\d \\?[df]", latex)
    return re.sub(r"(?<![a-zA-Z]) | (?![a-zA-Z])", "", latex) if plain else None


@respelling
def more_spaces(latex: str, _: Generator) -> str | None:
    return re.sub(r"(?<=[^\s^_{(,\\])\s*([+=-])\s*", r" \1 ", latex) if "e-" not in latex else None


@respelling
def display_style(latex: str, _: Generator) -> str | None:
    return rf"\displaystyle {latex}"


@respelling
def dollars_around(latex: str, _: Generator) -> str | None:
    return f"${latex}$" if r"\$" not in latex else None


@respelling
def inline_brackets(latex: str, _: Generator) -> str | None:
    return rf"\({latex}\)"


@respelling
def bold(latex: str, rng: Generator) -> str | None:
    wrapper = str(rng.choice([r"\mathbf", r"\boldsymbol", r"\mathrm", r"\bm"]))
    return f"{wrapper}{{{latex}}}" if bare(latex) and "e" not in latex else None


@respelling
def coloured(latex: str, rng: Generator) -> str | None:
    return str(rng.choice([r"\textcolor{red}{@}", r"\color{blue}{@}", r"{\color{red} @}"])).replace("@", latex)


@respelling
def text_around(latex: str, _: Generator) -> str | None:
    plain = re.fullmatch(r"-?[\d,.]+", latex)
    return rf"\text{{{latex}}}" if plain else None


@respelling
def braces_around(latex: str, _: Generator) -> str | None:
    return f"{{{latex}}}"


@respelling
def full_stop(latex: str, rng: Generator) -> str | None:
    return latex + str(rng.choice([".", r"\,.", r"\text{.}"]))


@respelling
def exponents_with_or_without_braces(latex: str, _: Generator) -> str | None:
    return re.sub(r"\^\{(\w)\}", r"^\1", latex) if re.search(r"\^\{\w\}", latex) else re.sub(r"\^(\w)", r"^{\1}", latex)


@respelling
def characters_of_unicode(latex: str, _: Generator) -> str | None:
    plain = latex.replace(r"\pi", "π").replace(r"\cup", "∪").replace(r"\infty", "∞").replace(r"\pm", "±")
    plain = re.sub(r"(?<![\w{^])-|(?<=[\w)} ])-", "−", plain) if "e-" not in plain else plain
    plain = re.sub(r"\\sqrt\{(\d+)\}", r"√\1" if latex.endswith("}") else r"√(\1)", plain)
    plain = re.sub(r"\^\{?\\circ\}?", "°", plain)
    plain = re.sub(r"\^(\d)(?!\d)|\^\{(-?\d+)\}", lambda m: (m[1] or m[2]).translate(SUPERSCRIPTS), plain)
    return plain if not re.search(r"text|begin|mbox", latex) else None


@respelling
def other_relation_commands(latex: str, rng: Generator) -> str | None:
    found = re.search(r"\\(ge|le)(?:q|qslant)?(?![a-z])", latex)
    others = [f"\\{found[1]}{end} " for end in ("q", "", "qslant") if found[0] != f"\\{found[1]}{end}"] if found else []
    other = str(rng.choice(others)) if others else None
    return latex[: found.start()] + other + latex[found.end() :].lstrip() if found and other else None


# Numbers


@respelling
def thousands_comma(latex: str, rng: Generator) -> str | None:
    value = integer(latex)
    if value is None or abs(value) < 1000:
        return None
    return f"{value:,}".replace(",", str(rng.choice([",", "{,}", r"{,}\!", r"\,", r",\!"])))


@respelling
def without_thousands_comma(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return one.money + str(one.value) + one.after if one and "," in one.body else None


@respelling
def trailing_zero(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    if not one or one.form not in ("integer", "decimal") or "," in one.body:
        return None
    return latex + (".0" if one.form == "integer" else "0")


@respelling
def leading_zero(latex: str, _: Generator) -> str | None:
    if re.match(r"0?\.\d", latex) and bare(latex):
        return latex.removeprefix("0") if latex.startswith("0") else f"0{latex}"
    return None


@respelling
def decimal_for_fraction(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    return decimal(one.value) if one and one.form in ("fraction", "mixed") else None


@respelling
def fraction_for_decimal(latex: str, rng: Generator) -> str | None:
    one = bare(latex)
    if not one or one.form != "decimal" or one.value.denominator == 1:
        return None
    sign = "-" if one.value < 0 else ""
    return rf"{sign}\{rng.choice(['', 'd'])}frac{{{abs(one.value.numerator)}}}{{{one.value.denominator}}}"


@respelling
def fraction_not_reduced(latex: str, rng: Generator) -> str | None:
    one, factor = bare(latex), int(rng.integers(2, 6))
    if not one or one.form != "fraction":
        return None
    return rf"\frac{{{one.value.numerator * factor}}}{{{one.value.denominator * factor}}}"


@respelling
def sign_in_the_numerator(latex: str, _: Generator) -> str | None:
    return re.sub(r"^-\\frac\{", r"\\frac{-", latex) if re.fullmatch(r"-\\frac\{[^{}]*\}\{[^{}]*\}", latex) else None


@respelling
def mixed_for_improper(latex: str, rng: Generator) -> str | None:
    one = bare(latex)
    if not one or one.form != "fraction" or one.value <= 1 or one.value.denominator == 1:
        return None
    whole, rest = divmod(one.value.numerator, one.value.denominator)
    space = str(rng.choice(["", " ", r"\,"]))
    return rf"{whole}{space}\frac{{{rest}}}{{{one.value.denominator}}}"


@respelling
def improper_for_mixed(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    return rf"\frac{{{one.value.numerator}}}{{{one.value.denominator}}}" if one and one.form == "mixed" else None


@respelling
def times_ten(latex: str, rng: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    times = str(rng.choice([r" \times ", r" \cdot ", r"\times", " × ", "*"]))
    return f"{mantissa}{times}10^{{{exponent}}}"


@respelling
def times_ten_and_unit(latex: str, rng: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    unit = str(
        rng.choice([r"\text{ m}", r"\,\mathrm{erg/s}", r"\ \text{cm}^{-3}", r"\mathrm{~J\,s^{-1}}", r"\, \text{K}"])
    )
    return rf"{mantissa} \times 10^{{{exponent}}} {unit}"


@respelling
def all_digits_of_power_of_ten(latex: str, _: Generator) -> str | None:
    one = number(latex)
    parts = scientific(latex)
    return decimal(one.value) if one and parts and abs(parts[1]) <= 12 else None


@respelling
def shifted_power_of_ten(latex: str, _: Generator) -> str | None:
    if not (parts := scientific(latex)):
        return None
    mantissa, exponent = parts
    return rf"{spelt(Fraction(mantissa) * 10)} \times 10^{{{exponent - 1}}}"


@respelling
def power_of_ten_for_digits(latex: str, _: Generator) -> str | None:
    value = integer(latex)
    if value is None or abs(value) < 1000:
        return None
    digits = str(abs(value)).rstrip("0")
    exponent = len(str(abs(value))) - 1
    return rf"{'-' if value < 0 else ''}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]} \times 10^{{{exponent}}}"


@respelling
def unit_in_text(latex: str, rng: Generator) -> str | None:
    unit = str(rng.choice(UNITS))
    name, _, exponent = unit.partition("^")
    text = rf"\text{{ {name}}}" + (f"^{exponent}" if exponent else "")
    return latex + str(rng.choice(["", " ", r"\,", r"\ "])) + text if bare(latex) else None


@respelling
def unit_in_mathrm(latex: str, rng: Generator) -> str | None:
    return rf"{latex} \mathrm{{{rng.choice(MATHRM_UNITS)}}}" if bare(latex) else None


@respelling
def unit_left_out(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return one.sign + one.body if one and re.search("text|mbox", one.after) else None


@respelling
def degrees_left_out(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return one.sign + one.body if one and "circ" in one.after else None


@respelling
def degrees_in_words(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{one.sign}{one.body} \text{{ degrees}}" if one and "circ" in one.after else None


@respelling
def degrees_added(latex: str, rng: Generator) -> str | None:
    value = integer(latex)
    return latex + str(rng.choice([r"^\circ", r"^{\circ}", "°", r"\degree"])) if value and 0 < value < 360 else None


@respelling
def percent_in_words(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{one.body} \text{{ percent}}" if one and "%" in one.after else None


@respelling
def percent_spelt_otherwise(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{one.body}\,\%" if one and "%" in one.after else None


@respelling
def money_without_sign(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return one.body if one and one.money else None


@respelling
def money_in_words(latex: str, _: Generator) -> str | None:
    one = number(latex)
    return rf"{one.body} \text{{ dollars}}" if one and one.money else None


@respelling
def money_sign_added(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    return rf"\${latex}" if one and one.value > 0 and one.form in ("integer", "decimal") else None


@respelling
def base_with_or_without_braces(latex: str, _: Generator) -> str | None:
    based = re.fullmatch(r"(\d+)_(\{?)(\d)\}?", latex)
    return based and (f"{based[1]}_{based[3]}" if based[2] else f"{based[1]}_{{{based[3]}}}")


# Expressions


@respelling
def sum_in_another_order(latex: str, _: Generator) -> str | None:
    signed = terms(latex)
    return total(signed[::-1]) if len(signed) > 1 and expression(latex) and not number(latex) else None


@respelling
def product_in_another_order(latex: str, _: Generator) -> str | None:
    found = PRODUCT.fullmatch(latex)
    return rf"{found[1]}{found[3]} \cdot {found[2]}" if found else None


@respelling
def product_with_a_dot(latex: str, rng: Generator) -> str | None:
    sign = str(rng.choice([r"\cdot", r"\times", "*"]))
    found = PRODUCT.fullmatch(latex)
    return f"{found[1]}{found[2]} {sign} {found[3]}" if found else None


@respelling
def product_without_a_dot(latex: str, _: Generator) -> str | None:
    factors = split(latex, r"\\cdot ")
    return "".join(f"({factor})" for factor in factors) if len(factors) > 1 and expression(latex) else None


@respelling
def factor_taken_out(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"\\frac\{([^{}]*(?:\{\d+\})?)\}\{(\d+)\}", latex)
    return rf"\frac{{1}}{{{found[2]}}} \left({found[1]}\right)" if found and not number(latex) else None


@respelling
def bracketed_sum(latex: str, _: Generator) -> str | None:
    return rf"\left({latex}\right)" if expression(latex) and len(terms(latex)) > 1 and not number(latex) else None


@respelling
def half_power(latex: str, rng: Generator) -> str | None:
    power = str(rng.choice(["^{1/2}", r"^{\frac{1}{2}}"]))
    dotted = re.sub(r"(?<=[\d}]) ?(?=\\sqrt\{\d)", r" \\cdot ", latex)
    return re.sub(r"\\sqrt\{(\d+)\}", lambda root: root[1] + power, dotted) if r"\sqrt{" in latex else None


@respelling
def power_for_root(latex: str, _: Generator) -> str | None:
    dotted = re.sub(r"(?<=\d) ?(?=\\sqrt\[)", r" \\cdot ", latex)
    return re.sub(r"\\sqrt\[(\d)\]\{(\d+)\}", r"\2^{1/\1}", dotted) if r"\sqrt[" in latex else None


@respelling
def root_without_braces(latex: str, _: Generator) -> str | None:
    return re.sub(r"\\sqrt\{(\d)\}", r"\\sqrt\1", latex)


@respelling
def root_with_a_space(latex: str, _: Generator) -> str | None:
    return re.sub(r"\\sqrt\{(\d)\}", r"\\sqrt \1", latex)


@respelling
def factor_in_the_root(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"(\d+) ?\\sqrt\{(\d+)\}", latex)
    return rf"\sqrt{{{int(found[1]) ** 2 * int(found[2])}}}" if found else None


@respelling
def upright_i(latex: str, rng: Generator) -> str | None:
    found = COMPLEX.fullmatch(latex)
    upright = str(rng.choice([r"\mathrm{i}", r"\text{i}"]))
    return found and f"{found['real']} {found['sign']} {found['size']}{upright}"


@respelling
def imaginary_part_first(latex: str, _: Generator) -> str | None:
    found = COMPLEX.fullmatch(latex)
    if not found:
        return None
    real = found["real"] if found["real"].startswith("-") else f"+{found['real']}"
    return f"{found['sign'].strip('+')}{found['size']} i {real}"


@respelling
def both_signs_spelt_out(latex: str, _: Generator) -> str | None:
    plain = latex.count(r"\pm") == 1 and latex[0] != "\\" and len(split(latex)) == 1
    return ", ".join(latex.replace(r"\pm", sign) for sign in "+-") if plain else None


@respelling
def exponential_function(latex: str, _: Generator) -> str | None:
    found = re.search(r"(?<![a-zA-Z\\])e\^\{([^{}]+)\}", latex)
    return latex.replace(found[0], rf"\exp({found[1]})") if found else None


@respelling
def choose(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"\\binom\{(\w+)\}\{(\w+)\}", latex)
    return rf"{{{found[1]} \choose {found[2]}}}" if found else None


# Labels, equations, chains


@respelling
def label_added(latex: str, rng: Generator) -> str | None:
    letters = [letter for letter in "xnANSm" if letter not in re.sub(r"\\[a-z]+", "", latex)]
    return f"{rng.choice(letters)} = {latex}" if number(latex) and letters else None


@respelling
def label_in_words(latex: str, rng: Generator) -> str | None:
    label = str(rng.choice(["Area", "Answer", "Total", "Probability", "the answer"]))
    return rf"\text{{{label}}} = {latex}" if number(latex) else None


@respelling
def label_of_a_function(latex: str, rng: Generator) -> str | None:
    label = str(rng.choice(["f(2)", "P(A)", "a_{10}", r"\angle A", "|AB|", r"k_{\max}", "S_n"]))
    return f"{label} = {latex}" if bare(latex) else None


@respelling
def label_left_out(latex: str, _: Generator) -> str | None:
    found = LABELLED.fullmatch(latex)
    return found["rest"] if found and (expression(found["rest"]) or number(found["rest"])) else None


@respelling
def approximately(latex: str, rng: Generator) -> str | None:
    sign = str(rng.choice([r"\approx", r"\text{approximately }", "≈"]))
    one = bare(latex)
    return f"{sign} {latex}" if one and one.form in ("decimal", "scientific") else None


@respelling
def sum_worked_out(latex: str, rng: Generator) -> str | None:
    value = integer(latex)
    part = int(rng.integers(1, 20))
    return f"{value - part} + {part} = {value}" if value is not None and value > part else None


@respelling
def label_and_sum_worked_out(latex: str, rng: Generator) -> str | None:
    value = integer(latex)
    part = int(rng.integers(2, 9))
    return rf"n = {part} \cdot {value // part} = {value}" if value and value > part and value % part == 0 else None


@respelling
def value_in_decimals_beside(latex: str, _: Generator) -> str | None:
    one = bare(latex)
    return rf"{latex} \approx {float(one.value):.3f}" if one and one.form == "fraction" and abs(one.value) > 1 else None


@respelling
def sides_swapped(latex: str, _: Generator) -> str | None:
    sides = split(latex, "=")
    plain = len(sides) == 2 and len(split(latex)) == 1 and "where" not in latex and not re.match(r"\w\(", latex)
    return f"{sides[1]} = {sides[0]}" if plain else None


@respelling
def both_sides_doubled(latex: str, _: Generator) -> str | None:
    sides = split(latex, "=")
    plain = len(sides) == 2 and len(split(latex)) == 1 and len(terms(sides[0]) + terms(sides[1])) > 2
    symbols = plain and re.search("[a-z]", sides[1] if sides[1] != "0" else sides[0]) and not re.match(r"\w\(", latex)
    doubled = [side if side == "0" else rf"2\left({side}\right)" for side in sides]
    return " = ".join(doubled) if symbols else None


@respelling
def everything_on_one_side(latex: str, _: Generator) -> str | None:
    sides = split(latex, "=")
    plain = len(sides) == 2 and len(split(latex)) == 1 and sides[1] != "0" and not re.match(r"\w\(", latex)
    symbols = plain and re.search("[a-z]", re.sub(r"\\[a-z]+", "", sides[1])) and len(sides[0]) < 20
    return rf"{sides[0]} - \left({sides[1]}\right) = 0" if symbols else None


# Intervals


@respelling
def inequality_for_interval(latex: str, _: Generator) -> str | None:
    found = interval(latex)
    if not found or not surely_interval(latex):
        return None
    opening, low, high, closing = found
    below, above = ("<" if opening == "(" else r"\leq"), ("<" if closing == ")" else r"\le")
    if r"\infty" in low:
        return f"x {above} {high}"
    if r"\infty" in high:
        return f"x {'>' if opening == '(' else GEQ} {low}"
    return f"{low} {below} x {above} {high}"


@respelling
def interval_for_inequality(latex: str, _: Generator) -> str | None:
    found = re.fullmatch(r"([a-z]) ?(\\geqslant|\\geq|\\ge|>|\\leqslant|\\leq|\\le|<) ?(-?\d+)", latex)
    if not found:
        return None
    if found[2] == ">" or found[2].startswith(r"\ge"):
        return rf"{'(' if found[2] == '>' else '['}{found[3]}, \infty)"
    return rf"(-\infty, {found[3]}{')' if found[2] == '<' else ']'}"


@respelling
def member_of_interval(latex: str, _: Generator) -> str | None:
    return rf"x \in {latex}" if surely_interval(latex) else None


@respelling
def member_left_out(latex: str, _: Generator) -> str | None:
    return latex.partition(r"\in ")[2] if re.match(r"[a-z] ?\\in ", latex) else None


@respelling
def plus_infinity(latex: str, _: Generator) -> str | None:
    return re.sub(r"(?<![-+])\\infty", r"+\\infty", latex) if re.search(r"(?<![-+])\\infty", latex) else None


@respelling
def union_in_another_order(latex: str, _: Generator) -> str | None:
    parts = split(latex, r"\\cup")
    return r" \cup ".join(parts[::-1]) if len(parts) > 1 else None


# Lists, sets, tuples, matrices, words


def plain_list(latex: str) -> list[str]:
    """Elements that may stand in any order, of a list that is no set."""
    return [] if latex.startswith(r"\{") else listed(latex)


@respelling
def list_in_another_order(latex: str, rng: Generator) -> str | None:
    elements = plain_list(latex)
    return ", ".join(elements[at] for at in rng.permutation(len(elements))) if elements else None


@respelling
def list_with_and(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    return rf"{', '.join(elements[:-1])} \text{{ and }} {elements[-1]}" if elements else None


@respelling
def list_with_or(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    return r" \text{ or } ".join(elements) if elements else None


@respelling
def list_as_set(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    plain = elements and len(set(elements)) == len(elements) and "=" not in latex
    return rf"\{{{', '.join(elements)}\}}" if plain else None


@respelling
def set_as_list(latex: str, _: Generator) -> str | None:
    return ", ".join(listed(latex)) if latex.startswith(r"\{") and listed(latex) else None


@respelling
def set_in_another_order(latex: str, _: Generator) -> str | None:
    return rf"\{{{', '.join(listed(latex)[::-1])}\}}" if latex.startswith(r"\{") and listed(latex) else None


@respelling
def list_with_semicolons(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    return "; ".join(elements) if elements and all(map(one_value, elements)) else None


@respelling
def list_with_labels(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    numbers = elements and all(number(element) or ("sqrt" in element and "=" not in element) for element in elements)
    return r" \text{ or } ".join(f"x = {element}" for element in elements) if numbers else None


@respelling
def list_with_one_label(latex: str, _: Generator) -> str | None:
    elements = plain_list(latex)
    return f"x = {', '.join(elements)}" if elements and all(number(element) for element in elements) else None


@respelling
def tuple_with_a_label(latex: str, _: Generator) -> str | None:
    inner = coordinates(latex)
    names = ["x", "y", "z"][: len(inner)]
    plain = 1 < len(inner) < 4 and not surely_interval(latex)
    return f"({', '.join(names)}) = ({', '.join(inner)})" if plain else None


@respelling
def bmatrix(latex: str, _: Generator) -> str | None:
    return as_matrix(matrix(latex), "bmatrix") if matrix(latex) else None


@respelling
def matrix_with_spaced_rows(latex: str, rng: Generator) -> str | None:
    return as_matrix(matrix(latex), end=rf" \\[{rng.choice(['6pt', '2pt', '4pt', '1ex'])}] ") if matrix(latex) else None


@respelling
def matrix_as_array(latex: str, _: Generator) -> str | None:
    rows = matrix(latex)
    columns = "c" * len(rows[0]) if rows else ""
    inner = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\left(\begin{{array}}{{{columns}}} {inner} \end{{array}}\right)" if rows else None


@respelling
def matrix_with_a_label(latex: str, _: Generator) -> str | None:
    return rf"\mathbf{{v}} = {latex}" if matrix(latex) else None


@respelling
def ratio_with_spaces(latex: str, _: Generator) -> str | None:
    return latex.replace(":", " : ") if re.fullmatch(r"\d+(:\d+)+", latex) else None


@respelling
def word_without_text(latex: str, _: Generator) -> str | None:
    found = words(latex)
    return found["word"] if found else None


@respelling
def word_in_other_text(latex: str, rng: Generator) -> str | None:
    found = words(latex)
    wrapper = str(rng.choice([r"\textbf", r"\mathrm", r"\mbox", r"\textit"]))
    return f"{wrapper}{{{found['word']}}}" if found and " " not in found["word"] else None


@respelling
def capital_word(latex: str, _: Generator) -> str | None:
    found = words(latex)
    return rf"\text{{{found['word'].capitalize()}}}" if found and len(found["word"]) > 1 else None


@respelling
def choice_with_or_without_brackets(latex: str, _: Generator) -> str | None:
    found = words(latex)
    if not found or len(found["word"]) > 1:
        return None
    return rf"\text{{{found['word']}}}" if found["choice"] else rf"\text{{({found['word']})}}"
