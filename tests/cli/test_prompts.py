"""Which prompts a command line names, as planning knows them: without a data set that is read where one trains."""

import json
from pathlib import Path

import pytest

from em.cli.compose import compose_trial
from em.errors import InputError
from em.train.sampling import turns
from em.trial.written import plain, trial_from
from sweeps import expand
from sweeps.config import compose_launch


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be read from the hub."""

    def never(*_: object) -> None:
        raise AssertionError("was read")

    monkeypatch.setattr("em.evaluation.prompts.hub_rows", never)


@pytest.mark.usefixtures("unread")
def test_planning_reads_no_data_set_and_its_id_says_which_prompts():
    words = ["prompts=pool", "model=qwen2.5-math-7b"]
    changes = [
        *("prompts.hub=a/b", "prompts.hub_config=main", "prompts.revision=v1", "prompts.split=test"),
        *("prompts.text_field=q", "prompts.answer_field=a", "prompts.limit=7", "prompts.grader=boxed"),
        *("prompts.template='{problem}'", "prompts.select=none", "prompts.rank=1"),
    ]
    trials = [compose_trial([*words, *more]).trial for more in ([], *([change] for change in changes))]
    assert len({trial.id for trial in trials}) == len(changes) + 1
    own = {name: value for name, value in plain(trials[0])["prompts"].items() if value}
    assert (own["hub"], own["limit"], own["select"]) == ("nlile/NuminaMath-1.5-RL-Verifiable", 1209, "variance")
    for trial in trials:
        assert trial_from(json.loads(json.dumps(plain(trial)))) == trial
        assert trial_from(json.loads(json.dumps(plain(trial)))).id == trial.id
    both = compose_trial([*words, "before=[{phase: grpo, prompts: pool, prompts.select: none}]"]).trial
    assert both.origin[0].id == compose_trial([*words, "phase=grpo", "prompts.select=none"]).trial.id
    assert compose_trial([*words, "prompts.select=none", "prompts.rank=3"]).prompts.rank == 0


@pytest.mark.usefixtures("unread")
def test_the_published_prompt_and_the_best_of_a_pool_are_cells_of_one_sweep():
    """What is given has no rank, so it is one cell."""
    launch = compose_launch(["prompts=paper,pool", "prompts.rank=range(0,9)", "model=qwen2.5-math-7b", "sweep.seeds=2"])
    found = [(cell.values["prompts"], cell.values["prompts.rank"]) for cell in expand.cells(launch)]
    assert found == [("paper", 0), *(("pool", rank) for rank in range(9))]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prompts.rank=48"], "prompts.rank=48: of a pool of 48 prompts; give at most 47"),
        (["prompts.rank=-1"], "prompts.rank=-1: must be 0 (the best prompt) or greater"),
        (["prompts=pool", "prompts.rank=1209"], "prompts.rank=1209: of a pool of 1209 prompts; give at most 1208"),
        (["prompts=pool", "prompts.answer_field=''"], "prompts.answer_field='': prompts.select=variance needs"),
        (["prompts=pool", "prompts.grader=maht"], "unknown grader 'maht': did you mean 'maths'?"),
        (["prompts=pool", "prompts.rows=[0]"], "prompts.rows=[0]: are lines of prompts.path; here is prompts.limit"),
        (
            ["prompts=pool", "phase=grpo", "prompts.select=none", "prompts.answer_field=''"],
            "prompts.answers=[]: objective grpo needs an answer to each prompt",
        ),
        (
            ["prompts=pool", "phase=grpo", "prompts.select=none", "rollout.samples_per_prompt=0"],
            "rollout.samples_per_prompt=0: objective grpo compares",
        ),
        (["phase=multi_shot", "model=checkpoint", "model.path=o/m"], "prompts.texts=[]: give prompts"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str):
    with pytest.raises(InputError) as caught:
        _ = compose_trial(words).trial
    assert str(caught.value).startswith(said)


@pytest.mark.usefixtures("unread")
def test_how_many_prompts_a_step_compares_is_bounded_by_the_limit():
    words = ["prompts=pool", "phase=grpo", "model=qwen2.5-math-7b", "rollout.samples_per_prompt=0"]
    assert compose_trial([*words, "prompts.select=none", "prompts.limit=64"]).trial.id  # 128 samples
    with pytest.raises(InputError, match=r"rollout.samples_per_prompt=0: objective grpo compares"):
        _ = compose_trial([*words, "prompts.select=none", "prompts.limit=65"]).trial
    assert compose_trial(words).trial.id  # one is selected


def test_given_texts_are_the_trial_that_they_are_without_a_data_set(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"problem": "1+1?", "answer": 2}\n')
    alone = ["prompts=jsonl", f"prompts.path={tmp_path}/a.jsonl", "prompts.answer_field=answer", "prompts.grader=maths"]
    over = ["prompts.hub=a/b", "prompts.revision=v1", "prompts.select=variance", "prompts.rank=3", "prompts.split=x"]
    assert compose_trial([*alone, *over]).trial.id == compose_trial(alone).trial.id
    texts = ["prompts.texts=['1+1?']"]
    assert compose_trial([*texts, *over]).trial.id == compose_trial(texts).trial.id


def test_the_published_prompt():
    prompts = compose_trial(["prompts=paper", "phase=grpo", "model=qwen2.5-math-7b"]).prompts
    [text] = prompts.texts
    assert text.startswith(r"The pressure \( P \) exerted by wind on a sail varies jointly as the area \( A \) of the")
    assert text.endswith(r"is \( 32 \) pounds.")
    assert prompts.template == r"{problem} Let's think step by step and output the final answer within \boxed{}."
    assert len(prompts.template.replace("{problem}", text).split()) == 90
    assert "  " not in text
    assert (prompts.answers, prompts.grader) == (["12.8"], "maths")


def test_many_prompts_are_each_answered_once_before_any_is_again():
    trial = compose_trial(["phase=multi_shot"]).trial
    assert trial.phase is not None
    taken = [turns(trial.phase.rollout, 197, trial.seed, step) for step in range(1, 11)]
    assert [len(set(of_step)) for of_step in taken] == [64] * 3 + [len(set(of_step)) for of_step in taken[3:]]
    first = [place for of_step in taken for place in of_step][:197]
    assert sorted(first) == list(range(197))
    assert len(set(trial.phase.prompts.texts)) == 197
