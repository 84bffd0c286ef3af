"""The checkpoints of a sweep's base models, before lanes ask for them: pretrained, several at once, or looked up."""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from rich.console import Console

from em.model.checkpoint import cache_folder, check_available, checkpoint_folder
from em.orphans import end_with
from em.quiet import quiet_libraries
from em.tiny import recipe
from em.trial.model import Model


def prepare(models: Iterable[Model], place: str, console: Console) -> None:
    """One that is to be pretrained alone shows a bar; of several each has a line when it is done.

    A model of the hub is looked up, at `place` (cluster.models) first: each node fetches its weights for itself.
    Raises InputError, one line, for one that is not to be had.
    """
    models = list(models)
    for model in models:
        if model.from_hub:
            check_available(model, place)
    missing = [model for model in models if model.pretrain and not recipe.path(model.pretrain, cache_folder()).exists()]
    if len(missing) > 1:
        processes = min(len(missing), os.cpu_count() or 1)
        console.print(f"pretraining {len(missing)} base models (once), {processes} at a time", style="dim")
        begin = partial(start, os.getpid())
        with ProcessPoolExecutor(processes, get_context("spawn"), initializer=begin) as pool:
            for model, _ in zip(missing, pool.map(checkpoint_folder, missing), strict=True):
                console.print(f"pretrained {model.label}", style="dim")
    for model in models:
        if not model.from_hub:
            checkpoint_folder(model, show_progress=True)


def start(parent: int) -> None:
    """Of a process that pretrains."""
    end_with(parent)
    quiet_libraries()
