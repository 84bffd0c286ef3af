r"""Which part of a text is its answer.

1. The last \boxed{...} that is not empty, with the side of the formula that it is in: -\boxed{2}\pi is -2\pi.  Boxes
   before it belong to it where nothing but "," "and" "or" or a label, as in $x = \boxed{1}$ and $y = \boxed{2}$, lies
   between them.  An empty \boxed{} is a quotation of the task.  One that is not closed counts where there is no other.
2. The last <answer>...</answer>.
3. What follows the last "answer is", "Answer:" or "####", to the end of its sentence.
4. The last formula between $...$, \(...\) or \[...\].
5. The last number, with its fraction and its percent sign.
"""

import re

from em.evaluation.graders.boxed import boxes
from em.evaluation.maths.evaluate import FUNCTIONS
from em.evaluation.maths.readings import read

TAIL = 4000  # characters at the end of a text without a box that are searched
CLOSE = 40  # characters between boxes that are one list
NEIGHBOURS = 60  # characters before and after a box that may belong to it

BOX = re.compile(r"(?:\\text ?\{ ?)?\b(?:boxed|fbox|framebox)(?: ?\} ?)?\s{0,3}(\\?\{)?")
ESCAPED = re.compile(r"\\(?:text ?\{ ?)?(?:boxed|fbox|framebox) ?\}? ?\\\{((?:[^{}\\]|\\[^{}])*)\\\}")
UNCLOSED = re.compile(r"\\(?:boxed|fbox|framebox)\s?\{?([^\n$]{1,200})")
SHORT = re.compile(r"\\(?:boxed|fbox)\s?([0-9a-zA-Z]|\\[a-zA-Z]+)")
PLACEHOLDER = re.compile(
    r"[\s.…]*|(?:\\text ?\{)?\s*(?:your |the |final )*(?:answer|result|solution)\s*(?:here)?\s*\}?", re.IGNORECASE
)
NO_WORDS = re.compile(r"\\text ?\{|\\[()\[\]]|\\q?quad|\\[,; ]|[$}.]|\s+")  # between boxes
JOINT = re.compile(r",|;|\band\b|\bor\b")
NEW_ANSWER = "so|thus|hence|then|therefore|is|are|gives|giving|which|answer|wait|but|not"  # words before another answer
BETWEEN = re.compile(
    rf"(?:(?!(?:{NEW_ANSWER})\b)[a-zA-Z]+ )?(?:for part \(\w\) )?(?:(?:,|;|and|or) )*"
    r"(?:[a-zA-Z](?:_\w+|\([a-zA-Z0-9]\))? ?= )?|[^a-zA-Z=]{0,10}"
)
SCALE = "hundred|thousand|million|billion|trillion|dozen"
SIDE_ENDS = re.compile(  # what parts the sides of a formula, its lines, its items, and text from it
    r"=|(?<!\\)[,;&$\n]|\\\\|\\[()\[\]]|\(mod|\\(?:approx|equiv|in|to|text\w*|mbox|q?quad|p?mod|bmod|begin|end)(?![a-zA-Z])"
)
WORDS_BESIDE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}")
SIGN_OUTSIDE = re.compile(r"(?:^|[\s=])([−-])\$?$")
DENIED = re.compile(r"\bnot(?: equal to)?[\s$]*$")
JOINED = re.compile(r"_(?:\{\d+\}|\d)|(?:,\d{3})+|\.\d+")  # digits that go on, or a base
AFTER_WORDS = re.compile(
    rf"(?:\\[,;: ]|[\s$]|\\\))*+(?:\\text ?\{{)?\s*((?:{SCALE})\b|\\?%|percent\b|or (?:more|less|fewer|greater)\b|"
    r"is(?:n't| not) (?:an?|the) (?:\w+ )?(?:solution|answer|root)\b)"
)
JOINED_FORMULA = re.compile(r" ?(?:,|,? ?(?:and|or))\s")
NUMBER_WORD = re.compile(rf" ({SCALE})\b")
DEGREE = re.compile(r"\^ ?\{? ?\\circ ?\}?")
TAGGED = re.compile(r"<answer>(.{0,2000}?)</answer>", re.IGNORECASE | re.DOTALL)
PHRASE = re.compile(r"(?:\banswers?\b(?:\s*(?:is|are|:|=|was|\*\*))+|####)[\s:*]*", re.IGNORECASE)
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$((?:[^$\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
BOLD = re.compile(r"\*\*(.+?)\*\*")
VALUE = re.compile(
    r"(?<![\w.])[-+−]?\$?(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+,\d+|\d+)?(?:\.\d+)?(?: +\d+/\d+|/\d+)?"
    r"(?:[eE][+-]?\d+)?(?: ?(?:\\?%|percent\w*|pct))?"
)
PROSE = re.compile(r"(?<!\\)\b[a-zA-Z]{3,}")
OPERATOR = re.compile(r"[=+*/^\\]")
END = re.compile(r"\.(?=\s|$)|\n|(?<=\S)\s*(?:I hope|<\|)")
PERCENT = re.compile(r"\$?\s{0,3}(?:\\?%|percent|percentage|pct)", re.IGNORECASE)
DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


def answer(text: str) -> str | None:
    """The answer that a text gives, as it stands there; None where it gives none."""
    if (boxed := last_boxes(text)) is not None:
        return boxed
    text = text[-TAIL:]
    if tagged := TAGGED.findall(text):
        return stripped(tagged[-1]) or None
    phrases = list(PHRASE.finditer(text))
    for phrase in phrases[:-4:-1]:
        rest = text[phrase.end() :]
        if rest.strip() and (stated := _stated(rest)):
            return stated
    return _formula(text) or _number(text)


def is_marked(text: str) -> bool:
    """Whether a text without a box says where its answer is, or is a formula with its delimiters."""
    return bool(TAGGED.search(text) or PHRASE.search(text) or FORMULA.fullmatch(text.strip()))


def last_boxes(text: str, is_reference: bool = False) -> str | None:
    """The content of the last box, and of those that are one list with it; None where there is none.

    What stands beside the box of a reference are units, but for a percent or degree sign.
    """
    text = ESCAPED.sub(lambda match: rf"\boxed{{{match[1]}}}", text)
    text = BOX.sub(lambda match: r"\boxed{" if match[1] else match[0], text)
    complete = [box for box in boxes(text) if not PLACEHOLDER.fullmatch(box[2])]
    if not complete:
        return _damaged_box(text)
    answers: list[str] = []
    following: tuple[int, str] | None = None
    for start, end, content in reversed(complete):
        if following and not _is_one_list(text[end : following[0]]):
            break
        if not following or content != following[1] or JOINT.search(text[end : following[0]]):
            answers.insert(0, _with_neighbours(text, start, end, content, is_reference))
        following = start, content
    return ", ".join(answers)


def _damaged_box(text: str) -> str | None:
    """What follows a box that is not closed, or has no braces."""
    text = text.replace(r"\boxed{}", "")
    if short := SHORT.findall(text):
        return short[-1]
    unclosed = UNCLOSED.findall(text) if r"\boxed{" in text else []
    return stripped(unclosed[-1].strip(" .}")) or None if unclosed else None


def _is_one_list(between: str) -> bool:
    if len(between) > CLOSE or ("\n" in between and not JOINT.search(between)):
        return False
    words = NO_WORDS.sub(" ", between).replace(",", " , ").split()
    return bool(BETWEEN.fullmatch("".join(f"{word} " for word in words)))


def _with_neighbours(text: str, start: int, end: int, content: str, is_reference: bool) -> str:
    """A box with the side of the formula that it is in, a sign outside of the formula, percent sign and number word."""
    head = text[max(0, start - 1000) : start]
    dollars = len(re.findall(r"(?<!\\)\$", head))
    opened, closed = (max(head.rfind(rf"\{a}"), head.rfind(rf"\{b}")) for a, b in ("([", ")]"))
    in_formula = dollars % 2 == 1 or opened > closed
    if in_formula and not is_reference and (joined := JOINED.match(text, end)):
        content, end = content + joined[0], end + joined.end() - joined.start()
    if is_reference:
        sign = DEGREE.match(text, end) if in_formula else None
        content += sign[0] if sign else ""
    elif in_formula:
        content = _side(head, content, text[end : end + NEIGHBOURS])
    if DENIED.search(head):
        return f"not {content}"
    if (outside := SIGN_OUTSIDE.search(head)) and (not in_formula or head.endswith("$")):
        content = f"{outside[1]}({content})"
    after = AFTER_WORDS.match(text, end)
    return f"{content} {after[1]}" if after else content


def _side(head: str, content: str, tail: str) -> str:
    r"""The side of a formula that holds the box, where it can be read: -\boxed{2}\pi, 2^{\boxed{7}}."""
    left = SIDE_ENDS.split(head[-NEIGHBOURS:])[-1].strip()
    right = SIDE_ENDS.split(tail)[0].strip(" .")
    if not left + right or WORDS_BESIDE.search(left + " " + right):
        return content
    side = f"{left}({content}){right}"
    return side if read(side) is not None else content


def _stated(rest: str) -> str | None:
    """What a sentence begins with after "the answer is"."""
    rest = rest.lstrip("_ \n:")
    if (formula := FORMULA.match(rest.lstrip("* "))) or (formula := BOLD.match(rest)):
        following = (rest.lstrip("* ") if rest.startswith("*") and formula.re is FORMULA else rest)[formula.end() :]
        stated = stripped(_content(formula)) + ("%" if PERCENT.match(following) else "")
        while (joint := JOINED_FORMULA.match(following)) and (formula := FORMULA.match(following, joint.end())):
            stated += f", {stripped(_content(formula))}"
            following = following[formula.end() :]
        return stated + (f" {scale[1]}" if (scale := NUMBER_WORD.match(following)) else "")
    sentence = END.split(rest.strip(), maxsplit=1)[0].strip(" *_`:,;!")
    is_prose = len(sentence) > 40 or (len(sentence.split()) > 4 and not OPERATOR.search(sentence))
    return ((_formula(sentence) or _number(sentence)) if is_prose else None) or stripped(sentence) or None


def _content(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group is not None)


def _formula(text: str) -> str | None:
    """The last formula, or the last number where one comes after it."""
    formulas = [formula for formula in FORMULA.finditer(text) if _content(formula).strip()]
    if not formulas:
        return None
    last = formulas[-1]
    is_percentage = bool(PERCENT.match(text, last.end()))
    numbers = [] if is_percentage else _numbers(text[last.end() :])
    return numbers[-1] if numbers else stripped(_content(last)) + "%" * is_percentage


def _numbers(text: str) -> list[str]:
    return [match[0].strip() for match in VALUE.finditer(text) if any(map(str.isdigit, match[0]))]


def _number(text: str) -> str | None:
    """All of a text that is a formula without delimiters; else its last number."""
    bare = stripped(text)
    is_prose = any(word not in FUNCTIONS for word in PROSE.findall(bare))
    if len(bare) < 200 and "\n" not in bare and not is_prose and read(bare) is not None:
        return bare
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


def stripped(content: str) -> str:
    """Without the delimiters of formulas and of Markdown around it, and without exclamations."""
    content = content.strip().strip("*_`?").strip()
    if content.endswith("!!") or (content.endswith("!") and not content[:-1].isdigit()):
        content = content.rstrip("!")
    for opening, closing in DELIMITERS:
        if content.startswith(opening) and content.endswith(closing) and len(content) > len(opening + closing):
            content = content[len(opening) : -len(closing)].strip()
    return content
