"""Activations that are computed again in the backward pass instead of being kept: gradient checkpointing by layer."""

from functools import partial

from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def layers_of(model: PreTrainedModel) -> list[GradientCheckpointingLayer]:
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def recompute(model: PreTrainedModel, layers: int) -> None:
    """Let the first so many layers keep their input alone.  Numbers stay the same, bit for bit on a CPU."""
    for layer in layers_of(model)[:layers]:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
