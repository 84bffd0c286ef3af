"""Measures what README and LOG claim: a row a figure; exit status 1 if any falls short.

    python -m bench [speed] [gain] [memory]      all three where none is named
    python -m bench sweep|wandb [TRIALS]         of 13,440 near-empty trials, unless said otherwise
    python -m bench cluster [TRIALS]             a thousand lanes, simulated, and 134,400 trials
    python -m bench trainer                      a step, its loss and its memory, on a CPU
    python -m bench gpu                          the same on a GPU, of 1.5 and 7 billion weights
    python -m bench analysis [TRIALS]            of 13,440 synthetic trials; 840 for each seed
    EM_BENCHMARK_DATA=FOLDER python -m bench evaluation
    python -m bench coverage                     how often intervals hold the true mean
    python -m bench search                       what searches find, on functions and on twelve tiny models
    python -m bench quote                        whether sweeps take what their quotes said
    EM_BENCHMARK_STORE=FOLDER python -m bench budget|gain|grpo|power|search|selection|stabilisers|states

Everything lies in a temporary folder, caches too, unless a folder is named.
"""

import sys
import tempfile
from importlib import import_module
from itertools import chain
from pathlib import Path

from bench.rows import report

SIZED = {"analysis", "cluster", "sweep", "wandb"}
CLAIMS = ["speed", "gain", "memory"]
# Modules of this package.
OTHERS = {"budget", "coverage", "evaluation", "gpu", "grpo", "power", "quote", "search", "selection", "stabilisers"}
OTHERS |= {"states", "trainer"}
PARTS = {*CLAIMS, *SIZED, *OTHERS}


def main(arguments: list[str]) -> int:
    sizes = [int(word) for word in arguments if word.isdecimal()]
    names = [word for word in arguments if not word.isdecimal()] or CLAIMS
    if not PARTS.issuperset(names) or (sizes and SIZED.isdisjoint(names)) or len(sizes) > 1:
        sys.exit(__doc__)
    modules = {name: import_module(f"bench.{name}") for name in names}  # here: grading processes import this file too
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        asked = {name: sizes if name in SIZED else [] for name in names}
        return report(chain.from_iterable(modules[name].rows(Path(folder), *asked[name]) for name in names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
