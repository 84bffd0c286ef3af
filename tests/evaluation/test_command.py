"""`python -m em.evaluation`: a checkpoint, a recorded trial, what is recorded already, and mistakes."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from em import __main__ as em
from em.errors import InputError
from em.evaluation import __main__ as evaluation
from em.store import Store
from em.store.record import EvaluationResult, Record, Status
from em.trial.config import Config
from em.trial.evaluation import Chat
from em.trial.model import Model
from em.trial.trial import Trial
from em.trial.unit import Unit
from tests.evaluation.test_problems import jsonl
from tests.store.test_store import COLD, HOT, UNIT, record, unit
from tests.trials import phase_of

Arguments = Callable[..., list[str]]


@pytest.fixture
def asked(tmp_path: Path) -> Arguments:
    """What is to be measured of a recorded trial."""
    problems = jsonl(tmp_path / "mine.jsonl", *({"problem": f"{n}+{n}?", "answer": 2 * n} for n in range(4)))
    return lambda *words: [
        "benchmark=jsonl",
        f"benchmarks.jsonl.path={problems}",
        "benchmarks.jsonl.max_new_tokens=8",
        "benchmarks.jsonl.grader=maths",
        "eval.samples=2",
        f"store={tmp_path / 'store'}",
        *words,
    ]


@pytest.fixture
def arguments(tmp_path: Path, checkpoint: Callable[..., Path], asked: Arguments) -> Arguments:
    prompts = jsonl(tmp_path / "prompts.jsonl", {"problem": "1+1?"})
    shutil.copytree(checkpoint(tied=False), tmp_path / "model")
    return lambda *words: asked(
        "model=checkpoint",
        f"model.path={tmp_path / 'model'}",
        "prompts=jsonl",
        f"prompts.path={prompts}",
        "rollout=transformers",
        "rollout.samples=4",
        "rollout.max_new_tokens=8",
        *words,
    )


def records(store: Store) -> list[Record]:
    return [store.record(unit) for unit in store.recorded_units()]


def evaluations(store: Path) -> list[EvaluationResult]:
    return [result for record in records(Store(store)) for result in record.evaluations]


def test_a_checkpoint_is_measured_once(arguments, tmp_path, capsys, monkeypatch):
    evaluation.main(arguments("eval.temperatures=[0.0,1.0]"))
    printed = capsys.readouterr().out
    assert "accuracy, % (95% interval over problems)" in printed
    assert sorted((row.step, row.temperature, row.samples) for row in evaluations(tmp_path / "store")) == [
        (0, 0.0, 1),
        (0, 1.0, 2),
    ]
    monkeypatch.setattr(evaluation, "run", None)  # nothing is left to run
    evaluation.main(arguments("eval.temperatures=[0.0,1.0]"))
    assert capsys.readouterr().out == printed


def test_a_recorded_trial_is_trained_again_from_its_tokens(arguments, asked, tmp_path, capsys):
    """To the step that is asked for; its answers are those of a trial that had the evaluation from the start."""
    em.main(arguments("eval.steps=[2]"))
    [trained] = [record for record in records(Store(tmp_path / "store")) if record.steps]
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    words = asked(f"trial={trained.trial_id}", "step=1", "eval.temperatures=[0.5]")
    with pytest.raises(InputError, match=r"model.path=.*/model: does not hold the weights of trial "):
        evaluation.main(words)
    evaluation.main([*words, f"model.path={moved}"])
    moved.rename(tmp_path / "model")
    assert f"trial {trained.trial_id} (" in capsys.readouterr().out
    [later] = [row for row in evaluations(tmp_path / "store") if row.step == 1]
    em.main(arguments("eval.steps=[1]", "eval.temperatures=[0.5]", f"store={tmp_path / 'other'}"))
    [asked] = [row for row in evaluations(tmp_path / "other") if row.step == 1]
    assert later == asked
    replayed = [record.provenance.replayed for record in records(Store(tmp_path / "store"))]
    assert trained.provenance.attempt_id in replayed


@pytest.mark.parametrize(("status", "step"), [(Status.done, 5), (Status.diverged, 2)])
def test_the_step_is_the_last_one_measured_unless_one_is_named(tmp_path, status, step):
    store = Store(tmp_path)
    made = record(unit((2, COLD), (5, COLD)), status=status, steps=5)
    store.commit(made)
    assert evaluation.recorded(store, {"trial": made.trial_id}) == (UNIT.trial, step)
    assert evaluation.recorded(store, {"trial": made.trial_id, "step": "1"}) == (UNIT.trial, 1)


def of_record(store: Store, *words: str) -> tuple[Config, Trial, int]:
    words = (f"trial={UNIT.trial.id}", f"store={store.root}", *words)
    return evaluation.of_record(list(words), dict(word.split("=", 1) for word in words))


@pytest.mark.parametrize(
    "word",
    ["seed=1", "rollout.top_p=1", "rollout=vllm", "model=checkpoint", "prompts.path=p", "model.chat_template=true"],
)
def test_what_a_recorded_trial_is_cannot_be_asked_for(tmp_path, word):
    store = Store(tmp_path)
    store.commit(record())
    with pytest.raises(InputError, match=rf"^{word}: trial {UNIT.trial.id} is recorded, nothing of it can change"):
        of_record(store, word)


def test_capacity_is_what_is_given_or_else_what_was_recorded(tmp_path):
    store = Store(tmp_path)
    store.commit(record())
    words = ("rollout.max_num_seqs=7", "model.cpu_threads=2", "objective.micro_batch_tokens=99")
    _, trial, _ = of_record(store, *words)
    assert trial.id == UNIT.trial.id
    assert (trial.engine.max_num_seqs, trial.model.cpu_threads, phase_of(trial).objective.micro_batch_tokens) == (
        7,
        2,
        99,
    )
    assert trial.engine.max_model_len == UNIT.trial.engine.max_model_len


def test_the_chat_template_is_the_recorded_models(tmp_path):
    store = Store(tmp_path)
    store.commit(record())
    with pytest.raises(InputError, match=r"eval.chat=model: would be plain text"):
        of_record(store, "eval.chat=model")
    model = Model(path="owner/model", chat_template=True)
    templated = Unit(dataclasses.replace(UNIT.trial, model=model), UNIT.measurements)
    store.commit(record(templated))
    words = [f"trial={templated.trial.id}", f"store={store.root}", "eval.chat=model"]
    config, trial, _ = evaluation.of_record(words, dict(word.split("=", 1) for word in words))
    assert (config.eval.chat, trial) == (Chat.model, templated.trial)


def of_two_attempts(store: Store) -> list[Unit]:
    """A measurement of two records, that scores 0.25 in one that has it alone and 0.75 in the other."""
    units = [unit((2, COLD)), unit((2, COLD), (2, HOT))]
    for of, accuracy in zip(units, (0.25, 0.75), strict=True):
        made = record(of, attempt_id=str(accuracy))
        for result in made.evaluations:
            result.accuracy = accuracy
        store.commit(made)
    return units


def test_a_table_is_of_the_unit_that_was_asked_for(tmp_path):
    store = Store(tmp_path)
    for of, accuracy in zip(of_two_attempts(store), (0.25, 0.75), strict=True):
        found = [(result.evaluation_id, result.accuracy) for result in evaluation.measured(store, of)]
        assert found == [(m.evaluation.id, accuracy) for m in of.measurements]
        printed = em.summary(store, of.trial.id, of.trial.base.id, [of.id])
        assert next(iter(printed.columns[3].cells)) == f"{100 * accuracy:.1f}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trial=feed"], "unknown trial 'feed': choose from "),
        (["step=1"], "step=1: a step is of a recorded trial: name it with trial=..."),
        (["trail=feed"], "unknown option 'trail'"),
        ([f"trial={UNIT.trial.id}", "step=last"], "step=last: name an optimiser step; 2 are recorded"),
        ([f"trial={UNIT.trial.id}", "step=²"], "step=²: name an optimiser step; 2 are recorded"),
    ],
)
def test_a_mistake_is_one_line(asked, tmp_path, words, message):
    Store(tmp_path / "store").commit(record())
    with pytest.raises(InputError) as raised:
        evaluation.main(asked(*words))
    assert str(raised.value).startswith(message)


def test_an_empty_store_is_said(asked, tmp_path):
    with pytest.raises(InputError, match=r"^store=.*/store: holds no records$"):
        evaluation.main(asked("trial=feed"))
