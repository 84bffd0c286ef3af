"""How a model is trained in the memory that there is: what holds what and when, before anything is loaded.

Static parts are arithmetic, activations are simulated (em.memory.simulate).  On a CPU nothing is chosen, so that a
trial has the same bits on every machine; on a GPU the plan takes what recomputes and rounds least among what fits.
Sizes are bytes of one device, that of one rank.
"""

import json
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from em.errors import InputError
from em.memory.device import GIB, GPUS, Device, named
from em.memory.recompute import layers_of
from em.memory.simulate import Shape, held
from em.model.loading import DTYPES, refused
from em.trial.method import default_method
from em.trial.model import Model, Precision, States
from em.trial.rollout import EngineConfig, EngineName

TOKENS = 16_384  # padded, of a micro-batch, unless memory or objective.micro_batch_tokens say less
ENOUGH = 4_096  # of them keep a GPU busy: with fewer, recomputing activations is cheaper
FEWER = 2_048, 1_024  # where nothing else fits
LENGTH = 1_024  # of prompt and answer, in tokens, that is planned for
ENGINE = 2 << 30  # of an engine, beside weights and cache: CUDA graphs and its own activations
ASLEEP = 1 << 30  # of these while it sleeps
FEW = 2, 4  # layers that are simulated of many
CACHED = 16  # sequences of full length that an engine has to have room for
BLOCK, SMALLEST = 256, 4096  # of 8-bit states: values that share a scale; smaller tensors are not quantised
HELD = {States.fp32: torch.float32, States.eight_bit: torch.bfloat16, States.on_cpu: torch.bfloat16}  # weights


@dataclass(frozen=True)
class Phase:
    name: str
    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Choice:
    """What may be chosen."""

    states: States
    recomputed: int  # layers that keep their input alone
    micro_batch_tokens: int
    asleep: bool = False  # whether the engine gives its memory back while the model trains


@dataclass(frozen=True)
class Plan:
    choice: Choice
    engine: int  # that the engine may take while it samples; 0: what its own settings say
    phases: tuple[Phase, ...]
    on_host: int  # of the host's memory, that the optimiser takes

    @property
    def peak(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.total)

    def __str__(self) -> str:
        chosen = self.choice
        layers = f"{chosen.recomputed} layers recomputed" if chosen.recomputed else "no layer recomputed"
        asleep = ", engine asleep while it trains" if chosen.asleep else ""
        return f"states {chosen.states.value}, {layers}, micro-batches of {chosen.micro_batch_tokens:,} tokens{asleep}"


