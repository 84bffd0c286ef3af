"""What is trained on."""

from dataclasses import dataclass, field

from em.errors import require
from em.trial.identity import not_identity


@dataclass(kw_only=True)
class Prompts:
    """The unlabelled prompts that are trained on: one (the paper), or several (its multi-shot rows)."""

    texts: list[str] = field(default_factory=list)  # read from `path` when the config is composed
    path: str = not_identity(default="")  # JSONL file, one prompt a line
    text_field: str = not_identity(default="problem")  # the field of a line that holds the prompt
    rows: list[int] = not_identity(default_factory=list)  # which lines, from 0; empty: all
    template: str = "{problem}"  # what the model reads; {problem} stands for the text

    def __post_init__(self) -> None:
        require("{problem}" in self.template, "prompts.template", repr(self.template), "must contain {problem}")
