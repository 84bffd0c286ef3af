"""Select the prompts to train on from a pool, by the paper's rule: those whose answers' scores vary most.

    python -m sweeps.select prompts=jsonl prompts.path=pool.jsonl prompts.answer_field=answer prompts.grader=maths
    python -m sweeps.select prompts=pool

Draws answers of the base model to each prompt, through the same lanes and store as a sweep, and grades them.  The same
command again goes on where it was stopped.  It shows the ranking, saves it as a table, and writes the best prompts to
conf/prompts/<select.name>.yaml: train on them with prompts=<select.name>.
"""

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import polars as pl
from omegaconf import MISSING, OmegaConf
from rich.table import Table

from em.cli import inputs
from em.cli.command import run_command, terminal
from em.cli.compose import Root
from em.cli.overrides import CONF
from em.errors import InputError, require, require_file_name, require_positive
from em.evaluation.candidates import Candidate, contenders, ranked
from em.evaluation.prompts import pool
from em.store import Store
from em.store.files import PosixFiles
from em.trial.evaluation import Benchmark, Evaluation, Statistics
from em.trial.fields import literal
from em.trial.unit import Measurement, Unit
from sweeps.config import Launch
from sweeps.plan import Plan, plan
from sweeps.protocol import TRAINER
from sweeps.source import Source

SHOWN = 10  # prompts of the table in the terminal
MARK = "# Selected by `python -m sweeps.select`"  # with this begins a file that may be written again


@dataclass(kw_only=True)
class Select:
    """How the pool is measured, and what becomes of it."""

    name: str = MISSING  # of the results: prompts=<name>
    samples: int = 16  # answers to each prompt
    first: int = 0  # answers to each prompt in a first round; then only those that may be among the best get the rest
    confidence: float = 0.8  # of the intervals that tell which these are
    top: int = 1  # prompts that are selected; 0: there is only the ranking
    shard: int = 16  # prompts of a unit of work

    def __post_init__(self) -> None:
        require_positive("select", samples=self.samples, shard=self.shard)
        require(self.top >= 0, "select.top", self.top, "must be a number of prompts, or 0")
        fits = 0 <= self.first < self.samples
        require(fits, "select.first", self.first, f"must be 0 (one round) or less than select.samples={self.samples}")
        require(0 < self.confidence < 1, "select.confidence", self.confidence, "must be between 0 and 1")
        require_file_name("select.name", self.name)


@dataclass(kw_only=True)
class SelectLaunch(Launch):
    """Everything that `python -m sweeps.select` takes: `prompts` are the pool, `rollout` is how it is answered."""

    select: Select = MISSING


Answers = list[tuple[bool, float, int]]  # of each answer: whether it is right, its mean entropy, its length

ROOT = Root("select", SelectLaunch)


