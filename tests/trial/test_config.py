"""What follows from a config: the trial, its base model, the measurements; a field replaced, and checked again."""

import dataclasses
import re

import pytest

from em.errors import InputError
from em.tiny.recipe import Recipe
from em.train.entropy import EntropyMinimisation
from em.trial.config import Config
from em.trial.evaluation import Benchmark, Chat, Eval
from em.trial.fields import typed_value, with_value
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, EngineName, Rollout, RolloutConfig
from em.trial.trial import Earlier, Phase, Trial
from em.trial.unit import Measurement, Unit


@pytest.fixture
def config() -> Config:
    return Config(
        model=Model(path="owner/Some-Model"),
        prompts=Prompts(texts=["1+1?"]),
        objective=EntropyMinimisation(),
        optimizer=Optimizer(lr=1e-3),
        rollout=RolloutConfig(engine=EngineName.transformers, temperature=1.5, max_num_seqs=8),
        seed=3,
        eval=Eval(steps=[0, 10], temperatures=[0.0, 1.0], samples=4, seed=9),
        benchmarks={name: Benchmark(name=name, suite=name, grader="tiny") for name in ("sum", "max")},
    )


def test_a_config_names_one_trial(config):
    trial = config.trial
    assert trial == Trial(
        model=config.model,
        engine=EngineConfig(engine=EngineName.transformers, max_num_seqs=8),
        phase=Phase(
            prompts=config.prompts,
            objective=config.objective,
            optimizer=config.optimizer,
            rollout=Rollout(temperature=1.5),
        ),
        seed=3,
    )
    assert not trial.is_base


def test_the_base_model_is_shared_by_all_trials_of_a_model_and_engine(config):
    base = config.trial.base
    assert base.is_base
    assert base.base.id == base.id
    changes = {"seed": 8, "rollout.temperature": 0.1, "optimizer.lr": 1.0, "objective.first_token": False}
    for path, value in changes.items():
        assert with_value(config, path, value).trial.base.id == base.id
    assert with_value(config, "rollout.engine", EngineName.vllm).trial.base.id != base.id
    assert with_value(config, "model.path", "owner/other").trial.base.id != base.id


def test_every_benchmark_is_measured_at_every_temperature_after_every_step(config):
    points = [(m.step, m.evaluation.benchmark.name, m.evaluation.temperature) for m in config.measurements([0, 10])]
    assert points == [(s, b, t) for s in (0, 10) for t in (0.0, 1.0) for b in ("sum", "max")]
    assert {(e.temperature, e.samples, e.top_p, e.seed) for e in config.evaluations} == {(0, 1, 1.0, 9), (1, 4, 1.0, 9)}


def test_the_models_chat_template_is_asked_for_only_where_it_is_on(config):
    with pytest.raises(InputError, match=r"eval.chat=model: would be plain text: set model.chat_template=true"):
        dataclasses.replace(config, eval=Eval(chat=Chat.model))
    on = dataclasses.replace(config, eval=Eval(chat=Chat.model), model=with_value(config.model, "chat_template", True))
    assert {evaluation.benchmark.chat for evaluation in on.evaluations} == {Chat.model}
    assert dataclasses.replace(config, eval=Eval(chat=Chat.chatml)).eval.chat is Chat.chatml


def test_every_benchmark_has_a_name_of_its_own(config):
    twice = {key: Benchmark(name="sum", suite=key, grader="tiny") for key in ("sum", "max")}
    with pytest.raises(InputError, match=r"benchmarks.sum.name=sum: another benchmark has it; give each its own"):
        dataclasses.replace(config, benchmarks=twice)


def test_a_unit_is_followed_to_its_furthest_step(config):
    assert Unit(config.trial, config.measurements([5, 20, 0])).last_step == 20


