"""What a base model is trained on where its config holds no texts: all prompts of a data set of the hub, or one of a
pool, selected by the paper's rule.

The rule is that of em.evaluation.candidates; `python -m sweeps.select` applies it to any pool.  What is selected here
is kept in a file on this machine, for all trials of a base model and engine: it depends on nothing else but the pool
and the length of the answers to it, so they train on the same prompt.
"""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path

from em.evaluation import graders
from em.evaluation.candidates import Candidate, ranked
from em.evaluation.evaluate import Evaluator
from em.evaluation.graders import Grade
from em.evaluation.pool import grade_of
from em.evaluation.prompts import pool
from em.model.cache import locked
from em.rollout import Request
from em.store.files import PosixFiles
from em.tiny.tasks import POOL, POOL_PROBLEMS
from em.trial.identity import content_id
from em.trial.prompts import Prompts
from em.trial.seeds import stream
from em.trial.trial import Phase

SAMPLES = 16  # K
MAX_NEW_TOKENS = 24  # of answers to the tiny world's pool; to another as many as training samples
KEPT = 64  # candidates that the file lists, or more where one of a lower rank was asked for
PATIENCE = 1.0  # seconds between two signs of life while another process selects


class Selector:
    """Selects for one base model, while its engine holds the base weights."""

    def __init__(self, base_id: str, evaluator: Evaluator, folder: Path) -> None:
        self.base_id, self.evaluator, self.folder = base_id, evaluator, folder
        self.files, self.known = PosixFiles(folder), dict[str, Prompts]()

    def resolved(self, phase: Phase, alive: Callable[[], None] = lambda: None) -> Phase:
        """`phase` with the texts and references of its prompts, read or selected where they are not given.

        `alive` is called as answers come, and while another process selects.
        """
        prompts = phase.prompts
        if prompts.texts:
            return phase
        length = phase.rollout.max_new_tokens if prompts.hub else MAX_NEW_TOKENS
        key = content_id([prompts, length])
        if key not in self.known:
            self.known[key] = self._selected(prompts, length, alive) if prompts.is_selected else pool(prompts)
        return replace(phase, prompts=self.known[key])

    def _selected(self, prompts: Prompts, length: int, alive: Callable[[], None]) -> Prompts:
        """The prompt of its rank, as the file says where it lists one; of several processes one writes it."""
        every_rank = replace(prompts, rank=0)
        own = [] if prompts.hub else [POOL, POOL_PROBLEMS]
        key = content_id([self.base_id, every_rank, *own, SAMPLES, length])
        with locked(self.folder / f"{key}.lock", PATIENCE, alive):
            order = self._listed(f"{key}.json")
            if prompts.rank >= len(order):
                drawn = pool(prompts)
                prompts.require_rank(len(drawn.texts))
                listed = {candidate.text for candidate in order}  # they keep their ranks: some have been trained on
                order += [item for item in ranked(self.candidates(drawn, length, alive)) if item.text not in listed]
                best = [asdict(item) for item in order[: max(KEPT, prompts.rank + 1)]]
                content = {"base": self.base_id, "rule": prompts.select.value, "pool": len(drawn.texts), "best": best}
                self.files.replace(f"{key}.json", json.dumps(content, indent=1).encode())
        chosen, grader = order[prompts.rank], prompts.grader if prompts.hub else "tiny"
        return prompts.known(texts=[chosen.text], answers=[chosen.answer], grader=grader)

    def _listed(self, name: str) -> list[Candidate]:
        """The best candidates, best first, that the file lists; none where there is no file, or a damaged one."""
        try:
            return [Candidate(**item) for item in json.loads(self.files.read(name))["best"]]
        except (OSError, ValueError, TypeError, LookupError):
            return []

    def candidates(self, prompts: Prompts, length: int, alive: Callable[[], None]) -> list[Candidate]:
        """The prompts of a pool, in their order, with what SAMPLES answers to each at temperature 1 say.

        The expected -log p of a token that is sampled at temperature 1 is the entropy of its distribution, so the mean
        over all sampled tokens is taken for the mean token entropy.
        """
        graders.require_ready(prompts.grader, "prompts")
        sampler, reader = self.evaluator.sampler, self.evaluator.reader
        requests = [
            Request(
                prompt=reader.encode(prompts.template.replace("{problem}", text), length),
                seed=stream("selection", index),
                samples=SAMPLES,
                max_new_tokens=length,
            )
            for index, text in enumerate(prompts.texts)
        ]
        said: dict[int, tuple[float, int]] = {}  # log p of all tokens together, and how many these are
        grades: dict[int, list[Future[Grade]]] = {}
        for index, answers in sampler.stream(requests, logprobs=True):
            alive()
            texts, answer = reader.decode([answer.token_ids for answer in answers]), prompts.answers[index]
            grades[index] = self.evaluator.pool.submit_all(prompts.grader, [(text, answer) for text in texts])
            logprobs = [logprob for answer in answers for logprob in answer.logprobs or []]
            said[index] = sum(logprobs), len(logprobs)
        return [
            Candidate(
                text=text,
                answer=answer,
                correct=sum(grade_of(grade).correct is True for grade in grades[index]),
                samples=SAMPLES,
                entropy=-total / tokens,
                length=tokens / SAMPLES,
            )
            for index, (text, answer) in enumerate(zip(prompts.texts, prompts.answers, strict=True))
            for total, tokens in [said[index]]
        ]
