"""Words that Hydra does not take as they are: `~`, and the quoting that errors suggest, pasted into a shell."""

import random
import re
import shlex
from pathlib import Path

import pytest

from em.cli.compose import TRIAL, compose_trial
from em.cli.words import in_quotes, read
from em.errors import InputError
from em.store import Store
from sweeps.config import compose_launch

ODD = [
    "#",
    "=",
    "'",
    '"',
    "'\"",
    "(",
    "{",
    "[",
    "$",
    "${",
    "${a}",
    "\\${",
    "\\",
    ";",
    "&",
    "!",
    "`",
    "é",
    "日",
    "\n",
    ",",
]


def said(word: str) -> str:
    with pytest.raises(InputError) as raised:
        compose_trial([word])
    return str(raised.value)


@pytest.mark.parametrize("odd", ODD)
def test_what_is_suggested_works_in_a_shell(odd):
    wanted = f"/a b/c{odd}d"
    word = f"store={wanted}"
    try:
        assert compose_trial([word]).store == wanted
    except InputError as error:
        if odd == "\n":
            return  # shown as \n: no line can be pasted
        [suggested] = re.findall(r"'store=.*$", str(error).partition(" in quotes")[2])
        [pasted] = shlex.split(suggested)
        assert TRIAL.compose([pasted]).store == wanted


def test_any_text_can_be_quoted():
    rng, letters = random.Random(0), [*ODD, *"ab1 /]}):~.-\t", "null", "true"]
    config = TRIAL.compose([])
    for _ in range(300):
        text = "".join(rng.choice(letters) for _ in range(rng.randint(1, 8)))
        [pasted] = shlex.split(in_quotes("eval.data=", text))
        given = read(pasted)
        config.eval.data = given.value()
        assert config.eval.data == text


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("store=a#b", "cannot read 'store=a#b': '#' has to be in quotes: 'store=\"a#b\"'"),
        ("prompts.texts=[a#b,c]", "'#' has to be in quotes: 'prompts.texts=[\"a#b\",c]'"),
        ("store=a,b", "store=a,b: give it one value, or put it in quotes: 'store=\"a,b\"'"),
        ("store=a${b}", "a text is put in quotes: 'store=\"a\\${b}\"'"),
        ("optimizer[lr]=1", "'optimizer[lr]' is no name; one is written as in rollout.temperature=1"),
        ("hydra.run.dir=x", "hydra.run.dir=x: leave it out"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib: leave it out"),
        ("+hydra.x=1", "+hydra.x=1: leave it out"),
        ("model=TINY", "unknown model 'TINY': did you mean 'tiny'?"),
        ("OPTIMIZER.LR=1", "unknown option 'OPTIMIZER.LR': did you mean 'optimizer.lr'?"),
        ("MODEL=tiny", "unknown option 'MODEL': did you mean 'model'?"),
        ("seed=null", "seed=null: field 'seed' is not Optional; give a whole number"),
        ("seed=99999999999999999999", "seed=99999999999999999999: give a number of at most 64 bits"),
        ("eval.steps=5", "give a list, eval.steps=[...]"),
        ("eval.steps=[[1]]", "eval.steps=[[1]]: each item is one value"),
        ("rollout.engine=[vllm]", "choose from vllm, transformers"),
        ("benchmarks=null", "give its fields one by one, benchmarks.NAME=VALUE"),
        ("~preset=x", "~preset=x: write ~preset, which leaves it out"),
        ("seed=range(0,1000000000)", "is 1,000,000,000 values, more than 100,000; take fewer"),
        ("seed=range(0,inf)", "start and stop must be finite"),
        ("seed=range(0,3),5", "a function stands alone"),
        ("store=~nosuchuser/x", "there is no such user"),
    ],
)
def test_shapes_that_do_not_fit_are_told(word, message):
    assert message in said(word)


def test_a_file_of_that_name_speaks_for_quotes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a,b.jsonl").write_text('{"problem": "1+1?"}\n')
    suggestion = "'prompts.path=\"a,b.jsonl\"'"
    assert f"there is a file of that name: {suggestion}" in said("prompts.path=a,b.jsonl")
    with pytest.raises(InputError, match="there is a file of that name; put it in quotes"):
        compose_launch(["prompts=jsonl", "prompts.path=a,b.jsonl"])
    assert compose_trial(["prompts=jsonl", *shlex.split(suggestion)]).prompts.texts == ["1+1?"]


def test_the_home_folder_needs_no_quotes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.jsonl").write_text('{"problem": "1+1?", "answer": 2}\n')
    words = ["prompts=jsonl", "prompts.path=~/p.jsonl", "benchmark=jsonl", "benchmarks.jsonl.path=~/p.jsonl"]
    config = compose_trial([*words, "store=~/r", "eval.data=~"])
    assert config.prompts.path == config.benchmarks["jsonl"].path == str(tmp_path / "p.jsonl")
    assert Store(config.store).root == tmp_path / "r"
    assert "no config.json" in said("model={path: ~/p, pretrain: null}")
