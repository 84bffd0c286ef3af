r"""Numbers of several tokens, with groups of digits, an upright exponent, or a decimal comma; and words after them."""

import re
from dataclasses import replace

from em.evaluation.maths.tokens import Token
from em.evaluation.maths.words import NUMBERS

FIRST_GROUP, GROUP = re.compile(r"[1-9]\d{0,2}"), re.compile(r"\d{3}(?:\.\d*)?")
OPENING, CLOSING = ("(", "[", r"\{", "{"), (")", "]", r"\}", "}")
BASED = re.compile(  # of tokens, each with a space behind it
    r"(?:\( )?(\d+) (?:\) )?(?:_ (?:\{ )?(?:\( )?|(?:\( )?(?:in )?base (?:- )?)(\w+) (?:\) )?(?:\} )?(?:\) )?"
)
END = Token("mark", "")


def with_exponents(tokens: list[Token]) -> list[Token]:
    r"""With 8.7 \mathrm{e} 8 as one number; 2 \mathrm{e}^3 is none."""
    made: list[Token] = []
    rest = [*tokens, END, END, END, END]
    at = 0
    while at < len(tokens):
        number, e, sign, *_ = rest[at:]
        signed = sign.text in ("+", "-")
        power, after = rest[at + 2 + signed], rest[at + 3 + signed]
        is_e = number.kind == "number" and e.kind == "word" and e.text in ("e", "E")
        if is_e and power.text.isdigit() and after.text not in ("^", "{", "("):
            made.append(replace(number, text=f"{number.text}e{sign.text if signed else ''}{power.text}"))
            at += 3 + signed
        else:
            made.append(number)
            at += 1
    return made


def with_bases(tokens: list[Token]) -> list[Token]:
    r"""With (52)_8, 52_{\text{eight}} and 52 base 8 as 52_8."""
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        based = BASED.match("".join(f"{token.text.lower()} " for token in tokens[at : at + 10]))
        base = _small_number(based[2]) if based else 0
        if based and base and based[0].count("(") == based[0].count(")"):
            made += [Token("number", based[1]), Token("mark", "_"), Token("number", str(base))]
            at += based[0].count(" ")
        else:
            made.append(tokens[at])
            at += 1
    return made


def _small_number(text: str) -> int:
    """0 of what is none."""
    return int(text) if text.isdecimal() else int(NUMBERS.get(text, 0))


def with_units(tokens: list[Token]) -> list[Token]:
    r"""With 5 in and 2:30 pm not as \in and \pm."""
    words = {"in": "inch", "pm": "PM"}
    return [
        replace(token, text=words[token.text])
        if token.kind in ("word", "letters") and token.text in words and before.kind == "number"
        else token
        for before, token in zip([END, *tokens], tokens, strict=False)
    ]


def grouped(tokens: list[Token]) -> list[Token]:
    """With 1,000,000 and 1 000 000 as one number, but not the coordinates of (312,123,231)."""
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        end = _end_by_comma(tokens, at) or _end_by_space(tokens, at) or at + 1
        digits = "".join(token.text for token in tokens[at:end] if token.kind == "number")
        made.append(replace(tokens[at], text=digits) if end > at + 1 else tokens[at])
        at = end
    return made


def _end_by_comma(tokens: list[Token], start: int) -> int:
    """Where the number that begins at a token ends; 0 where no commas part it."""
    end = start + 1
    while end + 1 < len(tokens) and tokens[end].text == "," and not tokens[end].spaced and _is_group(tokens[end + 1]):
        end += 2
    taker, before, after, second = ([END, END, *tokens, END, END][at] for at in (start, start + 1, end + 2, end + 3))
    is_argument = before.text == "{" and (taker.kind == "command" or taker.text == "}")  # of \frac, its second too
    in_brackets = before.text in OPENING and after.text in CLOSING and not is_argument
    goes_on = after.text == "," and second.kind == "number" and not second.spaced
    is_number = FIRST_GROUP.fullmatch(tokens[start].text) and end > start + 1 and not in_brackets and not goes_on
    return end if is_number else 0


def _end_by_space(tokens: list[Token], start: int) -> int:
    """The same for spaces; 1 125/216 is a mixed number."""
    end = start + 1
    while end < len(tokens) and tokens[end].spaced and _is_group(replace(tokens[end], spaced=False)):
        end += 1
    after = tokens[end] if end < len(tokens) else END
    is_number = FIRST_GROUP.fullmatch(tokens[start].text) and end > start + 1
    return end if is_number and after.kind != "number" and after.text != "/" else 0


def _is_group(token: Token) -> bool:
    return token.kind == "number" and not token.spaced and bool(GROUP.fullmatch(token.text))


def with_decimal_comma(tokens: list[Token], strictly: bool) -> list[Token]:
    """With 5,4 as 5.4, where that is all, and not with 5,400; `strictly`: only 0,4, which is hardly a list."""
    sign, body = tokens[:-3], tokens[-3:]
    if (
        len(body) < 3
        or body[1].text != ","
        or body[1].spaced
        or body[2].spaced
        or [token.text for token in sign] not in ([], ["-"], ["+"])
        or grouped(body) != body
    ):
        return tokens
    whole, _, decimals = (token.text for token in body)
    if not whole.isdigit() or not decimals.isdigit() or (strictly and whole != "0"):
        return tokens
    return [*sign, replace(body[0], text=f"{whole}.{decimals}")]
