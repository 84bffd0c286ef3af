"""Grades recorded answers again, from their texts: no model, no GPU.

    python -m em.evaluation.grade                                   # every record of results/
    python -m em.evaluation.grade store=elsewhere benchmark=mbpp    # of one benchmark
    python -m em.evaluation.grade trial=TRIAL_ID data=FOLDER        # of one trial; the problems are in FOLDER/*.jsonl

Records stay as they are: new grades are kept beside them, and the latest count from then on.  Answers whose text was
not kept (eval.texts) keep the grades that they have.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from em.compose import run_command
from em.config import Benchmark
from em.errors import InputError, require_known
from em.evaluation import graders
from em.evaluation.pool import GradingPool, grade_of
from em.evaluation.problems import problems
from em.identity import content_id
from em.provenance import code_version
from em.record import Record, Regrade, grades
from em.recorded import evaluations_of
from em.schema import read, schema_of
from em.store import Store

RECORDS_A_FILE = 64  # whose new grades are written together
COUNTED = ("answers", "before", "now", "changed", "timeouts", "failures", "no text")


class Regrader:
    def __init__(self, pool: GradingPool, benchmark: str = "", data: str = "") -> None:
        self.pool, self.benchmark, self.data = pool, benchmark, data
        self.references: dict[str, list[str]] = {}  # by digest of the problems
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)  # by benchmark

    def regrade(self, record: dict[str, Any]) -> list[Regrade]:
        """New grades of all measurements of a record whose texts were kept."""
        evaluations, submitted = evaluations_of(record), []
        for result in record["evaluations"]:
            benchmark = evaluations[result["evaluation_id"]].benchmark
            if self.benchmark not in ("", benchmark.name):
                continue
            if None in result["texts"]:
                self.counts[benchmark.name]["no text"] += len(result["texts"])
                continue
            references, samples = self.references_of(benchmark), result["samples"]
            pairs = [(text, references[index // samples]) for index, text in enumerate(result["texts"])]
            pending = {pair: self.pool.submit(benchmark.grader, *pair) for pair in dict.fromkeys(pairs)}
            submitted.append((result, [pending[pair] for pair in pairs]))
        made = []
        for result, pending in submitted:
            new = Regrade(
                unit_id=record["unit_id"],
                step=result["step"],
                evaluation_id=result["evaluation_id"],
                graded=datetime.now(UTC).isoformat(),
                code_version=code_version(),
                **grades([grade_of(future) for future in pending]),
            )
            self.count(result, new)
            made.append(new)
        return made

    def count(self, old: dict[str, Any], new: Regrade) -> None:
        self.counts[old["benchmark"]] += Counter(
            {
                "answers": len(new.correct),
                "before": old["correct"].count(True),
                "now": new.correct.count(True),
                "changed": sum(a != b for a, b in zip(old["correct"], new.correct, strict=True)),
                "timeouts": new.timeouts or 0,
                "failures": new.grader_failures or 0,
            }
        )

    def references_of(self, benchmark: Benchmark) -> list[str]:
        """Raises InputError where these are not to be had, or are not of the problems that were answered."""
        if benchmark.digest not in self.references:
            graders.require_ready(benchmark.grader)
            local = Path(self.data).expanduser() / f"{benchmark.name}.jsonl"
            if self.data and local.is_file():
                benchmark = replace(benchmark, path=str(local))
            pairs = problems(benchmark)
            if content_id(pairs) != benchmark.digest:
                source = benchmark.path or benchmark.hub or benchmark.suite
                raise InputError(
                    f"benchmarks.{benchmark.name}: {source} holds other problems than those that were answered; "
                    "name a folder that has them with data=..."
                )
            self.references[benchmark.digest] = [reference for _, reference in pairs]
        return self.references[benchmark.digest]

    def table(self) -> Table:
        table = Table(title="answers graded again: correct before and now")
        table.add_column("benchmark")
        for name in COUNTED:
            table.add_column(name, justify="right")
        for name, counts in sorted(self.counts.items()):
            table.add_row(name, *(str(counts[column]) for column in COUNTED))
        return table


def main(arguments: list[str]) -> None:
    words: dict[str, str] = {name: value for name, _, value in (word.partition("=") for word in arguments)}
    for name in words:
        require_known("option", name, ["store", "benchmark", "trial", "data"])
    store, console = Store(words.get("store", "results")), Console()
    trials = {unit.partition("-")[0] for unit in store.recorded_units()}
    if "trial" in words:
        require_known("trial", words["trial"], trials)
        trials = {words["trial"]}
    paths = store.record_paths(trials)
    if not paths:
        raise InputError(f"store={store.root}: holds no records")
    pool = GradingPool()
    regrader = Regrader(pool, words.get("benchmark", ""), words.get("data", ""))
    try:
        made: list[Regrade] = []
        for number, path in enumerate(track(paths, "grading", console=console, transient=True), 1):
            made += regrader.regrade(read(path, schema_of(Record)).row(0, named=True))
            if made and (number % RECORDS_A_FILE == 0 or path == paths[-1]):
                store.commit_grades(made)
                made = []
    finally:
        pool.close()
    if not regrader.counts:
        raise InputError(f"benchmark={words['benchmark']}: store={store.root} holds no answers to it")
    console.print(regrader.table())


if __name__ == "__main__":
    run_command(main, __doc__)