class Planner:
    """What a model's training takes, for any choice."""

    def __init__(self, config: PretrainedConfig, model: Model, engine: EngineConfig | None, ranks: int) -> None:
        self.config, self.model, self.engine, self.ranks = config, model, engine, ranks
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config)
        self.sizes = [weight.numel() for weight in skeleton.parameters()]
        self.layers = [sum(weight.numel() for weight in layer.parameters()) for layer in layers_of(skeleton)]
        self.weights = sum(self.sizes)
        self.configs = {  # of what is simulated, by its number of layers
            layers: shortened(config, layers).to_json_string(use_diff=False)
            for layers in (FEW if self.alike else [len(self.layers)])
        }

    def states_bytes(self, states: States) -> int:
        if states is States.fp32:
            return 8 * self.weights
        if states is States.eight_bit:
            quantised = sum(size for size in self.sizes if size >= SMALLEST and size % BLOCK == 0)
            return quantised * 2 + quantised // BLOCK * 8 + (self.weights - quantised) * 4
        return 0

    def activations(self, choice: Choice, device: Device) -> int:
        """The most that a forward and backward pass holds beside weights and gradients.

        It is simulated at both ends of what may be chosen; between them we take the straight line, in tokens and in
        recomputed layers, which is never too little.
        """
        dtype, every = HELD[choice.states], len(self.layers)

        def at_layers(tokens: int) -> float:
            return between(choice.recomputed, 0, every, lambda layers: self.passing(dtype, layers, tokens, device))

        return int(between(choice.micro_batch_tokens, ENOUGH, TOKENS, at_layers))

    def passing(self, dtype: torch.dtype, recomputed: int, tokens: int, device: Device) -> float:
        """With none or all of the layers recomputed; of many that are alike few are simulated, each adds the same."""
        autocast = torch.bfloat16 if self.model.precision is Precision.bf16 else None

        def of(layers: int) -> float:
            config = self.configs[layers]
            return simulated(type(self.config), config, dtype, autocast, tokens, min(recomputed, layers), device.is_gpu)

        return between(len(self.layers), *FEW, of) if self.alike else of(len(self.layers))

    @property
    def alike(self) -> bool:
        """Whether there are more layers than a few, all of one kind."""
        kinds = getattr(self.config.get_text_config(), "layer_types", None) or ["any"]
        return len(self.layers) > max(FEW) and len(set(self.layers)) == len(set(kinds)) == 1

    def gathered(self, choice: Choice) -> int:
        """Of sharded weights and gradients, what is whole at a time: embedding and head, and two layers."""
        if self.ranks == 1:
            return 0
        whole = self.weights - sum(self.layers) + 2 * max(self.layers, default=0)
        return 2 * whole * HELD[choice.states].itemsize

    def resident(self, choice: Choice, device: Device) -> dict[str, int]:
        """Of the device, all the time."""
        states = self.states_bytes(choice.states) + self.on_host(choice) * (not device.is_gpu)
        return {"weights": self.weights * HELD[choice.states].itemsize // self.ranks, "states": states // self.ranks}

    def on_host(self, choice: Choice) -> int:
        return 12 * self.weights if choice.states is States.on_cpu else 0

    def plan(self, choice: Choice, device: Device) -> Plan:
        resident = self.resident(choice, device)
        training = resident | {"gradients": resident["weights"]}
        passing = self.activations(choice, device) + self.gathered(choice)
        rounded = 2 * 4 * max(self.sizes) // self.ranks if choice.states is States.eight_bit else 0
        left = device.usable - sum(resident.values() if choice.asleep else (*training.values(), passing))
        engine = self.engine_bytes(device, left)
        beside = {"engine": ASLEEP if choice.asleep else engine}
        phases = (
            Phase("sample", resident | {"engine": engine}),
            Phase("train", training | {"activations": passing} | beside),
            Phase("update", training | {"temporary": rounded} | beside),
        )
        return Plan(choice, engine if device.is_gpu else 0, phases, self.on_host(choice) // self.ranks)

    def engine_bytes(self, device: Device, left: int) -> int:
        """What an engine takes where so much is left: on a GPU all of it, unless its settings say otherwise."""
        if self.engine is None:
            return 0
        config, kind = self.config.get_text_config(), DTYPES[self.model.precision]
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        token = 2 * config.num_hidden_layers * heads * width * kind.itemsize
        reads = min(self.engine.max_model_len, config.max_position_embeddings)
        least, most = (
            self.weights * kind.itemsize + ENGINE + sequences * reads * token
            for sequences in (min(CACHED, self.engine.max_num_seqs), self.engine.max_num_seqs)
        )
        if not device.is_gpu:
            return self.weights * kind.itemsize
        if self.engine.gpu_memory_utilization:
            return int(self.engine.gpu_memory_utilization * device.total)
        return max(least, min(most, left))

    def choices(self, device: Device) -> Iterator[Choice]:
        """What may be tried, the best first."""
        auto = [States.fp32, States.eight_bit, States.on_cpu]
        if not device.is_gpu or self.model.precision is Precision.fp32:
            auto = [States.fp32]
        states = auto if self.model.states is States.auto else [self.model.states]
        given, every = self.model.recomputed_layers, len(self.layers)
        if not device.is_gpu:
            yield Choice(states[0], min(max(given, 0), every), TOKENS)
            return
        some = {min(given, every)} if given >= 0 else {every * eighth // 8 for eighth in range(9)}
        for kind, recomputed, asleep in product(states, sorted(some), (False, True)[: 1 + self.can_sleep]):
            yield from (Choice(kind, recomputed, tokens, asleep) for tokens in (TOKENS, TOKENS // 2, ENOUGH))
        yield from (Choice(kind, max(some), tokens, self.can_sleep) for kind in states for tokens in FEWER)

    @property
    def can_sleep(self) -> bool:
        return self.engine is not None and self.engine.engine is EngineName.vllm

    def best(self, device: Device) -> Plan | None:
        """The first choice that fits."""
        for choice in self.choices(device):
            if sum(self.resident(choice, device).values()) <= device.usable:
                plan = self.plan(choice, device)
                if plan.peak.total <= device.usable:
                    return plan
        return None

    def refusal(self, device: Device) -> str:
        """Why nothing fits, and what would."""
        least = min((self.plan(choice, device) for choice in self.choices(device)), key=lambda plan: plan.peak.total)
        said = f"needs {least.peak.total / GIB:.1f} GiB for {least.peak.name} at the least ({least})"
        return f"does not fit {device.name}: {said}; {' or '.join(self.remedies(device)) or 'take a smaller model'}"

    def remedies(self, device: Device) -> Iterator[str]:
        def fits(device: Device, **changed: Any) -> bool:
            other = copy(self)
            vars(other).update(changed)
            return other.best(device) is not None

        free = replace(self.model, states=States.auto, recomputed_layers=-1)
        halved = replace(free, precision=Precision.bf16)
        if free != self.model and fits(device, model=free):
            yield "leave model.states and model.recomputed_layers to the plan"
        elif device.is_gpu and halved != free and fits(device, model=halved):
            yield "take model.precision=bf16"
        if device.is_gpu:
            more = next((ranks for ranks in (2, 4, 8) if ranks > self.ranks and fits(device, ranks=ranks)), None)
            if more:
                yield f"take {more} GPUs for each lane (cluster.gpus_per_lane={more})"
            larger = (name for name in GPUS if GPUS[name] * GIB > device.total)
            if name := next((name for name in larger if fits(named(name))), None):
                yield f"take a GPU of {GPUS[name]:g} GiB ({name})"


@cache
def simulated(
    kind: type[PretrainedConfig],
    config: str,
    dtype: torch.dtype,
    autocast: torch.dtype | None,
    tokens: int,
    recomputed: int,
    fused: bool,
) -> int:
    read = kind.from_dict(json.loads(config))
    length = min(LENGTH, read.get_text_config().max_position_embeddings)
    shape = Shape(tokens // length, length, length - 1)
    return held(read, dtype, autocast, default_method(), shape, recomputed, fused)


def between(at: int, low: int, high: int, value: Callable[[int], float]) -> float:
    """On the straight line through the values at two ends."""
    if at in (low, high) or low == high:
        return value(at)
    return value(low) + (value(high) - value(low)) * (at - low) / (high - low)


def shortened(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """The config of the same model with fewer layers."""
    config = deepcopy(config)
    text = config.get_text_config()
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    text.num_hidden_layers = layers
    return config


def plan_of(folder: Path, model: Model, engine: EngineConfig | None, device: Device, ranks: int = 1) -> Plan:
    """The plan for a checkpoint folder, of which it reads config.json alone; InputError where nothing fits."""
    with refused(f"model.path={folder}: its memory cannot be planned"):
        planner = Planner(AutoConfig.from_pretrained(folder), model, engine, ranks)
        plan = planner.best(device)
    if plan is None:
        raise InputError(f"model={model.label}: {planner.refusal(device)}")
    return plan
