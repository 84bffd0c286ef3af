"""Every file of conf/ composes, and every mistake is one line that names field, value and remedy."""

import json
from pathlib import Path

import pytest

from em.cli.command import run_command
from em.cli.compose import compose_trial
from em.cli.overrides import CONF
from em.errors import InputError
from em.trial.config import Config
from em.trial.model import Precision
from em.trial.rollout import EngineName

EXTRA = {
    "model/rlvr": ["model.path=owner/model"],
    "model/rlvr-16-shot": ["model.path=owner/model"],  # what a choice needs beside itself
    "model/checkpoint": ["model.path=owner/model"],
    "prompts/jsonl": ["prompts.path={folder}/problems.jsonl"],
    "benchmark/jsonl": ["benchmarks.jsonl.path={folder}/problems.jsonl"],
    **{f"eval/{name}": ["eval.data={folder}"] for name in ("paper", "paper_budget", "reference_code", "logits")},
    "preset/reference_code": ["eval.data={folder}"],
    **{
        f"benchmark/{name}": ["eval.data={folder}"]
        for name in ("math500", "logits", "minerva_math", "olympiadbench", "amc23", "kk", "mbpp", "mbpp_plus")
    },
    "scale/paper": ["eval.data={folder}"],
    **{f"trained_on/{path.stem}": ["prompts=paper"] for path in (CONF / "trained_on").glob("*.yaml")},
}
ROWS = {  # one in the shape of each published benchmark
    "math500": {"problem": "1+1?", "answer": "2"},
    "minerva_math": {"problem": "1+1?", "solution": r"It is $\boxed{2}$."},
    "olympiadbench": {"question": "1+1?", "final_answer": ["$2$"], "is_multiple_answer": False, "unit": None},
    "amc23": {"question": "1+1?", "answer": 2.0},
    "kk": {"quiz": "You meet Zoey.", "solution_text_format": "(1) Zoey is a knave"},
    "mbpp": {"task_id": 11, "text": "Add.", "test_list": ["assert add(1, 1) == 2"], "test_setup_code": ""},
    "mbpp_plus": {"prompt": "Add.", "test_list": ["assert add(1, 1) == 2"], "test": "assert True", "test_imports": []},
}
LAUNCH = ("cluster", "search", "stopping", "sweep", "tracking")  # groups of `python -m sweeps` alone
CHOICES = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.glob("*/*.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with good files and bad ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "problems.jsonl").write_text(
        '{"problem": "1+1?", "answer": 2}\n\n{"problem": [{"role": "user", "content": "3?"}], "answer": "3"}\n'
    )
    for name, row in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "broken.jsonl").write_text('{"problem": "1+1?"}\n\n{oops\n')
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "caf\xe9"}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "no_model").mkdir()
    return tmp_path


def trial(*overrides: str) -> Config:
    return compose_trial(overrides)


def test_conf_holds_what_the_tests_below_expect():
    assert {"model/tiny", "benchmark/tiny", "objective/reference_code", "sweep/smoke"} <= set(CHOICES)
    assert set(EXTRA) <= set(CHOICES)


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if not choice.startswith(LAUNCH)])
def test_every_choice_of_a_trial_composes(choice, folder):
    group, _, name = choice.partition("/")
    value = f"[{name}]" if group == "benchmark" else name
    config = trial(f"{group}={value}", *(extra.format(folder=folder) for extra in EXTRA.get(choice, [])))
    assert config.trial.id
    assert config.measurements(config.eval.steps)


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith(LAUNCH)])
def test_every_choice_of_a_launch_composes(choice):
    from sweeps.config import compose_launch

    group, _, name = choice.partition("/")
    named = ["sweep.name=x"] if choice == "sweep/command_line" else []
    assert compose_launch([f"{group}={name}", *named]).trial.id


