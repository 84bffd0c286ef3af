"""Sampling: one interface, two engines.  `vllm` wherever it installs; `transformers` where it does not."""

from pathlib import Path

import torch

from em.rollout.engine import FINGERPRINT_PROMPT, Completion, Engine, Request, Sampler
from em.trial.model import Precision
from em.trial.rollout import EngineConfig, EngineName

__all__ = ["FINGERPRINT_PROMPT", "Completion", "Engine", "Request", "Sampler", "open_engine"]


def open_engine(folder: Path, engine: EngineConfig, precision: Precision) -> Engine:
    """The engine that `rollout.engine` names, loaded with the checkpoint in `folder`."""
    dtype = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}[precision]
    if engine.engine is EngineName.vllm:
        from em.rollout.vllm import VllmEngine

        return VllmEngine(folder, engine, dtype)
    from em.rollout.transformers import TransformersEngine

    return TransformersEngine(folder, engine, dtype)
