"""What is measured of a model: benchmarks, and how they are sampled."""

from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

from omegaconf import MISSING

from em.errors import require, require_positive
from em.trial.identity import absent, added, content_id, fields_off_default, not_identity
from em.trial.rollout import check_sampling


class Texts(Enum):
    """Which answers of an evaluation keep their text; grades, extracted answers and lengths are always kept."""

    all = "all"
    sample = "sample"  # the first answer to each problem
    none = "none"


class Chat(Enum):
    """How a problem is put to the model."""

    model = "model"  # through the tokenizer's chat template where `model.chat_template` is set, else as plain text
    chatml = "chatml"  # in Qwen's markup, spelled out, whatever the model: what the paper's code evaluates with


class Statistics(Enum):
    """What is recorded of the distributions that answers were sampled from; each takes a forward pass over them."""

    none = "none"
    tokens = "tokens"  # of each answer its mean entropy and confidence, and entropy by position
    logits = "logits"  # and moments and a histogram of all logits, of the highest, and of all log-probabilities
    logits_of_shortest = "logits_of_shortest"  # of answers that are cut to the shortest one's length (published code)

    @property
    def has_logits(self) -> bool:
        return self in (Statistics.logits, Statistics.logits_of_shortest)


class Ends(Enum):
    """What ends an answer before its own end; a rule that changes takes a new name, since it changes what is read."""

    none = "none"
    loops = "loops"  # an answer that repeats itself (em.rollout.loops.Loop)
    answered = "answered"  # one whose grade nothing that may follow changes, as far as its grader can tell
    both = "both"


class Numbers(Enum):
    """Whose random numbers a trial answers with."""

    common = "common"  # the same for all trials: what they do to all alike is in no interval over seeds
    own = "own"  # of its seed, the same in every cell: over seeds they average out


STYLES = dict.fromkeys(Chat, 1)  # version of each: raised when a change of its code changes what models are asked


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
    pairs: list[list[str]] = absent(default_factory=list)  # ... or problems and references as they stand here
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
            bool(self.suite) + bool(self.path or self.hub) + bool(self.pairs) == 1,
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
    statistics: Statistics = added(default=Statistics.none)
    ends: Ends = added(default=Ends.none)
    numbers: Numbers = added(default=Numbers.common)
    problems: int = added(default=0)  # that each trial is asked, drawn by its seed; 0: all
    strata: str = added(default="")  # a character for each problem, over which that draw is balanced; empty: none
    base_samples: int = absent(default=0)  # answers of a base model to each problem; 0: `samples`

    @cached_property
    def id(self) -> str:
        return content_id(self)

    @cached_property
    def of_base(self) -> "Evaluation":
        """How base models are measured, of which there are few: asked everything, with common random numbers."""
        samples = self.base_samples if self.base_samples and self.temperature > 0 else self.samples
        return replace(self, numbers=Numbers.common, problems=0, strata="", samples=samples, base_samples=0)

    def identity(self) -> dict[str, object]:
        """The fields off their defaults, and the version of the style unless it is the first."""
        own: dict[str, object] = fields_off_default(self)
        version = STYLES[self.benchmark.chat]
        return own | {"version": version} if version != 1 else own


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
    numbers: Numbers = Numbers.common  # own: they depend on the trial's seed too
    problems: int = 0  # of each benchmark, that a trial is asked, drawn by its seed; 0: all
    strata: dict[str, str] = field(default_factory=dict)  # by benchmark, a character for each of its problems
    base_samples: int = 0  # answers of base models, which are asked everything; 0: `samples`
    decided: bool = False  # from records: samples, numbers, problems, strata and sweep.seeds (sweeps.budget)
    target: float = 0.0  # half the 95% interval of a cell's mean, a share; 0: of avg@8, own numbers, sweep.seeds seeds
    pilot_cells: int = 4  # that are measured in full first, where too few like trials are recorded, ...
    pilot_seeds: int = 4  # ... each with so many seeds, ...
    pilot_samples: int = 8  # ... so many answers a problem
    statistics: Statistics = Statistics.none  # of the distributions that they were sampled from
    ends: Ends = Ends.none  # which answers are ended before the token limit
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
        require_positive("eval", samples=self.samples, pilot_cells=self.pilot_cells)
        for name in ("pilot_seeds", "pilot_samples"):
            require(getattr(self, name) > 1, f"eval.{name}", getattr(self, name), "must be 2 or greater")
        for name in ("problems", "base_samples", "target"):
            require(getattr(self, name) >= 0, f"eval.{name}", getattr(self, name), "must be 0 or greater")
