"""What a launch is: the config of its trials, the axes that are varied, the machines, the display."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import product
from typing import Any

from omegaconf import MISSING, DictConfig

from analysis.load import Headline
from em.cli import inputs
from em.cli.compose import Root
from em.cli.overrides import VALUES, VARIED, choices, parse
from em.errors import require, require_file_name, require_known, require_positive
from em.model.mirror import is_bucket
from em.paths import expanded
from em.trial.config import Config
from sweeps import axes


class Progress(Enum):
    auto = "auto"  # live on a terminal, else plain
    live = "live"  # a table that is redrawn
    plain = "plain"  # a line now and then
    none = "none"


class Upload(Enum):
    """Whether W&B runs are sent as they are written; they always lie on disk first."""

    auto = "auto"  # where there is an API key
    online = "online"
    offline = "offline"


class Grain(Enum):
    """What one W&B run shows."""

    cell = "cell"  # all seeds of a combination of the axes' values
    trial = "trial"


@dataclass(kw_only=True)
class Axis:
    """What is varied: a field of the config by its dotted path, or a group of conf/ (`objective`), and its values.

    The values of `seed` are the seeds of every cell; without such an axis `sweep.seeds` counts them from `seed` on.
    """

    field: str = MISSING
    values: list[Any] = MISSING

    def __post_init__(self) -> None:
        require(bool(self.values), f"sweep.axes[{self.field}].values", self.values, "give at least one value")
        varied = self.field.partition(".")[0] in VARIED
        values = ",".join(map(str, self.values))
        require(varied, self.field, values, "is no part of a trial; give it one value, not among sweep.axes")


@dataclass(kw_only=True)
class FigureConfig:
    """A figure of the sweep: its seeds' scores against axes."""

    kind: str = "axis"  # a module of analysis/figures
    axes: list[str] = field(default_factory=list)  # fields among those of sweep.axes; empty: all of them
    name: str = ""  # of its files; empty: the sweep's for the first figure, <sweep>-<kind> for others
    step: int | None = None  # of eval.steps, after which the score is measured; None: the last
    temperature: float | None = None  # of eval.temperatures; None: the first

    def __post_init__(self) -> None:
        if self.name:
            require_file_name("sweep.figures.name", self.name)


@dataclass(kw_only=True)
class Sweep:
    """Every combination of the axes' values, each with so many seeds: one trial each."""

    name: str = MISSING
    axes: list[Axis] = field(default_factory=list)
    figures: list[FigureConfig] | None = None  # None: the score against the axes, where these are one or two
    seeds: int = 16  # of every cell, from `seed` on
    max_attempts: int = 3  # after so many failed attempts a trial is given up

    def __post_init__(self) -> None:
        require_positive("sweep", seeds=self.seeds, max_attempts=self.max_attempts)
        require(self.seeds <= VALUES, "sweep.seeds", self.seeds, f"must be at most {VALUES:,}")
        require_file_name("sweep.name", self.name)
        fields = [axis.field for axis in self.axes]
        require(len(fields) == len(set(fields)), "sweep.axes", fields, "name each field once")
        for figure in self.figures or []:
            for axis in figure.axes:
                require_known("axis of sweep.figures", axis, fields)


