"""The weights of a recorded trial, as a checkpoint folder that transformers and vLLM load.

    python -m em.rebuild TRIAL step=10 out=FOLDER                 store=results unless said otherwise
    python -m em.rebuild TRIAL every=10 out=FOLDER                FOLDER/step-10, FOLDER/step-20, ...
    python -m em.rebuild best=3 step=10 out=FOLDER                FOLDER/TRIAL, of each base model the three best
    python -m em.rebuild TRIAL step=10 out=FOLDER push=ORG/NAME   to the hub too, as a private model

No weights are stored: the trial is trained again on the tokens that its record holds.  On the kind of machine that
recorded it this gives the same weights, bit for bit; elsewhere they may differ, which is measured, said, and refused
beyond a tolerance.  dtype=bf16 halves the folder; model.path=FOLDER names a local base model that has moved.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from em.cli.command import read_words, run_command, terminal
from em.cli.inputs import with_weights
from em.errors import InputError, first_line, require, require_known
from em.model.checkpoint import checkpoint_folder
from em.model.hub import SMALL
from em.paths import expanded
from em.quiet import quiet_libraries
from em.store import Store
from em.store.recorded import evaluations_of, trial_of
from em.trial.model import Precision
from em.trial.unit import Unit

NUMBERS = ("step", "every", "best")
OPTIONS = (*NUMBERS, "store", "out", "push", "dtype", "model.path")
OWN = ("config.json", "recipe.json")  # written with the weights; what the tiny model was pretrained by
PYTHON = ".venv/bin/python"


def as_words(arguments: Sequence[str]) -> list[str]:
    """`--step 10` and `--step=10` are `step=10`."""
    words, left = list[str](), list(arguments)
    while left:
        word = left.pop(0)
        name, equals, _ = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in OPTIONS:
            word = word.removeprefix("--") if equals else f"{name}={left.pop(0) if left else ''}"
        words.append(word)
    return words


def trial_id_of(store: Store, given: str) -> str:
    """The id of the recorded trial, or unit of work, whose id begins so."""
    found = sorted(trial for trial in store.recorded_trials() if trial.startswith(given.partition("-")[0]))
    require(bool(given) and bool(found), "trial", given, f"store={store.address} has none; `make show` finds them")
    require(
        len(found) == 1, "trial", given, f"begins {len(found)} ids, such as {', '.join(found[:2])}; give more of it"
    )
    return found[0]


def main(arguments: list[str]) -> None:
    names, options = read_words(arguments, OPTIONS)
    numbers = {name: options[name] for name in NUMBERS if name in options}
    for name, value in numbers.items():
        require(value.isdecimal(), name, value, "must be a whole number")
        require(int(value) > 0 or name == "step", name, value, "must be greater than 0")
    require(bool(options.get("out")), "out", "", "say where to: out=FOLDER")
    require(
        ("step" in numbers) != ("every" in numbers),
        "step",
        options.get("step", ""),
        "say which, or every=10: one of both",
    )
    require(len(names) == ("best" not in numbers), "trial", " ".join(names), "give the id of one trial, or best=3")
    require(
        "best" not in numbers or "step" in numbers, "best", options.get("best", ""), "say after which step: step=10"
    )
    require(
        "push" not in options or "best" not in numbers, "push", options.get("push", ""), "takes one trial, not best"
    )
    dtype = options.get("dtype", Precision.fp32.value)
    require_known("dtype", dtype, [item.value for item in Precision])
    store, out = Store(options.get("store", "results")), expanded(options["out"])
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    require(not taken, "out", out, "is there and not empty; name a new folder")
    if "push" in options:
        require_push(options["push"])
    base = options.get("model.path", "")
    if "best" in numbers:
        from em.rebuild.best import best

        for chosen in best(store, int(numbers["best"]), step := int(numbers["step"])):
            rebuild(store, chosen.trial_id, {step: out / chosen.trial_id}, Precision(dtype), base, f"{chosen}")
        return
    trial_id = trial_id_of(store, names[0])
    if "every" in numbers:
        steps = multiples(store, trial_id, int(numbers["every"]))
        folders = {step: out / f"step-{step}" for step in steps}
    else:
        folders = {int(numbers["step"]): out}
    rebuild(store, trial_id, folders, Precision(dtype), base)
    if "push" in options:
        push(out, options["push"])


def multiples(store: Store, trial_id: str, every: int) -> list[int]:
    """The steps of a trial that are multiples, as far as it is recorded."""
    from em.rebuild.retrace import furthest

    last = furthest(store, trial_id)
    require(every <= last, "every", every, f"trial {trial_id} is recorded after steps 1 to {last}; give a smaller one")
    return list(range(every, last + 1, every))


def rebuild(
    store: Store, trial_id: str, folders: Mapping[int, Path], dtype: Precision, base: str = "", note: str = ""
) -> None:
    """Write a folder for each step; ends the process with status 1, and leaves none, where the weights are not the
    trial's."""
    quiet_libraries()
    from em.rebuild.card import card, said, table
    from em.rebuild.retrace import TOLERANCE, record_of, retrace
    from em.train.learner import Learner

    last = max(folders)
    record = record_of(store, trial_id, last)
    trial = with_weights(trial_of(record), base)
    recorded = store.replayable(Unit(trial, (), source=record.unit_id))

    checkpoint, console = checkpoint_folder(trial.model, show_progress=True), terminal()
    digests = dict[int, str]()

    def reached(step: int) -> None:
        digests[step] = learner.digest()
        folders[step].mkdir(parents=True, exist_ok=True)
        learner.export(folders[step], dtype)
        copy_small(checkpoint, folders[step])

    try:
        with console.status(f"trial {trial.id}: to step {last}"):
            learner = Learner(checkpoint, trial.model)
            drift = retrace(learner, trial, folders, recorded, reached)
        if not drift.is_tolerable:
            sys.exit(
                f"trial {trial.id}: not its weights, a step's mean log-probability is {drift.logprob:.3g} nats off (at "
                f"most {TOLERANCE:g}); rebuild it where it was recorded: {record.provenance.environment}"
            )
    except BaseException:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    own, of_base = (store.evaluations(of.id, first=record.unit_id) for of in (trial, trial.base))
    for step, folder in folders.items():
        command = f"{PYTHON} -m em.rebuild {trial.id} step={step} out=FOLDER"
        bases = {key: of.of_base.id for key, of in evaluations_of(record).items()}
        scores = "\n\n".join(filter(None, [note, table(own, of_base, step, bases)]))
        (folder / "README.md").write_text(card(trial, step, record, drift, digests[step], scores, command))
        console.print(
            f"{folder}: {trial.model.label} after step {step}, {dtype.value}", soft_wrap=True, highlight=False
        )
    console.print(said(drift), soft_wrap=True, highlight=False)


