"""What one trial is and what is measured of it: dataclasses that Hydra fills and nothing else.

Importing this module loads neither torch nor vLLM: planning, status and analysis run on login nodes.
YAML (conf/) only picks values; every check is here and names field, value and remedy.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, cached_property
from typing import Any

from omegaconf import MISSING

from em.errors import require, require_positive
from em.identity import capacity_fields, content_id, fields_off_default, not_identity
from em.tiny.recipe import Recipe


class EngineName(Enum):
    vllm = "vllm"
    transformers = "transformers"


class Texts(Enum):
    """Which answers of an evaluation keep their text; grades, extracted answers and lengths are always kept."""

    all = "all"
    sample = "sample"  # the first answer to each problem
    none = "none"


class Chat(Enum):
    """How a problem is put to the model."""

    model = "model"  # through the tokenizer's chat template where `model.chat_template` is set, else as plain text
    chatml = "chatml"  # in Qwen's markup, spelled out, whatever the model: what the paper's code evaluates with


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(kw_only=True)
class Model:
    """The base model: a Hugging Face hub id, a local checkpoint folder, or the embedded tiny model."""

    path: str = ""  # hub id ("Qwen/Qwen2.5-Math-7B") or folder; unused when `pretrain` is set
    revision: str = "main"  # of a hub id; pin a commit for a result that should mean the same next year
    pretrain: Recipe | None = None  # set: the project pretrains this model itself, once, and caches it
    precision: Precision = Precision.fp32  # of rollouts and forward passes; master weights stay fp32
    chat_template: bool = False  # prompts and problems go through the tokenizer's chat template
    cpu_threads: int = not_identity(default=1)  # torch threads of one trial on a CPU
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

    def identity(self) -> dict[str, Any]:
        """A model is its weights: a recipe's digest, the digest of a folder, or a hub id and revision."""
        fields = fields_off_default(self)
        if self.pretrain is not None:
            del fields["pretrain"]
            fields.pop("path", None)
            fields["recipe"] = self.pretrain.digest()
        elif self.digest:
            del fields["path"]
            fields["digest"] = self.digest
        return fields

    @property
    def label(self) -> str:
        """A short name for tables: `tiny-0`, or the last part of the path."""
        return f"tiny-{self.pretrain.seed}" if self.pretrain else self.path.rstrip("/").rsplit("/", 1)[-1]


@dataclass(kw_only=True)
class Prompts:
    """The unlabelled prompts that are trained on: one (the paper), or several (its multi-shot rows)."""

    texts: list[str] = field(default_factory=list)  # read from `path` when the config is composed
    path: str = not_identity(default="")  # JSONL file, one prompt a line
    text_field: str = not_identity(default="problem")  # the field of a line that holds the prompt
    rows: list[int] = not_identity(default_factory=list)  # which lines, from 0; empty: all
    template: str = "{problem}"  # what the model reads; {problem} stands for the text

    def __post_init__(self) -> None:
        require("{problem}" in self.template, "prompts.template", repr(self.template), "must contain {problem}")


@dataclass(kw_only=True)
class Objective:
    """Entropy minimisation: the mean token entropy of the model's own samples."""

    loss_temperature: float = 1.0  # logits are divided by it before the softmax (published code: 0.5)
    first_token: bool = True  # count the distribution of the first generated token (published code: no)
    micro_batch_tokens: int = not_identity(default=16_384)  # padded, of one forward pass: changes nothing but rounding

    def __post_init__(self) -> None:
        require_positive("objective", loss_temperature=self.loss_temperature)
        require_positive("objective", micro_batch_tokens=self.micro_batch_tokens)


@dataclass(kw_only=True)
class Optimizer:
    """AdamW at a constant rate."""

    lr: float = 2e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    max_grad_norm: float = 1.0  # the whole gradient's L2 norm is clipped to it

    def __post_init__(self) -> None:
        require_positive("optimizer", lr=self.lr, eps=self.eps, max_grad_norm=self.max_grad_norm)
        require(0 <= self.weight_decay < math.inf, "optimizer.weight_decay", self.weight_decay, "must be 0 or greater")
        for name, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            require(0 <= value < 1, f"optimizer.{name}", value, "must be in [0, 1)")


@dataclass(kw_only=True)
class Rollout:
    """How the model samples the answers that it is trained on."""

    engine: EngineName = EngineName.vllm
    samples: int = 64  # answers of one optimiser step, over all prompts
    temperature: float = 0.5
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 512
    gpu_memory_utilization: float = not_identity(default=0.4)  # vLLM's share of a GPU that training shares
    max_num_seqs: int = not_identity(default=256)  # sequences that the engine decodes together
    max_model_len: int = not_identity(default=4096)  # prompt and answer, in tokens; at most what the model reads

    def __post_init__(self) -> None:
        check_sampling("rollout.temperature", self.temperature, "rollout.top_p", self.top_p)
        require_positive(
            "rollout",
            samples=self.samples,
            max_new_tokens=self.max_new_tokens,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
        )
        require(
            0 < self.repetition_penalty <= 2, "rollout.repetition_penalty", self.repetition_penalty, "must be in (0, 2]"
        )
        require(
            0 < self.gpu_memory_utilization < 1,
            "rollout.gpu_memory_utilization",
            self.gpu_memory_utilization,
            "must be between 0 and 1",
        )


