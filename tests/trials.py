"""Trials of one phase, and their records without a store, for tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from em.store.provenance import provenance
from em.store.record import Record
from em.train.trajectory import Runner
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig
from em.trial.trial import Phase, Trial
from em.trial.unit import Unit

NOT_REPRODUCED = ("attempt", "seconds", "provenance")  # fields of a record that two runs of one unit need not share


def one_phase(model: Model, prompts: Prompts, engine: EngineConfig | None = None, seed: int = 0, **phase: Any) -> Trial:
    return Trial(model=model, engine=engine or EngineConfig(), phase=Phase(prompts=prompts, **phase), seed=seed)


def phase_of(trial: Trial) -> Phase:
    assert trial.phase is not None
    return trial.phase


def run(runner: Runner, unit: Unit, on_step: Any = lambda step: None, recorded: Record | None = None) -> Record:
    """The record of a unit, stamped with as little as there is to say; `recorded` is of the unit's own trial."""
    started = datetime.now(UTC)
    sources: Mapping[str, Record] = {unit.trial.id: recorded} if recorded else {}
    done = runner.run(unit, on_step, sources)
    made = provenance(lane="", device=runner.device, started=started, replayed=done.replayed)
    return Record.of(done.unit, made, **vars(done.trajectory))
