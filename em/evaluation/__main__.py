"""Measures one model on benchmarks and prints the paper's table; what is recorded already is not measured again.

    python -m em.evaluation model=checkpoint model.path=FOLDER_OR_HUB_ID eval=paper
    python -m em.evaluation trial=TRIAL_ID step=10 eval=paper        # of a recorded trial, from its recorded tokens
    python -m em.evaluation trial=TRIAL_ID model.path=FOLDER         # ... whose checkpoint has moved

Everything else is as in `python -m em`: eval.data=FOLDER for benchmarks in files, eval.temperatures=[0.0], store=...
"""

from functools import reduce
from typing import Any

from em.cli.command import read_words, run_command, terminal
from em.cli.compose import compose_trial
from em.cli.inputs import with_weights
from em.cli.local import run
from em.cli.overrides import VARIED
from em.errors import InputError, require, require_known
from em.evaluation.table import table
from em.store import Store
from em.store.missing import missing_units
from em.store.record import EvaluationResult
from em.store.recorded import trial_of
from em.trial.config import Config
from em.trial.fields import with_value
from em.trial.identity import capacity_fields
from em.trial.method import Method
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.trial import Trial
from em.trial.unit import Unit

OURS = ("trial", "step", "model.path")  # with a recorded trial
PARTS = {*VARIED, "before"}
CAPACITY = {  # what changes no trial, and may be another one today: where a trial has it, by its name in the config
    f"{part}.{name}": f"{place}.{name}"
    for part, place, kind in (
        ("model", "model", Model),
        ("objective", "phase.objective", Method),
        ("rollout", "engine", EngineConfig),
    )
    for name in capacity_fields(kind)
    if name != "digest"
}


def main(arguments: list[str]) -> None:
    _, given = read_words(arguments)
    if "trial" in given:
        config, trial, step = of_record(arguments, given)
    else:
        require("step" not in given, "step", given.get("step"), "a step is of a recorded trial: name it with trial=...")
        config = compose_trial(arguments)
        trial, step = config.trial.base, 0
    store, console = Store(config.store), terminal()
    recorded_table, damaged = store.records()
    store.set_aside(damaged)
    unit = Unit(trial, config.measurements([step]))
    missing = missing_units([unit], recorded_table)
    if missing:
        run(missing, store, console)
    console.print(table(title(trial, step), measured(store, unit)))


def of_record(arguments: list[str], given: dict[str, str]) -> tuple[Config, Trial, int]:
    """What to measure, the recorded trial with the capacity that is given, and the step."""
    trial, step = recorded(Store(given.get("store", "results")), given)
    for name, value in given.items():
        fixed = name.partition(".")[0] in PARTS and name not in {*OURS, *CAPACITY}
        require(not fixed, name, value, f"trial {trial.id} is recorded, nothing of it can change: leave it out")
    chat_template = f"model.chat_template={str(trial.model.chat_template).lower()}"
    rest = [word for word in arguments if word.lstrip("+~").partition("=")[0] not in OURS]
    config = compose_trial([*rest, chat_template])
    for name in CAPACITY.keys() & given:
        if trial.phase or name.partition(".")[0] != "objective":
            value: Any = reduce(getattr, name.split("."), config)
            trial = with_value(trial, CAPACITY[name], value)
    return config, with_weights(trial, given.get("model.path", "")), step


def recorded(store: Store, words: dict[str, str]) -> tuple[Trial, int]:
    """The trial of that id and the step to measure: the last one measured unless one is named."""
    require_known("trial", words["trial"], store.recorded_trials())
    records = [store.record(unit) for unit in store.units_of([words["trial"]])]
    measured = max((result.step for record in records for result in record.evaluations), default=0)
    step = words.get("step", str(measured))
    trained = max(len(record.steps) for record in records)
    require(step.isdecimal(), "step", step, f"name an optimiser step; {trained} are recorded")
    return trial_of(records[0]), int(step)


def measured(store: Store, unit: Unit) -> list[EvaluationResult]:
    """The results of the unit: from its own record, where it has one, before those of other attempts."""
    wanted = dict.fromkeys(measurement.key for measurement in unit.measurements)
    results = store.evaluations(unit.trial.id, first=unit.id)
    found = {(result.step, result.evaluation_id): result for result in reversed(results)}
    if not wanted.keys() <= found.keys():
        raise InputError(f"trial {unit.trial.id}: diverged before step {unit.last_step}")
    return [found[key] for key in wanted]


def title(trial: Trial, step: int) -> str:
    return trial.model.label if trial.is_base else f"trial {trial.id} ({trial.model.label}), step {step}"


if __name__ == "__main__":
    run_command(main, __doc__)
