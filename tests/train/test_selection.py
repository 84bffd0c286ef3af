"""The selected prompt: the paper's rule by its values, what is drawn, and what is kept of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from em.evaluation.candidates import Candidate, ranked
from em.tiny import tasks
from em.train import selection
from em.train.selection import SAMPLES, Selector
from em.trial.fields import with_value
from em.trial.identity import content_id
from em.trial.prompts import Prompts, Select
from em.trial.trial import Phase
from tests.answering import Scripted, selector

SELECTED = Phase(prompts=Prompts(select=Select.variance))
POOL = tasks.problems(tasks.POOL, "train", tasks.POOL_PROBLEMS)
CUSP = 17  # place in the pool of the prompt that the scripted model gets right half the time
RIGHT = [8 if place == CUSP else place % 4 for place in range(len(POOL))]  # answers of 16, by place in the pool
ORDER = sorted(range(len(POOL)), key=lambda place: (-RIGHT[place], place))  # the rule's, which is all below one half


def candidate(text: str, correct: int, entropy: float = 0.1) -> Candidate:
    return Candidate(text=text, answer="0", correct=correct, samples=16, entropy=entropy)


def order(*candidates: Candidate) -> str:
    return "".join(item.text for item in ranked(candidates))


def test_variance_is_of_scores_of_0_and_1():
    assert [candidate("a", correct).variance for correct in (0, 4, 8, 12, 16)] == [0, 3 / 16, 1 / 4, 3 / 16, 0]


def test_the_highest_variance_comes_first():
    assert order(candidate("a", 16), candidate("b", 3), candidate("c", 8), candidate("d", 11)) == "cdba"


def test_of_equal_variances_the_higher_entropy_comes_first_and_then_the_order_of_the_pool():
    assert order(candidate("a", 4, 0.2), candidate("b", 12, 0.3), candidate("c", 4, 0.2)) == "bac"
    assert order(candidate("a", 8, 0.0), candidate("b", 7, 9.9)) == "ab"


def tiny(folder: Path, base_id: str = "base") -> tuple[Selector, Scripted]:
    sampler = Scripted([f"#{problem.answer}" for problem in POOL], RIGHT)
    return selector(folder, sampler, base_id), sampler


def ranks(rank: int) -> Phase:
    return with_value(SELECTED, "prompts.rank", rank)


def test_the_pool_is_drawn_and_graded(tmp_path: Path):
    made, sampler = tiny(tmp_path)
    called = []
    answers = [problem.answer for problem in POOL]
    drawn = Prompts(texts=[of.prompt for of in POOL], answers=answers, grader="tiny", template="Q: {problem}")
    candidates = made.candidates(drawn, 24, lambda: called.append(1))
    assert [item.text for item in candidates] == [problem.prompt for problem in POOL]
    assert [item.correct for item in candidates] == RIGHT
    assert all(item.entropy == pytest.approx(0.5) for item in candidates)
    assert [item.length for item in candidates] == [(2 * right + 3 * (SAMPLES - right)) / SAMPLES for right in RIGHT]
    assert [bytes(request.prompt).decode() for request in sampler.requests] == [f"Q: {p.prompt}" for p in POOL]
    assert {(request.samples, request.temperature, request.top_p) for request in sampler.requests} == {(16, 1.0, 1.0)}
    assert len({request.seed for request in sampler.requests}) == len(POOL) == len(called)


def test_the_prompt_on_the_cusp_is_trained_on_with_its_reference(tmp_path: Path):
    made, sampler = tiny(tmp_path)
    prompts = made.resolved(SELECTED).prompts
    assert prompts == Prompts(texts=[POOL[CUSP].prompt], answers=[POOL[CUSP].answer], grader="tiny")
    assert {request.max_new_tokens for request in sampler.requests} == {24}
    [file] = tmp_path.glob("*.json")
    kept = json.loads(file.read_text())
    assert (kept["base"], kept["rule"], kept["pool"]) == ("base", "variance", 48)
    assert [item["text"] for item in kept["best"]] == [POOL[place].prompt for place in ORDER]
    assert [item["correct"] for item in kept["best"]] == [8, *[3] * 12, *[2] * 12, *[1] * 11, *[0] * 12]


def test_a_rank_is_a_place_in_the_ranking_which_all_ranks_share(tmp_path: Path):
    made, sampler = tiny(tmp_path)
    for rank in (3, 0, 1, 47):
        of = POOL[ORDER[rank]]
        assert made.resolved(ranks(rank)).prompts == Prompts(texts=[of.prompt], answers=[of.answer], grader="tiny")
    assert len(sampler.requests) == len(POOL)
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_file_of_eight_candidates_is_good_for_eight_ranks_which_stay_what_they_are(tmp_path: Path):
    """Files list no more, and lie where they always lay; some of what they list may have been trained on."""
    tiny(tmp_path)[0].resolved(SELECTED)
    [file] = tmp_path.glob("*.json")
    assert file.stem == content_id(["base", {"select": "variance"}, "sum", 48, 16, 24])
    kept = json.loads(file.read_text())
    eight = [kept["best"][place] for place in (1, 0, 2, 3, 4, 5, 6, 7)]
    file.write_text(json.dumps({"base": "base", "rule": "variance", "best": eight}))
    made, sampler = tiny(tmp_path)
    found = [made.resolved(ranks(rank)).prompts.texts[0] for rank in range(8)]
    assert found == [item["text"] for item in eight]
    assert not sampler.requests
    assert made.resolved(ranks(8)).prompts.texts == [POOL[ORDER[8]].prompt]
    assert len(sampler.requests) == len(POOL)
    assert json.loads(file.read_text())["best"] == eight + kept["best"][8:]


def test_a_file_lists_so_many_or_up_to_the_rank_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "KEPT", 2)
    for rank, listed, asked in ((0, 2, 48), (1, 2, 0), (5, 6, 48), (3, 6, 0)):
        made, sampler = tiny(tmp_path)
        assert made.resolved(ranks(rank)).prompts.texts == [POOL[ORDER[rank]].prompt]
        [file] = tmp_path.glob("*.json")
        assert (len(json.loads(file.read_text())["best"]), len(sampler.requests)) == (listed, asked)


def test_given_texts_are_left_alone(tmp_path: Path):
    made, sampler = tiny(tmp_path)
    for given in (Prompts(texts=["1+1+1+1?"]), Prompts(texts=["1+1+1+1?"], select=Select.variance)):
        phase = Phase(prompts=given)
        assert made.resolved(phase) is phase
    assert not sampler.requests


def test_what_was_selected_is_kept_for_the_base_model_and_the_template(tmp_path: Path):
    first, sampler = tiny(tmp_path)
    assert first.resolved(SELECTED) == first.resolved(SELECTED)
    assert len(sampler.requests) == len(POOL)
    second, sampler = tiny(tmp_path)  # of another process
    assert second.resolved(SELECTED) == first.resolved(SELECTED)
    assert (
        second.resolved(with_value(SELECTED, "rollout.max_new_tokens", 99)).prompts == first.resolved(SELECTED).prompts
    )
    assert not sampler.requests
    second.resolved(with_value(SELECTED, "prompts.template", "Q: {problem}"))
    assert len(sampler.requests) == len(POOL)
    other, sampler = tiny(tmp_path, "another base")
    other.resolved(SELECTED)
    assert len(sampler.requests) == len(POOL)


def test_of_two_lanes_that_start_at_once_one_selects(tmp_path: Path):
    lanes = [tiny(tmp_path), tiny(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda lane: lane[0].resolved(SELECTED), lanes)
    assert first == second
    assert sorted(len(sampler.requests) for _, sampler in lanes) == [0, len(POOL)]


def test_who_waits_for_another_lane_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "PATIENCE", 0.01)
    tiny(tmp_path)[0].resolved(SELECTED)
    [file] = tmp_path.glob("*.json")
    other, calls = FileLock(file.with_suffix(".lock")), []

    def alive() -> None:
        calls.append(1)
        if len(calls) == 3:
            other.release()

    other.acquire()
    made, sampler = tiny(tmp_path)
    assert made.resolved(SELECTED, alive).prompts.texts == [POOL[CUSP].prompt]
    assert (len(calls), sampler.requests) == (3, [])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"best": []}', '{"best": [{"text": "1?"}]}', "\udcff"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: str):
    made, _ = tiny(tmp_path)
    made.resolved(SELECTED)
    [file] = tmp_path.glob("*.json")
    whole = file.read_bytes()
    file.write_bytes(content.encode(errors="surrogateescape"))
    again, sampler = tiny(tmp_path)
    assert again.resolved(SELECTED).prompts.texts == [POOL[CUSP].prompt]
    assert sampler.requests
    assert file.read_bytes() == whole
