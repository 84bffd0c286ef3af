"""What a launch is: the config of its trials, the axes that are varied, the machines, the display."""

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from em.compose import compose
from em.config import Config, require_positive
from em.errors import require, require_known


class Progress(Enum):
    auto = "auto"  # live on a terminal, else plain
    live = "live"  # a table that is redrawn
    plain = "plain"  # a line now and then
    none = "none"


@dataclass(kw_only=True)
class Axis:
    """A field of the trial that is varied, by its dotted path, and its values."""

    field: str = MISSING
    values: list[Any] = MISSING

    def __post_init__(self) -> None:
        require(bool(self.values), f"sweep.axes[{self.field}].values", self.values, "give at least one value")
        require(self.field != "seed", "sweep.axes[seed].values", self.values, "seeds are counted by sweep.seeds")


@dataclass(kw_only=True)
class Sweep:
    """Every combination of the axes' values, each with so many seeds: one trial each."""

    name: str = MISSING
    axes: list[Axis] = field(default_factory=list)
    seeds: int = 16  # from `seed` on
    figure_axis: str = ""  # the axis that the sweep's figure shows the score against; empty: no figure
    max_attempts: int = 3  # after so many failed attempts a trial is given up

    def __post_init__(self) -> None:
        require_positive("sweep", seeds=self.seeds, max_attempts=self.max_attempts)
        fields = [axis.field for axis in self.axes]
        require(len(fields) == len(set(fields)), "sweep.axes", fields, "name each field once")
        if self.figure_axis:
            require_known("sweep.figure_axis", self.figure_axis, fields)


@dataclass(kw_only=True)
class Cluster:
    """Where lanes run: long-lived actors that hold a model and an engine and take trial after trial."""

    lanes: int = 0  # 0: as many as the machines have room for
    cpus_per_lane: float = 1
    gpus_per_lane: float = 0
    address: str = ""  # of a running Ray cluster; empty: this machine

    def __post_init__(self) -> None:
        require(self.lanes >= 0, "cluster.lanes", self.lanes, "must be 0 (as many as fit) or greater")
        require_positive("cluster", cpus_per_lane=self.cpus_per_lane)
        require(self.gpus_per_lane >= 0, "cluster.gpus_per_lane", self.gpus_per_lane, "must be 0 or greater")

    def lanes_that_fit(self, cpus: float, gpus: float) -> int:
        """How many lanes the given resources hold, at most `lanes` where that is set.

        Raises InputError where not one fits.
        """
        fit = int(cpus // self.cpus_per_lane)
        if self.gpus_per_lane:
            fit = min(fit, int(gpus // self.gpus_per_lane))
        needs = f"a lane needs {self.cpus_per_lane:g} CPUs and {self.gpus_per_lane:g} GPUs"
        require(fit > 0, "cluster.cpus_per_lane", self.cpus_per_lane, f"{needs}; found {cpus:g} and {gpus:g}")
        return min(fit, self.lanes) if self.lanes else fit


@dataclass(kw_only=True)
class Tracking:
    progress: Progress = Progress.auto
    refresh_seconds: float = 0.5

    def __post_init__(self) -> None:
        require_positive("tracking", refresh_seconds=self.refresh_seconds)


@dataclass(kw_only=True)
class Launch(Config):
    """Everything that `python -m sweeps` takes."""

    sweep: Sweep = MISSING
    cluster: Cluster = MISSING
    tracking: Tracking = MISSING


def compose_launch(arguments: list[str]) -> Launch:
    return compose("launch", arguments, Launch)


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def available_gpus() -> int:
    """The CUDA devices that this process may use; counted without starting CUDA, so that lanes may."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
