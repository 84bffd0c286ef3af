"""Groups of conf/ compose to the same trial in whatever order they are chosen: no two of them set one field."""

import re
from itertools import combinations, permutations
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from em.cli.compose import TRIAL, compose_trial
from em.cli.overrides import CONF, choices
from em.trial.config import Config
from em.trial.model import Precision

MODELS = {"tiny": [], "checkpoint": ["model.path=owner/model"], "qwen2.5-math-7b": []}
UNNAMED = ("checkpoint", "rlvr", "rlvr-16-shot")  # models whose path is given with them
GLOBAL = ("phase", "preset", "scale", "sized", "sweep", "trained_on", "tuned")  # lie over the other groups


def files(*groups: str) -> list[Path]:
    return [path for group in groups for path in sorted((CONF / group).glob("*.yaml"))]


def package(path: Path) -> str:
    first = path.read_text().partition("\n")[0]
    return first.removeprefix("# @package ") if first.startswith("# @package ") else path.parent.name


def fields(path: Path) -> set[str]:
    """Dotted paths of what a file sets."""
    left, paths = [(package(path), OmegaConf.to_container(OmegaConf.load(path)))], set()
    while left:
        prefix, value = left.pop()
        if isinstance(value, dict) and value:
            left += [(f"{prefix}.{name}", item) for name, item in value.items() if name != "defaults"]
        else:
            paths.add(prefix)
    return paths


def trial(*words: str) -> Config:
    return compose_trial(words)


def test_only_presets_and_sweeps_reach_into_other_groups():
    groups = [folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name not in GLOBAL]
    assert len(groups) > 8
    assert not [path for path in files(*groups) if package(path) == "_global_"]
    set_by = {group: set().union(*map(fields, files(group))) for group in groups}
    for one, other in combinations(groups, 2):
        assert not set_by[one] & set_by[other], (one, other)


@pytest.mark.parametrize("name", choices()["model"])
def test_every_model_composes(name):
    model = trial(f"model={name}", *["model.path=owner/model"] * (name in UNNAMED)).model
    if not name.startswith("tiny") and name != "checkpoint":
        assert (model.from_hub, model.precision, model.path.count("/")) == (True, Precision.bf16, 1)
        assert 1 < model.parameters < 9
        pinned = re.fullmatch(r"[0-9a-f]{40}", model.revision) is not None
        assert pinned or (model.revision == "main" and "Not pinned here: " in (CONF / f"model/{name}.yaml").read_text())


@pytest.mark.parametrize("objective", ["paper", "reference_code"])
@pytest.mark.parametrize("model", MODELS)
def test_model_and_objective_each_bring_their_own(model, objective):
    words = [f"model={model}", *MODELS[model], f"objective={objective}"]
    config, tiny, code = trial(*words), model == "tiny", objective == "reference_code"
    assert vars(config.objective)["loss_temperature"] == (0.5 if code else 1.0)
    assert vars(config.objective)["first_token"] is not code
    assert (config.rollout.top_p, config.rollout.repetition_penalty) == ((0.95, 1.15) if code else (1.0, 1.0))
    assert (config.rollout.temperature, config.rollout.max_new_tokens) == ((1.5, 24) if tiny else (0.5, 512))
    assert config.optimizer.lr == (1e-3 if tiny else 2e-5)


def test_the_order_of_words_decides_nothing():
    words = ["model=qwen2.5-math-7b", "objective=reference_code", "rollout=transformers", "rollout.top_p=0.9"]
    ids = {trial(*order).trial.id for order in permutations(words)}
    assert len(ids) == 1


def test_sampling_and_preset_are_choices_of_their_own():
    assert trial("sampling=reference_code").objective == trial().objective
    assert trial("sampling=reference_code").rollout.top_p == 0.95
    plain = trial("~preset")
    assert (plain.rollout.temperature, plain.optimizer.lr, plain.model) == (0.5, 2e-5, trial().model)
    assert trial("model=qwen2.5-math-7b", "preset=tiny").rollout.temperature == 1.5


def test_benchmarks_on_the_command_line_win_over_those_of_the_evaluation():
    for words in permutations(["eval=paper", "benchmark=tiny"]):
        config = trial(*words)
        assert "sum" in config.benchmarks
        assert config.eval.temperatures == [0.0, 0.6]
    assert list(TRIAL.compose(["eval=paper"]).benchmarks) == [
        *("math500", "minerva_math", "olympiadbench", "amc23", "kk", "mbpp")
    ]
