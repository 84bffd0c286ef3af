"""Words of English: those that are part of an answer, those that say nothing about it, and those that change it."""

from fractions import Fraction

from em.evaluation.maths.tokens import Token, listed
from em.evaluation.maths.values import Relation, Symbol, Text, Value, symbols

BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBERS = {word: Fraction(value) for value, word in enumerate(BELOW_TWENTY.split())} | {"half": Fraction(1, 2)}
PARTS = {
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}
SCALES = {  # after a number: 2 million, 2 thirds
    **{"hundred": Fraction(100), "thousand": Fraction(1000), "million": Fraction(10**6), "dozen": Fraction(12)},
    **{"billion": Fraction(10**9), "trillion": Fraction(10**12), "half": Fraction(1, 2), "halves": Fraction(1, 2)},
    **{part: Fraction(1, n) for part, n in (PARTS | {"hundredth": 100, "thousandth": 1000}).items()},
}
SCALES |= {f"{word}s": value for word, value in SCALES.items() if not word.endswith(("f", "s"))}
JOINING = listed("and or to mod pmod bmod choose over per")
LEADING = listed("approximately approx about roughly around exactly only")  # before a value
TRAILING = listed("only exactly approximately approx")  # after it
INTRODUCTION = listed(  # "the final answer is", "so we get"
    "the final answer answers is are so thus hence therefore we get have a solution solutions result value values of "
    "equals"
)
INTRODUCING = listed("answer answers is are so thus hence therefore :")  # at least one of these
NO_SOLUTION = listed(  # the words of an answer that there is none, without their spaces
    "nosolution nosolutions none norealsolution norealsolutions nosolutionsexist nosolutionexists emptyset "
    "norealroots thereisnosolution therearenosolutions nosuchsolution nointegersolutions "
    "nopositiveintegersolutions"
)
APPROXIMATE = listed("approx approximately final answer exact exactly")  # in brackets after a value
SETS = listed("R Z N Q C")
ADJECTIVES = listed(
    "different positive negative possible real distinct even odd other prime equal total"
)  # before a noun
ORDINALS = (
    "eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth "
    "fortieth fiftieth sixtieth seventieth eightieth ninetieth millionth billionth trillionth"
)
FUNCTION_WORDS = (
    listed(  # no noun of what is counted: closed classes of words, numerals, words of mathematics
        "the a an this that these those it its he she they them his her their our your my we you i who whom whose "
        "which what of in on at by for with from to into onto over under between among against through during before "
        "after above below up down off out about around along across behind beyond near since until till upon within "
        "without versus via and or nor but so yet if then else when while unless although though because as than "
        "whether either neither both is are was were be been being am do does did done have has had having can could "
        "may might must shall should will would not no none never nothing nobody cannot n't isn non more less least "
        "most fewer few many much several some any all each every only just even also too very quite almost nearly "
        "approximately roughly exactly maybe perhaps possibly probably likely unlikely unknown undefined infinite "
        "infinity infinitely finite greater smaller larger bigger higher lower maximum minimum max min other another "
        "same different equal equals wrong incorrect false true right correct invalid impossible answer result "
        "instead rather except excluding including however first second once twice thrice double triple doubled "
        "tripled halved times plus minus negative positive squared cubed square cube root power factorial mod modulo "
        "base binary octal decimal hex hexadecimal percent percents percentage pct permille log ln lg exp sin cos tan "
        "cot sec csc arcsin arccos arctan sinh cosh tanh sqrt pi inf oo lim sum prod int gcd lcm det abs floor ceil "
        "inverse reciprocal prime conjugate derivative choose remainder divided multiplied added subtracted per "
        "reversed rounded truncated radian radians rad lakh crore score thirty forty fifty sixty seventy eighty "
        "ninety"
    )
    | {*NUMBERS, *SCALES, *ORDINALS.split()}
    | listed(
        "quadrillion quintillion googol ten tenfold twofold threefold hundredfold gross myriad grand quadruple "
        "quadrupled quintuple kilo mega upward upwards onward onwards inclusive exclusive bound excluded fails "
        "refuted contradiction wrongly nope wait guess doubtful uncertain ish plenty short upto thru backward "
        "backwards ternary octet doubling halving negated inverted conjugated complement opposite transposed "
        "logarithm sine cosine squareroot exponent modulus lakhs crores pairs pair ppm ppb couple fold light "
        "rejected discarded eliminated omitted excluded extraneous falsified disproved disproven contradictory failing "
        "failed dropped ignored dismissed inadmissible unacceptable ruled unproven spurious negligible constant"
    )
)


