"""AdamW with states in 8 bits and stochastic rounding against AdamW in fp32: loss and accuracy after ten steps of EM.

Sixteen seeds each, on the tiny model and on one of 53 million weights and a vocabulary of 32,768 (bench.large).  The
control has weights in bf16 that are rounded to nearest, and states in bf16: what is lost without either of the two.

EM_BENCHMARK_STORE names a folder of results to go on from.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.random import default_rng

from analysis import stats
from bench.large import large_model
from bench.rows import Row, at_most
from em.cli.compose import compose_trial
from em.model.checkpoint import checkpoint_folder
from em.quiet import quiet_libraries
from em.train.local import LocalPolicy
from em.train.trainer import Trainer
from em.trial.model import States

SEEDS = 16
MARGIN = 1.0  # points of accuracy, and hundredths of a nat
WORDS = {
    "tiny": ["model=tiny"],
    "53M": ["model=checkpoint", "prompts=tiny", "preset=tiny", "rollout.samples=32", "model.cpu_threads=2"],
}
LRS = {"tiny": ["1e-3", "2e-5"], "53M": ["2e-5"]}
KINDS = ("fp32", "eight_bit", "nearest")


class Nearest(LocalPolicy):
    """The control: AdamW of torch on weights in bf16."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.optimizer = self.accelerator.prepare(torch.optim.AdamW(self.model.parameters(), fused=True))


def rows(folder: Path) -> Iterator[Row]:
    folder = Path(os.environ.get("EM_BENCHMARK_STORE", folder))
    quiet_libraries()
    for size, rates in LRS.items():
        for lr in rates:
            found = {kind: measure(size, lr, kind, folder) for kind in KINDS}
            for kind in KINDS[1:]:
                for column, (name, unit) in enumerate((("loss", "nats/100"), ("accuracy", "points"))):
                    apart_CKS = 100 * (found[kind] - found["fp32"])[None, None, :, column]
                    (mean,), ((low,), (high,)) = stats.mean(apart_CKS), stats.interval(default_rng(0), apart_CKS)
                    what = f"{size}, lr {lr}, {kind}: {name}"
                    print(f"{what} {mean:+.2f} {unit} (95% {low:+.2f} to {high:+.2f})", flush=True)
                    if kind == "eight_bit":
                        yield Row(what, max(-low, high), unit, at_most(MARGIN))


def measure(size: str, lr: str, kind: str, folder: Path) -> np.ndarray:
    """[S, 2]: loss and accuracy of each seed."""
    path = folder / f"{size}-{lr}-{kind}.json"
    done = json.loads(path.read_text()) if path.exists() else []
    words = [*WORDS[size], f"optimizer.lr={lr}", "model.precision=bf16", "eval.steps=[10]"]
    words += [f"model.path={large_model()}"] if size != "tiny" else []
    words += [f"model.states={States.fp32.value if kind == 'fp32' else States.eight_bit.value}"]
    trainer = None
    for seed in range(len(done), SEEDS):
        config = compose_trial([*words, f"seed={seed}"])
        trial = config.trial
        if trainer is None:
            policy = (Nearest if kind == "nearest" else LocalPolicy)(
                checkpoint_folder(trial.model), trial.model, trial.engine
            )
            trainer = Trainer(trial.model, trial.engine, policy)
        [unit] = [unit for unit in config.units([trial]) if not unit.trial.is_base]
        trajectory = trainer.run(unit, lambda step: None, {}).trajectory
        last = trajectory.steps[-1]
        done.append([last.loss, float(np.mean([of.accuracy for of in trajectory.evaluations if of.step == 10]))])
        path.write_text(json.dumps(done))
        print(f"{size}, lr {lr}, {kind}, seed {seed}: loss {done[-1][0]:.4f}, accuracy {done[-1][1]:.4f}", flush=True)
    if trainer is not None:
        trainer.close()
    return np.array(done)
