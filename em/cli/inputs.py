"""Reads the data files that a config names, at the boundary: past it, a config holds texts and digests, not paths."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from em.errors import InputError, require, require_file_name
from em.evaluation import graders
from em.evaluation.problems import problems
from em.evaluation.prompts import pairs
from em.model.checkpoint import cache_folder
from em.model.files import Checkpoint
from em.paths import expanded, one_line
from em.store.files import Files, PosixFiles
from em.tiny import tasks
from em.trial.config import Config
from em.trial.evaluation import Benchmark
from em.trial.identity import content_id
from em.trial.jsonl import require_question, rows
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.trial import Trial

ConfigT = TypeVar("ConfigT", bound=Config)


def resolve(config: ConfigT) -> ConfigT:
    """`config` with its prompts read and its local model and problem files digested.

    Raises InputError with file and line for a missing or malformed file.
    """
    if not config.benchmarks:
        raise InputError("benchmark=[]: name at least one benchmark")
    with one_line():
        return replace(
            resolve_trial(config),
            benchmarks={name: resolve_benchmark(item, config.eval.data) for name, item in config.benchmarks.items()},
        )


def resolve_trial(config: ConfigT) -> ConfigT:
    """`config` with what makes its trial read: prompts and model; the benchmarks stay as they are."""
    return replace(config, model=resolve_model(config.model), prompts=resolve_prompts(config.prompts))


def resolve_model(model: Model) -> Model:
    folder = expanded(model.path)
    if model.pretrain is not None or not (folder.is_dir() or looks_local(model.path)):
        return model
    Checkpoint(folder, f"model.path={model.path}").check()
    digest = folder_digest(folder, PosixFiles(cache_folder() / "digests"))
    return replace(model, path=str(folder.resolve()), digest=digest)


def with_weights(trial: Trial, folder: str = "") -> Trial:
    """A recorded trial, its local checkpoint taken from `folder`, or from where it lay.

    Raises InputError where other files lie there by now: they would be measured under the recorded id.
    """
    model = trial.model
    if not model.digest:
        require(not folder, "model.path", folder, f"trial {trial.id} is not of a local checkpoint; leave it out")
        return trial
    path = folder or model.path
    try:
        resolved = resolve_model(replace(model, path=path, digest=""))
    except InputError:
        resolved = None
    require(
        resolved is not None and resolved.digest == model.digest,
        "model.path",
        path,
        f"does not hold the weights of trial {trial.id}; put them back, or name where they are with model.path=...",
    )
    return replace(trial, model=resolved)


def folder_digest(folder: Path, cache: Files) -> str:
    """SHA-256 over the names and contents of a checkpoint folder's files (hidden files left out).

    Kept in `cache` for as long as paths, sizes and times of the files stay: reading 15 GB takes a while.
    """
    files = sorted(path for path in folder.resolve().iterdir() if path.is_file() and not path.name.startswith("."))
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    kept = content_id(states)
    if cache.exists(kept):
        return cache.read(kept).decode()
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    cache.replace(kept, digest.hexdigest().encode())
    return digest.hexdigest()


def looks_local(path: str) -> bool:
    """Whether a path cannot be a hub id, which is `name` or `owner/name`."""
    return path.startswith(("/", ".", "~")) or path.count("/") > 1


def resolve_prompts(prompts: Prompts, left_out: list[str] | None = None) -> Prompts:
    """`prompts` with their file read; where there is neither a file nor a text, a data set of the hub or a selection
    is left to who trains.

    Where `left_out` is given, rows that cannot be used are left out, and why is added to it.
    """
    if prompts.grader:
        graders.check(prompts.grader)
    given = bool(prompts.path or prompts.texts)
    if prompts.hub and not given:
        return prompts if prompts.is_selected else replace(prompts, rank=0)
    if prompts.suites and not given:
        drawn = [problem for suite in prompts.suites for problem in tasks.problems(suite, "train", prompts.limit)]
        return prompts.known(texts=[of.prompt for of in drawn], answers=[of.answer for of in drawn], grader="tiny")
    if not given:
        remedy = "give prompts, a file of them with prompts=jsonl prompts.path=..., or prompts.select=variance"
        require(prompts.is_selected, "prompts.texts", [], remedy)
        return prompts
    if not prompts.path:
        for text in prompts.texts:
            require_question(text, "prompts.texts")
        return prompts.known()
    read = list(pairs(prompts, rows(prompts.path, "prompts.path"), left_out))
    if left_out and not any(read):
        raise InputError(left_out[0])
    for row in prompts.rows:
        if not 0 <= row < len(read):
            raise InputError(f"prompts.rows={row}: {prompts.path} has rows 0 to {len(read) - 1}")
    chosen = [pair for pair in ([read[row] for row in prompts.rows] if prompts.rows else read) if pair]
    texts = [text for text, _ in chosen]
    answers = [answer for _, answer in chosen] if prompts.answer_field else []
    return prompts.known(texts=texts, answers=answers, path=str(expanded(prompts.path).resolve()), rows=[])


def resolve_benchmark(benchmark: Benchmark, data: str = "") -> Benchmark:
    """`data` is a folder whose <benchmark>.jsonl stands in for the hub."""
    require_file_name(f"benchmarks.{benchmark.name}.name", benchmark.name)
    graders.check(benchmark.grader)
    if data and not expanded(data).is_dir():
        raise InputError(f"eval.data={data}: no such folder")
    local = expanded(data) / f"{benchmark.name}.jsonl"
    if data and benchmark.hub and not benchmark.path and local.is_file():
        benchmark = replace(benchmark, path=str(local))
    try:
        digest = content_id(problems(benchmark))
    except InputError as error:
        from_hub = data and benchmark.hub and not benchmark.path
        raise InputError(f"eval.data={data}: has no {local.name}, and {error}") if from_hub else error from None
    path = str(expanded(benchmark.path).resolve()) if benchmark.path else ""
    return replace(benchmark, path=path, digest=digest)
