r"""Reads the tokens of an answer to a value, strictly: what is not understood makes the whole UnreadableError.

    answer    list of clauses, joined by commas, semicolons, "and", "or"
    clause    sides, joined by relations
    side      sets and sums, joined by \cup \cap \setminus; a ratio; a unit at the end
    sum       terms of factors, beside each other or joined by * and /     (terms.py)
    factor    an atom with its power, factorial, percent or degree sign    (terms.py)
    atom      a number, a bracket, a fraction (atoms.py); a letter, a function (names.py)

A letter before a bracket is a function where it stands nowhere without one, in the answer and in the gold.
"""

from em.evaluation.maths import words
from em.evaluation.maths.cursor import CLOSERS, CLOSING
from em.evaluation.maths.terms import RELATIONS, SEPARATORS, Terms
from em.evaluation.maths.tokens import UnreadableError
from em.evaluation.maths.units import named
from em.evaluation.maths.values import DOTS, Apply, Measured, Ratio, Relation, Sequence, Text, Value

LABEL = "label "  # of a Text: what names the other side of an equation and is not understood


class Reader(Terms):
    def answer(self) -> Value:
        """All tokens as one value; raises UnreadableError."""
        value = self.listing()
        if self.at < len(self.tokens):
            raise UnreadableError(f"{self.peek()!r} after the answer")
        return value

    def listing(self) -> Value:
        groups: list[list[Value]] = [[self.clause()]]
        joints = set()
        while joint := self.take(*SEPARATORS):
            while following := self.take(",", ";", "and", "or"):
                joint = following if joint in (",", ";") else joint
            joints.add(joint)
            if self.at == len(self.tokens):
                break
            if joint == ";":
                groups.append([])
            groups[-1].append(self.clause())
        if any(len(group) > 1 for group in groups[: len(groups) > 1 and len(groups)]):  # a = 1, b = 2; a = 2, b = 1
            items: list[Value] = [Sequence("()", tuple(group)) if len(group) > 1 else group[0] for group in groups]
        else:
            items = [item for group in groups for item in group]
        items = words.without_declarations(items)
        alternatives = True if joints & {"or", "lor"} else False if joints & {"and", "land"} else None
        return items[0] if len(items) == 1 else Sequence("", tuple(items), alternatives)

    def clause(self) -> Value:
        if self.peek(1) == ":" and any(token.text == "mapsto" for token in self.tokens[self.at :]):
            self.at += 2  # f : x \mapsto ...
        sides, signs = [self.labelled_side()], []
        while self.peek() in RELATIONS:
            signs.append(RELATIONS[self.peek()])
            self.at += 1
            sides.append(self.labelled_side())
        return Relation(tuple(signs), tuple(sides)) if signs else sides[0]

    def labelled_side(self) -> Value:
        """A side; where it cannot be read, and a relation stands beside it, its text: P(A|B), Area of ABC."""
        begun = self.at
        side = self.attempt(self.side)
        if side is not None and self.peek() in ("", "|", ":", *RELATIONS, *SEPARATORS, *CLOSERS):
            return side
        end = self.end_of_side(begun)
        text = "".join(token.text for token in self.tokens[begun:end])
        neighbours = self.tokens[max(begun - 1, 0) : begun] + self.tokens[end : end + 1]
        if not any(token.text in RELATIONS for token in neighbours) or not any(map(str.isalpha, text)):
            raise UnreadableError(f"{text!r}")
        self.at = end
        return Text(LABEL + text)

    def end_of_side(self, start: int) -> int:
        """Where the side that begins there ends, by brackets alone."""
        depth = 0
        for position in range(start, len(self.tokens)):
            text = self.tokens[position].text
            if depth == 0 and position > start and (text in RELATIONS or text in (",", ";") or text in CLOSERS):
                return position
            depth += (text in CLOSING) - (text in CLOSERS)
        return len(self.tokens)

    def side(self) -> Value:
        self.take("approx")
        while self.peek().lower() in words.LEADING and self.at + 1 < len(self.tokens):
            self.at += 1
        money = named("dollar") if self.take("$") else None
        value = self.union()
        if self.begins_ratio():
            value = self.ratio(value)
        unit = self.unit(value) or money
        if unit is not None:
            value = Measured(value, unit)
        if self.take("pmod", "bmod", "mod"):
            value = Apply("residue", (value, self.factor()))
        elif self.peek() in ("(", "{") and self.peek(1) == "mod":
            self.at += 2
            value = Apply("residue", (value, self.sum()))
            self.expect(")", "}")
        self.at = self.end_of_qualifier() or self.at
        return value

    def union(self) -> Value:
        value = self.sum()
        while sign := self.take("cup", "cap", "setminus"):
            value = Apply(sign, (value, self.sum()))
        return value

    def begins_ratio(self) -> bool:
        token = self.token()
        return token is not None and (token.text == ":" or (token.text == "to" and token.kind != "command"))

    def ratio(self, first: Value) -> Value:
        begun, terms = self.at, [first]
        while self.begins_ratio():
            self.at += 1
            terms.append(DOTS if self.take("ldots") else self.sum())
        last = self.tokens[self.at - 1].text
        return Ratio(tuple(terms), clock=self.at == begun + 2 and len(last) == 2 and last.isdigit())
