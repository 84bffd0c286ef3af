"""What is trained on."""

from dataclasses import dataclass, field

from em.errors import require
from em.trial.identity import added, not_identity


@dataclass(kw_only=True)
class Prompts:
    """The unlabelled prompts that are trained on: one (the paper), or several (its multi-shot rows)."""

    texts: list[str] = field(default_factory=list)  # read from `path` when the config is composed
    path: str = not_identity(default="")  # JSONL file, one prompt a line
    text_field: str = not_identity(default="problem")  # the field of a line that holds the prompt
    rows: list[int] = not_identity(default_factory=list)  # which lines, from 0; empty: all
    template: str = "{problem}"  # what the model reads; {problem} stands for the text
    answers: list[str] = added(default_factory=list)  # the reference of each text, for methods that need rewards ...
    grader: str = added(default="")  # ... and who compares, a name in em.evaluation.graders

    def __post_init__(self) -> None:
        require("{problem}" in self.template, "prompts.template", repr(self.template), "must contain {problem}")
        if self.answers:
            own = len(self.answers) == len(self.texts) and bool(self.grader)
            require(own, "prompts.answers", len(self.answers), "give one for each text, and prompts.grader with them")
