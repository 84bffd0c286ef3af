"""From what a config calls the base model to a checkpoint folder.  Loads libraries only to pretrain or download."""

import os
from pathlib import Path

from em.errors import InputError
from em.model.files import Checkpoint
from em.tiny import recipe
from em.trial.model import Model

HUB_FILES = ["*.json", "*.txt", "*.jinja", "*.model"]


def cache_folder() -> Path:
    """Where pretrained tiny models are kept, below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "one-shot-em"


def checkpoint_folder(model: Model, show_progress: bool = False) -> Path:
    """The local folder of a model's checkpoint; pretrains or downloads it where it is not there yet."""
    if model.pretrain is not None:
        folder = recipe.path(model.pretrain, cache_folder())
        if folder.exists():
            return folder
        from em.tiny.pretrain import build

        return build(model.pretrain, cache_folder(), show_progress=show_progress)
    if model.digest:
        return Path(model.path)
    from huggingface_hub import snapshot_download

    def download(kind: str) -> Path:
        return Path(snapshot_download(model.path, revision=model.revision, allow_patterns=[*HUB_FILES, kind]))

    try:
        folder = download("model*.safetensors")  # not Mistral's own format beside it
        if not any(folder.glob("*.safetensors")):
            folder = download("pytorch_model*.bin")
    except (OSError, ValueError) as error:  # what the hub's own errors derive from
        reason = str(error).splitlines()[0]
        raise InputError(
            f"model.path={model.path}: no such folder, and not to be had from the hub ({reason})"
        ) from None
    Checkpoint(folder, f"model.path={model.path}").check()
    return folder
