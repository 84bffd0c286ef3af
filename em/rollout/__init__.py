"""Sampling: one interface, two engines.  `vllm` wherever it installs; `transformers` where it does not."""

from pathlib import Path

import torch

from em.rollout.engine import FINGERPRINT_PROMPT, Completion, Engine, Request
from em.trial.model import Precision
from em.trial.rollout import EngineName, Rollout

__all__ = ["FINGERPRINT_PROMPT", "Completion", "Engine", "Request", "open_engine"]


def open_engine(folder: Path, rollout: Rollout, precision: Precision) -> Engine:
    """The engine that `rollout.engine` names, loaded with the checkpoint in `folder`."""
    dtype = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}[precision]
    if rollout.engine is EngineName.vllm:
        from em.rollout.vllm import VllmEngine

        return VllmEngine(folder, rollout, dtype)
    from em.rollout.transformers import TransformersEngine

    return TransformersEngine(folder, rollout, dtype)