def test_with_value_replaces_one_field_and_leaves_the_original(config):
    before = dataclasses.asdict(config)
    changed = with_value(config, "rollout.temperature", 2.0)
    assert changed.rollout.temperature == 2.0
    assert dataclasses.replace(changed, rollout=config.rollout) == config
    assert dataclasses.asdict(config) == before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("rollout.temperature", 3.0, r"rollout.temperature=3.0: the engines sample between 0 \(greedy\) and 2"),
        ("optimizer.lr", 0.0, "optimizer.lr=0.0: must be a number greater than 0"),
        ("seed", -1, "seed=-1: must be 0 or greater"),
    ],
)
def test_with_value_runs_every_check(config, path, value, message):
    with pytest.raises(InputError, match=message):
        with_value(config, path, value)


@pytest.mark.parametrize(
    ("path", "value", "typed"),
    [
        ("rollout.temperature", 2, 2.0),
        ("rollout.temperature", "2", 2.0),
        ("rollout.engine", "transformers", EngineName.transformers),
        ("prompts.texts", ["1+1?"], ["1+1?"]),
        ("seed", 3, 3),
    ],
)
def test_a_value_takes_the_type_of_its_field(config, path, value, typed):
    made = typed_value(config, path, value)
    assert made == typed
    assert type(made) is type(typed)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("rollout.temprature", 1, "unknown field 'rollout.temprature': did you mean 'rollout.temperature'?"),
        ("rolout.temperature", 1, "unknown field 'rolout': did you mean 'rollout'?"),
        ("rollout.samples", "a", "samples=a: Value 'a' of type 'str' could not be converted to Integer"),
        ("rollout.samples", 16.5, "samples=16.5: Value '16.5' of type 'float' could not be converted to Integer"),
        ("rollout.engine", "vlm", "engine=vlm: Invalid value 'vlm'"),
        ("prompts.texts", "abc", "texts=abc: "),
        ("rollout", 1, "rollout=1: vary one of its fields"),
        ("seed.x", 1, "seed.x=1: seed has no fields of its own"),
        ("rollout.max_num_seqs", 2, "max_num_seqs=2: it changes nothing of what a trial is"),
    ],
)
def test_a_value_of_another_type_is_named(config, path, value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        typed_value(config, path, value)


def test_the_base_model_keeps_the_engines_capacity(config):
    small = with_value(config, "rollout.max_num_seqs", 4).trial
    assert small.base.engine.max_num_seqs == 4
    assert small.base.id == config.trial.base.id


def test_step_0_is_measured_on_the_base_model_alone(config):
    config.eval.steps = [0, 2]
    base, trained = config.units([config.trial])
    assert (base.trial.is_base, base.last_step) == (True, 0)
    assert {measurement.step for measurement in trained.measurements} == {2}
    config.eval.steps = [0]
    assert [unit.trial.is_base for unit in config.units([config.trial])] == [True]


def test_the_end_of_an_earlier_phase_is_measured_once_for_all_that_start_from_it(config):
    trial = config.trial
    after = dataclasses.replace(trial, before=(Earlier(phase=trial.phase, steps=4, seed=1),))
    units = config.units([after.with_seed(seed) for seed in range(3)])
    assert [unit.last_step for unit in units] == [0, 4, 10, 10, 10]
    assert units[1].trial == dataclasses.replace(trial, seed=1)
    assert units[1].id == Unit(dataclasses.replace(trial, seed=1), config.measurements([4])).id


def test_labels_are_short():
    assert Model(path="Qwen/Qwen2.5-Math-7B").label == "Qwen2.5-Math-7B"
    assert Model(path="/data/checkpoints/mine/").label == "mine"
    assert Model(pretrain=Recipe(seed=4)).label == "tiny-4"


def test_a_benchmark_has_problems_from_one_place():
    for suite, path in (("", ""), ("sum", "x.jsonl")):
        with pytest.raises(InputError, match=r"benchmarks\.b\.path"):
            Benchmark(name="b", grader="tiny", suite=suite, path=path)


def test_measurements_are_told_apart_by_step_and_evaluation(config):
    one, two = config.evaluations[:2]
    assert len({Measurement(step, evaluation).key for step in (0, 1) for evaluation in (one, two)}) == 4
