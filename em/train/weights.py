"""A model's weights as a whole: their digest, whether they are finite, copies to go back to, states in files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MOMENTS = "optimizer."  # with this begins the name of a group of what an optimiser remembers


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
def restore(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in model.named_parameters():
        tensor.copy_(weights[name])


def are_finite(model: nn.Module) -> bool:
    """Whether the norm of all weights is finite; weights whose norm overflows make non-finite activations as well."""
    return bool(torch.nn.utils.get_total_norm(list(model.parameters())).isfinite())


def optimizer_groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """What an optimiser remembers of the weights, by what it is and by their names."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in model.named_parameters():
        for key, value in optimizer.state.get(tensor, {}).items():
            groups.setdefault(f"{MOMENTS}{key}", {})[name] = value
    return groups


def set_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, groups: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Let an optimiser that has not begun remember those among these groups that `optimizer_groups` gave."""
    named = dict(model.named_parameters())
    for group, tensors in groups.items():
        for name, value in tensors.items() if group.startswith(MOMENTS) else ():
            optimizer.state[named[name]][group.removeprefix(MOMENTS)] = value.to(named[name].device)


class StateError(Exception):
    """A file that holds no state of this model, or not the whole of it."""


def save(path: Path, groups: Mapping[str, Mapping[str, Tensor]], digest: str) -> None:
    """Write groups of tensors, `weights` among them, and the digest that these have, as safetensors."""
    tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, {"digest": digest})
    except SafetensorError as error:  # a full disk, for one
        raise OSError(f"{path}: cannot be written ({error})") from None


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], str]:
    """What `save` wrote; raises StateError where that is not whole."""
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118, it is no dictionary
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(key)
            return groups, file.metadata()["digest"]
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise StateError(f"{path}: holds no state ({error})") from None
