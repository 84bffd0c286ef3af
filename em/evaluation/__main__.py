"""Measures one model on benchmarks and prints the paper's table; what is recorded already is not measured again.

    python -m em.evaluation model=checkpoint model.path=FOLDER_OR_HUB_ID eval=paper
    python -m em.evaluation trial=TRIAL_ID step=10 eval=paper        # of a recorded trial, from its recorded tokens

Everything else is as in `python -m em`: eval.data=FOLDER for benchmarks in files, eval.temperatures=[0.0], store=...
"""

from rich.console import Console

from em.__main__ import run
from em.compose import compose_trial, run_command
from em.config import Config, Trial, Unit
from em.errors import InputError, require, require_known
from em.evaluation.table import table
from em.recorded import trial_of
from em.store import Store, missing_units


def main(arguments: list[str]) -> None:
    ours = dict(word.split("=", 1) for word in arguments if word.startswith(("trial=", "step=")))
    only_step = "step" in ours and "trial" not in ours
    require(not only_step, "step", ours.get("step"), "a step is of a recorded trial: name it with trial=...")
    config = compose_trial([word for word in arguments if word.partition("=")[0] not in ours])
    store, console = Store(config.store), Console()
    trial, step = recorded(store, ours) if "trial" in ours else (config.trial.base, 0)
    recorded_table, damaged = store.table()
    store.set_aside(damaged)
    unit = Unit(trial, config.measurements([step]))
    missing = missing_units([unit], recorded_table)
    if missing:
        run(missing, store, console)
    console.print(table(title(trial, step), measured(config, store, unit)))


def recorded(store: Store, words: dict[str, str]) -> tuple[Trial, int]:
    """The trial of that id and the step to measure: the last one recorded unless one is named."""
    known = {unit.partition("-")[0] for unit in store.recorded_units()}
    require_known("trial", words["trial"], known)
    records = [store.record(path.stem) for path in store.record_paths([words["trial"]])]
    trained = max(len(record["steps"]) for record in records)
    step = words.get("step", str(trained))
    require(step.isdigit(), "step", step, f"name an optimiser step; {trained} are recorded")
    return trial_of(records[0]), int(step)


def measured(config: Config, store: Store, unit: Unit) -> list[dict]:
    wanted = {measurement.key for measurement in unit.measurements}
    found = {
        (result["step"], result["evaluation_id"]): result
        for result in store.evaluations(unit.trial.id)
        if (result["step"], result["evaluation_id"]) in wanted
    }
    if len(found) < len(wanted):
        raise InputError(f"trial {unit.trial.id}: diverged before step {unit.last_step}")
    return list(found.values())


def title(trial: Trial, step: int) -> str:
    return trial.model.label if trial.is_base else f"trial {trial.id} ({trial.model.label}), step {step}"


if __name__ == "__main__":
    run_command(main, __doc__)
