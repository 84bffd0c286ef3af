"""`python -m sweeps.submit` for sweeps with another trainer in their workers.

python -m tests.submit tests.near_empty:Trainer submit sweep=temperature ...
"""

import sys
from functools import partial

from em.cli.command import run_command
from sweeps.submit import main

if __name__ == "__main__":
    command = ("python", "-m", "tests.sweep", sys.argv.pop(1))
    run_command(partial(main, command=command), __doc__)
