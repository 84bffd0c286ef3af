"""The samples of one optimiser step: which prompts it takes, what the model answers, how that is graded.

P prompts of a phase.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from em.evaluation.evaluate import Evaluator
from em.evaluation.graders import Grade
from em.evaluation.pool import grade_of
from em.rollout import Request
from em.trial.evaluation import Texts
from em.trial.method import Need
from em.trial.rollout import Rollout
from em.trial.sample import Sample
from em.trial.seeds import stream
from em.trial.trial import Phase, Trial


def turns(rollout: Rollout, prompts: int, seed: int, step: int) -> list[int]:
    """The prompt of each of a step's samples, as an index below `prompts`.

    Without `samples_per_prompt` the prompts take turns in their order, and each step goes on where the last one ended.
    With it a step takes as many prompts as its samples allow, each with so many, without replacement: every prompt once
    before any twice, in an order that the seed shuffles afresh each time around.
    """
    each = rollout.samples_per_prompt
    if not each:
        first = (step - 1) * rollout.samples
        return [(first + index) % prompts for index in range(rollout.samples)]
    places = range((step - 1) * rollout.samples // each, step * rollout.samples // each)
    orders = {around: order(prompts, seed, around) for around in {place // prompts for place in places}}
    return [orders[place // prompts][place % prompts] for place in places for _ in range(each)]


def order(prompts: int, seed: int, around: int) -> list[int]:
    """The prompts in random order."""
    return sorted(range(prompts), key=lambda prompt: stream("order", seed, around, prompt))


class Sampling:
    def __init__(self, evaluator: Evaluator, texts: Texts) -> None:
        self.evaluator, self.texts = evaluator, texts

    def samples(
        self, trial: Trial, phase: Phase, prompts: Sequence[list[int]], step: int, alive: Callable[[], None]
    ) -> list[Sample]:
        """The answers to these prompts (token ids), in the order of the prompts' first turns.

        `alive` is called as they come.  Where the method needs rewards, each is graded as soon as it is there, while
        others are still being decoded.
        """
        rollout, needs = phase.rollout, phase.method.needs
        depth = ("after", len(trial.before)) if trial.before else ()  # two phases of one seed draw different numbers
        taken = turns(rollout, len(prompts), trial.seed, step)
        chosen = list(dict.fromkeys(taken))
        requests = [
            Request(
                prompt=prompts[prompt],
                seed=stream("rollout", trial.seed, step, prompt, *depth),
                samples=taken.count(prompt),
                temperature=rollout.temperature,
                top_p=rollout.top_p,
                repetition_penalty=rollout.repetition_penalty,
                max_new_tokens=rollout.max_new_tokens,
            )
            for prompt in chosen
        ]
        made: dict[int, list[Sample]] = {}
        grades: dict[int, list[Future[Grade]]] = {}
        for index, answers in self.evaluator.sampler.stream(requests, Need.logprobs in needs):
            alive()
            made[index] = [
                Sample(
                    step=step,
                    prompt=chosen[index],
                    token_ids=answer.token_ids,
                    truncated=answer.truncated,
                    logprobs=answer.logprobs,
                )
                for answer in answers
            ]
            if Need.rewards in needs:
                grades[index] = self._grading(phase, made[index])
        for index, of_prompt in grades.items():
            for sample, future in zip(made[index], of_prompt, strict=True):
                reward(sample, grade_of(future))
                alive()
        return [sample for index in range(len(requests)) for sample in made[index]]

    def _grading(self, phase: Phase, samples: Sequence[Sample]) -> list[Future[Grade]]:
        """The grades to come of the answers to one prompt; their texts are kept as `eval.texts` says."""
        texts = self.evaluator.reader.decode([sample.token_ids for sample in samples])
        for place, (sample, text) in enumerate(zip(samples, texts, strict=True)):
            if self.texts is Texts.all or (self.texts is Texts.sample and not place):
                sample.text = text
        reference = phase.prompts.answers[samples[0].prompt]
        return self.evaluator.pool.submit_all(phase.prompts.grader, [(text, reference) for text in texts])


def reward(sample: Sample, grade: Grade) -> None:
    """1 where the grader finds the answer right, else 0; also where it cannot say, and why not is kept."""
    sample.reward, sample.extracted, sample.grading_error = float(grade.correct is True), grade.extracted, grade.error
