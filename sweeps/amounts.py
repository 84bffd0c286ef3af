"""How much units of work are: steps, answers, tokens, bytes.  Needs neither Ray nor torch nor vLLM."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from em.evaluation.problems import problems
from em.trial.evaluation import Benchmark, Evaluation, Texts
from em.trial.unit import Unit
from sweeps.config import Launch
from sweeps.stated import ANSWER

RECORD_BYTES, TOKEN_BYTES, ANSWER_BYTES = 40_000, 1.6, 8  # of a record, compressed; a token's text is three more


@dataclass(frozen=True)
class Amount:
    """How much a unit of work is."""

    steps: int  # that are trained ...
    sampled_steps: int  # ... and of these those that are sampled, not replayed
    answers: Mapping[int, int]  # that are measured, at all steps, by their token limit

    @property
    def measured(self) -> int:
        return sum(self.answers.values())


class Amounts:
    """The amounts of units, thousands of which measure the same."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.known: dict[tuple[object, ...], Amount] = {}

    def of(self, unit: Unit, recorded_steps: int = 0) -> Amount:
        """`recorded_steps`: of the record whose tokens are trained on again."""
        key = (unit.id.partition("-")[2], unit.trial.is_base, recorded_steps)
        if key not in self.known:
            steps = 0 if unit.trial.is_base else unit.last_step
            answers: dict[int, int] = defaultdict(int)
            for evaluation in (measurement.evaluation for measurement in unit.measurements):
                answers[evaluation.benchmark.max_new_tokens] += self.answers(evaluation)
            self.known[key] = Amount(steps, max(0, steps - recorded_steps), dict(answers))
        return self.known[key]

    def answers(self, evaluation: Evaluation) -> int:
        return self.problems(evaluation.benchmark) * evaluation.samples

    def problems(self, benchmark: Benchmark) -> int:
        if benchmark.digest not in self.counts:
            self.counts[benchmark.digest] = len(problems(benchmark))
        return self.counts[benchmark.digest]


def work_of(todo: Sequence[Unit], replayed: Sequence[int], amounts: Amounts) -> dict[str, int]:
    """What there is to do, counted."""
    each = [amounts.of(unit, steps) for unit, steps in zip(todo, replayed, strict=True)]
    return {
        "trials": sum(not unit.trial.is_base for unit in todo),
        "base models": sum(unit.trial.is_base for unit in todo),
        "steps": sum(amount.steps for amount in each),
        "replayed": sum(amount.steps - amount.sampled_steps for amount in each),
        "measurements": sum(len(unit.measurements) for unit in todo),
        "answers": sum(amount.measured for amount in each),
    }


def tokens(todo: Sequence[Unit], replayed: Sequence[int], amounts: Amounts) -> dict[str, int]:
    """At most: what is sampled to train on, what is trained on, what is sampled to be measured."""
    counts = {"sampled": 0, "trained": 0, "evaluated": 0}
    for unit, steps in zip(todo, replayed, strict=True):
        amount, phase = amounts.of(unit, steps), unit.trial.phase
        a_step = phase.rollout.samples * phase.rollout.max_new_tokens if phase else 0
        counts["sampled"] += amount.sampled_steps * a_step
        counts["trained"] += amount.steps * a_step
        counts["evaluated"] += sum(limit * count for limit, count in amount.answers.items())
    return counts


def storage(launch: Launch, todo: Sequence[Unit], amounts: Amounts, lanes: int) -> dict[str, float]:
    """Bytes by kind: records stay, states are deleted when nothing starts from them any more."""
    kept = {part.eval.texts for part in launch.sweeps}
    of_text = 3.0 if Texts.all in kept else 3.0 / 8 if Texts.sample in kept else 0.0
    records = 0.0
    for unit in todo:
        amount, phase = amounts.of(unit), unit.trial.phase
        a_step = ANSWER * phase.rollout.samples * phase.rollout.max_new_tokens if phase else 0.0
        answered = ANSWER * sum(limit * count for limit, count in amount.answers.items())
        records += RECORD_BYTES + TOKEN_BYTES * amount.steps * a_step + ANSWER_BYTES * amount.measured
        records += of_text * answered
    weights = max((unit.trial.model.parameters * 1e9 for unit in todo), default=0.0)
    ends = len({unit.start for unit in todo if unit.start}) if launch.keep.states else 0
    every = launch.keep.every
    unfinished = lanes * any(every and unit.last_step > every for unit in todo)
    return {"records": records, "states": weights * (4 * ends + 12 * unfinished)}