@dataclass(frozen=True)
class Pool:
    """The prompts as units of work of the base model; a Source.

    In a first round each gets `first` answers, in a second one those that may still be among the best get the others.
    """

    config: SelectLaunch
    store: Store

    @property
    def follows_results(self) -> bool:
        return self.select.first > 0

    @property
    def select(self) -> Select:
        return self.config.select

    def wanted(self, records: pl.DataFrame) -> list[Unit]:
        select, everyone = self.select, range(len(self.config.prompts.texts))
        first = self.units(everyone, select.first or select.samples, round_=0)
        if not select.first or not {unit.id for unit in first} <= {*records["unit_id"]}:
            return first
        return first + self.units(self.chosen, select.samples - select.first, round_=1)

    def units(self, places: Sequence[int], samples: int, round_: int) -> list[Unit]:
        """Some prompts of the pool, `shard` of them to a unit."""
        base, size = self.config.trial.base, self.select.shard
        shards = [places[start : start + size] for start in range(0, len(places), size)]
        return [Unit(base, (Measurement(0, self.evaluation(shard, samples, round_)),)) for shard in shards]

    def evaluation(self, places: Sequence[int], samples: int, round_: int) -> Evaluation:
        prompts, rollout = self.config.prompts, self.config.rollout
        shard = Benchmark(
            name=f"pool-{places[0]}",
            pairs=[[prompts.texts[place], prompts.answers[place]] for place in places],
            template=prompts.template,
            max_new_tokens=rollout.max_new_tokens,
            grader=prompts.grader,
        )
        return Evaluation(
            benchmark=inputs.resolve_benchmark(shard),
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            samples=samples,
            seed=self.config.eval.seed + round_,
            texts=self.config.eval.texts,
            statistics=Statistics.tokens,
        )

    @cached_property
    def first_round(self) -> dict[int, Answers]:
        """Of each prompt, what it was answered with; raises InputError where answers are missing."""
        select, everyone = self.select, range(len(self.config.prompts.texts))
        found = self.answers(everyone, select.first or select.samples, 0)
        missing = [place for place in everyone if place not in found]
        if missing:
            raise InputError(f"store={self.store.address}: prompt {missing[0]} of the pool has no answers yet")
        return found

    @cached_property
    def chosen(self) -> list[int]:
        """The prompts that get the second round's answers."""
        found = [self.candidate(*of) for of in self.first_round.items()]
        return contenders(found, max(1, self.select.top), self.select.confidence)

    def candidates(self) -> list[Candidate]:
        """The pool in its order, with all that was answered."""
        select, found = self.select, dict(self.first_round)
        if select.first:
            for place, answers in self.answers(self.chosen, select.samples - select.first, 1).items():
                found[place] = found[place] + answers
        return [self.candidate(*of) for of in found.items()]

    def answers(self, places: Sequence[int], samples: int, round_: int) -> dict[int, Answers]:
        """Of each of these prompts that is answered: its answers."""
        found, size = dict[int, Answers](), self.select.shard
        results = {result.evaluation_id: result for result in self.store.evaluations(self.config.trial.base.id)}
        for start in range(0, len(places), size):
            shard = places[start : start + size]
            result = results.get(self.evaluation(shard, samples, round_).id)
            if result is None:
                continue
            rows = list(zip(result.correct, result.entropies or [], result.lengths, strict=True))
            for index, place in enumerate(shard):
                of_prompt = rows[index * samples : (index + 1) * samples]
                found[place] = [(correct is True, entropy, length) for correct, entropy, length in of_prompt]
        return found

    def candidate(self, place: int, answers: Answers) -> Candidate:
        tokens = sum(length for _, _, length in answers)
        return Candidate(
            text=self.config.prompts.texts[place],
            answer=self.config.prompts.answers[place],
            correct=sum(correct for correct, _, _ in answers),
            samples=len(answers),
            entropy=sum(entropy * length for _, entropy, length in answers) / tokens,
            length=fmean(length for _, _, length in answers),
        )


