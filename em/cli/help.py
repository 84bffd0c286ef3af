"""What -h prints: how to use a command, the groups with their choices, and the fields that are changed most."""

import textwrap
from collections.abc import Mapping, Sequence

from omegaconf import OmegaConf

from em.cli.compose import Root
from em.cli.overrides import LISTS, choices

WIDTH = 120
FIELDS = {
    "before": "earlier phases, [grpo] or [{phase: grpo, steps: 50}]",
    "seed": "of all random numbers of a trial; the first one, in a sweep",
    "sweep.seeds": "trials of each cell",
    "stopping.margin": "of accuracy, within which a cell is as good as the best, with stopping=decided",
    "compare.difference": "of accuracy, that `sweeps.power` plans seeds for",
    "sweep.max_attempts": "failures after which a trial is given up",
    "search.points": "that are tried, with search=tpe",
    "search.objectives": "what counts as good: mean, median, worst, spread, seconds; several leave a Pareto front",
    "model.path": "checkpoint folder or hub id, with model=checkpoint",
    "model.precision": "of rollouts and forward passes: fp32 or bf16",
    "prompts.texts": "the prompts that are trained on",
    "prompts.rank": "of a selection's prompts the one that is trained on; 0: the best",
    "optimizer.lr": "learning rate",
    "objective.loss_temperature": "of the distribution whose entropy is minimised",
    "rollout.samples": "answers of one optimiser step",
    "rollout.samples_per_prompt": "with several prompts; 0: all take turns",
    "rollout.temperature": "at which they are sampled",
    "rollout.max_new_tokens": "their length at most",
    "eval.steps": "optimiser steps after which a trial is measured",
    "eval.temperatures": "at which problems are answered",
    "eval.samples": "answers to each problem",
    "eval.statistics": "of the model's distributions: none, tokens, logits",
    "eval.texts": "which answers keep their text: all, sample, none",
    "eval.ends": "answers that are ended before the token limit: none, loops, answered, both",
    "cluster.lanes": "0: as many as there is room for",
    "tracking.wandb": "mirror the sweep to W&B",
    "store": "of records and figures: a folder, or s3://bucket/prefix",
}


def describe(usage: str, root: Root | None, words: Sequence[str]) -> str:
    """`usage`, then what may be chosen and changed; defaults are those that these words lead to."""
    if root is None:
        return usage
    composed = root.compose(root.words(words))
    chosen = root.chosen(root.words(words))
    groups = {name: options for name, options in choices().items() if name in chosen or name in LISTS}
    fields = {name: OmegaConf.select(composed, name) for name in FIELDS if name.partition(".")[0] in composed}
    return "\n".join(
        [
            usage,
            "Groups, GROUP=CHOICE (each choice is a file of conf/GROUP):",
            *(line(name, options, made(chosen, name, options)) for name, options in groups.items()),
            "",
            "Fields, NAME=VALUE (all of them, with comments, are in the dataclasses of em/trial and sweeps/config.py):",
            *(f"  {name:26} {shown(value):14} {FIELDS[name]}" for name, value in fields.items()),
            "",
            "--cfg job prints the whole config, --info defaults the files that make it; -sc install=bash completes.",
        ]
    )


def line(name: str, options: Sequence[str], choice: object) -> str:
    """A group and its choices, on several lines where they are many."""
    text = f"  {name:10} {', '.join(options)}  [{choice}]"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 13, break_on_hyphens=False)


def made(chosen: Mapping[str, object], name: str, options: Sequence[str]) -> object:
    """The choice of a group; `none` where it has none, or follows another group that it has no file for."""
    choice = chosen.get(name, "none")
    return choice if isinstance(choice, list) or str(choice).strip("[]").split(",")[0] in options else "none"


def shown(value: object) -> str:
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    return str(getattr(value, "value", value))