def test_the_default_is_the_papers_objective_on_the_tiny_model():
    config = trial()
    assert (vars(config.objective)["loss_temperature"], vars(config.objective)["first_token"]) == (1.0, True)
    assert (config.rollout.engine, config.rollout.samples) == (EngineName.vllm, 64)
    assert (config.rollout.top_p, config.rollout.repetition_penalty) == (1.0, 1.0)
    assert config.model.pretrain is not None
    assert config.eval.steps == [10]
    assert sorted(config.benchmarks) == ["bit", "difference", "max", "mixed", "product", "sum"]


def test_the_presets_are_the_text_and_the_published_code():
    model = "model=qwen2.5-math-7b"
    text, code = trial(model, "objective=paper"), trial(model, "objective=reference_code")
    for config in (text, code):
        assert config.optimizer.lr == 2e-5
        assert (config.rollout.samples, config.rollout.temperature, config.rollout.max_new_tokens) == (64, 0.5, 512)
        assert config.model.precision is Precision.bf16
    assert (vars(text.objective)["loss_temperature"], vars(text.objective)["first_token"]) == (1.0, True)
    assert (vars(code.objective)["loss_temperature"], vars(code.objective)["first_token"]) == (0.5, False)
    assert (text.rollout.top_p, text.rollout.repetition_penalty) == (1.0, 1.0)
    assert (code.rollout.top_p, code.rollout.repetition_penalty) == (0.95, 1.15)


def test_a_value_on_the_command_line_wins_over_every_file(folder):
    config = trial("objective=reference_code", "rollout.temperature=2", "eval=greedy", "eval.steps=[0,3]", "seed=7")
    assert (config.rollout.temperature, config.trial.seed) == (2.0, 7)
    assert (config.eval.steps, config.eval.samples) == ([0, 3], 1)


def test_files_are_read_at_the_boundary(folder):
    config = trial("prompts=jsonl", "prompts.path=problems.jsonl")
    assert config.prompts.texts == ["1+1?", "3?"]
    assert trial("prompts=jsonl", "prompts.path=problems.jsonl", "prompts.rows=[1]").prompts.texts == ["3?"]
    assert trial("prompts=jsonl", "prompts.path=problems.jsonl", "prompts.rows=[1,0]").prompts.texts == ["3?", "1+1?"]