def ranking(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first; those with all samples before those that a first round left out."""
    most = max(candidate.samples for candidate in candidates)
    full = [candidate for candidate in candidates if candidate.samples == most]
    return ranked(full) + ranked([candidate for candidate in candidates if candidate.samples < most])


def compose(arguments: Sequence[str], left_out: list[str] | None = None) -> SelectLaunch:
    """The config of a selection, its pool read; `left_out` gets why prompts are left out that cannot be used."""
    words = ROOT.words(arguments)
    config = ROOT.config(ROOT.compose(words), words)
    left_out = [] if left_out is None else left_out
    prompts = inputs.resolve_prompts(config.prompts, left_out)
    prompts = prompts if prompts.texts else pool(prompts, left_out)
    config = replace(config, model=inputs.resolve_model(config.model), prompts=prompts, benchmarks={})
    remedy = "name the field of the references, prompts.answer_field=answer, and prompts.grader"
    require(bool(prompts.answers), "prompts.answer_field", "''", remedy)
    rollout = config.rollout
    require(rollout.temperature > 0, "rollout.temperature", rollout.temperature, "would give equal answers; take 1.0")
    penalty = rollout.repetition_penalty
    require(penalty == 1, "rollout.repetition_penalty", penalty, "measurements know none; leave it at 1.0")
    require(not config.tracking.wandb, "tracking.wandb", "true", "shows sweeps, not selections; leave it out")
    place(config)
    return config


def place(config: SelectLaunch) -> tuple[PosixFiles, str]:
    """Where the selected prompts are written; raises InputError where something else lies there."""
    files, name = PosixFiles(CONF / "prompts"), f"{config.select.name}.yaml"
    ours = not files.exists(name) or files.read(name).decode().startswith(MARK)
    require(ours, "select.name", config.select.name, f"{files.where(name)} is not a selection; give another name")
    return files, name


def write(config: SelectLaunch, best: Sequence[Candidate]) -> str:
    """The prompts as a choice of `prompts`; where they lie."""
    files, name = place(config)
    content: dict[str, Any] = {
        "texts": [literal(candidate.text) for candidate in best],
        "answers": [literal(candidate.answer) for candidate in best],
        "grader": config.prompts.grader,
        "template": literal(config.prompts.template),
    }
    head = f"{MARK}: {len(best)} of {len(config.prompts.texts)} prompts, for {config.model.label}.\n"
    text = OmegaConf.to_yaml(OmegaConf.create(content))
    files.replace(name, (head + text).encode())
    return files.where(name)


def save(config: SelectLaunch, order: Sequence[Candidate], store: Store) -> str:
    """The whole ranking as a table; where it lies."""
    columns = ("accuracy", "variance", "entropy", "length", "samples", "text", "answer")
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["rank", *columns])
    writer.writerows([rank, *(getattr(of, name) for name in columns)] for rank, of in enumerate(order, 1))
    name = f"selections/{config.select.name}.csv"
    store.files.replace(name, rows.getvalue().encode())
    return store.where(name)


def table(order: Sequence[Candidate]) -> Table:
    made = Table(title="prompts by the variance of their answers' scores")
    for heading in ("", "accuracy, %", "variance", "entropy, nats", "tokens", "samples", "prompt"):
        made.add_column(heading, justify="left" if heading == "prompt" else "right", no_wrap=heading == "prompt")
    for rank, of in enumerate(order[:SHOWN], 1):
        numbers = f"{100 * of.accuracy:.1f}", f"{of.variance:.3f}", f"{of.entropy:.3f}", f"{of.length:.1f}"
        made.add_row(str(rank), *numbers, str(of.samples), of.text.replace("\n", " ")[:60])
    return made


def describe(config: SelectLaunch, planned: Plan) -> str:
    select = config.select
    rounds = f", {select.first} of them in a first round" if select.first else ""
    return (
        f"selection {select.name}: {len(config.prompts.texts)} prompts, {select.samples} answers each{rounds}\n"
        f"recorded {planned.recorded} of {len(planned.wanted)} units of work so far, {len(planned.todo)} to do"
    )


def main(arguments: list[str], trainer: str = TRAINER) -> None:
    left_out = list[str]()
    config = compose(arguments, left_out)
    store, console = Store(config.store), terminal()
    if left_out:
        console.print(f"left out {len(left_out)} prompts that cannot be used: {left_out[0]}", soft_wrap=True)
    source: Source = Pool(config, store)
    planned = plan(config, store, source)
    console.print(describe(config, planned), highlight=False, soft_wrap=True)
    if planned.todo:
        from sweeps.launch import launch

        store.set_aside(planned.damaged)
        try:
            launch(config, arguments, source, planned, store, console, trainer)
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on")
            sys.exit(130)
        planned = plan(config, store, source)
    if lost := len(planned.given_up) + len(planned.todo):
        raise InputError(f"{lost} units of work failed too often; `make failures` says why, select.shard=... regroups")
    order = ranking(Pool(config, store).candidates())
    console.print(table(order))
    console.print(f"ranking: {save(config, order, store)}", soft_wrap=True)
    if best := order[: config.select.top]:
        console.print(f"prompts={config.select.name} trains on the best: {write(config, best)}", soft_wrap=True)


if __name__ == "__main__":
    run_command(main, __doc__, ROOT)
