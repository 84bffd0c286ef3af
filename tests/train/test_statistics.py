"""What is recorded of a model's own distributions, against whole logits of the model in float64."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch

from em.__main__ import main
from em.cli.inputs import resolve_benchmark, resolve_model
from em.errors import InputError
from em.evaluation.statistics import TOP
from em.store import Store
from em.store.record import EvaluationResult, Record
from em.store.recorded import evaluations_of
from em.train import learner
from em.train.trainer import Trainer
from em.trial.evaluation import Benchmark, Evaluation, Statistics
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, EngineName, Rollout
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase, run

SUM = resolve_benchmark(Benchmark(name="sum", suite="sum", limit=3, max_new_tokens=8, grader="tiny"))
PLAIN = Evaluation(benchmark=SUM, temperature=1.0, top_p=1.0, samples=2, seed=0)
LOGITS = dataclasses.replace(PLAIN, statistics=Statistics.logits)


@pytest.fixture(scope="module")
def trial(checkpoint: Callable[..., Path]) -> Trial:
    return one_phase(
        resolve_model(Model(path=str(checkpoint(tied=True)))),
        Prompts(texts=["3+8+5+2?"]),
        EngineConfig(engine=EngineName.transformers, max_num_seqs=64),
        optimizer=Optimizer(lr=1e-3),
        rollout=Rollout(samples=8, temperature=1.0, max_new_tokens=8),
    )


@pytest.fixture(scope="module")
def trainer(trial: Trial, keep: Callable[[Trainer], Trainer]) -> Trainer:
    return keep(Trainer(trial.model, trial.engine))


@pytest.fixture(scope="module")
def recorded(trainer: Trainer, trial: Trial) -> Record:
    return run(trainer, Unit(trial.base, (Measurement(0, LOGITS),)))


def whole_logits(model: Any, trainer: Trainer, result: EvaluationResult, cut: int = 100) -> list[torch.Tensor]:
    """[T, V] of each answer, answer by answer, unpadded."""
    requests, _ = trainer.evaluator.prepare(PLAIN)
    made = []
    [measured] = trainer.evaluator.measure([Measurement(0, PLAIN)])
    for problem, request in enumerate(requests):
        for answer in measured.answers[problem]:
            ids = answer.token_ids[:cut]
            logits = model(torch.tensor([request.prompt + ids])).logits[0, len(request.prompt) - 1 : -1].detach()
            made.append((logits.double(), torch.tensor(ids)))
    assert [len(ids) for _, ids in made] == [min(cut, length) for length in result.lengths]
    return made


def test_all_logits_of_all_answers(recorded, trainer, random_model):
    [result] = recorded.evaluations
    answers = whole_logits(random_model(tied=True), trainer, result)
    logits_NV = torch.cat([logits for logits, _ in answers])
    expected = {
        "logits": logits_NV,
        "top_k": logits_NV.topk(TOP).values,
        "logprobs": logits_NV.log_softmax(-1),
    }
    assert [of.name for of in result.distributions or []] == ["logits", "top_k", "logprobs"]
    for of in result.distributions or []:
        values = expected[of.name].flatten().numpy()
        assert of.count == values.size
        assert of.mean == pytest.approx(values.mean(), rel=1e-4, abs=1e-5)
        assert of.sigma == pytest.approx(values.std(), rel=1e-4)
        assert of.skewness == pytest.approx(scipy.stats.skew(values), rel=1e-3, abs=1e-4)
        assert of.kurtosis == pytest.approx(scipy.stats.kurtosis(values, fisher=False), rel=1e-3)
        assert (of.minimum, of.maximum) == pytest.approx((values.min(), values.max()), rel=1e-4)
        assert of.below + of.above + sum(of.histogram) == of.count


def test_each_answer_and_each_position(recorded, trainer, random_model):
    [result] = recorded.evaluations
    answers = whole_logits(random_model(tied=True), trainer, result)
    entropies, probabilities = [], []
    by_position: dict[int, list[float]] = {}
    for logits, ids in answers:
        logp = logits.log_softmax(-1)
        entropy = -(logp.exp() * logp).sum(-1)
        entropies.append(float(entropy.mean()))
        probabilities.append(float(logp.exp()[torch.arange(len(ids)), ids].mean()))
        for place, value in enumerate(entropy.tolist()):
            by_position.setdefault(place, []).append(value)
    assert result.entropies == pytest.approx(entropies, rel=1e-4)
    assert result.probabilities == pytest.approx(probabilities, rel=1e-4)
    assert result.position_tokens == [len(by_position[place]) for place in range(len(by_position))]
    means = [sum(values) / len(values) for _, values in sorted(by_position.items())]
    assert result.position_entropies == pytest.approx(means, rel=1e-4)


def test_chunks_change_nothing_but_rounding(recorded, trainer, trial, monkeypatch):
    monkeypatch.setattr(learner, "LOOK_BYTES", 4 * 320 * 3)
    monkeypatch.setattr(learner, "LOOK_TOKENS", 40)
    again = run(trainer, Unit(trial.base, (Measurement(0, LOGITS),)))
    [one], [two] = recorded.evaluations, again.evaluations
    assert two.entropies == pytest.approx(one.entropies, rel=1e-4)
    for a, b in zip(one.distributions or [], two.distributions or [], strict=True):
        numbers = ("mean", "sigma", "skewness", "kurtosis")
        assert [getattr(a, name) for name in numbers] == pytest.approx([getattr(b, name) for name in numbers], rel=1e-4)


def test_answers_cut_to_the_shortest(trainer, trial, random_model):
    """As the published code does for its figure 1."""
    cut = dataclasses.replace(PLAIN, statistics=Statistics.logits_of_shortest)
    [result] = run(trainer, Unit(trial.base, (Measurement(0, cut),))).evaluations
    shortest = min(result.lengths)
    answers = whole_logits(random_model(tied=True), trainer, result, cut=shortest)
    values = torch.cat([logits for logits, _ in answers]).flatten().numpy()
    assert result.distributions is not None
    assert result.distributions[0].count == values.size == shortest * len(result.lengths) * 320
    assert result.distributions[0].skewness == pytest.approx(scipy.stats.skew(values), rel=1e-3, abs=1e-4)


def test_they_change_no_answer_and_are_a_measurement_of_their_own(trainer, trial, recorded):
    plain = run(trainer, Unit(trial.base, (Measurement(0, PLAIN),)))
    for name in ("extracted", "lengths", "texts", "correct"):
        assert getattr(plain.evaluations[0], name) == getattr(recorded.evaluations[0], name)
    assert plain.evaluations[0].entropies is None
    assert PLAIN.id != LOGITS.id


def test_of_any_recorded_trial_by_replaying_it(trainer, trial, tmp_path):
    """They come back from the store, and are those of the weights that were trained."""
    trained = Unit(trial, (Measurement(3, PLAIN),))
    record = run(trainer, trained)
    tokens = dataclasses.replace(PLAIN, statistics=Statistics.tokens)
    more = Unit(trial, (Measurement(3, tokens),), source=trained.id, whole=(Measurement(3, tokens),))
    made = run(trainer, more, recorded=record)
    assert made.provenance.replayed == record.provenance.attempt_id
    store = Store(tmp_path)
    assert store.commit(made)
    back = store.record(more.id)
    assert back == made
    [result] = back.evaluations
    assert result.distributions is None
    assert len(result.entropies or []) == 6
    assert result.entropies != run(trainer, Unit(trial.base, (Measurement(0, tokens),))).evaluations[0].entropies
    assert evaluations_of(back)[tokens.id] == tokens


def test_distributions_come_back_from_the_store(recorded, tmp_path):
    store = Store(tmp_path)
    assert store.commit(recorded)
    assert store.record(recorded.unit_id) == recorded
    assert store.records()[0].height == 1


def test_without_a_model_they_are_refused(trainer, monkeypatch):
    monkeypatch.setattr(trainer.evaluator, "looks", None)
    with pytest.raises(InputError, match=r"eval.statistics=logits: needs the model"):
        trainer.evaluator.measure([Measurement(0, LOGITS)])


def test_one_trial_prints_them(checkpoint, tmp_path, capsys):
    words = [f"model.path={checkpoint(tied=True)}", "model=checkpoint", "rollout=transformers", "eval.steps=[1]"]
    words += ["prompts.texts=['1+1?']", "rollout.samples=2", "rollout.max_new_tokens=4", "benchmarks.sum.limit=1"]
    main([*words, "eval.statistics=logits", "eval.samples=1", f"store={tmp_path}"])
    printed = capsys.readouterr().out
    assert "all logits of the answers" in printed
    row = next(
        line for line in printed.splitlines() if "skew" not in line and line.startswith("│ max") and "│    1 │" in line
    )
    store = Store(tmp_path)
    [unit] = [unit for unit in store.recorded_units() if store.record(unit).steps]
    [of] = [result for result in store.record(unit).evaluations if result.benchmark == "max"]
    assert of.distributions is not None
    assert f"{of.distributions[0].sigma:.2f}" in row
