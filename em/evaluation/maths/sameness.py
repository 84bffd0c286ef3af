"""Whether two values are the same, by their types; it decides, or raises UndecidedError."""

from fractions import Fraction
from itertools import product as combinations

from em.evaluation.maths.equations import same_inequalities, same_relations
from em.evaluation.maths.evaluate import exact
from em.evaluation.maths.expressions import has, same_expressions
from em.evaluation.maths.regions import letter, region, same_regions, speaks_of_a_region
from em.evaluation.maths.units import TEMPERATURE
from em.evaluation.maths.values import (
    DOTS,
    Apply,
    Based,
    Matrix,
    Measured,
    Number,
    Ratio,
    Relation,
    Sequence,
    Symbol,
    Text,
    UndecidedError,
    Value,
    is_expression,
    negative,
    product,
    quotient,
    rebuilt,
    walk,
)

SIGNS = 5  # of plus or minus, at most
MEMBERS = 64  # of a list whose elements have such signs
RADIANS = (("radian", 1.0),)


def same(mine: Value, right: Value) -> bool:
    """Whether an answer's value is the gold's; raises UndecidedError."""
    if mine == right:
        return True
    if speaks_of_a_region(mine) or speaks_of_a_region(right):
        return _same_regions(mine, right)
    for kind, compare in COMPARED:
        if isinstance(mine, kind) or isinstance(right, kind):
            return compare(mine, right)
    if _is_residue(mine) or _is_residue(right):
        return _same_residues(mine, right)
    if isinstance(mine, Sequence) or isinstance(right, Sequence) or len(_signed(mine)) > 1 or len(_signed(right)) > 1:
        return _same_sequences(mine, right)
    return same_expressions(mine, right)


# Lists, sets, tuples


def _same_sequences(mine: Value, right: Value) -> bool:
    """A tuple has an order, and its brackets count where it can be an interval; lists and sets have none."""
    if isinstance(right, Sequence) and right.brackets not in ("", "{}"):
        return _same_tuples(mine, right)
    is_list = isinstance(right, Sequence) and right.brackets == ""
    if isinstance(mine, Sequence) and mine.brackets not in ("", "{}", *(("()", "[]") if is_list else ())):
        return False
    answers = [signed for item in (mine.items if isinstance(mine, Sequence) else (mine,)) for signed in _signed(item)]
    golds = [signed for item in (right.items if isinstance(right, Sequence) else (right,)) for signed in _signed(item)]
    if max(len(answers), len(golds)) > MEMBERS and len(answers) > len(mine.items if isinstance(mine, Sequence) else ()):
        raise UndecidedError("too many signs")
    return _same_lists(answers, golds)


def _same_lists(answers: list[Value], golds: list[Value]) -> bool:
    """Element by element in any order; where the gold repeats some, each as often as there."""
    if DOTS in golds or DOTS in answers:
        return len(answers) == len(golds) and all(map(same, answers, golds))
    rest = answers if _distinct(golds) != golds else _distinct(answers)
    if len(rest) != len(golds):
        return False
    rest = list(rest)
    for gold in golds:
        place = next((index for index, answer in enumerate(rest) if same(answer, gold)), None)
        if place is None:
            return False
        del rest[place]
    return True


def _distinct(values: list[Value]) -> list[Value]:
    return [value for index, value in enumerate(values) if not any(same(value, other) for other in values[:index])]


def _same_tuples(mine: Value, right: Sequence) -> bool:
    if isinstance(mine, Apply) and mine.function.endswith("()") and mine.function[0].isupper():  # P(3, -1)
        mine = Sequence("()", mine.arguments)
    if not isinstance(mine, Sequence) or len(_signed(mine)) > 1 or len(_signed(right)) > 1 or mine.alternatives:
        return False
    answers = mine.items
    if mine.brackets == "" and any(isinstance(item, Relation) for item in answers):
        answers = _coordinates(mine)
    elif mine.brackets != right.brackets and _may_be_interval(right):
        return False
    return len(answers) == len(right.items) and all(map(same, answers, right.items))


def _may_be_interval(value: Sequence) -> bool:
    if len(value.items) != 2:
        return False
    pieces = region(value)
    return pieces is None or bool(pieces)


def _coordinates(listed: Sequence) -> tuple[Value, ...]:
    """1 and 2 of y = 2 and x = 1: in the order of their letters; none where a letter lacks or comes twice."""
    pairs = [item.sides for item in listed.items if isinstance(item, Relation) and item.signs == ("=",)]
    values = {label.name: value for label, value in pairs if isinstance(label, Symbol)}
    return tuple(values[name] for name in sorted(values)) if len(values) == len(listed.items) else ()


def _signed(value: Value) -> list[Value]:
    r"""A value with each sign of each \pm, one of \mp being the opposite of the first \pm."""
    applied = {part.function for part in walk(value) if isinstance(part, Apply)}
    names = sorted({"pm 0" if name == "mp 0" else name for name in applied if name[:3] in ("pm ", "mp ")})
    if len(names) > SIGNS:
        raise UndecidedError("too many signs")
    return [_with_signs(value, dict(zip(names, signs, strict=True))) for signs in combinations("+-", repeat=len(names))]


def _with_signs(value: Value, signs: dict[str, str]) -> Value:
    def signed(part: Value) -> Value:
        if not isinstance(part, Apply) or part.function not in (*signs, "mp 0"):
            return part
        is_minus = signs["pm 0"] == "+" if part.function == "mp 0" else signs[part.function] == "-"
        return negative(part.arguments[0]) if is_minus else part.arguments[0]

    return rebuilt(value, signed) if signs else value


