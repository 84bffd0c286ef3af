"""Knights and Knaves (mem-kk-logic): who is a knight and who a knave, compared person by person.

The answer is the last complete <answer>...</answer>; else what follows the last "CONCLUSION" that states something;
else the last lines of the text that do.  Right is what gives each person of the reference the right role, in any order
and as often as it likes, names nobody else, and gives nobody two roles.

What counts is what the answer asserts: a name, or several, joined to a role by nothing but "is", "not", an adverb or a
mark ("Ava: knight", "Ava and Ben are knaves", "Knights: Ava, Ben").  From a word that supposes ("if", "in this case")
on, a sentence asserts nothing; nor from one that reports, doubts or denies ("says", "maybe", "it is false that") up to
", so" or ", but".  Nor is asserted what is joined by "or", what has "if" behind it, and what is asked.
"""

import re
from functools import lru_cache

from em.evaluation.graders import Grade

ANSWER = re.compile(r"<(/?)answer>", re.IGNORECASE)
CONCLUSION = re.compile("conclusion", re.IGNORECASE)
DECORATION = re.compile(r"\\[a-zA-Z]+ ?|[*_`$\\{}]|<[^<>\n]{0,20}>")  # of Markdown, LaTeX and HTML
ASIDE = re.compile(r"\([^()\nA-Z]{0,60}\)")  # (1), (the liar): without a name
ASIDE_THAT_COUNTS = re.compile(r"kn|false|wrong|incorrect|contradict|impossible|reject", re.IGNORECASE)
QUOTED = re.compile(r"\"[^\"\n]*\"|“[^“”\n]*”")
TOKEN = re.compile(r"[^\W\d_][\w'’]*(?:-[^\W\d_][\w'’]*)*|[-=]>|\n|[^\w\s]")
ENDS = ".;!?\n"
SHORT = 80  # characters of a line that may be one of a list
ROLES = {"knight": "knight", "knights": "knight", "knave": "knave", "knaves": "knave"}
OPPOSITE = {"knight": "knave", "knave": "knight"}
Statements = list[tuple[str, str]]  # (name, role)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DENIED_LINKS = _words("isn't isn’t aren't aren’t cannot can't can’t")
LINKS = DENIED_LINKS | _words("is are was were be must has have to : = - – — | ( ) -> => →")
FILLERS = _words(
    "a an the in fact both all indeed also thus therefore hence clearly definitely certainly obviously actually truly "
    "really necessarily always only then so of them identity role status type # >"
)
JOINTS = _words(", and & + nor")
BREAKS = _words(", and because since as so then but therefore thus hence while whereas")  # between clauses
SUPPOSING = _words(
    "suppose supposing supposed assume assuming assumed assumption imagine whether consider considering let try trying "
    "hypothetically hypothesis case scenario option possibility would otherwise either"
)
CONDITIONS = _words("if unless provided when whenever")
DOUBTING = _words(
    "may might could should perhaps maybe possibly possible probably likely unlikely seems appears unknown unclear "
    "uncertain undetermined doubt doubtful wonder guess reject rejects rejecting disproves disprove disproving refutes "
    "refute excludes exclude excluding"
)
REPORTING = _words(
    "says said say saying states stated stating claims claimed claiming asserts asserted declares declared remarks "
    "remarked according mentions mentioned accuses accused calls called thinks believes expressed commented announced "
    "replied insists argues heard denies denied"
)
REPORTING_THAT = _words("claim statement assertion remark words tells told telling")  # with one of the next after it
LISTENERS = _words("that : , us me you him her them")
FALSITY = _words("false untrue impossible wrong incorrect contradiction contradictory contradicts contradicted")
TURNS = _words("so but therefore thus hence yet however meaning which")
UNNAMED = _words("one any some none two three most half")  # "one of Ava and Ben" is neither of them
PARTLY = _words("both all necessarily always only")  # with "not", no role is denied of anybody
NO_NAMES = _words(
    "i he she it they we you this that these those who whose which one ones someone anyone nobody no none neither not "
    "person people inhabitant inhabitants islander islanders speaker answer answers conclusion identities roles name "
    "names final finally solution result true yes at least most there what being with for by from on however never nor"
)
WHOLE, REST = _words("all both everyone everybody each"), _words("others other rest else remaining")
SPECIAL = frozenset().union(
    *(ROLES, LINKS, FILLERS, JOINTS, BREAKS, SUPPOSING, CONDITIONS, DOUBTING, REPORTING, REPORTING_THAT, LISTENERS),
    *(FALSITY, TURNS, NO_NAMES, WHOLE, REST, {"or"}),
)


