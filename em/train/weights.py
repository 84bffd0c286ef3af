"""A model's weights as a whole: their digest, whether they are finite, copies to go back to, states in files."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from em.errors import InputError
from em.train.shards import as_sharded, gathered, own, rank, ranks, whole
from em.train.states import remembered, remind

THREADS = min(16, len(os.sched_getaffinity(0)))  # that hash or copy; 16 are as fast as the copies from a GPU
PIECE = 64 << 20  # bytes that one of them has in pinned memory
MOMENTS = "optimizer."  # with this begins the name of a group of what an optimiser remembers


def digest_of_all(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters, tied ones once: what records held at first."""
    sha = hashlib.sha256()
    for name, tensor in gathered(sorted(model.named_parameters())):
        sha.update(heading(name, tensor))
        for piece in pieces(tensor):
            sha.update(piece)
    return sha.hexdigest()


def digest_of_tensors(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and SHA-256 digests of all parameters, tied ones once: several at a time."""

    def one(named: tuple[str, Tensor]) -> bytes:
        sha = hashlib.sha256()
        for piece in pieces(named[1]):
            sha.update(piece)
        return heading(*named) + sha.digest()

    sha, named = hashlib.sha256(), sorted(model.named_parameters())
    together = THREADS if ranks() > 1 else len(named)  # of gathered ones few are held at a time
    with ThreadPoolExecutor(THREADS) as pool:  # hashing and copying hold no lock of the interpreter
        for start in range(0, len(named), together):
            sha.update(b"".join(pool.map(one, gathered(named[start : start + together], offload=True))))
    return sha.hexdigest()


def heading(name: str, tensor: Tensor) -> bytes:
    return f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode()


def pieces(tensor: Tensor) -> Iterator[memoryview]:
    """Its bytes; in place, or from a GPU by way of a piece of pinned memory, which is faster than any other."""
    data = tensor.detach().contiguous().view(-1).view(torch.uint8)
    if not data.is_cuda:
        yield data.numpy().data
        return
    pinned = torch.empty(min(PIECE, len(data)), dtype=torch.uint8, pin_memory=True)
    for part in data.split(PIECE):
        yield pinned[: len(part)].copy_(part).numpy().data


DIGESTS = {None: digest_of_all, "tensors": digest_of_tensors}  # by kind, as records name it
LATEST = "tensors"


def digest(model: nn.Module, kind: str | None = LATEST) -> str:
    """What equals that of other weights exactly where all bits do; InputError where this version knows no such kind."""
    if kind not in DIGESTS:
        raise InputError(f"digests of kind {kind!r}: made by a newer version; check it out")
    return DIGESTS[kind](model)


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def mapped(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's safetensors files, by their names there, in memory that the node's processes share:
    the kernel's own copy of the files."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    return tensors


def base_of(model: nn.Module, folder: Path) -> dict[str, Tensor]:
    """The weights that a model has, in the memory of the host: where its files hold them so, those of the files."""
    files, base = mapped(folder), dict[str, Tensor]()
    for name, weight in model.named_parameters():
        same = name in files and files[name].shape == weight.shape
        if same and torch.equal(files[name].to(weight.device).to(weight.dtype), weight):
            base[name] = files[name]
        else:  # named or laid out otherwise
            base[name] = weight.detach().to("cpu", copy=True)
    return base


@torch.no_grad()
def restore(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    named = list(model.named_parameters())
    if ranks() > 1 or not any(tensor.is_cuda for _, tensor in named):
        for name, tensor in named:
            own(tensor).copy_(own(as_sharded(weights[name], tensor)))
        return
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda of: put(of[1], weights[of[0]]), named))


@torch.no_grad()
def put(tensor: Tensor, source: Tensor) -> None:
    """Copy to a GPU; from the memory of the host by way of a piece that is pinned."""
    if source.is_cuda:
        tensor.copy_(source)
        return
    size = PIECE // source.element_size()
    pinned = torch.empty(min(size, source.numel()), dtype=source.dtype, pin_memory=True)
    for to, part in zip(tensor.view(-1).split(size), source.reshape(-1).split(size), strict=True):
        to.copy_(pinned[: len(part)].copy_(part))


def are_finite(model: nn.Module) -> bool:
    """Whether the norm of all weights is finite; weights whose norm overflows make non-finite activations as well."""
    return bool(whole(torch.nn.utils.get_total_norm(list(model.parameters()))).isfinite())


def optimizer_groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """What an optimiser remembers of the weights, by what it is and by their names."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in model.named_parameters():
        for key, value in remembered(optimizer, tensor).items():
            groups.setdefault(f"{MOMENTS}{key}", {})[name] = value
    return groups


def set_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, groups: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Let an optimiser that has not begun remember those among these groups that `optimizer_groups` gave."""
    moments = {group.removeprefix(MOMENTS): named for group, named in groups.items() if group.startswith(MOMENTS)}
    for name, tensor in model.named_parameters():
        if plain := {key: named[name] for key, named in moments.items() if name in named}:
            remind(optimizer, tensor, plain)


class StateError(Exception):
    """A file that holds no state of this model, or not the whole of it."""


def save(path: Path, groups: Mapping[str, Mapping[str, Tensor]], digest: str) -> None:
    """Write groups of tensors, `weights` among them, and the digest that these have, as safetensors."""
    tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    held = {name: tensor.detach().contiguous() for name, tensor in gathered(tensors.items(), offload=True)}
    if rank():
        return
    try:
        save_file(held, path, {"digest": digest})
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
