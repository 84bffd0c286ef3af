"""What is trained on."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from em.errors import require, require_known
from em.tiny import tasks
from em.tiny.recipe import SUITES
from em.trial.identity import absent, added, fields_off_default, not_identity


class Select(Enum):
    """How the prompt is chosen where no text is given: a rule of em.train.selection, which says what it draws from.

    A rule's name is part of a trial's id.  One that would choose otherwise gets another name.
    """

    none = "none"
    variance = "variance"  # of the pool the one whose answers' scores vary most (the paper, 2.2)


@dataclass(kw_only=True)
class Prompts:
    """The prompts that are trained on: one (the paper), or several (its multi-shot rows, reinforcement learning).

    They are given, as texts or in a file, or are those of a data set of the hub, or problems of the tiny world.  Or one
    is selected for the base model, from the data set or from the tiny world's pool.  What is given wins.

    A data set is read where a trial is trained, so that planning needs neither it nor a network: a trial's id holds
    where it comes from, as it holds the rule of a selection.
    """

    texts: list[str] = field(default_factory=list)  # read from `path` when the config is composed
    path: str = not_identity(default="")  # JSONL file, one prompt a line
    hub: str = added(default="")  # a data set of the Hugging Face hub, whose first `limit` usable rows are taken ...
    hub_config: str = added(default="")  # ... in one of its configurations
    revision: str = added(default="main")
    split: str = added(default="train")
    text_field: str = not_identity(default="problem")  # the field of a line that holds the prompt ...
    answer_field: str = absent(default="")  # ... and the one that holds its reference; empty: there is none
    suites: list[str] = absent(default_factory=list)  # of the tiny world, of whose problems for training ...
    limit: int = absent(default=100)  # ... each gives so many prompts
    rows: list[int] = not_identity(default_factory=list)  # which lines, from 0; empty: all
    template: str = "{problem}"  # what the model reads; {problem} stands for the text
    answers: list[str] = added(default_factory=list)  # the reference of each text, for methods that need rewards ...
    grader: str = added(default="")  # ... and who compares, a name in em.evaluation.graders
    select: Select = added(default=Select.none)
    rank: int = added(default=0)  # which prompt of the ranking, where one is selected; 0: the best

    def __post_init__(self) -> None:
        require(self.limit > 0, "prompts.limit", self.limit, "must be 1 or greater")
        for suite in self.suites:
            require_known("suite of prompts.suites", suite, SUITES)
        require(not self.answer_field or bool(self.grader), "prompts.grader", "''", "name who compares")
        require("{problem}" in self.template, "prompts.template", repr(self.template), "must contain {problem}")
        if self.answers:
            own = len(self.answers) == len(self.texts) and bool(self.grader)
            require(own, "prompts.answers", len(self.answers), "give one for each text, and prompts.grader with them")
        require(self.rank >= 0, "prompts.rank", self.rank, "must be 0 (the best prompt) or greater")
        if self.texts or self.path:
            return
        if self.hub:
            require(not self.rows, "prompts.rows", self.rows, "are lines of prompts.path; here is prompts.limit=...")
            rule = f"prompts.select={self.select.value} needs references: name their field, and prompts.grader"
            require(self.select is Select.none or bool(self.answer_field), "prompts.answer_field", "''", rule)
        if self.select is not Select.none and (self.hub or not self.suites):
            self.require_rank(self.limit if self.hub else tasks.POOL_PROBLEMS)

    def require_rank(self, prompts: int) -> None:
        """Raise InputError unless a pool of so many prompts has one of this rank."""
        remedy = f"of a pool of {prompts} prompts; give at most {prompts - 1}"
        require(self.rank < prompts, "prompts.rank", self.rank, remedy)

    def identity(self) -> dict[str, object]:
        """Of a data set whose texts are not known, also which fields are read, and how many rows."""
        which = ("text_field", "answer_field", "limit") if self.is_on_hub else ()
        return fields_off_default(self) | {name: getattr(self, name) for name in which}

    @property
    def is_on_hub(self) -> bool:
        """Whether they are those of a data set, or one of them, and not read yet."""
        return bool(self.hub) and not self.texts

    @property
    def is_selected(self) -> bool:
        """Whether one of a pool is trained on, and not known yet."""
        return self.select is not Select.none and not self.texts

    @property
    def most(self) -> int:
        """How many are trained on; of a data set that is not read yet, at most."""
        return 1 if self.is_selected else self.limit if self.is_on_hub else len(self.texts)

    @property
    def have_answers(self) -> bool:
        """Whether each will have a reference."""
        return bool(self.answers) or (bool(self.answer_field) if self.is_on_hub else self.is_selected)

    def known(self, **fields: Any) -> "Prompts":
        """With their texts: from where, and by which rule, identifies them no more."""
        unread = {"hub": "", "hub_config": "", "revision": "main", "split": "train", "select": Select.none, "rank": 0}
        return replace(self, **unread | fields)
