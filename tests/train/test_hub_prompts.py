"""Prompts of a data set of the hub: all of them, or one that is selected, and what is left out."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from em.errors import InputError
from em.trial.prompts import Prompts, Select
from em.trial.rollout import Rollout
from em.trial.trial import Phase
from tests.answering import Scripted, selector

ROWS = [("a", "1"), ("b", "2"), ("", "3"), ("c", ""), ("d", "4"), ("b", "5"), ("e", "6"), ("f", "7")]
USABLE = [("a", "1"), ("b", "2"), ("d", "4"), ("e", "6"), ("f", "7")]  # of ROWS: each text once


@pytest.fixture
def on_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prompts:
    """A folder in the hub's layout, which is read by the code that reads hub ids."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    rows = [{"problem": text, "answer": answer} for text, answer in ROWS]
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Prompts(hub=str(tmp_path / "set"), answer_field="answer", grader="boxed", limit=4)


def boxed(right: Sequence[int], nats: Sequence[float] | None = None) -> Scripted:
    return Scripted([rf"\boxed{{{answer}}}" for _, answer in USABLE], right, nats)


def variance(prompts: Prompts, rank: int = 0, length: int = 512) -> Phase:
    selected = replace(prompts, select=Select.variance, rank=rank)
    return Phase(prompts=selected, rollout=Rollout(max_new_tokens=length))


def test_one_prompt_of_a_data_set_is_selected(on_hub: Prompts, tmp_path: Path):
    """From the first `limit` rows that can be used; of equal ones the first, unless its answers have less entropy."""
    cases = [([0, 8, 8, 2], None, "bdea"), ([0, 8, 8, 2], [0.5, 0.4, 0.5, 0.5], "dbea"), ([7, 7, 7, 9], None, "abde")]
    for case, (right, nats, order) in enumerate(cases):
        sampler = boxed(right, nats)
        made = selector(tmp_path / "kept", sampler, f"base {case}")
        found = [made.resolved(variance(on_hub, rank)).prompts for rank in range(4)]
        assert "".join(prompts.texts[0] for prompts in found) == order
        assert found[0] == on_hub.known(texts=[order[0]], answers=[dict(USABLE)[order[0]]])
        assert [bytes(request.prompt).decode() for request in sampler.requests] == ["a", "b", "d", "e"]
        assert {(of.samples, of.temperature, of.max_new_tokens) for of in sampler.requests} == {(16, 1.0, 512)}


def test_a_selection_is_kept_for_the_data_set_and_the_length_of_answers(on_hub: Prompts, tmp_path: Path):
    sampler = boxed([1, 2, 3, 4, 8])
    made = selector(tmp_path / "kept", sampler)
    asked = []
    for prompts, length in (
        (on_hub, 512),
        (on_hub, 256),
        (replace(on_hub, limit=5), 512),
        (replace(on_hub, split="train[:5]"), 512),
        (replace(on_hub, template="{problem}!"), 512),
        (on_hub, 512),
    ):
        made.resolved(variance(prompts, length=length))
        asked.append(len(sampler.requests))
    assert asked == [4, 8, 13, 16, 20, 20]
    (Path(on_hub.hub) / "train.jsonl").unlink()
    sampler = boxed([])
    again = selector(tmp_path / "kept", sampler)  # on a node without the data set
    assert again.resolved(variance(on_hub, rank=1)).prompts.texts == ["d"]
    assert not sampler.requests


def test_a_rank_beyond_a_data_set_is_refused_before_anything_is_sampled(on_hub: Prompts, tmp_path: Path):
    sampler = boxed([0] * 5)
    made = selector(tmp_path / "kept", sampler)
    with pytest.raises(InputError, match=r"^prompts.rank=5: of a pool of 5 prompts; give at most 4$"):
        made.resolved(variance(replace(on_hub, limit=9), rank=5))
    assert not sampler.requests


def test_all_of_a_data_set_are_trained_on_where_none_is_selected(on_hub: Prompts, tmp_path: Path):
    sampler = boxed([])
    made = selector(tmp_path / "kept", sampler)
    prompts = made.resolved(Phase(prompts=on_hub)).prompts
    assert (prompts.texts, prompts.answers, prompts.grader) == ([*"abde"], [*"1246"], "boxed")
    alone = made.resolved(Phase(prompts=replace(on_hub, answer_field="", grader="", limit=9))).prompts
    assert (alone.texts, alone.answers) == ([*"abcdef"], [])
    assert not sampler.requests


def test_a_data_set_that_cannot_be_used_is_one_line_with_the_way_out(on_hub: Prompts, tmp_path: Path):
    made = selector(tmp_path / "kept", boxed([]))
    remedy = "give its rows as a file, prompts=jsonl prompts.path=FILE"
    for fields, said in (
        ({"hub": str(tmp_path / "nowhere")}, "nowhere: not to be had ("),
        ({"split": "test"}, "set: not to be had ("),
        ({"text_field": "problm"}, "set train[0]: unknown field 'problm': did you mean 'problem'?"),
        ({"answer_field": "anser"}, "set train[0]: unknown field 'anser': did you mean 'answer'?"),
    ):
        with pytest.raises(InputError) as raised:
            made.resolved(Phase(prompts=replace(on_hub, **fields)))
        assert str(raised.value).startswith("prompts.hub=")
        assert said in str(raised.value)
        assert str(raised.value).endswith(remedy)
