"""A model's weights as a whole: their digest, whether they are finite, copies to go back to."""

import hashlib

import torch
from torch import Tensor, nn


def digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters, tied ones once."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        data = tensor.detach().cpu().contiguous()
        sha.update(f"{name}\0{data.dtype}\0{tuple(data.shape)}\0".encode())
        sha.update(data.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


@torch.no_grad()
def restore(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, tensor in model.named_parameters():
        tensor.copy_(weights[name])


def are_finite(model: nn.Module) -> bool:
    """Whether the norm of all weights is finite; weights whose norm overflows make non-finite activations as well."""
    return bool(torch.nn.utils.get_total_norm(list(model.parameters())).isfinite())
