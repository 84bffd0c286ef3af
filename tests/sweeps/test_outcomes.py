"""What became of trials, whatever they were given up with."""

import polars as pl
import pytest

from em.store import Store
from em.store.record import Record, Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.outcomes import fates
from sweeps.plan import plan
from tests.memory import MemoryFiles
from tests.synthetic import provenance
from tests.truth import Options


def fail(store: Store, unit: Unit) -> None:
    for attempt in (1, 2, 3):
        made = provenance(unit, 0, attempt, Options())
        store.commit(Record.of(unit, made, attempt, status=Status.failed, error="killed", log=""))


@pytest.mark.parametrize("of_first", [True, False])
def test_a_trial_is_given_up_with_the_phase_that_it_starts_from(of_first: bool) -> None:
    config, store = compose_launch(["phase=em_after_grpo", "sweep.seeds=2"]), Store("none", MemoryFiles())
    cells = [cell for cell in expand.cells(config) if not cell.trials[0].is_base]
    units = expand.units(config)
    lost = cells[0].trials[1]
    [own] = [unit for unit in units if unit.trial.id == lost.id]
    [first] = [unit for unit in units if own.start and unit.leads_to(own.start)]
    fail(store, first if of_first else own)
    found, _ = fates(config, store, store.records()[0], cells, config.sought)
    given_up = {unit.trial.id for unit in plan(config, store).given_up}
    assert lost.id in given_up
    assert {trial for trial, of in found.items() if of.is_over} == given_up & {*found}
    assert not pl.Series([of.score for of in found.values()]).is_not_nan().any()
