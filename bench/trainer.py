"""What the entropy loss and a whole training step cost on a CPU, beside plain logits and loops of transformers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import loss, plan
from bench.rows import Row, at_least, at_most
from bench.step import PUBLISHED_ROWS, SAMPLES, SIZES, Seconds, Timings

MEMORY, TIME, ERROR = 1 / 20, 1.05, 1e-5  # of plain logits; relative
PUBLISHED, COMPETENT, APART = 20, 1.5, 1e-4


def rows(folder: Path) -> Iterator[Row]:
    ours, plain = loss.measure()
    yield Row("loss: peak memory, of plain logits'", ours.peak_bytes / plain.peak_bytes, "x", at_most(MEMORY))
    yield Row("loss: time, of plain logits'", ours.seconds / plain.seconds, "x", at_most(TIME))
    for of, error in zip(("hidden states", "head"), ours.errors, strict=True):
        yield Row(f"loss: error of the gradient by {of}", error, "", at_most(ERROR))
    yield from plan.rows(folder)
    for name in SIZES:
        timings, of = step(name, "vllm", folder), f"{name}, answers of {SIZES[name].answer}"
        done, all_parts = SIZES[name].parts, SAMPLES // PUBLISHED_ROWS
        extrapolated = "" if done == all_parts else f", {done} of {all_parts} parts"
        yield Row(
            f"{of}: times the published code{extrapolated}",
            timings.published.sum / timings.ours.sum,
            "x",
            at_least(PUBLISHED),
        )
        yield Row(f"{of}: times a competent loop", timings.competent.sum / timings.ours.sum, "x", at_least(COMPETENT))
        yield Row(f"{name}: losses and norms apart", timings.apart, "", at_most(APART))
    step("tiny", "transformers", folder)


def step(name: str, engine: str, folder: Path) -> Timings:
    """Of one size, in a process of its own; prints what each part took."""
    command = [sys.executable, "-m", "bench.step", name, engine, str(folder / f"{name}-{engine}")]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    read = json.loads(printed.splitlines()[-1])
    timings = Timings(*(Seconds(**read[way]) for way in ("ours", "published", "competent")), apart=read["apart"])
    print(f"{name}, rollout={engine}, {SIZES[name].threads} threads, fp32:", flush=True)
    for way in ("ours", "published", "competent"):
        taken: Seconds = getattr(timings, way)
        print(f"  {way:10} sample {taken.sample:.3g} s, train {taken.train:.3g} s, push {taken.push:.3g} s", flush=True)
    return timings