@dataclass(kw_only=True)
class Cluster:
    """Where lanes run: long-lived actors that hold a model and an engine and take trial after trial."""

    address: str = ""  # of a running Ray cluster; empty: this machine
    lanes: int = 0  # 0: as many as there is room for; more than that: the rest join as machines do
    cpus_per_lane: float = 1
    gpus_per_lane: float | None = None  # None: 1 where there are GPUs, else 0
    lease_seconds: float = 60.0  # without a sign of life, after which a lane's work is given to another
    stall_seconds: float = 3600.0  # without progress, after which a trial counts as hung and is ended
    models: str = ""  # folder or bucket of checkpoints, OWNER/NAME or OWNER/NAME@REVISION, before the hub is asked
    max_lane_gib: float = 0.0  # memory above which a lane's engine is replaced after a trial; 0: never

    def __post_init__(self) -> None:
        require(self.lanes >= 0, "cluster.lanes", self.lanes, "must be 0 (as many as fit) or greater")
        require_positive(
            "cluster",
            cpus_per_lane=self.cpus_per_lane,
            lease_seconds=self.lease_seconds,
            stall_seconds=self.stall_seconds,
        )
        require(self.max_lane_gib >= 0, "cluster.max_lane_gib", self.max_lane_gib, "must be 0 (no limit) or greater")
        require((self.gpus_per_lane or 0) >= 0, "cluster.gpus_per_lane", self.gpus_per_lane, "must be 0 or greater")

    @property
    def models_place(self) -> str:
        """`models` as every process finds it, whatever folder it works in."""
        return self.models if is_bucket(self.models) or not self.models else str(expanded(self.models).resolve())

    def bundle(self, gpus: float) -> dict[str, float]:
        """What a lane takes, as Ray counts it, where there are so many GPUs in all."""
        wanted = self.gpus_per_lane if self.gpus_per_lane is not None else float(gpus > 0)
        return {"CPU": self.cpus_per_lane} | ({"GPU": wanted} if wanted else {})

    def lanes_in(self, room: Mapping[str, float], units: int) -> int:
        """How many lanes to ask Ray for, where it has such resources: `lanes`, or as many as fit and have work.

        Raises InputError where not one fits.
        """
        bundle = self.bundle(room.get("GPU", 0))
        fit = int(min(room.get(kind, 0) // amount for kind, amount in bundle.items()))
        require(
            fit > 0,
            "cluster",
            bundle,
            f"no room for a lane; Ray has {room.get('CPU', 0)} CPUs, {room.get('GPU', 0)} GPUs",
        )
        return self.lanes or min(fit, units)


@dataclass(kw_only=True)
class Tracking:
    progress: Progress = Progress.auto
    refresh_seconds: float = 0.5
    wandb: bool = False  # a W&B exporter, a process of its own, follows the sweep
    entity: str = ""  # W&B user or team; empty: the API key's own
    project: str = ""  # of W&B; empty: em-<name of the sweep>
    upload: Upload = Upload.auto
    runs: Grain = Grain.cell  # one W&B run for each
    runs_per_project: int = 10_000  # what W&B advises; more go on in <project>.2 and so on
    export_seconds: float = 15.0  # between two looks at the store
    upload_seconds: float = 60.0  # between two uploads

    def __post_init__(self) -> None:
        require_positive(
            "tracking",
            refresh_seconds=self.refresh_seconds,
            runs_per_project=self.runs_per_project,
            export_seconds=self.export_seconds,
            upload_seconds=self.upload_seconds,
        )
        named = re.fullmatch(r"[\w-]{0,100}", self.project, re.ASCII) is not None
        advice = "give letters, digits, '_' and '-'; what goes on in further projects is named with a dot"
        require(named, "tracking.project", repr(self.project), advice)

    @property
    def by_trial(self) -> bool:
        return self.runs is Grain.trial


@dataclass(frozen=True)
class Variant:
    """What the axes that are groups make of the config: the choices by group, and a config whose files are not read."""

    choices: dict[str, str]
    config: Config


@dataclass(kw_only=True)
class Launch(Config):
    """Everything that `python -m sweeps` takes."""

    sweep: Sweep = MISSING
    cluster: Cluster = MISSING
    tracking: Tracking = MISSING
    variants: tuple[Variant, ...] = field(default=(), metadata={"omegaconf_ignore": True})  # composed, not given

    @property
    def seeds(self) -> list[int]:
        """The seeds of every cell."""
        axis = next((axis for axis in self.sweep.axes if axis.field == "seed"), None)
        seeds = list(axis.values if axis else range(self.seed, self.seed + self.sweep.seeds))
        for seed in seeds:
            require(isinstance(seed, int) and seed >= 0, "seed", seed, "must be a whole number, 0 or greater")
        return list(dict.fromkeys(seeds))

    @property
    def axes(self) -> list[Axis]:
        """What makes cells: the axes beside the seeds."""
        return [axis for axis in self.sweep.axes if axis.field != "seed"]

    def headline(self, step: int | None = None, temperature: float | None = None) -> Headline:
        """What a trial is scored by: unless told otherwise after the last step, at the first evaluation temperature."""
        steps, temperatures = self.eval.steps, self.eval.temperatures
        step = max(steps) if step is None else step
        temperature = temperatures[0] if temperature is None else temperature
        require(step in steps, "sweep.figures.step", step, f"is not measured; choose one of eval.steps={steps}")
        remedy = f"is not measured; choose one of eval.temperatures={temperatures}"
        require(temperature in temperatures, "sweep.figures.temperature", temperature, remedy)
        return Headline(step, [item for item in self.evaluations if item.temperature == temperature])

    @property
    def project(self) -> str:
        """The W&B project, or the first of them."""
        return self.tracking.project or f"em-{re.sub(r'[^A-Za-z0-9_-]', '-', self.sweep.name)}"


def compose_launch(arguments: Sequence[str]) -> Launch:
    """The config of a launch: conf/launch.yaml with these words, of which several values of one name are an axis.

    Raises InputError, one line, for whatever is wrong with it.
    """
    words, composed = with_axes(arguments)
    launch = LAUNCH.config(composed, words)
    groups = {axis.field: axis.values for axis in launch.sweep.axes if axis.field in choices()}
    variants = []
    for names in product(*groups.values()):
        chosen = dict(zip(groups, map(str, names), strict=True))
        own = [*words, *map("=".join, chosen.items())]
        made = LAUNCH.config(LAUNCH.compose(own), own) if chosen else launch
        same = (made.eval, made.benchmarks) == (launch.eval, launch.benchmarks)
        said = "changes what is measured, which all trials of a sweep share; name that for all, eval.steps=[...]"
        require(same, ",".join(chosen), ",".join(chosen.values()), said)
        variants.append(Variant(chosen, made))
    return replace(inputs.resolve(launch), variants=tuple(variants))


def with_axes(arguments: Sequence[str]) -> tuple[list[str], DictConfig]:
    """These words as Hydra composes them, all axes in one `sweep.axes=[...]`, and what they compose to."""
    groups = choices()
    overrides = parse(arguments, groups)
    words, given = axes.split(overrides, groups, LAUNCH.is_text)
    composed = LAUNCH.compose(words)
    in_file = axes.plain(composed.sweep.axes)
    fixed = {item.key_or_group: [item.value()] for item in overrides if item.key_or_group in in_file.keys() - given}
    merged = in_file | fixed | given
    firsts = [f"{name}={values[0]}" for name, values in merged.items() if name in groups]
    more = [*firsts, *([axes.word(merged)] if merged != in_file else [])]
    return [*words, *more], LAUNCH.compose([*words, *more]) if more else composed


LAUNCH = Root("launch", Launch, lambda arguments: with_axes(arguments)[0])
