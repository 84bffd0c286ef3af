"""Grades recorded answers again, from their texts: no model, no GPU.

    python -m em.evaluation.grade                                   # every record of results/
    python -m em.evaluation.grade store=elsewhere benchmark=mbpp    # of one benchmark
    python -m em.evaluation.grade trial=TRIAL_ID data=FOLDER        # of one trial; the problems are in FOLDER/*.jsonl

Records stay as they are: new grades are kept beside them, and the latest count from then on.  Answers whose text was
not kept (eval.texts) keep the grades that they have.  At the end we say what changed: how many answers an older version
of their grader had graded, and a few of those with another verdict, each with its gold and what was read of it.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime

from rich.progress import track
from rich.table import Table

from em.cli.command import read_words, run_command, terminal
from em.errors import InputError, require, require_known
from em.evaluation import graders
from em.evaluation.graders import GRADERS, TIMEOUT, Grade
from em.evaluation.graders.boxed import last_boxed
from em.evaluation.pool import GradingPool, grade_of
from em.evaluation.problems import digested_problems
from em.paths import expanded
from em.store import Store
from em.store.provenance import code_version
from em.store.record import EvaluationResult, GradeKey, Record, Regrade, grades
from em.store.recorded import evaluations_of
from em.store.schema import DamagedError
from em.trial.evaluation import Benchmark

RECORDS_A_FILE = 64  # whose latest grades are read together; measurements whose new grades are written together
EXAMPLES, WIDTH = 3, 40  # of one change of verdict in one benchmark; characters of a gold and of an answer
VERDICTS = {True: "right", False: "wrong", None: "not graded"}
COUNTED = ("answers", "before", "now", "changed", "older grader", "timeouts", "failures", "no text")


class Regrader:
    def __init__(self, pool: GradingPool, benchmark: str = "", data: str = "") -> None:
        self.pool, self.benchmark, self.data = pool, benchmark, data
        self.references: dict[str, list[str]] = {}  # by digest of the problems
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)  # by benchmark
        self.older: Counter[tuple[str, str, int, int]] = Counter()  # answers, by benchmark, grader, old and new version
        self.changes: dict[tuple[str, str, str], list[str]] = defaultdict(list)  # by benchmark, verdict before and now

    def regrade(self, record: Record) -> list[Regrade]:
        """New grades of all measurements of a record whose texts were kept, where they, or the version of their grader,
        differ from the latest ones."""
        evaluations, submitted = evaluations_of(record), []
        for result in record.evaluations:
            benchmark = evaluations[result.evaluation_id].benchmark
            if self.benchmark not in ("", benchmark.name):
                continue
            texts = [text for text in result.texts if text is not None]
            if len(texts) < len(result.texts):
                self.counts[benchmark.name]["no text"] += len(result.texts)
                continue
            references, samples = self.references_of(benchmark), result.samples
            gold = [references[at] for at in result.asked or range(result.problems)]
            pairs = [(text, gold[index // samples]) for index, text in enumerate(texts)]
            submitted.append((result, benchmark.grader, pairs, self.pool.submit_all(benchmark.grader, pairs)))
        made = []
        for result, grader, pairs, pending in submitted:
            version = GRADERS[grader].version
            outdated = (result.grader_version or 1) != version
            before, today = grades_of(result), [grade_of(future) for future in pending]
            # What could not be graded today keeps the grade that it has.
            now = [old if new.error and not old.error else new for old, new in zip(before, today, strict=True)]
            self.count(result.benchmark, before, now, [grade.error for grade in today if grade.error])
            self.note(result.benchmark, [gold for _, gold in pairs], before, now)
            if outdated:
                self.counts[result.benchmark]["older grader"] += len(now)
                self.older[result.benchmark, grader, result.grader_version or 1, version] += len(now)
            if now == before and not outdated:
                continue
            made.append(
                Regrade(
                    unit_id=record.unit_id,
                    attempt_id=record.provenance.attempt_id,
                    step=result.step,
                    evaluation_id=result.evaluation_id,
                    graded=datetime.now(UTC).isoformat(),
                    code_version=code_version(),
                    **grades(now, version),
                )
            )
        return made

    def count(self, benchmark: str, before: list[Grade], now: list[Grade], errors: list[str]) -> None:
        self.counts[benchmark] += Counter(
            {
                "answers": len(now),
                "before": sum(grade.correct is True for grade in before),
                "now": sum(grade.correct is True for grade in now),
                "changed": sum(a.correct != b.correct for a, b in zip(before, now, strict=True)),
                "timeouts": errors.count(TIMEOUT),
                "failures": len(errors) - errors.count(TIMEOUT),
            }
        )

    def note(self, benchmark: str, golds: list[str], before: list[Grade], now: list[Grade]) -> None:
        """Keep the first few changes of each kind, as lines."""
        for gold, old, new in zip(golds, before, now, strict=True):
            if old.correct != new.correct:
                some = self.changes[benchmark, VERDICTS[old.correct], VERDICTS[new.correct]]
                if len(some) < EXAMPLES:
                    read = f"{short(old.extracted)} -> {short(new.extracted)}"
                    some.append(f"gold {short(last_boxed(gold) or gold)}: {read}")

    def explanation(self) -> list[str]:
        """What changed and why: lines."""
        lines = [
            f"{benchmark}: {count} answers had grades of {grader} {old}; it is {new} now"
            for (benchmark, grader, old, new), count in sorted(self.older.items())
        ]
        for (benchmark, old, new), some in sorted(self.changes.items()):
            lines += [f"{benchmark}: {old} -> {new}, such as", *(f"    {line}" for line in some)]
        return lines

    def references_of(self, benchmark: Benchmark) -> list[str]:
        """Raises InputError where these are not to be had, or are not of the problems that were answered."""
        if benchmark.digest not in self.references:
            graders.require_ready(benchmark.grader, f"benchmarks.{benchmark.name}")
            local = expanded(self.data) / f"{benchmark.name}.jsonl"
            if self.data and local.is_file():
                benchmark = replace(benchmark, path=str(local))
            self.references[benchmark.digest] = [reference for _, reference in digested_problems(benchmark)]
        return self.references[benchmark.digest]

    def table(self) -> Table:
        table = Table(title="answers graded again: correct before and now")
        table.add_column("benchmark")
        for name in COUNTED:
            table.add_column(name, justify="right")
        for name, counts in sorted(self.counts.items()):
            table.add_row(name, *(str(counts[column]) for column in COUNTED))
        return table


def short(text: str | None) -> str:
    line = "nothing" if text is None else repr(text)[1:-1].replace("\\\\", "\\")
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}..."


def grades_of(result: EvaluationResult) -> list[Grade]:
    """The grades that a measurement has."""
    nothing = [None] * len(result.correct)
    lists = (result.correct, result.extracted, result.paper_rules, result.grading_errors)
    return [Grade(*values) for values in zip(*(values or nothing for values in lists), strict=True)]


def main(arguments: list[str]) -> None:
    names, words = read_words(arguments, ["store", "benchmark", "trial", "data"])
    if names:
        raise InputError(f"cannot read {names[0]!r}: options are written name=value")
    store, console, data = Store(words.get("store", "results")), terminal(), words.get("data", "")
    require(not data or expanded(data).is_dir(), "data", data, "no such folder")
    trials = store.recorded_trials()
    if "trial" in words:
        require_known("trial", words["trial"], trials)
        trials = {words["trial"]}
    units = store.units_of(trials)
    pool = GradingPool()
    regrader = Regrader(pool, words.get("benchmark", ""), data)
    made: list[Regrade] = []
    damaged: list[str] = []
    latest: dict[GradeKey, Regrade] = {}
    try:
        for number, unit in enumerate(track(units, "grading", console=console, transient=True)):
            if number % RECORDS_A_FILE == 0:
                latest = store.latest_grades(units[number : number + RECORDS_A_FILE])
            try:
                made += regrader.regrade(store.graded(unit, latest))
            except DamagedError as error:
                damaged.append(str(error))
            if len(made) >= RECORDS_A_FILE:
                store.commit_grades(made)
                made = []
    finally:
        if made:
            store.commit_grades(made)
        pool.close()
    for line in regrader.explanation():
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if regrader.counts:
        console.print(regrader.table())
    for error in damaged:
        console.print(f"not graded: {error}", soft_wrap=True, markup=False)
    if not regrader.counts:
        asked = f" to benchmark={words['benchmark']}" if "benchmark" in words else ""
        raise InputError(f"store={store.address}: holds no answers{asked}")


if __name__ == "__main__":
    run_command(main, __doc__)
