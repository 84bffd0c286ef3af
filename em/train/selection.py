"""The prompt that a base model is trained on, selected by the paper's rule from a pool of the tiny world.

The rule is that of em.evaluation.candidates; `python -m sweeps.select` applies it to any pool.  What is selected here
is kept in a file on this machine, for all trials of a base model and engine: it depends on nothing else, so they train
on the same prompt.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from em.evaluation.candidates import Candidate, ranked
from em.evaluation.evaluate import Evaluator
from em.rollout import Request
from em.store.files import PosixFiles
from em.tiny import tasks
from em.trial.identity import content_id
from em.trial.prompts import Prompts, Select
from em.trial.seeds import stream

SUITE, PROBLEMS = "sum", 48  # the pool, of the split `train`; docs/design.md says why sums
SAMPLES = 16  # K
MAX_NEW_TOKENS = 24
GRADER = "tiny"
SHOWN = 8  # candidates that the file lists


class Selector:
    """Selects for one base model, while its engine holds the base weights."""

    def __init__(self, base_id: str, evaluator: Evaluator, folder: Path) -> None:
        self.base_id, self.evaluator, self.folder = base_id, evaluator, folder
        self.files, self.selected = PosixFiles(folder), dict[str, Candidate]()

    def resolved(self, prompts: Prompts, alive: Callable[[], None] = lambda: None) -> Prompts:
        """`prompts` with the selected text and its reference, unless their texts are given.

        `alive` is called as answers come.
        """
        if prompts.texts or prompts.select is Select.none:
            return prompts
        key = content_id([self.base_id, prompts, SUITE, PROBLEMS, SAMPLES, MAX_NEW_TOKENS])
        if key not in self.selected:
            self.selected[key] = self._kept(key, prompts.template, alive)
        chosen = self.selected[key]
        return replace(prompts, select=Select.none, texts=[chosen.text], answers=[chosen.answer], grader=GRADER)

    def _kept(self, key: str, template: str, alive: Callable[[], None]) -> Candidate:
        """What the file says, where there is one that can be read; of several processes one writes it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            try:
                return Candidate(**json.loads(self.files.read(f"{key}.json"))["best"][0])
            except (OSError, ValueError, TypeError, LookupError):  # there is none, or it is damaged
                best = ranked(self.candidates(template, alive))[:SHOWN]
                content = {"base": self.base_id, "rule": Select.variance.value, "best": [asdict(item) for item in best]}
                self.files.replace(f"{key}.json", json.dumps(content, indent=1).encode())
                return best[0]

    def candidates(self, template: str, alive: Callable[[], None]) -> list[Candidate]:
        """The pool, in its order, with what SAMPLES answers to each prompt at temperature 1 say.

        The expected -log p of a token that is sampled at temperature 1 is the entropy of its distribution, so the mean
        over all sampled tokens is taken for the mean token entropy.
        """
        pool = tasks.problems(SUITE, "train", PROBLEMS)
        sampler, reader = self.evaluator.sampler, self.evaluator.reader
        requests = [
            Request(
                prompt=reader.encode(template.replace("{problem}", problem.prompt), MAX_NEW_TOKENS),
                seed=stream("selection", index),
                samples=SAMPLES,
                max_new_tokens=MAX_NEW_TOKENS,
            )
            for index, problem in enumerate(pool)
        ]
        made: dict[int, Candidate] = {}
        for index, answers in sampler.stream(requests, logprobs=True):
            alive()
            problem, texts = pool[index], reader.decode([answer.token_ids for answer in answers])
            grades = self.evaluator.grade(GRADER, texts, [problem.answer] * SAMPLES)
            logprobs = [logprob for answer in answers for logprob in answer.logprobs or []]
            made[index] = Candidate(
                text=problem.prompt,
                answer=problem.answer,
                correct=sum(grade.correct is True for grade in grades),
                samples=SAMPLES,
                entropy=-sum(logprobs) / len(logprobs),
                length=len(logprobs) / SAMPLES,
            )
        return [made[index] for index in range(len(pool))]
