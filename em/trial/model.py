"""The base model."""

import math
from dataclasses import dataclass
from enum import Enum

from em.errors import require, require_positive
from em.tiny.recipe import Recipe
from em.trial.identity import absent, fields_off_default, not_identity


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"


class States(Enum):
    """How weights and the states of AdamW are held while a model trains."""

    auto = "auto"  # as the memory plan says: fp32, or what takes less where that does not fit
    fp32 = "fp32"  # all in fp32, 16 bytes a weight with its gradient
    eight_bit = "eight_bit"  # weights in bf16, rounded stochastically, states in 8 bits: 6 bytes a weight
    on_cpu = "on_cpu"  # weights in bf16; in fp32, with their states, in the memory of the host: 4 bytes a weight


@dataclass(kw_only=True)
class Model:
    """The base model: a Hugging Face hub id, a local checkpoint folder, or the embedded tiny model."""

    path: str = ""  # hub id ("Qwen/Qwen2.5-Math-7B") or folder; unused when `pretrain` is set
    revision: str = "main"  # of a hub id; pin a commit for a result that should mean the same next year
    pretrain: Recipe | None = None  # set: the project pretrains this model itself, once, and caches it
    precision: Precision = Precision.fp32  # of rollouts and forward passes (fp32: no TF32)
    states: States = absent(default=States.auto)  # how weights and optimiser states are held
    recomputed_layers: int = absent(default=-1)  # keep their input alone; -1: as many as memory asks for
    deterministic: bool = absent(default=False)  # on a GPU: the same bits each time, for some of its speed
    chat_template: bool = False  # prompts and problems go through the tokenizer's chat template
    cpu_threads: int = not_identity(default=1)  # torch threads of one trial on a CPU
    ranks: int = absent(default=0)  # processes that hold the model together; 0: one for each GPU of a lane
    parameters: float = absent(default=0.0)  # billions, for quotes before anything is downloaded; 0: not known
    name: str = absent(default="")  # in tables; empty: made of the path, or of the tiny model's seed
    digest: str = not_identity(default="")  # of a local folder's files, filled in when the config is composed

    def __post_init__(self) -> None:
        require(
            bool(self.path) or self.pretrain is not None,
            "model.path",
            repr(self.path),
            "name a checkpoint folder or hub id, or take model=tiny",
        )
        require(
            not (self.path and self.pretrain),
            "model.path",
            self.path,
            "the tiny model has no path; take model=checkpoint with it",
        )
        require_positive("model", cpu_threads=self.cpu_threads)
        layers = self.recomputed_layers
        require(layers >= -1, "model.recomputed_layers", layers, "must be a number of layers, or -1 (as memory asks)")
        halved = self.states in (States.eight_bit, States.on_cpu)
        require(
            not halved or self.precision is Precision.bf16,
            "model.states",
            self.states.value,
            "holds weights in bf16; take model.precision=bf16 too, or model.states=fp32",
        )
        require(self.ranks >= 0, "model.ranks", self.ranks, "must be a number of processes, or 0 (one for each GPU)")
        known = self.parameters >= 0 and math.isfinite(self.parameters)
        require(known, "model.parameters", self.parameters, "must be billions, or 0 (not known)")

    def identity(self) -> dict[str, object]:
        """A model is its weights: a recipe's digest, the digest of a folder, or a hub id and revision."""
        fields: dict[str, object] = fields_off_default(self)
        if self.pretrain is not None:
            del fields["pretrain"]
            fields.pop("path", None)
            fields["recipe"] = self.pretrain.digest()
        elif self.digest:
            del fields["path"]
            fields["digest"] = self.digest
        return fields

    @property
    def from_hub(self) -> bool:
        """Whether `path` is a hub id: a composed config has the digest of a folder."""
        return self.pretrain is None and not self.digest

    @property
    def label(self) -> str:
        """A short name for tables: `tiny-0`, or the last part of the path."""
        if self.name:
            return self.name
        return f"tiny-{self.pretrain.seed}" if self.pretrain else self.path.rstrip("/").rsplit("/", 1)[-1]
