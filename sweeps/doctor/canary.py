"""The canary: one short trial that a worker makes on a node as those of a launch would, in a store of its own."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from em.cli.inputs import resolve_benchmark
from em.store import Store
from em.store.record import Status
from em.trial.evaluation import Evaluation, Texts
from em.trial.identity import content_id
from em.trial.unit import Measurement, Unit
from sweeps.lane import Process
from sweeps.protocol import TRAINER, Doing, Setup, tail

PROBLEMS = 4  # of each benchmark, that it answers
SILENT_SECONDS = 900.0  # without progress (a download, an engine's start), after which it is ended


@dataclass(frozen=True)
class Canary:
    """What came of it."""

    error: str = ""
    log: str = ""  # the end of what the worker wrote, where there is an error
    step: float = 0.0  # seconds of the optimiser step: sample, train, push
    memory: int = 0  # bytes at the peak, without the files' pages that workers share
    fingerprint: str = ""  # of weights and answers


def canary_of(wanted: Sequence[Unit]) -> Unit:
    """The first trained trial, its first optimiser step, and a few problems of each benchmark."""
    unit = next((unit for unit in wanted if not unit.trial.is_base), wanted[0])
    evaluations = {measurement.evaluation.benchmark.name: measurement.evaluation for measurement in unit.measurements}
    step = min(1, unit.last_step)
    return Unit(unit.trial, tuple(Measurement(step, few_problems(evaluation)) for evaluation in evaluations.values()))


def few_problems(evaluation: Evaluation) -> Evaluation:
    benchmark = resolve_benchmark(replace(evaluation.benchmark, limit=PROBLEMS))
    return replace(evaluation, benchmark=benchmark, texts=Texts.all)


def fly(unit: Unit, gpus: float, models: str = "", trainer: str = TRAINER) -> Canary:
    model = unit.trial.model
    if model.digest and not Path(model.path).is_dir():
        return Canary(f"model.path={model.path}: this node does not see it")
    with tempfile.TemporaryDirectory(prefix="em-doctor-", ignore_cleanup_errors=True) as home:
        setup = Setup(
            store=f"{home}/store",
            lane="doctor",
            log=f"{home}/log",
            trainer=trainer,
            lease_seconds=60.0,
            outage_seconds=60.0,
            stall_seconds=SILENT_SECONDS,
            gpus=gpus,
            models=models,
        )
        process = Process.start(setup, unit.trial.base.id)
        try:
            return follow(process, unit, Store(setup.store))
        finally:
            process.close()


def follow(process: Process, unit: Unit, store: Store) -> Canary:
    doing = "starting"
    try:
        process.connection.send((unit, 1))
        while isinstance(outcome := process.connection.recv(), Doing):
            doing = outcome.doing
    except (EOFError, OSError):  # its end of the pipe is closed
        return Canary(f"{process.ending()} while {doing}", tail(process.setup.log))
    if outcome.status is not Status.done:
        tracebacks = [failure.error or "" for failure in store.failures()]
        return Canary(outcome.error or outcome.unwritable, "\n".join([tail(process.setup.log), *tracebacks]).strip())
    record = store.record(unit.id)
    answers = [[result.texts, result.lengths] for result in record.evaluations]
    return Canary(
        step=sum(step.sample + step.train + step.push for step in record.seconds),
        memory=own_memory(process.popen.pid),
        fingerprint=f"weights {record.digests[-1].sha256[:8]}, answers {content_id(answers)[:8]}",
    )


def own_memory(pid: int) -> int:
    """Bytes at a process's peak, without the pages of files (libraries, weights) that all workers of a node share."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines if words[0] in ("VmHWM:", "RssFile:")}
    return 1024 * (kib["VmHWM:"] - kib["RssFile:"])
