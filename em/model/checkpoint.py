"""From what a config calls the base model to a checkpoint folder.  Loads libraries only to pretrain or download."""

import os
from pathlib import Path

from em.model import hub, mirror
from em.model.cache import Tell, cache_folder
from em.model.files import Checkpoint
from em.tiny import recipe
from em.trial.model import Model

MODELS = "EM_MODELS"  # environment variable: the cluster.models of the launch that this process works for


def checkpoint_folder(model: Model, show_progress: bool = False, tell: Tell | None = None) -> Path:
    """The local folder of a model's checkpoint; pretrains, copies or downloads it where it is not there yet."""
    if model.pretrain is not None:
        folder = recipe.path(model.pretrain, cache_folder())
        if folder.exists():
            return folder
        from em.tiny.pretrain import build

        return build(model.pretrain, cache_folder(), show_progress=show_progress)
    if model.digest:
        return Path(model.path)
    folder = mirror.folder(model, os.environ.get(MODELS, ""), tell) or hub.folder(model, tell)
    Checkpoint(folder, f"model.path={model.path}").check()
    return folder


def check_available(model: Model, models: str) -> None:
    """Raise InputError, one line, where a model of the hub cannot be had or trained; none of its weights is fetched.

    `models`: cluster.models, where it is looked for first.
    """
    if not mirror.check(model, models) and not hub.whole(model):
        Checkpoint(hub.small(model), f"model.path={model.path}").check_small()
