"""Sampling: one interface, two engines.  `vllm` wherever it installs; `transformers` where it does not."""

from em.rollout.engine import Completion, Engine, Request, open_engine

__all__ = ["Completion", "Engine", "Request", "open_engine"]
