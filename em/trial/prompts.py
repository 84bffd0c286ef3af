"""What is trained on."""

from dataclasses import dataclass, field
from enum import Enum

from em.errors import require, require_known
from em.tiny.recipe import SUITES
from em.trial.identity import absent, added, not_identity


class Select(Enum):
    """How the prompt is chosen where no text is given: a rule of em.train.selection, which says what it draws from.

    A rule's name is part of a trial's id.  One that would choose otherwise gets another name.
    """

    none = "none"
    variance = "variance"  # of the tiny world's pool the one whose answers' scores vary most (the paper, 2.2)


@dataclass(kw_only=True)
class Prompts:
    """The prompts that are trained on: one (the paper), or several (its multi-shot rows, reinforcement learning).

    They are given, as texts or in a file, or are problems of the tiny world, or one is selected for the base model.
    What is given wins.
    """

    texts: list[str] = field(default_factory=list)  # read from `path` when the config is composed
    path: str = not_identity(default="")  # JSONL file, one prompt a line
    text_field: str = not_identity(default="problem")  # the field of a line that holds the prompt ...
    answer_field: str = absent(default="")  # ... and the one that holds its reference; empty: there is none
    suites: list[str] = absent(default_factory=list)  # of the tiny world, of whose problems for training ...
    limit: int = absent(default=100)  # ... each gives so many prompts
    rows: list[int] = not_identity(default_factory=list)  # which lines, from 0; empty: all
    template: str = "{problem}"  # what the model reads; {problem} stands for the text
    answers: list[str] = added(default_factory=list)  # the reference of each text, for methods that need rewards ...
    grader: str = added(default="")  # ... and who compares, a name in em.evaluation.graders
    select: Select = added(default=Select.none)

    def __post_init__(self) -> None:
        require(self.limit > 0, "prompts.limit", self.limit, "must be 1 or greater")
        for suite in self.suites:
            require_known("suite of prompts.suites", suite, SUITES)
        require(not self.answer_field or bool(self.grader), "prompts.grader", "''", "name who compares")
        require("{problem}" in self.template, "prompts.template", repr(self.template), "must contain {problem}")
        if self.answers:
            own = len(self.answers) == len(self.texts) and bool(self.grader)
            require(own, "prompts.answers", len(self.answers), "give one for each text, and prompts.grader with them")
