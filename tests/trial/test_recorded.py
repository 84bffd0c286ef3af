"""Configs that records keep come back as they were, whatever their texts hold, and with the weights that they name."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from em.cli.inputs import resolve_model, with_weights
from em.errors import InputError
from em.store.provenance import provenance
from em.store.record import Record, Status
from em.store.recorded import evaluations_of, trial_of, unit_of
from em.tiny.recipe import Recipe
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.model import Model, Precision
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, EngineName, Rollout
from em.trial.trial import Earlier
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase

TRICKY = [
    "let ${p}_{a,b}$",
    r"cost $\${x}$",
    r"\\${x}",
    "${",
    "$${model.path}",
    "${oc.env:HOME}",
    "???",
    "a ??? b",
    "null",
    "1e3",
    "",
    "\\",
    "{problem}: 'é' \"\n\t\0",
]


def record_of(unit: Unit) -> Record:
    return Record.of(unit, provenance(lane="", device="", started=datetime.now(UTC)), status=Status.done)


@pytest.mark.parametrize("text", TRICKY)
def test_a_unit_comes_back_whatever_its_texts_hold(text):
    trial = one_phase(model=Model(path=f"m{text}", precision=Precision.bf16), prompts=Prompts(texts=[text, "1?"]))
    settings: dict[str, Any] = {"system": text, "stop": [text], "keep": {text: [1, 2]}, "grader": "boxed"}
    benchmark = Benchmark(name=f"b{text}", path="b.jsonl", digest="d", **settings)
    evaluation = Evaluation(benchmark=benchmark, temperature=0.5, top_p=1.0, samples=2, seed=0)
    unit = Unit(trial, (Measurement(3, evaluation),))
    assert unit_of(record_of(unit)) == unit
    assert trial_of(record_of(unit)) == trial
    assert evaluations_of(record_of(unit)) == {evaluation.id: evaluation}


def test_a_tiny_models_recipe_comes_back():
    trial = one_phase(model=Model(pretrain=Recipe(seed=3)), prompts=Prompts(texts=["1?"]))
    assert trial_of(record_of(Unit(trial, ()))) == trial


def test_a_base_model_and_a_trial_of_two_phases_come_back():
    trial = one_phase(
        model=Model(path="owner/model"),
        prompts=Prompts(texts=["1?"], answers=["1"], grader="boxed"),
        engine=EngineConfig(engine=EngineName.transformers, max_num_seqs=7),
        rollout=Rollout(samples=3),
    )
    assert trial.phase is not None
    after = dataclasses.replace(trial, before=(Earlier(phase=trial.phase, steps=4, seed=1),))
    for item in (trial, trial.base, after):
        assert trial_of(record_of(Unit(item, ()))) == item


def test_what_was_added_later_is_not_written_until_it_says_something():
    """The records of today's trials are those of the versions before."""
    trial = one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1?"]))
    written = json.loads(record_of(Unit(trial, ())).trial)
    assert sorted(written) == ["model", "objective", "optimizer", "prompts", "rollout", "seed"]
    assert sorted(written["prompts"]) == ["path", "rows", "template", "text_field", "texts"]
    assert sorted(written["objective"]) == ["first_token", "loss_temperature", "micro_batch_tokens"]
    sampling = {name: value for name, value in vars(Rollout()).items() if name != "samples_per_prompt"}
    engine = {"engine": "vllm", "gpu_memory_utilization": 0.0, "max_num_seqs": 256, "max_model_len": 4096}
    assert written["rollout"] == sampling | engine
    base = json.loads(record_of(Unit(trial.base, ())).trial)
    assert base == written | {"prompts": written["prompts"] | {"texts": []}}


def test_a_trial_that_reads_as_another_is_refused():
    record = record_of(Unit(one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1?"])), ()))
    changed = dataclasses.replace(record, trial=record.trial.replace("1?", "2?"))
    with pytest.raises(InputError, match=rf"trial {record.trial_id}: by this version's reading it is [0-9a-f]+;"):
        trial_of(changed)
    later = dataclasses.replace(record, trial=record.trial.replace('"seed"', '"sead"'))
    with pytest.raises(InputError, match=r"sead: no field of this version, a later one recorded it"):
        trial_of(later)


def test_a_local_checkpoint_is_the_recorded_one(tmp_path: Path, checkpoint: Callable[..., Path]):
    """Other weights in its place are refused; where it has moved, its folder can be named."""
    place = tmp_path / "model"
    shutil.copytree(checkpoint(tied=True), place)
    trial = one_phase(model=resolve_model(Model(path=str(place))), prompts=Prompts(texts=["1?"]))
    assert with_weights(trial) == trial
    moved = tmp_path / "moved"
    place.rename(moved)
    refused = re.escape(f"model.path={place}: does not hold the weights of trial {trial.id}; put them back, or name")
    with pytest.raises(InputError, match=refused):
        with_weights(trial)
    shutil.copytree(checkpoint(tied=True, seed=1), place)
    with pytest.raises(InputError, match=refused):
        with_weights(trial)
    moved_trial = with_weights(trial, str(moved))
    assert (moved_trial.id, moved_trial.model.path) == (trial.id, str(moved))
    with pytest.raises(InputError, match=refused):
        with_weights(trial, str(place))


def test_what_has_no_folder_cannot_have_moved():
    trial = one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1?"]))
    assert with_weights(trial) is trial
    with pytest.raises(InputError, match=r"model.path=x: trial .* is not of a local checkpoint; leave it out"):
        with_weights(trial, "x")
