"""How much units of work are: steps, answers, tokens, bytes.  Needs neither Ray nor torch nor vLLM."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from em.evaluation.problems import problems
from em.trial.evaluation import Benchmark, Evaluation, Texts
from em.trial.unit import Unit
from sweeps.config import Launch

RECORD_BYTES, TOKEN_BYTES = 25_000, 2  # of a record, and for each token that it may hold


@dataclass(frozen=True)
class Amount:
    """How much a unit of work is."""

    steps: int  # that are trained ...
    sampled_steps: int  # ... and of these those that are sampled, not replayed
    answers: Mapping[int, int]  # that are measured, at all steps, by their token limit
    text: int = 0  # tokens of the answers whose text is kept, at most

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
            answers, text = defaultdict[int, int](int), 0
            for evaluation in (measurement.evaluation for measurement in unit.measurements):
                whole, limit = self.problems(evaluation.benchmark), evaluation.benchmark.max_new_tokens
                count = min(evaluation.problems or whole, whole)
                answers[limit] += count * evaluation.samples
                text += count * limit * texts_of(evaluation)
            self.known[key] = Amount(steps, max(0, steps - recorded_steps), dict(answers), text)
        return self.known[key]

    def problems(self, benchmark: Benchmark) -> int:
        if benchmark.digest not in self.counts:
            self.counts[benchmark.digest] = len(problems(benchmark))
        return self.counts[benchmark.digest]


def texts_of(evaluation: Evaluation) -> int:
    """Of how many answers to a problem the text is kept."""
    return {Texts.all: evaluation.samples, Texts.sample: 1, Texts.none: 0}[evaluation.texts]


def step_tokens(unit: Unit) -> int:
    """Of the samples of an optimiser step, at most."""
    phase = unit.trial.phase
    return phase.rollout.samples * phase.rollout.max_new_tokens if phase else 0


def record_bytes(unit: Unit, amounts: Amounts) -> float:
    """Of the unit's record, at most."""
    amount = amounts.of(unit)
    return RECORD_BYTES + TOKEN_BYTES * (amount.steps * step_tokens(unit) + amount.text)


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
        amount, a_step = amounts.of(unit, steps), step_tokens(unit)
        counts["sampled"] += amount.sampled_steps * a_step
        counts["trained"] += amount.steps * a_step
        counts["evaluated"] += sum(limit * count for limit, count in amount.answers.items())
    return counts


def storage(launch: Launch, todo: Sequence[Unit], amounts: Amounts, lanes: int) -> dict[str, float]:
    """Bytes by kind, at most: records stay, states are deleted when nothing starts from them any more."""
    weights = max((unit.trial.model.parameters * 1e9 for unit in todo), default=0.0)
    ends = len({unit.start for unit in todo if unit.start}) if launch.keep.states else 0
    every = launch.keep.every
    unfinished = lanes * any(every and unit.last_step > every for unit in todo)
    records = sum(record_bytes(unit, amounts) for unit in todo)
    return {"records": records, "states": weights * (4 * ends + 12 * unfinished)}
