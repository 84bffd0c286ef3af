"""One failed attempt again, alone, in this process: its traceback in the terminal, its record where it succeeds.

python -m em.rerun UNIT_ID [store=results]
"""

import sys
from dataclasses import replace

from em.cli.command import read_words, run_command, terminal
from em.cli.inputs import with_weights
from em.cli.local import run
from em.errors import InputError
from em.store import Store
from em.store.recorded import unit_of


def main(arguments: list[str]) -> None:
    names, options = read_words(arguments, ["store"])
    if len(names) != 1:
        raise InputError(
            f"{' '.join(arguments)!r}: give the id of one unit of work (and store=... of a store elsewhere)"
        )
    store = Store(options.get("store", "results"))
    attempts = store.failures(names[0])
    if not attempts:
        raise InputError(f"{names[0]}: no failed attempt in {store.where('failed')}; `make failures` lists them")
    unit = unit_of(attempts[-1])
    if store.is_recorded(unit.id):
        sys.exit(f"{unit.id}: has succeeded since, in {store.where('records')}")
    unit = replace(unit, trial=with_weights(unit.trial))
    run([unit], store, terminal())
    print(f"{unit.id}: recorded in {store.where('records')}")


if __name__ == "__main__":
    run_command(main, __doc__)
