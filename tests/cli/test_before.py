"""Phases as a command line names them: what each trains with, what came before, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from em.cli.compose import compose_trial
from em.errors import InputError
from em.train.grpo import Grpo, Normalisation, Scale
from em.trial.trial import Trial
from em.trial.written import plain, trial_from
from sweeps import expand
from sweeps.config import compose_launch
from tests.trials import phase_of


def trial(*words: str) -> Trial:
    return compose_trial(words).trial


def test_each_order_of_em_and_rl_is_a_config():
    """EM, RL, EM then RL, RL then EM; the phase before is the trial of that phase alone."""
    em, rl = trial("phase=em"), trial("phase=grpo")
    first_rl, first_em = trial("phase=em_after_grpo"), trial("phase=grpo_after_em")
    assert em.id == trial().id
    assert (phase_of(first_rl), phase_of(first_em)) == (phase_of(em), phase_of(rl))
    assert first_rl.origin[0].id == rl.id
    assert first_em.origin[0].id == em.id
    assert (first_rl.origin[1], first_em.origin[1]) == (20, 10)  # steps that each is measured after by itself
    assert len({of.id for of in (em, rl, first_rl, first_em)}) == 4


def test_an_earlier_phase_has_options_steps_and_a_seed_of_its_own():
    """Those of the last phase are none of it, but the model is the same."""
    made = trial(
        "before=[{phase: grpo, steps: 7, seed: 3, optimizer.lr: 2e-4, objective.clip_high: 0.28}, em]",
        *("optimizer.lr=5e-4", "seed=9", "model.pretrain.seed=4", "prompts.texts=['1+1?']"),
    )
    first, second = made.before
    assert (first.steps, first.seed, second.steps, second.seed) == (7, 3, 10, 0)
    assert first.phase.optimizer.lr == 2e-4
    assert first.phase.objective == Grpo(clip_high=0.28)
    assert second.phase == phase_of(trial())
    assert phase_of(made).optimizer.lr == 5e-4
    assert [of.model.pretrain.seed for of, _ in made.path if of.model.pretrain] == [4, 4]


def test_phases_come_back_from_what_a_record_keeps():
    words = ["stabiliser=[trust_region,averaging]", "stabilisers.averaging.steps=3"]
    for made in (trial("phase=em_after_grpo", *words), trial("phase=grpo", "objective=dr_grpo"), trial(*words)):
        back = trial_from(json.loads(json.dumps(plain(made))))
        assert back.id == made.id
        assert back == made


def test_dr_grpo_divides_by_the_token_limit_and_not_by_the_spread():
    """Also where that is an axis."""
    launch = compose_launch(["phase=grpo", "objective=dr_grpo", "rollout.max_new_tokens=24,48", "sweep.name=x"])
    for cell, limit in zip(expand.cells(launch), (24, 48), strict=True):
        phase = phase_of(cell.trials[0])
        assert phase.objective == Grpo(normalisation=Normalisation.constant, scale=Scale.none)
        assert vars(phase.method)["method"] == replace(phase.objective, max_tokens=limit)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["before=[nope]"], "before: unknown phase 'nope': did you mean 'none'?"),
        (["before=[quite]"], "before: unknown phase 'quite': choose from em, "),
        (["before=[{phase: grpo, step: 3}]"], "unknown option of before 'step': did you mean 'steps'?"),
        (["before=[{phase: grpo, store: x}]"], "unknown option of before 'store'"),
        (["before=[{phase: grpo, optimizer.lr: -1}]"], "before: optimizer.lr=-1.0: must be a number greater than 0"),
        (["before=[{phase: grpo, optimizer.rl: 1}]"], "before: unknown option 'optimizer.rl': did you mean"),
        (["before=[{phase: grpo, steps: 0}]"], "before.steps=0: must be a whole number, 1 or greater"),
        (["before=[{phase: grpo, steps: many}]"], "before.steps=many: must be a whole number, 1 or greater"),
        (["before=[{phase: grpo, seed: -1}]"], "before.seed=-1: must be a whole number, 0 or greater"),
        (["before=[{steps: 3}]"], "name its phase, before=[grpo] or before=[{phase: grpo, steps: 50}]"),
        (["before=[em_after_grpo]"], "comes after another phase itself; write both, one after the other"),
        (["before=grpo"], "give a list, before=[...]"),
        (["stabilisers.averaging.steps=3"], "unknown option 'stabilisers.averaging.steps'"),
        (["stabiliser=[avereging]"], "unknown stabiliser 'avereging': did you mean 'averaging'?"),
        (
            ["stabiliser=[averaging]", "stabilisers.averaging.steps=1"],
            "averaging.steps=1: must be 2 or more",
        ),
        (
            ["stabiliser=[entropy_stop]", "stabilisers.entropy_stop.floor=0"],
            "floor=0.0: must be a number",
        ),
        (["keep.every=-1"], "keep.every=-1: must be 0 (never) or a number of steps"),
        (["phase=grpo", "prompts.suites=[]", "prompts.select=none"], "prompts.texts=[]: give prompts"),
        (["phase=grpo", "prompts.texts=['1?']"], "objective grpo needs an answer to each prompt"),
        (
            ["objective=grpo", "prompts.suites=[sum]"],
            "rollout.samples_per_prompt=0: objective grpo compares",
        ),
        (["phase=grpo", "rollout.samples_per_prompt=1"], "rollout.samples_per_prompt=1: objective grpo compares"),
        (["phase=grpo", "objective.iterations=2", "optimizer.accumulate=4"], "optimizer.accumulate=4: goes with one"),
        (["before=[{phase: em, model.pretrain.seed: 3}]"], "unknown option of before 'model'"),
        (
            ["model=checkpoint", "model.path=o/m", "before=[grpo]", "prompts.texts=[a]"],
            "before: prompts.texts=[]: ",
        ),
        (["prompts.suites=[sums]"], "unknown suite of prompts.suites 'sums': did you mean 'sum'?"),
        (["prompts.suites=[sum]", "prompts.limit=9999"], "sum/train holds"),
        (["eval.statistics=logit"], "eval.statistics=logit"),
    ],
)
def test_mistakes_are_one_line(words, said):
    with pytest.raises(InputError) as caught:
        _ = trial(*words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prompts_with_answers_are_read_from_a_file(tmp_path: Path):
    path = tmp_path / "pool.jsonl"
    rows = [{"q": "1+1?", "a": 2}, {"q": "2+2?", "a": "4"}, {"q": "3+3?", "a": 6.0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["prompts=jsonl", f"prompts.path={path}", "prompts.text_field=q", "prompts.answer_field=a"]
    prompts = compose_trial([*words, "prompts.grader=maths", "prompts.rows=[2,0]", "phase=grpo"]).prompts
    assert (prompts.texts, prompts.answers, prompts.grader) == (["3+3?", "1+1?"], ["6.0", "2"], "maths")
    rows[1]["a"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"pool.jsonl:2: a=None: must be an answer"):
        compose_trial([*words, "prompts.grader=maths"])


def test_problems_of_the_tiny_world_are_prompts_with_references():
    prompts = compose_trial(["prompts.suites=[max,sum]", "prompts.limit=3"]).prompts
    assert len(prompts.texts) == len(prompts.answers) == 6
    assert all("M" in text for text in prompts.texts[:3])
    assert sum(int(digit) for digit in prompts.texts[3] if digit.isdigit()) % 10 == int(prompts.answers[3])


def test_a_stabilisers_field_is_an_axis():
    launch = compose_launch(["stabiliser=[entropy_stop]", "stabilisers.entropy_stop.floor=0.1,0.2", "seed=range(0,2)"])
    cells = expand.cells(launch)
    assert [cell.values for cell in cells] == [{"stabilisers.entropy_stop.floor": value} for value in (0.1, 0.2)]
    floors = [vars(phase_of(cell.trials[1]).stabilisers["entropy_stop"])["floor"] for cell in cells]
    assert floors == [0.1, 0.2]
    axes = "sweep.axes=[{field: stabilisers.entropy_stop, values: [1]}]"
    with pytest.raises(InputError, match=r"stabilisers.entropy_stop=1: vary one of its fields"):
        expand.cells(compose_launch(["stabiliser=[entropy_stop]", axes, "sweep.name=x"]))
