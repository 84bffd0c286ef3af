"""The same bits from the same work on a GPU (model.deterministic); a CPU gives them anyway."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

WORKSPACES = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # environment, read when cuBLAS starts: one for each stream


@contextmanager
def same_bits() -> Iterator[None]:
    """Inside, torch takes deterministic algorithms alone; RuntimeError names an operation that has none."""
    options: Any = deterministic
    filled = options.fill_uninitialized_memory
    options.fill_uninitialized_memory = False  # each new tensor would be written once more
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        options.fill_uninitialized_memory = filled
