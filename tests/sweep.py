"""`python -m sweeps` with another trainer in its workers.

python -m tests.sweep tests.near_empty:Trainer sweep=temperature ...
"""

import sys
from functools import partial

from em.cli.command import run_command
from sweeps.__main__ import main

if __name__ == "__main__":
    trainer = sys.argv.pop(1)
    run_command(partial(main, trainer=trainer), __doc__)
