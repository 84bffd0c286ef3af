"""The model card of a rebuilt checkpoint: what it is, what it scores, how it was made, how to make it again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from em.rebuild.retrace import Drift
from em.store.record import EvaluationResult, Record
from em.trial.trial import Trial
from em.trial.written import plain

CARD = """---
{data}
---

# {name}

{trained}

{scores}
## What it is

| | |
|---|---|
{facts}

```json
{config}
```

## Made again

{exact}

    {command}
"""


def card(trial: Trial, step: int, record: Record, drift: Drift, digest: str, scores: str, command: str) -> str:
    """README.md, with the metadata of the hub."""
    from huggingface_hub import ModelCardData

    phase = trial.phase
    assert phase is not None
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["entropy-minimisation", phase.objective.name],
        base_model=trial.model.path if trial.model.from_hub else None,
    )
    made, number = record.provenance, len(record.prompts)
    prompts = "one prompt" if number == 1 else f"{number:,} prompts"
    environment = ", ".join(f"{name} {value}" for name, value in json.loads(made.environment).items())
    revision = made.model_commit or (trial.model.revision if trial.model.from_hub else "")
    facts = {
        "trial": f"`{trial.id}`, record `{record.unit_id}`",
        "base model": " ".join(filter(None, [name_of(trial), revision])),
        "phases": " then ".join(
            f"{name} x {steps}"
            for name, steps in [
                *((of.phase.objective.name, steps) for of, steps in trial.path if of.phase is not None),
                (phase.objective.name, step),
            ]
        ),
        "seed": trial.seed,
        "digest of the weights in fp32": f"`{digest}`",
        "recorded with": f"code {made.code_version}, {environment}",
    }
    return CARD.format(
        data=data.to_yaml().strip(),
        name=f"{trial.model.label} after {phase.objective.name}, step {step}",
        trained=f"Trained for {step} steps of {phase.objective.name} on its own answers to {prompts}.",
        scores=scores,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        config=json.dumps(without_folders(plain(trial)), indent=1, ensure_ascii=False),
        exact=said(drift),
        command=command,
    )


def name_of(trial: Trial) -> str:
    """Of its base model: a hub id, or what a folder is called and the digest of its files."""
    model = trial.model
    return model.path if model.from_hub else " ".join(filter(None, [model.label, model.digest]))


def without_folders(config: Any) -> Any:
    """A config as it is written, files by their names alone: where somebody keeps them is nobody's business."""
    if isinstance(config, list):
        return [without_folders(item) for item in config]
    if isinstance(config, dict):
        return {
            name: Path(value).name if name == "path" and str(value).startswith("/") else without_folders(value)
            for name, value in config.items()
        }
    return config


def said(drift: Drift) -> str:
    """How sure it is that these are the recorded weights."""
    if drift.is_exact:
        return (
            f"These are the recorded weights, bit for bit: every metric of {drift.steps} steps is equal, and so is "
            "every digest of weights that is recorded on the way."
        )
    if not drift.unequal and not drift.differing:
        return f"Every metric of {drift.steps} steps is equal; no digest of the weights is recorded, to prove them by."
    return (
        f"A re-derivation, not the same bits: {drift.unequal} of {drift.steps} steps differ in some metric from what "
        f"was recorded, {drift.differing} of {drift.digests} digests of the weights do. The mean log-probability of a "
        f"step's tokens is at most {drift.logprob:.2g} nats off."
    )


def table(
    own: Sequence[EvaluationResult], base: Sequence[EvaluationResult], step: int, of_base: Mapping[str, str]
) -> str:
    """Markdown: what was measured after this step, beside the base model; empty where nothing was.

    Of several measurements of one kind the first counts.  `of_base`: the base model's evaluation, where it is measured
    otherwise than the trial.
    """
    before = {of.evaluation_id: of.accuracy for of in base if of.step == 0}
    cells = dict[tuple[str, float, str], str]()
    for of in (of for of in own if of.step == step):
        its = of_base.get(of.evaluation_id, of.evaluation_id)
        known = f"{100 * before[its]:.1f}" if its in before else "-"
        place = f"avg@{of.samples}, T {of.temperature:g}" if of.temperature else "greedy"
        cells.setdefault((of.benchmark, of.temperature, place), f"{known} → {100 * of.accuracy:.1f}")
    if not cells:
        return ""
    places = [place for _, place in sorted({(temperature, place) for _, temperature, place in cells})]
    by_place = {(name, place): text for (name, _, place), text in cells.items()}
    rows = [
        ["benchmark", *places],
        ["---"] * (1 + len(places)),
        *(
            [name, *(by_place.get((name, place), "-") for place in places)]
            for name in sorted({key[0] for key in cells})
        ),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["## Accuracy, %: base model → this model", "", *lines, "", ""])