def check_sampling(temperature_path: str, temperature: float, top_p_path: str, top_p: float) -> None:
    """The limits of the engines, kept here so that a bad value ends the launch and not lane after lane."""
    require(0 <= temperature <= 2, temperature_path, temperature, "the engines sample between 0 (greedy) and 2")
    require(0 < top_p <= 1, top_p_path, top_p, "must be in (0, 1]")


@dataclass(kw_only=True)
class Benchmark:
    """A set of problems and how an answer to them is graded: one file in conf/benchmark/."""

    name: str = MISSING
    suite: str = not_identity(default="")  # problems that the project makes itself: a suite of em.tiny.tasks ...
    hub: str = not_identity(default="")  # ... or a data set of the Hugging Face hub ("HuggingFaceH4/MATH-500") ...
    hub_config: str = not_identity(default="")  # ... in one of its configurations
    revision: str = not_identity(default="main")  # of the data set; what was read is in `digest`
    split: str = not_identity(default="test")  # of suite or data set; the hub takes several: "2ppl+3ppl"
    path: str = not_identity(default="")  # a JSONL file, one problem a line, which is read instead of the hub
    problem_fields: list[str] = not_identity(default_factory=lambda: ["problem"])  # joined by line breaks
    answer_fields: list[str] = not_identity(default_factory=lambda: ["answer"])  # the reference
    keep: dict[str, list[int]] = not_identity(default_factory=dict)  # only rows with the field in [first, last]
    limit: int = not_identity(default=0)  # only the first so many problems; 0: all
    digest: str = ""  # of its problems and answers, filled in when the config is composed
    template: str = "{problem}"  # the user's message; {problem} stands for the problem
    system: str = ""  # the system message before it
    prefill: str = ""  # how the model's answer begins
    chat: Chat = Chat.model
    stop: list[str] = field(default_factory=list)  # strings or tokens that end an answer, beside the end-of-sequence
    max_new_tokens: int = 3072
    grader: str = MISSING  # a name in em.evaluation.graders

    def __post_init__(self) -> None:
        owner = f"benchmarks.{self.name}"
        require(
            bool(self.suite) != bool(self.path or self.hub),
            f"{owner}.path",
            repr(self.path),
            "a suite has no path and no hub" if self.suite else "give the JSONL file that holds the problems",
        )
        for name in ("problem_fields", "answer_fields"):
            require(bool(getattr(self, name)), f"{owner}.{name}", [], "name at least one field of a row")
        for name, bounds in self.keep.items():
            require(len(bounds) == 2, f"{owner}.keep.{name}", bounds, "give the first and the last value, [11, 510]")
        require("{problem}" in self.template, f"{owner}.template", repr(self.template), "must contain {problem}")
        require(self.limit >= 0, f"{owner}.limit", self.limit, "must be 0 (all problems) or greater")
        require_positive(owner, max_new_tokens=self.max_new_tokens)


@dataclass(kw_only=True)
class Evaluation:
    """One benchmark at one sampling setting; two models meet it with common random numbers."""

    benchmark: Benchmark
    temperature: float
    top_p: float
    samples: int
    seed: int
    texts: Texts = not_identity(default=Texts.all)

    @cached_property
    def id(self) -> str:
        return content_id(self)


@dataclass(kw_only=True)
class Eval:
    """What is measured of every trial: each benchmark at each temperature after each of the steps."""

    data: str = ""  # a folder that may hold <benchmark>.jsonl: read instead of the hub
    chat: Chat | None = None  # of all benchmarks; None: each has its own
    steps: list[int] = field(default_factory=lambda: [10])
    temperatures: list[float] = field(default_factory=lambda: [1.0])
    samples: int = 8  # answers a problem: avg@8; one is enough at temperature 0
    top_p: float = 1.0
    seed: int = 0  # of the answers' random numbers, the same for every model
    texts: Texts = Texts.all  # of answers that are kept: most of a record, some 50 MB for a 7B model at avg@8

    def __post_init__(self) -> None:
        require(bool(self.steps), "eval.steps", self.steps, "name at least one optimiser step, e.g. [10]")
        require(all(step >= 0 for step in self.steps), "eval.steps", self.steps, "steps are 0 or greater")
        for name in ("steps", "temperatures"):
            values = getattr(self, name)
            require(len(values) == len(set(values)), f"eval.{name}", values, "name each value once")
        require(bool(self.temperatures), "eval.temperatures", self.temperatures, "name at least one, e.g. [1.0]")
        for temperature in self.temperatures:
            check_sampling("eval.temperatures", temperature, "eval.top_p", self.top_p)
        require_positive("eval", samples=self.samples)