def grade(text: str, reference: str) -> Grade:
    """The reference is a row's `solution_text_format`: a line "(1) Zoey is a knave" for each person."""
    gold = _gold(reference)
    stated = conclusion(text, tuple(name for name, _ in gold))
    extracted = ", ".join(f"{name} {role}" for name, role in stated) or None
    return Grade(
        {(name.lower(), role) for name, role in stated} == {(name.lower(), role) for name, role in gold}, extracted
    )


@lru_cache(4096)
def _gold(reference: str) -> tuple[tuple[str, str], ...]:
    return tuple(identities(reference))


def conclusion(text: str, people: tuple[str, ...] = ()) -> Statements:
    """What a text states as its answer."""
    tags = list(ANSWER.finditer(text))
    for opening, closing in zip(tags[-2::-1], tags[:0:-1], strict=True):
        if not opening[1] and closing[1]:
            return identities(text[opening.end() : closing.start()], people)
    end = len(text)
    for heading in reversed(list(CONCLUSION.finditer(text))):
        if stated := identities(text[heading.end() : end], people):
            return stated
        end = heading.start()
    return _last_lines(text, people)


def identities(text: str, people: tuple[str, ...] = ()) -> Statements:
    """All that a text states, in order and each once.  "All" and "the others" are of these people."""
    return list(dict.fromkeys((name, role) for name, role, _ in _Reader(people).read(text)))


def _last_lines(text: str, people: tuple[str, ...]) -> Statements:
    """What the last lines that state something do: adjoining ones, and short ones with empty lines between."""
    reader = _Reader(people)
    stated = reader.read(text)
    lines, stating = text.split("\n"), {line for _, _, line in stated} | reader.headings
    first = max((line for _, _, line in stated), default=0)
    for line in range(first - 1, -1, -1):
        if line in stating and (line == first - 1 or len(lines[line]) <= SHORT >= len(lines[first])):
            first = line
        elif lines[line].strip() and not lines[line][0].isspace():  # what is indented explains the line before
            break
    return list(dict.fromkeys((name, role) for name, role, line in stated if line >= first))


