"""Several values on the command line are an axis, in every way that Hydra has to write them."""

import pytest

from em.errors import InputError
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.expand import Cell


def launch(*words: str) -> Launch:
    return compose_launch(words)


def cells(*words: str) -> list[Cell]:
    return expand.cells(launch(*words))


def values(*words: str) -> list[object]:
    """Of the only axis."""
    return [value for cell in cells(*words) for value in cell.values.values()]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=1e-5,2e-5,5e-5", [1e-5, 2e-5, 5e-5]),
        ("rollout.temperature=choice(0.5,1.0)", [0.5, 1.0]),
        ("rollout.temperature=choice(0.5)", [0.5]),
        ("rollout.temperature=1,1.0,1.5", [1.0, 1.5]),
        ("rollout.temperature=range(0.5,2.1,0.5)", [0.5, 1.0, 1.5, 2.0]),
        ("rollout.temperature=range(0,1,0.1)", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("rollout.samples=range(4,1,-1)", [4, 3, 2]),
        ("rollout.samples=sort(3,1,2)", [1, 2, 3]),
        ("rollout.samples=sort(3,1,2,reverse=true)", [3, 2, 1]),
        ("rollout.samples=int(1.0,2.0)", [1, 2]),
        ("rollout.samples=tag(a,choice(1,2))", [1, 2]),
        ("objective.first_token=true,false", [True, False]),
        ("rollout.engine=vllm,'transformers'", ["vllm", "transformers"]),
        ("prompts.template='{problem}','Q, and A: {problem}'", ["{problem}", "Q, and A: {problem}"]),
        ("prompts.texts=['1','b, c'],[d]", [["1", "b, c"], ["d"]]),
        ("model.pretrain.seed=0,1", [0, 1]),
        ("++rollout.samples=1,2", [1, 2]),
        ("objective=paper,reference_code", ["paper", "reference_code"]),
        ("objective=glob(*)", ["dr_grpo", "grpo", "paper", "reference_code"]),
        ("objective=glob([p*,ref*],exclude=ref*)", ["paper"]),
        ("rollout=vllm,transformers", ["vllm", "transformers"]),
        ("model=tiny,qwen2.5-math-7b", ["tiny", "qwen2.5-math-7b"]),
    ],
)
def test_every_way_to_write_several_values(word, expected):
    assert values(word) == expected


def test_a_shuffled_axis_has_the_same_cells():
    assert sorted(map(str, values("rollout.samples=shuffle(range(1,9))"))) == [str(value) for value in range(1, 9)]


def test_exactly_what_is_written_is_varied():
    made = launch("optimizer.lr=1e-5,2e-5", "seed=range(0,4)")
    assert (made.sweep.name, made.seeds) == ("optimizer_lr-seed", [0, 1, 2, 3])
    points = [(trial.seed, cell.values) for cell in expand.cells(made) for trial in cell.trials]
    assert points == [(seed, {"optimizer.lr": lr}) for lr in (1e-5, 2e-5) for seed in range(4)]
    assert len(expand.trials(launch("optimizer.lr=1e-5,2e-5"))) == 2
    assert len(expand.trials(launch("optimizer.lr=1e-5,2e-5", "sweep.seeds=3"))) == 6


def test_without_axes_and_without_a_sweep_it_is_the_temperature_sweep():
    for words in ([], ["seed=5"], ["rollout.samples=8"]):
        assert compose_launch(words).sweep.name == "temperature"


def test_seeds_are_exactly_those_that_are_named():
    made = launch("sweep=smoke", "seed=1,5,7")
    assert made.seeds == [1, 5, 7]
    assert {trial.seed for trial in expand.trials(made)} == {1, 5, 7}
    assert launch("seed=1,5,7").sweep.varied == []
    assert len(expand.trials(launch("seed=1,5,7"))) == 3


def test_an_axis_replaces_that_of_the_sweep_and_leaves_the_others():
    two = "sweep.axes=[{field: rollout.temperature, values: [0.5, 1]}, {field: optimizer.lr, values: [1e-4, 2e-4]}]"
    points = [cell.values for cell in cells("sweep=smoke", two, "optimizer.lr=1,2")]
    assert points == [{"rollout.temperature": t, "optimizer.lr": lr} for t in (0.5, 1.0) for lr in (1.0, 2.0)]
    assert values("sweep=smoke", "rollout.temperature=0.1,0.2") == [0.1, 0.2]
    assert values("sweep=smoke", "rollout.temperature=0.1") == [0.1]
    both = cells("sweep=smoke", "objective=paper,reference_code")
    assert len(both) == 6
    assert both[0].values == {"rollout.temperature": 0.5, "objective": "paper"}