@dataclass(kw_only=True)
class Trial:
    """One training trajectory.  Its id is the content of these fields; how far it is followed is not part of it."""

    model: Model
    prompts: Prompts
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer = field(default_factory=Optimizer)
    rollout: Rollout = field(default_factory=Rollout)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "must be 0 or greater")

    @cached_property
    def id(self) -> str:
        return content_id(self)

    @property
    def is_base(self) -> bool:
        """Whether this is the untrained model: a trial of zero steps, which needs no prompts."""
        return not self.prompts.texts

    @cached_property
    def base(self) -> "Trial":
        """The untrained model that this trial starts from, the same for all trials of one model and engine."""
        sampling = {name: getattr(self.rollout, name) for name in ("engine", *capacity_fields(Rollout))}
        return Trial(model=self.model, prompts=Prompts(), rollout=Rollout(**sampling))

    def with_seed(self, seed: int) -> "Trial":
        """Another seed of the same cell; the base model that both start from is one object, its id found once."""
        made = dataclasses.replace(self, seed=seed)
        made.__dict__["base"] = self.base
        return made


@dataclass(frozen=True)
class Measurement:
    """A cell of a figure: an evaluation of a trial after so many optimiser steps."""

    step: int
    evaluation: Evaluation

    @property
    def key(self) -> tuple[int, str]:
        return self.step, self.evaluation.id


@cache
def keys_id(keys: tuple[tuple[int, str], ...]) -> str:
    """The id of a set of measurements: thousands of units of a sweep measure the same."""
    return content_id(sorted(keys))


@dataclass(frozen=True)
class Unit:
    """A unit of work: a trial and the measurements of it that are missing.  It ends in one record.

    Where another record holds the rest of what is wanted, the trial is followed along that record's tokens.  Only if
    these lead to other weights than they did (another GPU), the `whole` is measured anew: attempts are never mixed.
    """

    trial: Trial
    measurements: tuple[Measurement, ...]
    source: str = ""  # id of the recorded unit whose tokens are replayed; empty: the trial is sampled from the start
    whole: tuple[Measurement, ...] = ()  # all that is wanted of the trial, where `source` is set

    @cached_property
    def id(self) -> str:
        """`<trial id>-<hash of what is measured>`: two lanes given the same work write the same name."""
        return f"{self.trial.id}-{keys_id(tuple(measurement.key for measurement in self.measurements))}"

    @property
    def anew(self) -> "Unit":
        """All that is wanted of the trial, measured from the start."""
        return Unit(self.trial, self.whole or self.measurements)

    @property
    def last_step(self) -> int:
        return max(measurement.step for measurement in self.measurements)


@dataclass(kw_only=True)
class Config:
    """Everything that `python -m em` takes: a trial, what is measured of it, and where the record goes."""

    model: Model = MISSING
    prompts: Prompts = MISSING
    objective: Objective = MISSING
    optimizer: Optimizer = MISSING
    rollout: Rollout = MISSING
    seed: int = 0
    eval: Eval = MISSING
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    store: str = "results"  # folder of records and figures

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "must be 0 or greater")
        require(bool(self.store), "store", repr(self.store), "name the folder of the records")
        plain = self.eval.chat is Chat.model and not self.model.chat_template
        require(not plain, "eval.chat", "model", "would be plain text: set model.chat_template=true, or leave it out")
        names = [benchmark.name for benchmark in self.benchmarks.values()]
        for key, benchmark in self.benchmarks.items():
            own = names.count(benchmark.name) == 1
            require(own, f"benchmarks.{key}.name", benchmark.name, "another benchmark has it; give each its own")

    @property
    def trial(self) -> Trial:
        return Trial(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Trial)})

    @property
    def evaluations(self) -> list[Evaluation]:
        chosen = self.eval
        benchmarks = [
            dataclasses.replace(benchmark, chat=chosen.chat) if chosen.chat else benchmark
            for benchmark in self.benchmarks.values()
        ]
        shared = {name: getattr(chosen, name) for name in ("top_p", "seed", "texts")}
        return [
            Evaluation(
                benchmark=benchmark,
                temperature=temperature,
                samples=chosen.samples if temperature > 0 else 1,
                **shared,
            )
            for temperature in chosen.temperatures
            for benchmark in benchmarks
        ]

    def measurements(self, steps: Sequence[int]) -> tuple[Measurement, ...]:
        return tuple(Measurement(step, evaluation) for step in steps for evaluation in self.evaluations)

    def units(self, trials: Iterable[Trial]) -> list[Unit]:
        """What is wanted of these trials: each base model once, at step 0, then every trial at its later steps."""
        trials = list(trials)
        bases = {trial.base.id: trial.base for trial in trials}
        untrained, trained = self.measurements([0]), self.measurements([step for step in self.eval.steps if step > 0])
        first = [Unit(base, untrained) for base in bases.values()]
        return first + [Unit(trial, trained) for trial in trials if trained]