class _Reader:
    """Reads a text sentence by sentence, each word once."""

    def __init__(self, people: tuple[str, ...]) -> None:
        self.people = {name.lower(): name for name in people}
        self.known: set[str] = set()  # whose role has been stated
        self.headings: set[int] = set()  # lines that end with a role of names on the next: "Knights:"

    def read(self, text: str) -> list[tuple[str, str, int]]:
        """(name, role, line) of each statement."""
        plain = DECORATION.sub("", text)
        plain = QUOTED.sub(lambda quote: "" if " " in quote[0] else quote[0][1:-1], plain)
        plain = ASIDE.sub(lambda aside: aside[0] if ASIDE_THAT_COUNTS.search(aside[0]) else "", plain)
        stated: list[tuple[str, str, int]] = []
        line, sentence, heading = 0, [], None
        for token in [*TOKEN.findall(plain), "\n"]:
            if token not in ENDS:
                sentence.append(token)
                continue
            if sentence:
                found = self._only_names(sentence, heading) if heading else []
                if not found:
                    found, heading = self._sentence(sentence)
                    self.headings |= {line} if heading else set()
                for subject, role in found if token != "?" else []:
                    names = self._people(subject)
                    stated += [(name, role, line) for name in names]
                    self.known.update(name.lower() for name in names)
            sentence = []
            line += token == "\n"
        return stated

    def _is_name(self, token: str, following: str) -> bool:
        word = token.lower()
        if word in self.people:
            return token[0].isupper() or word not in SPECIAL
        if word == "a":
            return token == "A" and (following in JOINTS or following in LINKS)
        return token[0].isupper() and word not in SPECIAL

    def _withholds(self, tokens: list[str]) -> bool:
        """Whether the first of these words reports, doubts, or speaks of one of several."""
        word, following, after = [*(token.lower() for token in tokens), "", ""][:3]
        if word in REPORTING_THAT:
            return following in LISTENERS or (following, after) == ("is", "that")
        unnamed = word in UNNAMED and following == "of" and self._is_name(*[*tokens[2:], "", ""][:2])
        return word in DOUBTING or word in REPORTING or unnamed

    def _only_names(self, tokens: list[str], role: str) -> Statements:
        """Of a line under a heading; nothing where there is more than names on it."""
        names = [token for token in tokens if self._is_name(token, ",")]
        return [(name, role) for name in names] if all(t in names or t in "-,&•" or t == "and" for t in tokens) else []

    def _respectively(self, tokens: list[str]) -> Statements:
        """Of "Ava and Ben are a knight and a knave, respectively"."""
        names = [token for token in tokens if token.lower() in self.people]
        roles = [ROLES[token.lower()] for token in tokens if token.lower() in ROLES]
        return [*zip(names, roles, strict=True)] if len(names) == len(roles) else []

    def _sentence(self, tokens: list[str]) -> tuple[Statements, str | None]:
        """(statements, some of words for several people; the role with which it ends as a heading)."""
        if tokens[-1].lower() == "respectively":
            return self._respectively(tokens), None
        found: Statements = []
        subject: list[str] = []  # names, or a word that stands for some
        clause = before = 0  # where in `found` this clause begins, and the one before it
        role: str | None = None  # of the names that follow
        silent = "sentence" if tokens[0].lower() == "then" else ""  # up to where nothing is asserted
        joint, last = "", ""  # what joined the last name to the one before it; the last word
        linked = denied = neither = judged = comma = False
        for place, token in enumerate(tokens):
            word, previous = token.lower().replace("’", "'"), last
            last = word
            following = tokens[place + 1].lower() if place + 1 < len(tokens) else ""
            if silent:
                turned = word in TURNS and (previous == "," or word == "but")
                if silent == "sentence" or not ((silent == "turn" and turned) or (silent == "comma" and word == ",")):
                    continue
                silent = ""
            if word in BREAKS and not (subject and word in LINKS | FILLERS) and len(found) > clause:
                before, clause = clause, len(found)
            named = word.removesuffix("'s")
            if self._is_name(token[: len(named)], following):
                name = token[: len(named)]
                if role:
                    found.append((name, role))
                elif place == 2 and joint == "," and self.people and subject[0].lower() not in self.people:
                    subject = [name]  # behind "Consequently,"
                elif subject and joint and not linked:
                    subject.append(name)
                else:
                    subject, linked, denied = [name], named != word, False
                comma, joint, judged = joint == ",", "", False
                continue
            if word in ("or", "/") or word in CONDITIONS:
                del found[before if previous == "," and len(found) == clause else clause :]
                silent, subject, role = "sentence" if word in CONDITIONS else "comma", [], None
            elif word in ROLES:
                whom = subject if linked or not {*subject} & (WHOLE | REST) else []  # not of "all knights lie"
                stated = ROLES[word]
                found += [(name, OPPOSITE[stated] if denied or neither else stated) for name in whom]
                role = stated if not subject and following in LINKS - {")"} else None
                judged, subject, linked, denied, neither, joint = bool(whom), [], False, False, False, ""
            elif (
                word in SUPPOSING
                or (word == "were" and place == 0)
                or (word == "out" and previous in ("rule", "ruled"))
            ):
                silent = "sentence"
            elif self._withholds(tokens[place : place + 4]):
                silent, subject, role = "turn", [], None
            elif word in FALSITY and (judged or following in ("that", "to", "for")):
                silent, subject, role = "turn", [], None
                del found[clause if judged else len(found) :]
            elif word == "neither":
                neither, subject = not subject, []
            elif word == "not" or word in DENIED_LINKS or word == "never":
                if subject:
                    linked, denied = True, not denied
                elif following not in ("a", "an", "the") and following not in ROLES:
                    silent = "turn"
            elif word in JOINTS:
                joint, judged = word, False
            elif word in LINKS or (word == "as" and subject):
                if word == "is" and len(subject) > 1 and comma:
                    subject = subject[-1:]
                linked = True
            elif denied and word in PARTLY:
                subject, linked, denied = [], False, False
            elif word in REST or (word in WHOLE and not subject and not role):
                subject = [word]
            elif word not in FILLERS:
                subject, role, linked, denied, judged, joint = [], None, False, False, False, ""
        return found, role if last in LINKS else None

    def _people(self, subject: str) -> list[str]:
        """The names that a subject can only mean; of a name, itself."""
        if subject in REST:
            return [name for lower, name in self.people.items() if lower not in self.known]
        if subject in WHOLE:
            return list(self.people.values()) if subject != "both" or len(self.people) == 2 else []
        return [subject]
