"""Planning and quotes: how long they take, and whether a sweep takes what its quote said after three pilots.

EM_BENCHMARK_TRIES says how many sweeps are tried (ten): each with a seed of its own, which draws what it varies.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.processes import command_seconds
from bench.rows import Row, at_least, at_most
from em.cli.overrides import choices
from em.store import Store
from sweeps.config import compose_launch
from sweeps.plan import plan
from sweeps.quote import quote

TRIES = int(os.environ.get("EM_BENCHMARK_TRIES", "10"))
PLANNING_SECONDS = 3.0
VARIED = [
    ["sweep=temperature"],
    ["sweep=lr"],
    ["sweep=lr,temperature"],
    ["sweep=grid", "prompts.rank=0", "optimizer.lr=5e-4,1e-3,2.5e-3"],
    ["sweep=temperature", "eval.steps=[5,10]"],
    ["sweep=temperature", "rollout.samples=32,64"],
    ["sweep=shots", "eval.steps=[10]", "rollout.temperature=1,1.5"],
    ["sweep=temperature", "eval.samples=4", "objective=reference_code"],
]


def drawn(seed: int) -> list[str]:
    """The words of a sweep of some twenty to forty trials."""
    rng = random.Random(seed)
    words = rng.choice(VARIED)
    return [*words, f"sweep.seeds={rng.choice([2, 3] if words[0] in ('sweep=temperature', 'sweep=lr') else [1, 2])}"]


def rows(folder: Path) -> Iterator[Row]:
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command_seconds(sys.executable, "-m", "em.tiny", environment=environment)

    def command(module: str, *words: str) -> float:
        return command_seconds(sys.executable, "-m", module, *words, environment=environment)

    names = [name for name in choices()["sweep"] if name != "command_line"]
    first = {name: command("sweeps.plan", f"sweep={name}", f"store={folder / 'none'}") for name in names}
    again = {name: command("sweeps.plan", f"sweep={name}", f"store={folder / 'none'}") for name in names}
    yield Row("planning and quoting paper, the first time", first["paper"], "s", at_most(PLANNING_SECONDS))
    yield Row(
        f"the slowest sweep after that, {max(again, key=again.__getitem__)}", max(again.values()), "s", at_most(3)
    )

    held, errors, shares = 0, list[float](), list[float]()
    for seed in range(TRIES):
        store, words = folder / f"try-{seed}", drawn(seed)
        words = [*words, f"store={store}", "tracking.progress=none"]
        command("sweeps.plan", *words, "pilot=3")
        launch = compose_launch(words)
        made = quote(launch, plan(launch, Store(store)), Store(store))
        took = command("sweeps", *words)
        low, high = made.interval
        held += low <= took <= high
        errors.append(abs(took / made.wall - 1))
        shares.append(busy(store))
        print(f"{seed}: {' '.join(drawn(seed))}: {took:.1f} s, quoted {made.wall:.1f} ({low:.1f} to {high:.1f})")
    yield Row(f"quotes whose interval held, of {TRIES}", held, "", at_least(0.8 * TRIES))
    yield Row("their middle, off by (median)", 100 * median(errors), "%", at_most(15))
    yield Row("sampling, training, evaluation, of lane time", 100 * median(shares), "%", at_least(95))


def busy(store: Path) -> float:
    """Share of the time of lanes that have begun in which they sample, train and measure."""
    records, _ = Store(store).records()
    made = records.select("provenance").unnest("provenance").drop_nulls("turnover_seconds")
    work, between = (sum(made[name].to_list()) for name in ("seconds", "turnover_seconds"))
    return work / (work + between)
