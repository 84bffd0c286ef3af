"""Units of work in this process, without Ray."""

import sys
from datetime import UTC, datetime
from functools import partial

import rich.status
from rich.console import Console

from em.model.checkpoint import checkpoint_folder
from em.model.hub import commit_of
from em.quiet import quiet_libraries
from em.store import Store
from em.store.provenance import provenance
from em.store.record import Record, Status
from em.trial.unit import Unit


def run(units: list[Unit], store: Store, console: Console) -> None:
    """Work through the units in this process."""
    quiet_libraries()
    from em.train.trainer import Trainer

    model_commit = commit_of(checkpoint_folder(units[0].trial.model, show_progress=True))
    with console.status("loading model and engine"):
        trainer = Trainer(units[0].trial.model, units[0].trial.engine)
    for unit in units:
        name = "base model" if unit.trial.is_base else f"trial {unit.trial.id}"
        started = datetime.now(UTC)
        with console.status(name) as status:
            done = trainer.run(unit, partial(tell, status, name, unit.last_step), store.replayable(unit), store.states)
        made = provenance(
            lane="",
            device=trainer.device,
            started=started,
            replayed=done.replayed,
            resumed=done.resumed,
            model_commit=model_commit,
        )
        record = Record.of(done.unit, made, **vars(done.trajectory))
        store.commit(record)
        if record.status is Status.failed:
            sys.exit(f"{name} failed; the attempt is kept in {store.where('failed')}:\n{record.error}")
        if record.status is Status.diverged:
            console.print(f"{name} diverged: {record.error}")
    for unit in units:
        if unit.start:
            store.states.drop_end(*unit.start)
    store.flush()
    trainer.close()


def tell(status: rich.status.Status, name: str, last_step: int, step: int | None) -> None:
    status.update(f"{name}: waits for grades" if step is None else f"{name}: step {step}/{last_step}")
