"""What is trained on."""

from dataclasses import dataclass

from em.trial.identity import added


@dataclass(kw_only=True)
class Sample:
    """One sample that was trained on: enough, with the config, to train again without sampling."""

    step: int
    prompt: int  # row of Record.prompts
    token_ids: list[int]
    truncated: bool
    logprobs: list[float] | None = added(default=None)  # of the ids as they were drawn, where the method needs them
    reward: float | None = added(default=None)  # in [0, 1], where the method needs it ...
    extracted: str | None = added(default=None)  # ... with what the grader took for the answer ...
    grading_error: str | None = added(default=None)  # ... why it could not grade, which counts as wrong ...
    text: str | None = added(default=None)  # ... and the text that it read, where `eval.texts` keeps it