def copy_small(folder: Path, out: Path) -> None:
    """What else a checkpoint folder holds: its tokenizer, how it generates."""
    for path in {path for pattern in SMALL for path in folder.glob(pattern)}:
        if path.name not in OWN and not path.name.endswith(".index.json"):
            shutil.copyfile(path, out / path.name)
    for path in out.glob("*.safetensors"):
        path.chmod((out / "config.json").stat().st_mode)  # safetensors lets nobody else read it


def require_push(name: str) -> None:
    """Raise InputError where the hub does not know who is asking, before anything is trained."""
    from huggingface_hub import HfApi

    require(name.count("/") == 1, "push", name, "must be ORG/NAME")
    try:
        HfApi().whoami()
    except Exception as error:  # also of its HTTP library
        said = first_line(error)
        raise InputError(f"push={name}: the hub does not say who you are ({said}); set HF_TOKEN") from None


def push(folder: Path, name: str) -> None:
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        url = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=name, commit_message="Rebuilt from its record")
    except Exception as error:  # also of its HTTP library
        raise InputError(f"push={name}: {first_line(error)}; the checkpoint is in {folder}") from None
    print(url)


if __name__ == "__main__":
    sys.argv[1:] = as_words(sys.argv[1:])
    run_command(main, __doc__)
