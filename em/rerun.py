"""One failed attempt again, alone, in this process: its traceback in the terminal, its record where it succeeds.

python -m em.rerun UNIT_ID [store=results]
"""

import json
import sys
from typing import Any, TypeVar

from omegaconf import OmegaConf
from rich.console import Console

from em.__main__ import run
from em.compose import run_command
from em.config import Evaluation, Measurement, Trial, Unit
from em.errors import InputError
from em.record import Record
from em.schema import read, schema_of
from em.store import Store

ConfigT = TypeVar("ConfigT")


def unit_of(record: dict[str, Any]) -> Unit:
    """The unit of work that a record is of; raises InputError where today's config makes another trial of it."""
    if not record["measurements"]:
        raise InputError(f"{record['unit_id']}: recorded by a version that did not say what was to be measured")
    evaluations = {key: config_of(Evaluation, it) for key, it in json.loads(record["evaluations_config"]).items()}
    measurements = (Measurement(key["step"], evaluations[key["evaluation_id"]]) for key in record["measurements"])
    unit = Unit(config_of(Trial, json.loads(record["trial"])), tuple(measurements))
    if unit.id != record["unit_id"]:
        raise InputError(f"{record['unit_id']}: by this version's reading it is {unit.id}; check out the older version")
    return unit


def config_of(kind: type[ConfigT], plain: dict[str, Any]) -> ConfigT:
    """A dataclass of em.config from the JSON that a record keeps of it."""
    made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), plain))
    assert isinstance(made, kind)
    return made


def main(arguments: list[str]) -> None:
    words = dict(word.split("=", 1) for word in arguments if "=" in word)
    names = [word for word in arguments if "=" not in word]
    if len(names) != 1 or set(words) - {"store"}:
        raise InputError(
            f"{' '.join(arguments)!r}: give the id of one unit of work (and store=... of a store elsewhere)"
        )
    store = Store(words.get("store", "results"))
    paths = sorted(store.failed.glob(f"{names[0]}*.parquet"))
    if not paths:
        raise InputError(f"{names[0]}: no failed attempt in {store.failed}; `make failures` lists them")
    unit = unit_of(read(paths[-1], schema_of(Record)).row(0, named=True))
    if store.record_path(unit.id).exists():
        sys.exit(f"{unit.id}: has succeeded since, in {store.record_path(unit.id)}")
    run([unit], store, Console())
    print(f"recorded in {store.record_path(unit.id)}")


if __name__ == "__main__":
    run_command(main, __doc__)
