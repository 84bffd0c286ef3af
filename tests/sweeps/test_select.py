"""Data selection by what it picks: the paper's rule, ties included, in one round and in two."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from em.cli import overrides
from em.cli.compose import compose_trial
from em.errors import InputError
from em.evaluation.candidates import Candidate, contenders, ranked
from em.store import Store
from em.store.record import EvaluationResult
from em.tiny import tasks
from em.train.trajectory import Finished, Trajectory
from em.trial.unit import Unit
from sweeps import select
from tests import near_empty
from tests.conftest import random_model, write_checkpoint
from tests.trials import run


def candidate(correct: int, samples: int = 16, entropy: float = 0.2, text: str = "?") -> Candidate:
    return Candidate(text=text, answer="1", correct=correct, samples=samples, entropy=entropy)


def test_variance_then_entropy_then_the_order_of_the_pool():
    pool = [
        candidate(16, entropy=9.0),
        candidate(7, entropy=0.9),
        candidate(8, entropy=0.1, text="first"),
        candidate(9, entropy=0.8),
        candidate(8, entropy=0.3, text="second"),
        candidate(8, entropy=0.3, text="third"),
    ]
    order = ranked(pool)
    assert [of.text for of in order[:3]] == ["second", "third", "first"]
    assert [of.correct for of in order[3:]] == [7, 9, 16]  # 7 and 9 of 16 vary alike


def test_the_interval_is_wilsons():
    low, high = candidate(2, 4).variances(0.95)
    assert (low, high) == (pytest.approx(0.150 * 0.850, abs=1e-3), 0.25)
    low, high = candidate(0, 4).variances(0.95)
    assert (low, high) == (0.0, pytest.approx(0.25, abs=1e-3))  # up to p = .49
    low, high = candidate(0, 16).variances(0.95)
    assert (low, high) == (0.0, pytest.approx(0.194 * 0.806, abs=1e-3))
    low, high = candidate(0, 8).variances(0.8)
    assert (low, high) == (0.0, pytest.approx(0.170 * 0.830, abs=1e-3))


def test_contenders_hold_whoever_may_be_among_the_best():
    """Over random pools: the best by their true p, where the intervals hold it, are never left out."""
    rng = Random(0)
    for _ in range(200):
        pool = [candidate(rng.randint(0, 16)) for _ in range(30)]
        top = rng.randint(1, 5)
        chosen = contenders(pool, top, 0.8)
        assert len(chosen) >= top
        least = sorted((of.variances(0.8)[0] for of in pool), reverse=True)[top - 1]
        assert chosen == [place for place, of in enumerate(pool) if of.variances(0.8)[1] >= least]
        assert {place for place, _ in enumerate(pool)} - set(chosen) <= {
            place for place, of in enumerate(pool) if of.variance < least
        }
    sure = [candidate(800, 1600), candidate(10, 1600), candidate(790, 1600)]
    assert contenders(sure, 1, 0.99) == [0, 2]


DATA = Path(os.environ.get("EM_BENCHMARK_DATA", ""))
POOL = 40
RIGHT = {place: (place * 7) % 17 / 16 for place in range(POOL)}  # share of right answers, by place in the pool


class Answers(near_empty.Trainer):
    """Answers the pool: prompt number `p` gets RIGHT[p] of its answers right, with an entropy of its own."""

    def run(self, unit: Unit, on_step: Callable[[int], None], recorded: Any, states: Any = None) -> Finished:
        on_step(0)
        made = Trajectory()
        for measurement in unit.measurements:
            of = measurement.evaluation
            correct, entropies = [], []
            for text, _reference in of.benchmark.pairs:
                place = int(text.split()[-1].rstrip("?"))
                right = round(RIGHT[place] * of.samples)
                correct += [True] * right + [False] * (of.samples - right)
                entropies += [0.1 + place % 5] * of.samples
            made.evaluations.append(
                EvaluationResult(
                    step=0,
                    evaluation_id=of.id,
                    benchmark=of.benchmark.name,
                    temperature=of.temperature,
                    problems=len(of.benchmark.pairs),
                    samples=of.samples,
                    accuracy=sum(correct) / len(correct),
                    correct=[*correct],
                    extracted=[None] * len(correct),
                    lengths=[3] * len(correct),
                    truncated=[False] * len(correct),
                    texts=[None] * len(correct),
                    entropies=entropies,
                )
            )
        return Finished(unit, made)


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    rows = [{"problem": f"prompt ${{x}} {place}", "answer": str(place)} for place in range(POOL)]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def words(pool_file: Path, tmp_path: Path) -> list[str]:
    asked = [f"prompts.path={pool_file}", "prompts.answer_field=answer", "prompts.grader=boxed"]
    return ["prompts=jsonl", *asked, "select.shard=7", f"store={tmp_path / 'results'}"]


def answered(words: list[str]) -> tuple[select.Pool, list[int]]:
    """The pool, all of it answered; and how many units each look at the records asked for."""
    config = select.compose(words)
    store, looks = Store(config.store), []
    runner = Answers(config.model, config.trial.engine)
    while True:
        pool = select.Pool(config, store)
        todo = [unit for unit in pool.wanted(store.records()[0]) if not store.is_recorded(unit.id)]
        looks.append(len(todo))
        if not todo:
            return pool, looks
        for unit in todo:
            store.commit(run(runner, unit))


def test_one_round_ranks_by_the_rule(words):
    pool, looks = answered(words)
    assert looks == [6, 0]  # 40 prompts, 7 to a unit
    order = select.ranking(pool.candidates())
    assert [of.answer for of in order] == [str(place) for place in best(16)]
    assert {(of.samples, of.length) for of in order} == {(16, 3.0)}
    assert order[0].entropy == pytest.approx(0.1 + best(16)[0] % 5)


def best(answers: int) -> list[int]:
    """The pool, best first, where each round of so many answers has the nearest number of right ones."""
    share = [round(RIGHT[place] * answers) / answers for place in range(POOL)]
    return sorted(range(POOL), key=lambda p: (-share[p] * (1 - share[p]), -(p % 5), p))


def test_two_rounds_pick_the_best_with_fewer_answers(words):
    pool, looks = answered([*words, "select.first=8", "select.top=2"])
    order = select.ranking(pool.candidates())
    assert [of.answer for of in order[:2]] == [str(place) for place in best(8)[:2]]
    second = sum(of.samples == 16 for of in order)
    assert 2 <= second < POOL
    assert looks == [6, -(-second // 7), 0]
    assert [of.samples for of in order] == [16] * second + [8] * (POOL - second)


def test_answers_that_are_missing_are_said(words):
    config = select.compose(words)
    with pytest.raises(InputError, match=r"prompt 0 of the pool has no answers yet"):
        select.Pool(config, Store(config.store)).candidates()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["prompts.answer_field=''"], "prompts.answer_field='': name the field of the references"),
        (["prompts.answer_field=anser"], "unknown field 'anser': did you mean 'answer'?"),
        (["prompts.grader=maht"], "unknown grader 'maht': did you mean 'maths'?"),
        (["prompts.grader=''"], "prompts.grader='': name who compares"),
        (["select.first=16"], "select.first=16: must be 0 (one round) or less than select.samples=16"),
        (["select.top=-1"], "select.top=-1: must be a number of prompts, or 0"),
        (["select.name=a/b"], "select.name='a/b': give a name that can be a file's"),
        (["rollout.temperature=0"], "rollout.temperature=0.0: would give equal answers"),
        (["rollout.repetition_penalty=1.2"], "rollout.repetition_penalty=1.2: measurements know none"),
        (["tracking=wandb"], "tracking.wandb=true: shows sweeps, not selections"),
        (["select.name=tiny"], "select.name=tiny: "),
        (["select.confidence=1"], "select.confidence=1.0: must be between 0 and 1"),
        (["selekt.top=1"], "unknown option 'selekt.top': did you mean 'select.top'?"),
    ],
)
def test_mistakes_are_one_line(words, more, said):
    with pytest.raises(InputError) as caught:
        select.compose([*words, *more])
    assert said in str(caught.value)


def test_prompts_without_a_reference_are_left_out_and_said(words, pool_file):
    """Of a nested field; their rows keep their numbers."""
    rows = [{"problem": f"p {place}", "answer": {"truth": "" if place == 2 else str(place)}} for place in range(5)]
    pool_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    left_out: list[str] = []
    nested = [*words, "prompts.answer_field=answer.truth", "prompts.grader=maths"]
    assert select.compose(nested, left_out).prompts.answers == ["0", "1", "3", "4"]
    assert left_out == [f"{pool_file}:3: answer.truth='': must say something"]
    assert select.compose([*nested, "prompts.rows=[4,2,0]"]).prompts.answers == ["4", "0"]
    with pytest.raises(InputError, match=r"pool.jsonl:3: answer.truth='': must say something"):
        compose_trial([word for word in nested if not word.startswith("select")])


def test_a_data_set_of_the_hub_is_a_pool_that_is_read_before_anything_is_planned(tmp_path, monkeypatch):
    """Through the code that reads hub ids; whether or not training would select from it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    rows = [{"problem": f"p {place}?", "answer": "" if place == 2 else str(place)} for place in range(9)]
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["prompts=pool", f"prompts.hub={tmp_path / 'set'}", "prompts.limit=5", "prompts.grader=boxed"]
    for more in ([], ["prompts.select=none"]):
        left_out: list[str] = []
        config = select.compose([*words, f"store={tmp_path / 'results'}", *more], left_out)
        assert config.prompts.texts == [f"p {place}?" for place in (0, 1, 3, 4, 5)]
        assert left_out == [f"{tmp_path}/set train[2]: answer='': must say something"]
    pool, looks = answered([*words, f"store={tmp_path / 'results'}", "select.shard=2"])
    assert looks == [3, 0]
    assert {of.answer for of in pool.candidates()} == {*"01345"}
    with pytest.raises(InputError, match=r"^prompts.hub=.*nowhere: not to be had \(.*\); give its rows as a file"):
        select.compose([*words, f"prompts.hub={tmp_path / 'nowhere'}"])


