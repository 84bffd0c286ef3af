"""Measures what README and LOG claim: a row a figure; exit status 1 if any falls short.

    python -m bench [speed] [gain] [memory]      all three where none is named
    python -m bench sweep|wandb [TRIALS]         of 13,440 near-empty trials, unless said otherwise
    EM_BENCHMARK_DATA=FOLDER python -m bench evaluation
    python -m bench quote                        whether sweeps take what their quotes said
    EM_BENCHMARK_STORE=FOLDER python -m bench gain|grpo|selection|stabilisers

Everything lies in a temporary folder, caches too, unless a folder is named.
"""

import sys
import tempfile
from importlib import import_module
from itertools import chain
from pathlib import Path

from bench.rows import report

SIZED = {"sweep", "wandb"}
CLAIMS = ["speed", "gain", "memory"]
PARTS = {*CLAIMS, *SIZED, "evaluation", "grpo", "quote", "selection", "stabilisers"}  # modules of this package


def main(arguments: list[str]) -> int:
    sizes = [int(word) for word in arguments if word.isdecimal()]
    names = [word for word in arguments if not word.isdecimal()] or CLAIMS
    if not PARTS.issuperset(names) or (sizes and not SIZED.issuperset(names)) or len(sizes) > 1:
        sys.exit(__doc__)
    modules = [import_module(f"bench.{name}") for name in names]  # here: grading processes import this file too
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        return report(chain.from_iterable(module.rows(Path(folder), *sizes) for module in modules))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