def without_phrases(tokens: list[Token]) -> list[Token]:
    """Without "The answer is", "where k is an integer", "for all x", a full stop, "(approx.)"."""
    start = 0
    while start < len(tokens) and _introduces(tokens[start]):
        start += 1
    if start < len(tokens) and any(token.text.lower() in INTRODUCING for token in tokens[:start]):
        tokens = tokens[start + (tokens[start].text == "=") :]
    tokens = tokens[: _end_of_value(tokens)]
    while tokens and (tokens[-1].text in (".", ",", ";", ":", "-") or _is_trailing(tokens)):
        tokens = tokens[:-1]
    while tokens and tokens[0].text in (".", ",", ";", ":"):
        tokens = tokens[1:]
    opening = _opening_of_last(tokens)
    return tokens[:opening] if opening > 0 and is_qualifier(tokens[opening + 1 : -1]) else tokens


def are_all_reals(tokens: list[Token]) -> bool:
    r"""Whether that is what an answer says: \mathbb{R}, x \in \mathbb{R}, "all real numbers"."""
    texts = [token.text.lower() for token in tokens if token.text not in ("{", "}")]
    if len(texts) == 4 and texts[1] == "in":
        texts = texts[2:]
    return texts == ["mathbb", "r"] or "".join(texts) in ("allreals", "allrealnumbers", "allrealx")


def _introduces(token: Token) -> bool:
    is_letter = token.kind == "letters" and len(token.text) == 1
    return token.text == ":" or (
        token.kind in ("word", "letters") and not is_letter and token.text.lower() in INTRODUCTION
    )


def _is_trailing(tokens: list[Token]) -> bool:
    return len(tokens) > 1 and tokens[-1].text.lower() in TRAILING


def _end_of_value(tokens: list[Token]) -> int:
    """Where what follows is a condition on the letters of the value."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += (token.text in ("(", "[", r"\{", "{")) - (token.text in (")", "]", r"\}", "}"))
        following = tokens[position + 1].text.lower() if position + 1 < len(tokens) else ""
        is_for = token.text == "for" and following in ("all", "any", "every", "each")
        if depth == 0 and position and (token.text in ("where", "forall") or is_for):
            return position
    return len(tokens)


def _opening_of_last(tokens: list[Token]) -> int:
    """Where the bracket opens that the last token closes; -1 where it closes none."""
    depth = 0
    for position in range(len(tokens) - 1, -1, -1):
        depth += (tokens[position].text == ")") - (tokens[position].text == "(")
        if depth == 0:
            return position if tokens[-1].text == ")" else -1
    return -1


def is_qualifier(inside: list[Token]) -> bool:
    r"""Whether what a bracket after a value holds says nothing about it: approx., Final Answer, k \in \mathbb{Z}."""
    texts = [token.text.lower() for token in inside if token.text != "."]
    return bool(texts) and (APPROXIMATE.issuperset(texts) or (len(inside) > 3 and {"in", "mathbb"} <= set(texts)))


def without_declarations(items: list[Value]) -> list[Value]:
    r"""Without what is said of the letters of other items: k \in \mathbb{Z}, f : R \to R."""
    return [item for item in items if len(items) == 1 or not _is_declaration(item, items)]


def _is_declaration(item: Value, items: list[Value]) -> bool:
    if not isinstance(item, Relation):
        return False
    if ":" in item.signs:
        return True
    last = item.sides[-1]
    of_set = item.signs == ("in",) and isinstance(last, Symbol) and last.name[:1] in SETS
    others = {name for other in items if other is not item for name in symbols(other)}
    return of_set and bool(symbols(item.sides[0]) & others)


def text_of(tokens: list[Token]) -> Text | None:
    """The words that an answer is; None where it is more or less than words, or a letter or two in italics."""
    names = [token for token in tokens if token.kind in ("word", "letters")]
    if not names or any(
        token not in names and token.text not in ("(", ")", "'", "-", ".", "{", "}") for token in tokens
    ):
        return None
    if all(token.kind == "letters" and len(token.text) < 3 for token in names):
        return None
    words = "".join(token.text for token in names)
    return Text(words.lower() if len(words) > 2 else words)