def test_the_pool_is_the_tiny_worlds_where_none_is_named(tmp_path):
    config = select.compose([f"store={tmp_path / 'results'}"])
    assert (len(config.prompts.texts), config.prompts.grader) == (48, "tiny")
    assert config.prompts.texts == [of.prompt for of in tasks.problems("sum", "train", 48)]


def test_the_prompts_that_are_written_are_what_is_trained_on(words, tmp_path, monkeypatch):
    """Also where their text looks like an interpolation."""
    conf = tmp_path / "conf"
    (conf / "prompts").mkdir(parents=True)
    monkeypatch.setattr(select, "CONF", conf)
    pool, _ = answered([*words, "select.top=3"])
    order = select.ranking(pool.candidates())
    where = Path(select.write(pool.config, order[:3]))
    monkeypatch.setattr(overrides, "CONF", tmp_path / "whole")
    link(overrides.__file__, tmp_path / "whole", where)
    config = compose_trial(["prompts=selected", "rollout.samples_per_prompt=1"])
    assert config.prompts.texts == [of.text for of in order[:3]]
    assert config.prompts.answers == [of.answer for of in order[:3]]
    assert config.trial.phase is not None
    assert select.write(pool.config, order[:1]) == str(where)  # its own may be written again
    where.write_text("texts: [mine]\n")
    with pytest.raises(InputError, match=r"select.name=selected: .* is not a selection; give another name"):
        select.write(pool.config, order[:1])


