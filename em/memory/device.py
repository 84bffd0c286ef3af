"""What memory there is: of the device that a lane has, or of one that is named."""

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from em.errors import require, require_known

GIB = 1 << 30
GPUS_OF_LANE = "EM_GPUS"  # environment variable: how many GPUs the lane has that this process works for, or which part
GPUS = {  # GiB that CUDA reports of them
    "rtx4090": 23.5,
    "l40s": 44.4,
    "a100": 79.2,
    "h100": 79.2,
    "h200": 139.8,
    "b200": 178.3,
}
CONTEXT = 1 << 30  # of a GPU that CUDA, its libraries and what else runs there take
SLACK = 0.03  # of a GPU, lost between blocks of torch's allocator


@dataclass(frozen=True)
class Device:
    name: str
    total: int  # bytes
    is_gpu: bool

    @property
    def usable(self) -> int:
        """Bytes that tensors may take."""
        return int(self.total * (1 - SLACK)) - CONTEXT if self.is_gpu else self.total


def named(name: str) -> Device:
    """The GPU of a name (`h100`), or one of so many GiB (`48`)."""
    try:
        size, of = float(name), ""
    except ValueError:
        require_known("gpu", name.lower(), GPUS)
        size, of = GPUS[name.lower()], f" ({name.lower()})"
    require(0 < size < math.inf, "gpu", name, f"must be a number of GiB, or one of {', '.join(GPUS)}")
    return Device(f"a GPU of {size:g} GiB{of}", int(size * GIB), is_gpu=True)


def here() -> Device:
    """The GPU that this process sees first, as much of it as its lane has; where there is none, this machine."""
    import torch

    if not torch.cuda.is_available():
        return Device(f"{memory_limit() / GIB:.1f} GiB of memory", memory_limit(), is_gpu=False)
    total, share = torch.cuda.get_device_properties(0).total_memory, gpus_of_lane()
    part = f"{share:g} of " if share < 1 else ""
    name = f"{part}{torch.cuda.get_device_name()}, {total / GIB:.1f} GiB"
    return Device(name, int(total * min(1, share)), is_gpu=True)


def gpus_of_lane() -> float:
    return float(os.environ.get(GPUS_OF_LANE, "1")) or 1.0


def memory_limit() -> int:
    """Bytes of this machine, or of the container."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such kind of container; "max"
            sizes.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(sizes)
