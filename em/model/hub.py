"""Models of the Hugging Face hub: what this node has of one, why it is not to be had, its download.

Loads huggingface_hub, and no other library, where it is asked.
"""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from em.errors import UnavailableError, first_line
from em.model.cache import Tell, one_at_a_time, watched
from em.model.files import Checkpoint
from em.trial.model import Model

SMALL = ["*.json", "*.txt", "*.jinja", "*.model"]  # configs, tokenizer, index of the weights
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first kind there is; not Mistral's own format beside it
ANSWER_SECONDS = 10.0  # in which the hub has to say whether it has a model
ELSEWHERE = "or name a checkpoint folder with model.path=FOLDER or, for a sweep, one of many with cluster.models=FOLDER"


def whole(model: Model) -> Path | None:
    """The folder of a model that this node has whole; uses no network."""
    for kind in WEIGHTS:
        folder = cached(model, [*SMALL, kind])
        if folder and Checkpoint(folder, "").has_weights():
            return folder
    return None


def cached(model: Model, patterns: Sequence[str]) -> Path | None:
    """The folder of the files that match, where this node has them all; uses no network."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            model.path, revision=model.revision, allow_patterns=list(patterns), local_files_only=True
        )
    except (OSError, ValueError):
        return None
    return Path(found) if Path(found, "config.json").is_file() else None


def small(model: Model) -> Path:
    """The folder of a model's small files, downloaded unless this node has them."""
    return cached(model, SMALL) or download(model, weights=False)


def folder(model: Model, tell: Tell | None = None) -> Path:
    """The folder of a model, downloaded by one process of this node, for which the others wait."""
    from huggingface_hub.constants import HF_HUB_CACHE

    if found := whole(model):
        return found
    doing = f"downloading {model.label}"
    growing = Path(HF_HUB_CACHE, f"models--{model.path.replace('/', '--')}")
    with one_at_a_time(f"{os.uname().nodename}-hub-{model.path}@{model.revision}", doing, tell):
        return whole(model) or watched(lambda: download(model, weights=True), growing, doing, tell)


def download(model: Model, weights: bool) -> Path:
    """The folder of a model's small files, or of all of it; raises UnavailableError, one line, where it gives nothing.

    The first question is asked once and for a bounded time: without a network huggingface_hub would try for long.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        about = HfApi().model_info(model.path, revision=model.revision, timeout=ANSWER_SECONDS)
        kinds = kind_of(item.rfilename for item in about.siblings or []) if weights else []
        return Path(snapshot_download(model.path, revision=model.revision, allow_patterns=[*SMALL, *kinds]))
    except Exception as error:  # also of its HTTP library, which is not the same in all its versions
        raise UnavailableError(reason(model, error)) from None


def kind_of(names: Iterable[str]) -> list[str]:
    """The pattern of the weights that are taken among such files; none where there are none."""
    listed = list(names)
    return [kind for kind in WEIGHTS if any(fnmatch(name, kind) for name in listed)][:1]


def reason(model: Model, error: Exception) -> str:
    """Why a model is not to be had, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    given = f"model.path={model.path}"
    if isinstance(error, RevisionNotFoundError):
        remedy = "name a branch, tag or commit that there is"
        return f"{given}: the hub has no model.revision={model.revision} of it; {remedy}, {ELSEWHERE}"
    if isinstance(error, GatedRepoError):
        page = f"{constants.ENDPOINT}/{model.path}"
        return f"{given}: is gated; accept its licence at {page} and set HF_TOKEN, on every node, {ELSEWHERE}"
    if isinstance(error, RepositoryNotFoundError):
        unknown = "no such folder, and the hub has no such model, or a private one"
        return f"{given}: {unknown}; check the spelling, set HF_TOKEN, {ELSEWHERE}"
    said = first_line(error)
    if isinstance(error, ConnectionError | LocalEntryNotFoundError) or not isinstance(error, OSError | ValueError):
        return f"{given}: not on this node, and the hub is out of reach ({said}); go online, {ELSEWHERE}"
    if isinstance(error, HFValidationError):
        return f"{given}: no such folder, and no name that a model of the hub can have; check the spelling, {ELSEWHERE}"
    return f"{given}: cannot be downloaded ({said}); try again, {ELSEWHERE}"


def commit_of(folder: Path) -> str | None:
    """The commit that a folder of the hub's cache holds."""
    return folder.name if folder.parent.name == "snapshots" else None
