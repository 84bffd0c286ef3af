"""Whether a step takes the memory that was planned for it: the most that torch holds, weights included, on a CPU."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from transformers import AutoConfig

from bench.loss import peak_bytes
from bench.rows import Row, at_most
from bench.step import SIZES, checkpoint
from em.memory.device import here
from em.memory.plan import Planner
from em.train.learner import Learner
from em.trial.method import default_method
from em.trial.model import Model, Precision, States
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample

LENGTH, ANSWER, TOKENS = 512, 500, 4_096  # of a text and its answer, of a micro-batch
SAMPLES = 2 * TOKENS // LENGTH  # two micro-batches: in the second there are gradients from the start
PRECISIONS = {States.fp32: Precision.fp32, States.eight_bit: Precision.bf16}
OFF = 0.1


def rows(folder: Path) -> Iterator[Row]:
    for size in SIZES:
        for states, precision in PRECISIONS.items():
            path = checkpoint(size, folder / f"planned-{size}-{states.value}")
            planned, held = measure(Model(path=str(path), precision=precision, states=states, cpu_threads=2))
            print(f"{size}, states {states.value}: planned {planned >> 20} MiB, held {held >> 20} MiB", flush=True)
            yield Row(f"{size}: plan's peak off torch's, {states.value}", abs(planned / held - 1), "", at_most(OFF))


def measure(model: Model) -> tuple[int, int]:
    """Bytes, planned and held."""
    folder = Path(model.path)
    planner = Planner(AutoConfig.from_pretrained(folder), model, None, ranks=1)
    choice = replace(next(planner.choices(here())), micro_batch_tokens=TOKENS)
    plan = planner.plan(choice, here())
    learner = Learner(folder, model, plan)
    learner.begin(Optimizer())
    ids = [number % 250 for number in range(LENGTH)]
    samples = [Sample(step=0, prompt=0, token_ids=ids[-ANSWER:], truncated=True)] * SAMPLES

    def two_steps() -> tuple[()]:
        for _ in range(2):
            learner.step([ids[:-ANSWER]], samples, default_method(), max_norm=1.0)
        return ()

    weights = sum(weight.nbytes for weight in learner.model.parameters())
    _, held = peak_bytes(two_steps)
    return plan.peak.total, weights + held
