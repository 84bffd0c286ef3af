"""What a launch is: the config of its trials, the axes that are varied, the machines, the display."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from omegaconf import MISSING, DictConfig

from analysis.gain import validated
from analysis.seeds import Headline, tested
from em.cli import inputs
from em.cli.compose import Root
from em.cli.overrides import choices, parse
from em.cli.words import read
from em.errors import require, require_known, require_positive
from em.model.mirror import is_bucket
from em.paths import expanded
from em.trial.config import Config
from em.trial.evaluation import Benchmark, Eval
from sweeps import axes
from sweeps.grids import Cell, Sweep
from sweeps.search.config import SearchConfig
from sweeps.seeding import Compare, Stopping
from sweeps.slurm import Job, Scheduler
from sweeps.stated import GPUS
from sweeps.tracking import Tracking


@dataclass(kw_only=True)
class Cluster(Job):
    """Where lanes run: long-lived actors that hold a model and an engine and take trial after trial."""

    address: str = ""  # of a running Ray cluster; empty: this machine
    lanes: int = 0  # 0: as many as there is room for; more than that: the rest join as machines do
    cpus_per_lane: float = 1
    gpus_per_lane: float | None = None  # None: 1 where there are GPUs, else 0
    lease_seconds: float = 60.0  # without a sign of life, after which a lane's work is given to another
    outage_seconds: float = 600.0  # for which lanes and launch wait for a store that cannot be reached or written
    stall_seconds: float = 3600.0  # without progress, after which a trial counts as hung and is ended
    models: str = ""  # folder or bucket of checkpoints, OWNER/NAME or OWNER/NAME@REVISION, before the hub is asked
    max_lane_gib: float = 0.0  # memory above which a lane's engine is replaced after a trial; 0: never

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.lanes >= 0, "cluster.lanes", self.lanes, "must be 0 (as many as fit) or greater")
        require_positive(
            "cluster",
            cpus_per_lane=self.cpus_per_lane,
            lease_seconds=self.lease_seconds,
            outage_seconds=self.outage_seconds,
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

    @property
    def is_submitted(self) -> bool:
        """Whether this launch asks a scheduler for nodes, instead of working."""
        return self.scheduler is not Scheduler.none and not self.address

    @property
    def asked(self) -> dict[str, float]:
        """What a job has in all, as Ray counts it, also before all its nodes have joined; empty where there is none."""
        if self.scheduler is Scheduler.none:
            return {}
        cpus = self.cpus_of_node(self.bundle(self.gpus_per_node))
        return {"CPU": float(self.nodes * cpus), "GPU": float(self.nodes * self.gpus_per_node)}

    def lanes_in(self, room: Mapping[str, float], units: int) -> int:
        """How many lanes to ask Ray for, where it has such resources: `lanes`, or as many as fit and have work.

        Raises InputError where not one fits.
        """
        bundle = self.bundle(room.get("GPU", 0))
        fit = fitting(bundle, room)
        asked, there = (f"{of.get('CPU', 0):g} and {of.get('GPU', 0):g}" for of in (bundle, room))
        remedy = f"no room for a lane: Ray has {there}; ask for less, or wait until nodes have joined"
        require(fit > 0, "cluster.cpus_per_lane and gpus_per_lane", asked, remedy)
        return self.lanes or min(max(fit, fitting(bundle, self.asked)), units)


def fitting(bundle: Mapping[str, float], room: Mapping[str, float]) -> int:
    """How many lanes fit, of which each takes such a bundle."""
    return int(min(room.get(kind, 0) // amount for kind, amount in bundle.items()))


@dataclass(kw_only=True)
class Budget:
    """Limits of a launch, and what its quote is reckoned with.  Where a limit is met, no more units are begun."""

    gpu_hours: float = 0.0  # of all lanes together; 0: no limit
    wall_hours: float = 0.0  # from the start of the launch; 0: no limit
    price: float = 0.0  # of a GPU-hour
    put_price: float = 0.005  # of 1,000 PUT, COPY, POST and LIST requests to a store in a bucket
    get_price: float = 0.0004  # of 1,000 GET and HEAD requests
    gpu: str = "H100"  # that is reckoned with where nothing alike is recorded

    def __post_init__(self) -> None:
        for name in ("gpu_hours", "wall_hours", "price", "put_price", "get_price"):
            value = getattr(self, name)
            require(value >= 0, f"budget.{name}", value, "must be 0 (none) or greater")
        require_known("budget.gpu", self.gpu, GPUS)


@dataclass(frozen=True)
class Variant:
    """What the groups that are varied make of the config: the choices by group, and a config whose files are not
    read."""

    choices: dict[str, str]
    config: Config


@dataclass(kw_only=True)
class Launch(Config):
    """Everything that `python -m sweeps` takes."""

    sweep: Sweep = MISSING
    cluster: Cluster = MISSING
    tracking: Tracking = MISSING
    budget: Budget = field(default_factory=Budget)
    search: SearchConfig = field(default_factory=SearchConfig)
    stopping: Stopping = field(default_factory=Stopping)
    compare: Compare = field(default_factory=Compare)  # what `sweeps.power` plans for
    pilot: int = 0  # trials that `sweeps.plan` runs before it quotes
    # What follows is composed, not given.
    variants: tuple[Variant, ...] = field(default=(), metadata={"omegaconf_ignore": True})
    parts: tuple["Launch", ...] = field(default=(), metadata={"omegaconf_ignore": True})  # of a union of sweeps
    words: tuple[str, ...] = field(default=(), metadata={"omegaconf_ignore": True})  # that it was composed from
    chosen: dict[str, str] = field(default_factory=dict, metadata={"omegaconf_ignore": True})  # by partly varied group
    settled: tuple[Cell, ...] | None = field(default=None, metadata={"omegaconf_ignore": True})  # None: the axes say

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.pilot >= 0, "pilot", self.pilot, "must be 0 (none) or a number of trials")

    @property
    def sweeps(self) -> tuple["Launch", ...]:
        """The sweeps that it is a union of, or itself."""
        return self.parts or (self,)

    @property
    def seeds(self) -> list[int]:
        """The seeds of every cell."""
        axis = next((axis for axis in self.sweep.axes if axis.field == "seed"), None)
        seeds = list(axis.values if axis else range(self.seed, self.seed + self.sweep.seeds))
        for seed in seeds:
            require(isinstance(seed, int) and seed >= 0, "seed", seed, "must be a whole number, 0 or greater")
        return list(dict.fromkeys(seeds))

    def headline(self, step: int | None = None, temperature: float | None = None) -> Headline:
        """What a trial is scored by: unless told otherwise after its last step, at the first evaluation temperature."""
        steps, temperatures = self.eval.steps, self.eval.temperatures
        temperature = temperatures[0] if temperature is None else temperature
        said = f"is not measured; choose one of eval.steps={steps}"
        require(step is None or step in steps, "sweep.figures.step", step, said)
        remedy = f"is not measured; choose one of eval.temperatures={temperatures}"
        require(temperature in temperatures, "sweep.figures.temperature", temperature, remedy)
        last = {max(variant.config.eval.steps) for variant in self.variants}
        step = last.pop() if step is None and len(last) == 1 else step
        return Headline(step, tested([item for item in self.evaluations if item.temperature == temperature]))

    @property
    def sought(self) -> Headline:
        """What a choice goes by: the scores on validation problems where the sweep measures some, else the headline."""
        headline = self.headline()
        own = [item for item in validated(self.evaluations) if item.temperature == headline.temperature]
        return replace(headline, evaluations=own) if own else headline

    @property
    def project(self) -> str:
        """The W&B project, or the first of them."""
        return self.tracking.project or f"em-{re.sub(r'[^A-Za-z0-9_-]', '-', self.sweep.name)}"


def compose_launch(arguments: Sequence[str], within: Sequence[str] = ()) -> Launch:
    """The config of a launch: conf/launch.yaml with these words, of which several values of one name are an axis.

    `within` are the unions that it is part of.  Raises InputError, one line, for whatever is wrong with it.
    """
    words, composed, made = with_axes(arguments)
    launch = LAUNCH.config(composed, words)
    if launch.sweep.union:
        own = [word for word in arguments if read(word).key_or_group not in ("sweep", "sweep.name", "sweep.union")]
        require(launch.sweep.name not in within, "sweep.union", launch.sweep.name, "is part of itself; leave it out")
        chain = [*within, launch.sweep.name]
        wholes = [compose_launch([*own, *f"sweep={entry}".split()], chain) for entry in launch.sweep.union]
        parts = tuple(part for whole in wholes for part in whole.sweeps)
        names = [part.sweep.name for part in parts]
        for entry, name in zip(launch.sweep.union, names, strict=False):
            remedy = f"two of its sweeps are called {name}; give one another name, ['{entry} sweep.name=...']"
            require(names.count(name) == 1, "sweep.union", launch.sweep.union, remedy)
        return replace(launch, parts=parts, words=tuple(arguments))
    groups, variants = choices(), list[Variant]()
    for point in launch.sweep.only(groups) if launch.search.is_on else launch.sweep.points(len(launch.seeds)):
        chosen = {name: str(value) for name, value in point.settings.items() if name in groups}
        if not any(variant.choices == chosen for variant in variants):
            own = [word for word in words if read(word).key_or_group not in chosen]
            own += map("=".join, chosen.items())
            same = all(made[name] == value for name, value in chosen.items())
            config = launch if same else LAUNCH.config(LAUNCH.compose(own), own)
            said = "changes what is measured, which all trials of a sweep share; name that for all, eval.samples=..."
            require(measured(config) == measured(launch), ",".join(chosen), ",".join(chosen.values()), said)
            variants.append(Variant(chosen, config))
    require(bool(variants), "sweep.exclude", launch.sweep.exclude, "leaves no cell of the sweep")
    steps = sorted({step for variant in variants for step in variant.config.eval.steps})
    return replace(
        inputs.resolve(launch),
        eval=replace(launch.eval, steps=steps) if len(variants) > 1 else launch.eval,
        variants=tuple(variants),
        words=tuple(arguments),
        chosen={name: made[name] for name in launch.sweep.partly_varied if name in groups},
    )


def measured(config: Config) -> tuple[Eval, dict[str, Benchmark]]:
    """What all trials of a sweep share: they may be measured after different steps."""
    return replace(config.eval, steps=[0]), config.benchmarks


def with_axes(arguments: Sequence[str]) -> tuple[list[str], DictConfig, dict[str, str]]:
    """These words as Hydra composes them, all axes in one `sweep.axes=[...]`; what they compose to, and the choices of
    the groups."""
    groups = choices()
    overrides = parse(arguments, groups)
    words, given = axes.split(overrides, groups, LAUNCH.is_text)
    composed, made = LAUNCH.compose_chosen(words)
    in_file, grids = axes.plain(composed.sweep.axes), axes.plain_grids(composed.sweep.grids)
    in_grids = {name for grid in grids for name in grid}
    known = in_file.keys() | in_grids
    fixed = {item.key_or_group: [item.value()] for item in overrides if item.key_or_group in known - given.keys()}
    said = fixed | given
    merged = in_file | {name: values for name, values in said.items() if name not in in_grids}
    narrowed = [{name: said.get(name, values) for name, values in grid.items()} for grid in grids]
    in_all = [name for name in (narrowed[0] if narrowed else []) if all(name in grid for grid in narrowed)]
    first = {name: values for name, values in merged.items() if values}
    first |= {name: narrowed[0][name] for name in in_all if narrowed[0][name]}
    more = [f"{name}={values[0]}" for name, values in first.items() if name in groups and values[0] != made[name]]
    more += [axes.word(merged)] if merged != in_file else []
    more += [axes.grids_word(narrowed)] if narrowed != grids else []
    return ([*words, *more], *(LAUNCH.compose_chosen([*words, *more]) if more else (composed, made)))


LAUNCH = Root("launch", Launch, lambda arguments: with_axes(arguments)[0])