# Regions, matrices, ratios, residues


def _same_regions(mine: Value, right: Value) -> bool:
    regions, names = (region(mine), region(right)), {letter(mine), letter(right)} - {None}
    if regions[0] is not None and regions[1] is not None:
        return len(names) <= 1 and same_regions(regions[0], regions[1])
    match mine, right:
        case Relation(), Relation():
            return same_inequalities(mine, right, same)
        case Relation(("in",), (_, inside)), _:
            return same(inside, right)
        case _, Relation(("in",), (_, inside)):
            return same(mine, inside)
        case Apply(operation, (a, b)), Apply(other, (c, d)) if operation == other and operation != "setminus":
            return (same(a, c) and same(b, d)) or (same(a, d) and same(b, c))
        case Sequence(brackets, items), Sequence(others, golds) if brackets == others:
            return _same_lists(list(items), list(golds)) if brackets == "" else all(map(same, items, golds))
    return False


def _same_matrices(mine: Value, right: Value) -> bool:
    """Cell by cell; a column or row is a tuple too."""
    match mine, right:
        case Matrix(rows), Matrix(golds):
            same_shape = (len(rows), len(rows[0])) == (len(golds), len(golds[0]))
            return same_shape and all(all(map(same, *pair)) for pair in zip(rows, golds, strict=True))
        case Matrix(rows), Sequence("()", golds):
            vector = _vector(rows)
            return len(vector) == len(golds) and all(map(same, vector, golds))
        case Sequence("()", items), Matrix(golds):
            vector = _vector(golds)
            return len(vector) == len(items) and all(map(same, items, vector))
    return False


def _vector(rows: tuple[tuple[Value, ...], ...]) -> tuple[Value, ...]:
    """The entries of a matrix of one row or column; none of another."""
    if len(rows) == 1:
        return rows[0]
    return tuple(row[0] for row in rows) if len(rows[0]) == 1 else ()


def _same_ratios(mine: Value, right: Value) -> bool:
    """3:4 is 6:8 and 3/4; a time of day is itself alone."""
    match mine, right:
        case Ratio(terms, clock), Ratio(golds, other):
            if len(terms) != len(golds) or all(map(same, terms, golds)):
                return len(terms) == len(golds)
            if (clock and other) or DOTS in terms or any(exact(term) == 0 for term in (*terms, *golds)):
                return False
            scaled = zip(terms, golds, strict=True)
            return all(same(product([a, golds[0]]), product([b, terms[0]])) for a, b in scaled)
        case Ratio((top, bottom)), _:
            return same_expressions(quotient(top, bottom), right)
        case _, Ratio((top, bottom)):
            return same_expressions(mine, quotient(top, bottom))
    return False


def _is_residue(value: Value) -> bool:
    return isinstance(value, Apply) and value.function == "residue"


def _same_residues(mine: Value, right: Value) -> bool:
    r"""7 \pmod{10} is 7; 12 \pmod{10} is not 12."""
    match mine, right:
        case Apply("residue", (a, modulus)), Apply("residue", (b, other)):
            return same(modulus, other) and same(a, b)
        case Apply("residue", (a, modulus)), _:
            number, limit = exact(a), exact(modulus)
            return number is not None and limit is not None and 0 <= number < limit and same(a, right)
        case _, Apply("residue", (b, _)):
            return same(mine, b)
    return False


# Words, bases, units


def _same_texts(mine: Value, right: Value) -> bool:
    match mine, right:
        case Text(words), Text(golds):
            return words == golds
        case (Text(words), Symbol(name)) | (Symbol(name), Text(words)) if len(words) < 3:
            return words == name
        case Text(_, value), _ if value is not None and not isinstance(value, Text):
            return same(value, right)
        case _, Text(_, value) if value is not None and not isinstance(value, Text):
            return same(mine, value)
    return False


def _same_in_base(mine: Value, right: Value) -> bool:
    """A base may be left out by the answer; what the answer adds must be ten."""
    match mine, right:
        case Based(), Based():
            return mine == right
        case Number(value), Based(digits):
            return str(value) == digits
        case Based(digits, base), Number(value):
            return base in ("10", "ten") and digits == str(value)
    return False


def _same_measures(mine: Value, right: Value) -> bool:
    """Units agree, by conversion too; one may be left out; one that the answer adds is converted to the SI, or not."""
    match mine, right:
        case Measured(value, unit), Measured(gold, other):
            if unit == other:
                return same(value, gold)
            if unit.dimensions is None or other.dimensions is None:
                return False
            return unit.dimensions == other.dimensions and same_expressions(_in_base_units(mine), _in_base_units(right))
        case _, Measured(gold):
            return not has(mine, "degree") and same(mine, gold)
        case Measured(value, unit), _:
            if has(right, "degree") and unit.dimensions == RADIANS:
                return same_expressions(_in_base_units(mine), right, bare=False)
            if has(right, "degree") or has(right, "percent"):
                return unit == TEMPERATURE and same(value, right)
            if unit.dimensions is None or not is_expression(value):
                return same(value, right)
            return same(value, right) or (unit.scale != 1 and same(_in_base_units(mine), right))
    return False


def _in_base_units(measured: Measured) -> Value:
    return product([measured.value, Number(Fraction(f"{measured.unit.scale:.12g}"))])


COMPARED = (  # by type, the first that either value has
    (Relation, lambda mine, right: same_relations(mine, right, same)),
    (Measured, _same_measures),
    (Text, _same_texts),
    (Based, _same_in_base),
    (Ratio, _same_ratios),
    (Matrix, _same_matrices),
)