def test_each_choice_of_a_group_is_composed():
    objectives, models = ["paper", "reference_code"], ["tiny", "qwen2.5-math-7b"]
    made = cells(f"objective={','.join(objectives)}", f"model={','.join(models)}", "rollout.samples=8,16")
    assert len(made) == 8
    for cell in made:
        words = [f"{group}={cell.values[group]}" for group in ("objective", "model")]
        alone = compose_launch([*words, f"rollout.samples={cell.values['rollout.samples']}"])
        assert cell.trials[0].id == alone.trial.id


def test_a_sweep_file_may_name_groups():
    made = cells("sweep=smoke", "sweep.axes=[{field: objective, values: [paper, reference_code]}]")
    assert [cell.values for cell in made] == [{"objective": "paper"}, {"objective": "reference_code"}]


def test_models_and_prompts_may_be_of_several_files(tmp_path, checkpoint):
    (tmp_path / "prompts.jsonl").write_text('{"problem": "1+1?"}\n{"problem": "2+2?"}\n')
    folders = [checkpoint(tied=True), checkpoint(tied=True, seed=1)]
    paths = [f"prompts=jsonl prompts.path={tmp_path}/prompts.jsonl prompts.rows=[0],[1]".split(), ["model=checkpoint"]]
    made = cells(*paths[0], *paths[1], f"model.path={','.join(map(str, folders))}")
    for cell in made:
        alone = compose_launch([*paths[0][:2], *paths[1], *(f"{name}={value}" for name, value in cell.values.items())])
        assert cell.trials[0].id == alone.trial.id
    assert len({cell.trials[0].id for cell in made}) == 4


def test_the_frame_has_a_column_for_each_axis():
    frame = expand.frame(launch("objective=paper,reference_code", "seed=3,5"))
    of_trials = ["trial_id", "base_id", "model", "seed", "method", "start_id", "start_step", "last_step"]
    assert frame.columns == [*of_trials, "objective"]
    assert frame.select("seed", "objective").rows() == [
        (seed, name) for seed in (3, 5) for name in ("paper", "reference_code")
    ]
    assert frame["trial_id"].n_unique() == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("eval.samples=4,8", "eval.samples=4,8: is no part of a trial; give it one value"),
        ("eval.steps=10,20", "eval.steps=10,20: is no part of a trial; write a list, eval.steps=[10,20]"),
        ("eval.steps=[10],[20]", "write a list, eval.steps=[10,20]"),
        ("benchmark=tiny,validation", "write a list, benchmark=[tiny,validation]"),
        ("eval=avg8,greedy", "eval=avg8,greedy: is no part of a trial; give it one value"),
        ("store=a,b", "store=a,b: is no part of a trial"),
        ("sweep.seeds=2,4", "sweep.seeds=2,4: is no part of a trial"),
        ("cluster.lanes=1,2", "cluster.lanes=1,2: is no part of a trial"),
        ("tracking=wandb,quiet", "tracking=wandb,quiet: is no part of a trial"),
        ("rollout.max_num_seqs=1,2", "rollout.max_num_seqs=1: it changes nothing of what a trial is"),
        ("model.cpu_threads=1,2", "model.cpu_threads=1: it changes nothing of what a trial is"),
        ("seed=1,2 sweep.seeds=3", "sweep.seeds=3: seed=1,2 names the seeds; leave one of the two out"),
        ("seed=1.5,2", "seed=1.5: "),
        ("optimizer.lr=interval(0,1)", "is for a search: search=tpe takes numbers between the ends; or give values"),
        ("optimizer.lr=glob(*)", "glob() chooses files of a group, and optimizer.lr is none"),
        ("objective=glob(x*)", "objective=glob(x*): names no value"),
        ("seed=range(0,0)", "seed=range(0,0): names no value"),
        ("seed=range(0,a)", "cannot read 'seed=range(0,a)': "),
        ("optimizer.lr=1,fast", "optimizer.lr=fast: Value 'fast' of type 'str' could not be converted to Float"),
        ("optimizer.lr=1,-1", "optimizer.lr=-1.0: must be a number greater than 0"),
        ("optimizer.lr=1,null", "optimizer.lr=None: "),
        ("optimizer.lrr=1,2", "unknown option 'optimizer.lrr': did you mean 'optimizer.lr'?"),
        ("objective=paper,code", "unknown objective 'code': choose from dr_grpo, grpo, paper, reference_code"),
        ("objective=paper,null", "unknown objective 'null': choose from dr_grpo, grpo, paper, reference_code"),
        ("+optimizer.lr=1,2", "+optimizer.lr=1: write optimizer.lr=1"),
        ("+objective=paper,reference_code", "+objective=paper,reference_code: write objective=paper,reference_code"),
        ("sweep=command_line", "sweep.name=???: has no default, give it a value"),
    ],
)
def test_what_is_no_axis_is_refused_in_one_line(words, message):
    with pytest.raises(InputError) as raised:
        cells(*words.split())
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
