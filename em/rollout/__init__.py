"""Sampling: one interface, two engines.  `vllm` wherever it installs; `transformers` where it does not."""

from pathlib import Path

from em.model.loading import DTYPES, refused
from em.rollout.engine import FINGERPRINT_PROMPT, Completion, Engine, Request, Sampler
from em.trial.model import Model
from em.trial.rollout import EngineConfig, EngineName

__all__ = ["FINGERPRINT_PROMPT", "Completion", "Engine", "Request", "Sampler", "open_engine", "prepare"]


def open_engine(folder: Path, engine: EngineConfig, model: Model, sleeps: bool = False) -> Engine:
    """The engine that `rollout.engine` names, for the checkpoint in `folder`; its weights have to be pushed.

    `sleeps`: whether `sleep` frees its memory.

    Raises InputError where the engine has no use for such a model.
    """
    if engine.engine is EngineName.transformers:
        from em.rollout.transformers import TransformersEngine

        return TransformersEngine(folder, engine, DTYPES[model.precision])
    from em.rollout.vllm import VllmEngine

    with refused(f"rollout.engine=vllm: cannot run {folder.name} here; take rollout=transformers"):
        return VllmEngine(folder, engine, model, sleeps)


def prepare(model: Model, engine: EngineConfig) -> None:
    """Import what the engine runs on, which takes seconds and touches no device."""
    if engine.engine is EngineName.vllm:
        from em.rollout.vllm import vllm_class

        vllm_class(model.deterministic)
