"""A model's weights as a whole: their digest, whether they are finite, copies to go back to, states in files."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from em.errors import InputError

THREADS = min(16, len(os.sched_getaffinity(0)))  # that hash; 16 are as fast as the copies from a GPU
MOMENTS = "optimizer."  # with this begins the name of a group of what an optimiser remembers


def digest_of_all(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters, tied ones once: what records held at first."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        data = on_cpu(tensor)
        sha.update(heading(name, data))
        sha.update(data.view(torch.uint8).numpy().data)
    return sha.hexdigest()


def digest_of_tensors(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and SHA-256 digests of all parameters, tied ones once: several at a time."""

    def one(named: tuple[str, Tensor]) -> bytes:
        name, tensor = named[0], on_cpu(named[1])
        return heading(name, tensor) + hashlib.sha256(tensor.view(torch.uint8).numpy().data).digest()

    with ThreadPoolExecutor(THREADS) as pool:  # hashing and copying hold no lock of the interpreter
        return hashlib.sha256(b"".join(pool.map(one, sorted(model.named_parameters())))).hexdigest()


def heading(name: str, tensor: Tensor) -> bytes:
    return f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode()


def on_cpu(tensor: Tensor) -> Tensor:
    """Its data in memory that is read in place; from a GPU by way of pinned memory, which is faster."""
    data = tensor.detach().contiguous()
    if data.is_cuda:
        return torch.empty(data.shape, dtype=data.dtype, pin_memory=True).copy_(data)
    return data


DIGESTS = {None: digest_of_all, "tensors": digest_of_tensors}  # by kind, as records name it
LATEST = "tensors"


def digest(model: nn.Module, kind: str | None = LATEST) -> str:
    """What equals that of other weights exactly where all bits do; InputError where this version knows no such kind."""
    if kind not in DIGESTS:
        raise InputError(f"digests of kind {kind!r}: made by a newer version; check it out")
    return DIGESTS[kind](model)


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
