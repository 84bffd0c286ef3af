"""Reads the data files that a config names, at the boundary: past it, a config holds texts and digests, not paths."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from em.config import Benchmark, Config, Model, Prompts
from em.errors import InputError, unknown_name
from em.identity import content_id, folder_digest

ConfigT = TypeVar("ConfigT", bound=Config)


def resolve(config: ConfigT) -> ConfigT:
    """`config` with its prompts read and its local model and problem files digested.

    Raises InputError with file and line for a missing or malformed file.
    """
    if not config.benchmarks:
        raise InputError("benchmark=[]: name at least one benchmark")
    return replace(
        config,
        model=resolve_model(config.model),
        prompts=resolve_prompts(config.prompts),
        benchmarks={name: resolve_benchmark(benchmark) for name, benchmark in config.benchmarks.items()},
    )


def resolve_model(model: Model) -> Model:
    folder = Path(model.path).expanduser()
    if model.pretrain is not None or not (folder.is_dir() or looks_local(model.path)):
        return model
    if not (folder / "config.json").is_file():
        raise InputError(f"model.path={model.path}: not a Hugging Face checkpoint folder (it has no config.json)")
    return replace(model, path=str(folder.resolve()), digest=folder_digest(folder))


def looks_local(path: str) -> bool:
    """Whether a path cannot be a hub id, which is `name` or `owner/name`."""
    return path.startswith(("/", ".", "~")) or path.count("/") > 1


def resolve_prompts(prompts: Prompts) -> Prompts:
    if not prompts.path:
        if not prompts.texts:
            raise InputError("prompts.texts=[]: give prompts, or a file of them with prompts=jsonl prompts.path=...")
        return prompts
    texts = [text_of(row[prompts.text_field]) for row in rows(prompts.path, "prompts.path", (prompts.text_field,))]
    for row in prompts.rows:
        if not 0 <= row < len(texts):
            raise InputError(f"prompts.rows={row}: {prompts.path} has rows 0 to {len(texts) - 1}")
    chosen = [texts[row] for row in prompts.rows] if prompts.rows else texts
    return replace(prompts, texts=chosen, path=str(Path(prompts.path).expanduser().resolve()), rows=[])


def text_of(value: Any) -> str:
    """A prompt as text, also where the file holds it as a one-message chat."""
    return value[0]["content"] if isinstance(value, list) and value else str(value)


def resolve_benchmark(benchmark: Benchmark) -> Benchmark:
    if benchmark.suite:
        return benchmark
    problems = read_problems(benchmark)
    path = str(Path(benchmark.path).expanduser().resolve())
    return replace(benchmark, path=path, digest=content_id(problems))


def read_problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """The (problem, answer) pairs of a benchmark's JSONL file, at most `limit`."""
    fields = benchmark.problem_field, benchmark.answer_field
    where = f"benchmarks.{benchmark.name}.path"
    pairs = [(text_of(row[fields[0]]), str(row[fields[1]])) for row in rows(benchmark.path, where, fields)]
    return pairs[: benchmark.limit or None]


def rows(path: str, config_field: str, required: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, each checked to hold the required fields."""
    file = Path(path).expanduser()
    if not file.is_file():
        near = sorted(str(item.name) for item in file.parent.glob("*.jsonl")) if file.parent.is_dir() else []
        found = f"; {file.parent} holds {', '.join(near)}" if near else ""
        raise InputError(f"{config_field}={path}: no such file{found}")
    empty = True
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not a JSON object ({error.msg})") from None
            except UnicodeDecodeError:
                raise InputError(f"{path}:{number}: not UTF-8 text") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: not a JSON object ({line.decode().strip()[:30]})")
            for name in required:
                if name not in row:
                    raise InputError(f"{path}:{number}: {unknown_name('field', name, row)}")
            empty = False
            yield row
    if empty:
        raise InputError(f"{config_field}={path}: the file holds no rows")