def link(module: str, whole: Path, prompts: Path) -> None:
    """conf/ as it is, with one more choice of prompts."""
    own = Path(module).resolve().parents[2] / "conf"
    whole.mkdir()
    for item in own.iterdir():
        if item.name != "prompts":
            (whole / item.name).symlink_to(item)
    (whole / "prompts").mkdir()
    for item in (*(own / "prompts").iterdir(), prompts):
        (whole / "prompts" / item.name).symlink_to(item)


@pytest.mark.slow
def test_through_lanes_and_again(words, tmp_path, monkeypatch):
    """The command: lanes answer, it saves ranking and prompts; again it has nothing to do."""
    command = [sys.executable, "-m", "tests.sweeps.test_select", str(tmp_path), *words, "select.first=8"]
    first = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    assert "6 to do" in first.stdout
    with (tmp_path / "results" / "selections" / "selected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == POOL
    assert rows[0]["answer"] == str(best(8)[0])
    assert (tmp_path / "prompts" / "selected.yaml").read_text().startswith(select.MARK)
    again = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    assert " 0 to do" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(
    not (DATA / "prompt_pool.jsonl").is_file(), reason="set EM_BENCHMARK_DATA to a folder with prompt_pool.jsonl"
)
def test_the_whole_real_pool_on_a_random_model(tmp_path):
    """1,209 prompts, one of them without a reference, 16 answers each, none of them right: ties, so entropy decides."""
    model = write_checkpoint(tmp_path / "model", random_model(tied=True, context=4096))
    words = ["prompts=jsonl", f"prompts.path={DATA / 'prompt_pool.jsonl'}", "prompts.text_field=prompt"]
    words += ["prompts.answer_field=reward_model.ground_truth", "prompts.grader=maths"]
    words += ["model=checkpoint", f"model.path={model}", "rollout.max_new_tokens=6", "select.top=4", "eval.texts=none"]
    words += [f"store={tmp_path / 'results'}", "tracking.progress=none"]
    command = [sys.executable, "-m", "sweeps.select", *words, "select.name=real_pool"]
    config = select.compose(words)
    done = subprocess.run([*command, "select.top=0"], check=True, timeout=1400, capture_output=True, text=True)
    assert "left out 1 prompts that cannot be used" in done.stdout
    assert "0 of 76 units of work so far, 76 to do" in done.stdout
    with (tmp_path / "results" / "selections" / "real_pool.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["text"] for row in rows) == sorted(config.prompts.texts)
    assert {row["samples"] for row in rows} == {"16"}
    keys = [(-float(row["variance"]), -float(row["entropy"])) for row in rows]
    assert keys == sorted(keys)
    order = {text: place for place, text in enumerate(config.prompts.texts)}
    tied = [[order[row["text"]] for row, key in zip(rows, keys, strict=True) if key == tie] for tie in set(keys)]
    assert all(places == sorted(places) for places in tied)


if __name__ == "__main__":
    select.CONF = Path(sys.argv[1])
    (select.CONF / "prompts").mkdir(exist_ok=True)
    select.main(sys.argv[2:], trainer="tests.sweeps.test_select:Answers")
