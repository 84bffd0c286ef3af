"""`python -m em.evaluation`: a checkpoint, a recorded trial, what is recorded already, and mistakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em import __main__ as em
from em.errors import InputError
from em.evaluation import __main__ as evaluation
from em.store import Store
from tests.evaluation.test_problems import jsonl

Arguments = Callable[..., list[str]]


@pytest.fixture
def arguments(tmp_path: Path, checkpoint: Callable[..., Path]) -> Arguments:
    problems = jsonl(tmp_path / "mine.jsonl", *({"problem": f"{n}+{n}?", "answer": 2 * n} for n in range(4)))
    prompts = jsonl(tmp_path / "prompts.jsonl", {"problem": "1+1?"})

    def made(*words: str) -> list[str]:
        return [
            "model=checkpoint",
            f"model.path={checkpoint(tied=False)}",
            "prompts=jsonl",
            f"prompts.path={prompts}",
            "benchmark=jsonl",
            f"benchmarks.jsonl.path={problems}",
            "benchmarks.jsonl.max_new_tokens=8",
            "benchmarks.jsonl.grader=maths",
            "rollout=transformers",
            "rollout.samples=4",
            "rollout.max_new_tokens=8",
            "eval.samples=2",
            f"store={tmp_path / 'store'}",
            *words,
        ]

    return made


def evaluations(store: Path) -> list[dict[str, Any]]:
    rows = Store(store).scan().select("evaluations").explode("evaluations").unnest("evaluations").collect()
    return rows.select("step", "temperature", "samples", "texts").to_dicts()


def test_a_checkpoint_is_measured_once(arguments, tmp_path, capsys, monkeypatch):
    evaluation.main(arguments("eval.temperatures=[0.0,1.0]"))
    printed = capsys.readouterr().out
    assert "accuracy, % (95% interval over problems)" in printed
    assert [(row["step"], row["temperature"], row["samples"]) for row in evaluations(tmp_path / "store")] == [
        (0, 0.0, 1),
        (0, 1.0, 2),
    ]
    monkeypatch.setattr(evaluation, "run", None)  # nothing is left to run
    evaluation.main(arguments("eval.temperatures=[0.0,1.0]"))
    assert capsys.readouterr().out == printed


def test_a_recorded_trial_is_trained_again_from_its_tokens(arguments, tmp_path, capsys):
    """To the step that is asked for; its answers are those of a trial that had the evaluation from the start."""
    em.main(arguments("eval.steps=[2]"))
    [trained] = [record for record in Store(tmp_path / "store").scan().collect().to_dicts() if record["steps"]]
    evaluation.main(arguments(f"trial={trained['trial_id']}", "step=1", "eval.temperatures=[0.5]"))
    assert f"trial {trained['trial_id']} (" in capsys.readouterr().out
    [later] = [row for row in evaluations(tmp_path / "store") if row["step"] == 1]
    em.main(arguments("eval.steps=[1]", "eval.temperatures=[0.5]", f"store={tmp_path / 'other'}"))
    [asked] = [row for row in evaluations(tmp_path / "other") if row["step"] == 1]
    assert later == asked
    replayed = Store(tmp_path / "store").scan().unnest("provenance").select("replayed").collect()["replayed"]
    assert trained["provenance"]["attempt_id"] in replayed.to_list()


def test_the_step_is_the_last_one_recorded_unless_one_is_named(arguments, tmp_path):
    em.main(arguments("eval.steps=[2]"))
    store = Store(tmp_path / "store")
    [trained] = [record for record in store.scan().collect().to_dicts() if record["steps"]]
    trial, step = evaluation.recorded(store, {"trial": trained["trial_id"]})
    assert (trial.id, step) == (trained["trial_id"], 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trial=feed"], "unknown trial 'feed': choose from "),
        (["step=1"], "step=1: a step is of a recorded trial: name it with trial=..."),
        (["trail=feed"], "unknown option 'trail'"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, message):
    with pytest.raises(InputError) as raised:
        evaluation.main(arguments(*words))
    assert str(raised.value).startswith(message)


def test_a_step_that_is_none_is_named(arguments, tmp_path):
    em.main(arguments("eval.steps=[1]"))
    store = Store(tmp_path / "store")
    trial = next(unit.partition("-")[0] for unit in store.recorded_units())
    with pytest.raises(InputError, match=r"step=last: name an optimiser step; \d are recorded"):
        evaluation.recorded(store, {"trial": trial, "step": "last"})
