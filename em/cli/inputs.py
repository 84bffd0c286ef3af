"""Reads the data files that a config names, at the boundary: past it, a config holds texts and digests, not paths."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from em.errors import InputError, require, require_file_name
from em.evaluation import graders
from em.evaluation.problems import problems, reference
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
from em.trial.prompts import Prompts, Select
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
    """`prompts` with their file read; only where there is neither a file nor a text are they left to a selection.

    Where `left_out` is given, rows whose reference cannot be used are left out, and why is added to it.
    """
    if prompts.suites and not prompts.path and not prompts.texts:
        drawn = [problem for suite in prompts.suites for problem in tasks.problems(suite, "train", prompts.limit)]
        texts, answers = [problem.prompt for problem in drawn], [problem.answer for problem in drawn]
        return replace(prompts, select=Select.none, texts=texts, answers=answers, grader="tiny")
    if not prompts.path and not prompts.texts:
        remedy = "give prompts, a file of them with prompts=jsonl prompts.path=..., or prompts.select=variance"
        require(prompts.select is not Select.none, "prompts.texts", [], remedy)
        return prompts
    prompts = replace(prompts, select=Select.none)
    if prompts.grader:
        graders.check(prompts.grader)
    if not prompts.path:
        for text in prompts.texts:
            require_question(text, "prompts.texts")
        return prompts
    asked = [prompts.answer_field] if prompts.answer_field else []
    of = Benchmark(name="prompts", path=prompts.path, answer_fields=asked or ["none"], grader=prompts.grader)
    read = list[tuple[str, str] | None]()  # None: left out
    for row in rows(prompts.path, "prompts.path"):
        text = row.question([prompts.text_field])
        try:
            read.append((text, reference(row, of) if asked else ""))
        except InputError as error:
            if left_out is None:
                raise
            left_out.append(str(error))
            read.append(None)
    if left_out and not any(read):
        raise InputError(left_out[0])
    for row in prompts.rows:
        if not 0 <= row < len(read):
            raise InputError(f"prompts.rows={row}: {prompts.path} has rows 0 to {len(read) - 1}")
    chosen = [pair for pair in ([read[row] for row in prompts.rows] if prompts.rows else read) if pair]
    texts, answers = [text for text, _ in chosen], [answer for _, answer in chosen] if asked else []
    return replace(prompts, texts=texts, answers=answers, path=str(expanded(prompts.path).resolve()), rows=[])


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
