"""What training a model takes of a GPU's memory, phase by phase, and how it would be trained there.

    python -m em.memory model=qwen2.5-math-7b gpu=h100
    python -m em.memory model=qwen2.5-math-7b gpu=48 gpus=2 model.states=on_cpu

gpu is a name or a number of GiB (this machine's own unless said), gpus how many hold the model together.  Nothing is
loaded: of a model of the hub, config and tokenizer are read.  A trial is trained by the same plan.
"""

from pathlib import Path

from rich.table import Table

from em.cli.command import read_words, run_command, terminal
from em.cli.compose import compose_trial
from em.errors import require
from em.memory.device import GIB, here, named
from em.model import hub
from em.model.checkpoint import checkpoint_folder
from em.quiet import quiet_libraries
from em.trial.model import Model

OPTIONS = ("gpu", "gpus")


def main(arguments: list[str]) -> None:
    own = [word for word in arguments if word.partition("=")[0] in OPTIONS]
    _, options = read_words(own)
    trial = compose_trial([word for word in arguments if word not in own]).trial
    ranks = options.get("gpus", "1")
    require(ranks.isdecimal() and int(ranks) > 0, "gpus", ranks, "must be a whole number greater than 0")
    quiet_libraries()
    from em.memory.plan import plan_of

    device = named(options["gpu"]) if options.get("gpu") else here()
    plan = plan_of(small_folder(trial.model), trial.model, trial.engine, device, int(ranks))
    console = terminal()
    each = f"each of {ranks} times " if int(ranks) > 1 else ""
    table = Table(title=f"{trial.model.label} on {each}{device.name}, GiB")
    table.add_column("")
    for phase in plan.phases:
        table.add_column(phase.name, justify="right", style="bold" if phase is plan.peak else None)
    for name in dict.fromkeys(name for phase in plan.phases for name in phase.parts):
        held = (f"{phase.parts[name] / GIB:.2f}" if name in phase.parts else "-" for phase in plan.phases)
        table.add_row(name, *held)
    table.add_row("all", *(f"{phase.total / GIB:.2f}" for phase in plan.phases))
    console.print(table)
    console.print(f"{device.usable / GIB:.1f} GiB are usable.  Plan: {plan}.", soft_wrap=True, highlight=False)
    if plan.on_host:
        console.print(f"The optimiser takes {plan.on_host / GIB:.1f} GiB of the host's memory.", highlight=False)


def small_folder(model: Model) -> Path:
    """A folder with the model's config; of a hub model nothing large is fetched."""
    return hub.small(model) if model.from_hub else checkpoint_folder(model, show_progress=True)


if __name__ == "__main__":
    run_command(main, __doc__)