MISTAKES = [
    ("rollout.temprature=1", "unknown option 'rollout.temprature': did you mean 'rollout.temperature'?"),
    ("optimizr.lr=1", "unknown option 'optimizr.lr': did you mean 'optimizer.lr'?"),
    ("+sead=1", "unknown option 'sead': did you mean 'seed'?"),
    ("+foo=1", "unknown option 'foo': choose from before, benchmarks, eval, keep, model, "),
    ("+rollout.tempature=1", "unknown option 'rollout.tempature': did you mean 'rollout.temperature'?"),
    ("+rollout.foo=1", "unknown option 'rollout.foo': "),
    ("foo=1", "unknown option 'foo': choose from before, benchmark, "),
    ("seed", "cannot read 'seed': overrides are written name=value"),
    ("=1", "cannot read '=1': overrides are written name=value"),
    ("seed=[1", "cannot read 'seed=[1': "),
    ("seed=${x}", "seed=${x}: Interpolation key 'x' not found"),
    ("seed=1,2", "seed=1,2: several values are a sweep: python -m sweeps seed=1,2"),
    ("seed=range(0,4)", "seed=range(0,4): several values are a sweep: python -m sweeps 'seed=range(0,4)'"),
    (
        "model=tiny,checkpoint",
        "model=tiny,checkpoint: several values are a sweep: python -m sweeps model=tiny,checkpoint",
    ),
    ("seed=interval(0,1)", "an interval is for a search"),
    ("eval.samples=4,8", "eval.samples=4,8: give it one value"),
    ("eval.steps=10,20", "eval.steps=10,20: write a list, eval.steps=[10,20]"),
    ("benchmark=tiny,validation", "benchmark=tiny,validation: write a list, benchmark=[tiny,validation]"),
    ("model=tiny,foo", "unknown model 'foo': choose from"),
    ("model=[tiny,checkpoint]", "takes one choice; several are a sweep, model=tiny,checkpoint"),
    ("model=null", "model=null: one is needed, choose from checkpoint, llama-3.1-8b, oat-zero-7b"),
    ("~model", "~model: one is needed, choose from checkpoint, llama-3.1-8b, oat-zero-7b"),
    ("model=1", "unknown model '1': choose from checkpoint, llama-3.1-8b, oat-zero-7b"),
    ("model=", "unknown model '': choose from checkpoint, llama-3.1-8b, oat-zero-7b"),
    ("model=glob(t*)", "model=glob(t*): several values are a sweep"),
    ("+model=tiny", "+model=tiny: write model=tiny"),
    ("++model=tiny", "++model=tiny: write model=tiny"),
    ("model@x=tiny", "model@x=tiny: Could not override 'model@x'."),
    ("preset=null", "preset=null: write ~preset, which leaves it out"),
    ("preset=tyny", "unknown preset 'tyny': did you mean 'tiny'?"),
    ("sampling=code", "unknown sampling 'code': choose from dr_grpo, grpo, paper, reference_code"),
    ("cluster=ray", "unknown group 'cluster': choose from benchmark, eval, model"),
    ("+optimizer.lr=1", "+optimizer.lr=1: write optimizer.lr=1"),
    ("~optimizer.lr", "~optimizer.lr: a field is not left out; give it a value"),
    ("model=checkpoint seed=1 optimizer.lr=fast", "optimizer.lr=fast: Value 'fast'"),
    ("rollout=vlm", "unknown rollout 'vlm': did you mean 'vllm'?"),
    ("eval=avg9", "unknown eval 'avg9': did you mean 'avg8'?"),
    ("model=qwen", "unknown model 'qwen': choose from checkpoint, llama-3.1-8b, oat-zero-7b"),
    ("benchmark=[tiny,validaton]", "unknown benchmark 'validaton': did you mean 'validation'?"),
    ("benchmark=nothing", "unknown benchmark 'nothing': choose from amc23, jsonl, kk, logits, math500"),
    ("benchmark=[]", "benchmark=[]: name at least one benchmark"),
    ("optimizer.lr=-1", "optimizer.lr=-1.0: must be a number greater than 0"),
    ("optimizer.lr=fast", "optimizer.lr=fast: Value 'fast' of type 'str' could not be converted to Float"),
    ("optimizer.beta1=1", "optimizer.beta1=1.0: must be in [0, 1)"),
    ("optimizer.weight_decay=-0.1", "optimizer.weight_decay=-0.1: must be 0 or greater"),
    ("rollout.samples=1.5", "rollout.samples=1.5: Value '1.5' of type 'float' could not be converted to Integer"),
    ("rollout.samples=0", "rollout.samples=0: must be a number greater than 0"),
    ("rollout.temperature=3", "rollout.temperature=3.0: the engines sample between 0 (greedy) and 2"),
    ("rollout.temperature=nan", "rollout.temperature=nan: the engines sample between 0 (greedy) and 2"),
    ("rollout.temperature=null", "rollout.temperature=null: "),
    ("rollout.top_p=0", "rollout.top_p=0.0: must be in (0, 1]"),
    ("rollout.repetition_penalty=0", "rollout.repetition_penalty=0.0: must be in (0, 2]"),
    ("rollout.max_new_tokens=0", "rollout.max_new_tokens=0: must be a number greater than 0"),
    ("rollout.engine=vlm", "rollout.engine=vlm: Invalid value 'vlm', expected one of [vllm, transformers]"),
    ("rollout.gpu_memory_utilization=1", "rollout.gpu_memory_utilization=1.0: must be between 0 and 1"),
    ("objective.loss_temperature=0", "objective.loss_temperature=0.0: must be a number greater than 0"),
    ("model.precision=fp16", "model.precision=fp16: Invalid value 'fp16', expected one of [fp32, bf16]"),
    ("seed=-1", "seed=-1: must be 0 or greater"),
    ("eval.steps=[]", "eval.steps=[]: name at least one optimiser step"),
    ("eval.steps=[-1]", "eval.steps=[-1]: steps are 0 or greater"),
    ("eval.temperatures=[]", "eval.temperatures=[]: name at least one"),
    ("eval.temperatures=[1,2.5]", "2.5: the engines sample between 0 (greedy) and 2"),
    ("eval.samples=0", "eval.samples=0: must be a number greater than 0"),
    (
        "prompts.select=none",
        "prompts.texts=[]: give prompts, a file of them with prompts=jsonl prompts.path=..., or prompts.select=",
    ),
    ("prompts.template=x", "prompts.template='x': must contain {problem}"),
    ("prompts=jsonl", "prompts.path=..."),
    (
        "prompts=jsonl prompts.path=problem.jsonl",
        "prompts.path=problem.jsonl: no such file; . holds amc23.jsonl, broken.jsonl",
    ),
    ("prompts=jsonl prompts.path=broken.jsonl", "broken.jsonl:3: not a JSON object (Expecting property name"),
    ("prompts=jsonl prompts.path=list.jsonl", "list.jsonl:1: not a JSON object ([1, 2])"),
    ("prompts=jsonl prompts.path=latin.jsonl", "latin.jsonl:1: not UTF-8 text"),
    ("prompts=jsonl prompts.path=empty.jsonl", "prompts.path=empty.jsonl: the file holds no rows"),
    ("prompts=jsonl prompts.path=problems.jsonl prompts.rows=[2]", "prompts.rows=2: problems.jsonl has rows 0 to 1"),
    (
        "prompts=jsonl prompts.path=problems.jsonl prompts.text_field=problm",
        "problems.jsonl:1: unknown field 'problm': did you mean 'problem'?",
    ),
    ("benchmark=jsonl", "benchmarks.jsonl.path='': give the JSONL file that holds the problems"),
    ("benchmark=jsonl benchmarks.jsonl.path=no.jsonl", "benchmarks.jsonl.path=no.jsonl: no such file"),
    ("benchmark=jsonl benchmarks.jsonl.path=broken.jsonl", "broken.jsonl:1: unknown field 'answer'"),
    ("benchmark=jsonl benchmarks.jsonl.path=.", "benchmarks.jsonl.path=.: is a folder, name a file; . holds amc23"),
    ("benchmarks.sum.name=max", "benchmarks.sum.name=max: another benchmark has it; give each its own"),
    ("eval.chat=model", "eval.chat=model: would be plain text: set model.chat_template=true, or leave it out"),
    ("benchmarks.sum.limit=-1", "benchmarks.sum.limit=-1: must be 0 (all problems) or greater"),
    ("model=checkpoint", "model.path='': name a checkpoint folder or hub id, or take model=tiny"),
    ("model=checkpoint model.path=no_model", "model.path=no_model: not a Hugging Face checkpoint folder"),
    ("model=checkpoint model.path=./nowhere", "model.path=./nowhere: not a Hugging Face checkpoint folder"),
    ("model.path=owner/model", "model.path=owner/model: the tiny model has no path; take model=checkpoint with it"),
    ("model.pretrain.stps=3", "unknown option 'model.pretrain.stps': did you mean 'model.pretrain.steps'?"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("overrides", "message"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_a_mistake_is_one_line(overrides, message):
    with pytest.raises(InputError) as raised:
        print(trial(*overrides.split(" ")).trial)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_mistake_on_the_command_line_prints_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["em", "seed=-1"])
    with pytest.raises(SystemExit) as raised:
        run_command(lambda arguments: print(trial(*arguments).trial), "usage")
    assert raised.value.code == 2
    assert capsys.readouterr().err == "error: seed=-1: must be 0 or greater\n"
