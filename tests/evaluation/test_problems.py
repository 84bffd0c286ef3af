"""Where problems come from: files, the hub, the published benchmarks; and a benchmark that somebody adds."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em.cli import overrides
from em.cli.compose import compose_trial
from em.cli.inputs import resolve_benchmark
from em.cli.overrides import CONF
from em.errors import InputError
from em.evaluation.evaluate import Evaluator
from em.evaluation.problems import problems
from em.rollout.engine import Completion, Engine, Request
from em.rollout.reader import Reader
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.model import Model
from em.trial.unit import Measurement

PUBLISHED = {"math500": 500, "minerva_math": 272, "olympiadbench": 675, "amc23": 40, "kk": 700, "mbpp": 500}


def jsonl(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def benchmark(**settings: Any) -> Benchmark:
    return Benchmark(**{"name": "mine", "grader": "boxed", **settings})


def test_a_reference_is_one_text_or_json_of_several_fields(tmp_path):
    rows = [("1+1?", 2), ("2+2?", "4"), ("x?", ["1", "2"])]
    path = jsonl(tmp_path / "a.jsonl", *({"problem": problem, "answer": answer} for problem, answer in rows))
    code = benchmark(path=path, grader="code")
    assert problems(code) == [("1+1?", "2"), ("2+2?", "4"), ("x?", '{"answer": ["1", "2"]}')]
    several = benchmark(path=path, answer_fields=["answer", "problem"], limit=1, grader="code")
    assert problems(several) == [("1+1?", '{"answer": 2, "problem": "1+1?"}')]


def test_several_fields_make_a_problem_and_lists_are_lines(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"text": "Add.", "tests": ["assert a", "assert b"], "answer": "x"})
    assert problems(benchmark(path=path, problem_fields=["text", "tests"])) == [("Add.\nassert a\nassert b", "x")]


def test_only_rows_within_the_bounds_are_kept(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", *({"id": n, "problem": f"{n}?", "answer": n} for n in range(20)))
    assert [text for text, _ in problems(benchmark(path=path, keep={"id": [3, 5]}))] == ["3?", "4?", "5?"]
    with pytest.raises(InputError, match=r"benchmarks.mine.keep=\{'id': \[50, 60\]\}: leaves no problem of"):
        problems(benchmark(path=path, keep={"id": [50, 60]}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"problem": "1?", "answer": 1}\n{"problem": "2?"}\n', "a.jsonl:2: unknown field 'answer'"),
        ('{"problem": "1?", "answer": 1}\n{oops\n', "a.jsonl:2: not a JSON object"),
        ('{"problem": {"a": 1}, "answer": 1}\n', "a.jsonl:1: problem={'a': 1}: must be text, a number"),
        ("\n", "the file holds no rows"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, rows, message):
    (tmp_path / "a.jsonl").write_text(rows)
    with pytest.raises(InputError) as raised:
        problems(benchmark(path=str(tmp_path / "a.jsonl")))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"answer": "No one."}, {"grader": "knights"}, "answer='No one.': must say who is a knight or a knave"),
        ({"answer": None}, {}, "answer=None: must be an answer"),
        ({"a": None, "b": None}, {"answer_fields": ["a", "b"]}, "a, b=None: must be an answer"),
        *(
            ({"answer": wrong}, {"grader": grader}, f"answer={shown}: must be one text or number for grader={grader}")
            for grader in ("boxed", "maths", "knights", "tiny")
            for wrong, shown in [
                (True, "True"),
                (["1", "2"], "['1', '2']"),
                ([], "[]"),
                ({"value": 1}, "{'value': 1}"),
                (float("nan"), "NaN"),
                (float("-inf"), "-Infinity"),
            ]
        ),
        *(({"answer": text}, {}, f"answer={text!r}: must say something") for text in ("", " ", "\n\t")),
        *(
            ({"answer": text}, {"grader": "maths"}, f"answer={text!r}: must say something")
            for text in ("$$", "{}", "$.$")
        ),
        (
            {"answer": "(" * 200},
            {"grader": "maths"},
            f"answer='{'(' * 39}...: must have at most 100 brackets within brackets",
        ),
        ({"answer": "()" * 50_000}, {}, f"answer='{'()' * 19}(...: must have at most 20,000 characters"),
        ({"answer": "\ud800"}, {}, r"answer='\ud800': must be of whole characters, without half of a surrogate pair"),
        (
            {"answer": "7", "b": "8"},
            {"answer_fields": ["answer", "b"]},
            "answer, b=['7', '8']: must be one text or number for grader=boxed",
        ),
        (
            {"answer": [1, float("nan")]},
            {"grader": "code"},
            "answer=[1, NaN]: must be text, numbers, and lists or objects of these",
        ),
        (
            {"final_answer": ["2", "$ $"]},
            {"grader": "olympiad", "answer_fields": ["final_answer"]},
            "final_answer=['2', '$ $']: must be texts that say something",
        ),
        ({"answer": 1, "id": "7"}, {"keep": {"id": [3, 9]}}, "id='7': must be a number"),
        *(
            (
                {"final_answer": gold, "unit": None},
                {"grader": "olympiad", "answer_fields": ["final_answer", "unit"]},
                f"final_answer={gold!r}: must be a list of texts",
            )
            for gold in ("15", [], [15], [["1"]], True)
        ),
        ({"answer": "15"}, {"grader": "olympiad"}, "final_answer=None: must be a list of texts"),
    ],
)
def test_what_a_grader_cannot_use_is_named_by_file_and_line(tmp_path, row, settings, message):
    path = jsonl(tmp_path / "a.jsonl", {"problem": "1?", **row})
    with pytest.raises(InputError) as raised:
        problems(benchmark(path=path, **settings))
    assert str(raised.value) == f"{path}:1: {message}"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("7", "7"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("27.0", "27.0"),
        ("1e-5", "1e-5"),
        ("8.70E8", "8.70E8"),
        ("0.1000000000000000000001", "0.1000000000000000000001"),
        ("9" * 1000, "9" * 1000),
        ('"7"', "7"),
    ],
)
def test_a_number_keeps_its_digits(tmp_path, written, text):
    (tmp_path / "a.jsonl").write_text(f'{{"problem": "1?", "answer": {written}, "at": 0.5, "more": {"8" * 5000}}}\n')
    found = benchmark(path=str(tmp_path / "a.jsonl"), keep={"at": [0.5, 1]}, grader="maths")
    assert problems(found) == [("1?", text)]


@pytest.mark.parametrize("written", ["9" * 5000, "-" + "9" * 5000, "1e999", "NaN", "-Infinity", "0." + "3" * 2000])
def test_what_is_no_number_of_a_sane_length_is_refused(tmp_path, written):
    (tmp_path / "a.jsonl").write_text(f'{{"problem": "1?", "answer": "1"}}\n{{"problem": "1?", "answer": {written}}}\n')
    begun = f"{tmp_path}/a.jsonl:2: answer={written[:40]}{'...' * (len(written) > 40)}: must be "
    for settings in ({}, {"grader": "code"}, {"problem_fields": ["answer"]}, {"keep": {"answer": [0, 9]}}):
        with pytest.raises(InputError) as raised:
            problems(benchmark(path=str(tmp_path / "a.jsonl"), **({"grader": "maths"} | settings)))
        if "keep" not in settings:
            assert str(raised.value).startswith(begun)


def test_what_is_nested_too_deep_to_be_read_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"problem": ' + "[" * 100_000 + "\n")
    with pytest.raises(InputError, match=r"a.jsonl:1: not a JSON object \(nested too deep\)"):
        problems(benchmark(path=str(tmp_path / "a.jsonl")))


def test_a_folder_is_no_file_of_problems(tmp_path):
    jsonl(tmp_path / "mine.jsonl", {"problem": "1+1?", "answer": "2"})
    with pytest.raises(InputError) as raised:
        problems(benchmark(path=str(tmp_path)))
    assert str(raised.value) == (
        f"benchmarks.mine.path={tmp_path}: is a folder, name a file; {tmp_path} holds mine.jsonl"
    )


def test_a_folder_that_lacks_a_file_is_named_where_the_hub_is_not_to_be_had(tmp_path):
    missing = str(tmp_path / "nowhere")
    with pytest.raises(InputError) as raised:
        resolve_benchmark(benchmark(hub=missing), data=str(tmp_path))
    expected = f"eval.data={tmp_path}: has no mine.jsonl, and benchmarks.mine.hub={missing}: not to be had ("
    assert str(raised.value).startswith(expected)


def test_the_hub_is_read_through_datasets(tmp_path, monkeypatch):
    """A folder in the hub's layout, with two splits, is loaded by the code that loads hub ids."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "train.jsonl", {"problem": "never", "answer": "0"})
    jsonl(tmp_path / "set" / "test.jsonl", *({"problem": f"{n}?", "answer": n} for n in range(3)))
    found = benchmark(hub=str(tmp_path / "set"), split="test")
    assert problems(found) == [("0?", "0"), ("1?", "1"), ("2?", "2")]
    assert len(problems(benchmark(hub=str(tmp_path / "set"), split="test+train"))) == 4
    with pytest.raises(InputError, match=r"set test\[0\]: unknown field 'answr': did you mean 'answer'\?"):
        problems(benchmark(hub=str(tmp_path / "set"), answer_fields=["answr"]))


def test_what_the_hub_does_not_have_is_one_line_with_the_way_out(tmp_path):
    missing = str(tmp_path / "nowhere")
    with pytest.raises(InputError) as raised:
        problems(benchmark(hub=missing))
    assert str(raised.value).startswith(f"benchmarks.mine.hub={missing}: not to be had (")
    assert "benchmarks.mine.path=..., or a folder of such with eval.data=..." in str(raised.value)


def test_a_file_in_a_folder_stands_in_for_the_hub(tmp_path):
    jsonl(tmp_path / "math500.jsonl", {"problem": "1+1?", "answer": "2"})
    found = compose_trial(["benchmark=[math500]", f"eval.data={tmp_path}"]).benchmarks["math500"]
    assert found.path == str(tmp_path / "math500.jsonl")
    assert problems(found) == [("1+1?", "2")]
    with pytest.raises(InputError, match=r"eval.data=.*nowhere: no such folder"):
        compose_trial(["benchmark=[math500]", f"eval.data={tmp_path}/nowhere"])


def test_the_published_benchmarks_have_as_many_problems_as_the_paper_says():
    if "EM_BENCHMARK_DATA" not in os.environ:
        pytest.skip("set EM_BENCHMARK_DATA to a folder with the six benchmarks' JSONL files")
    config = compose_trial(["eval=paper", f"eval.data={os.environ['EM_BENCHMARK_DATA']}"])
    assert {name: len(problems(item)) for name, item in config.benchmarks.items()} == PUBLISHED
    asked = {(e.benchmark.name, e.temperature, e.samples) for e in config.evaluations}
    assert asked == {(name, 0.0, 1) for name in PUBLISHED} | {(name, 0.6, 8) for name in PUBLISHED}
    assert sum(PUBLISHED.values()) * 8 == 21_496


class Parrot(Engine):
    """Answers every prompt with its own text."""

    context = 512

    def stream(self, requests, logprobs=False):
        for index, request in reversed(list(enumerate(requests))):
            yield index, [Completion(request.prompt, truncated=False)] * request.samples

    def push(self, weights): ...

    def clear_cache(self): ...

    def close(self): ...


MINE = """
# @package benchmarks.mine
name: mine
path: {path}
problem_fields: [question]
answer_fields: [gold]
system: Be brief.
template: "Q: {{problem}}"
prefill: "A:"
chat: chatml
stop: ["\\n\\n"]
max_new_tokens: 8
grader: boxed
"""


@pytest.fixture
def evaluator(checkpoint: Callable[..., Path]) -> Callable[[int], Evaluator]:
    """Of a parrot that reads 1024 tokens, in an engine that takes as many as are asked for."""
    return lambda context: Evaluator(Parrot(), Reader(checkpoint(tied=True), Model(path="owner/model"), context))


def evaluation_of(path: str, **settings: Any) -> Evaluation:
    chosen = resolve_benchmark(benchmark(path=path, **settings))
    return Evaluation(benchmark=chosen, temperature=1.0, top_p=1.0, samples=1, seed=0)


def test_problems_that_were_overwritten_since_the_config_was_read_are_refused(tmp_path, evaluator):
    path = jsonl(tmp_path / "a.jsonl", {"problem": "1+1?", "answer": "2"})
    asked = evaluation_of(path, max_new_tokens=8)
    jsonl(tmp_path / "a.jsonl", {"problem": "1+1?", "answer": "3"})
    with pytest.raises(InputError, match=r"benchmarks.mine: .*a.jsonl holds other problems than those of this"):
        evaluator(1024).prepare(asked)


def test_an_answer_is_cut_short_by_the_model_alone(tmp_path, evaluator):
    asked = evaluation_of(jsonl(tmp_path / "a.jsonl", {"problem": "1" * 500, "answer": "2"}), max_new_tokens=100)
    [request], _ = evaluator(600).prepare(asked)
    assert request.max_new_tokens == 100
    with pytest.raises(InputError) as raised:
        evaluator(599).prepare(asked)
    assert str(raised.value) == (
        "rollout.max_model_len=599: would cut answers of benchmarks.mine short: its longest prompt has 500 tokens, and "
        "max_new_tokens=100; set it to 600 or more"
    )
    long = evaluation_of(jsonl(tmp_path / "b.jsonl", {"problem": "1" * 1000, "answer": "2"}), max_new_tokens=100)
    [request], _ = evaluator(1024).prepare(long)
    assert request.max_new_tokens == 24
    with pytest.raises(InputError, match=r"rollout.max_model_len=1023: .* set it to 1024 or more"):
        evaluator(1023).prepare(long)


def test_a_text_ends_at_the_first_stop_string(tmp_path, evaluator):
    rows = [{"problem": text, "answer": "5"} for text in ("5</s>6", "5|end|</s>", "</s>", "5<s>")]
    asked = evaluation_of(jsonl(tmp_path / "a.jsonl", *rows), stop=["</s>", "|end|"], max_new_tokens=8)
    [result] = [found.result() for found in evaluator(1024).measure([Measurement(0, asked)])]
    assert result.texts == ["5", "5", "", "5<s>"]
    assert result.lengths == [6, 10, 4, 4]


def test_a_new_benchmark_is_one_file(tmp_path, monkeypatch, evaluator):
    """What docs/design.md shows: a YAML file, and nothing else, makes a benchmark that is asked and graded."""
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr(overrides, "CONF", tmp_path / "conf")
    path = jsonl(tmp_path / "mine.jsonl", {"question": r"\boxed{7}", "gold": "7"}, {"question": "none", "gold": "8"})
    (tmp_path / "conf" / "benchmark" / "mine.yaml").write_text(MINE.format(path=path))
    config = compose_trial(["benchmark=[tiny,mine]", "eval.samples=2"])
    [measurement] = [m for m in config.measurements([0]) if m.evaluation.benchmark.name == "mine"]
    evaluator = evaluator(512)
    [request, _], _ = evaluator.prepare(measurement.evaluation)
    asked = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ: \\boxed{7}<|im_end|>\n<|im_start|>assistant\nA:"
    )
    assert bytes(request.prompt).decode() == asked
    assert isinstance(request, Request)
    assert (request.stop, request.samples, request.max_new_tokens) == (("\n\n",), 2, 8)
    [result] = [measured.result() for measured in evaluator.measure([measurement])]
    assert (result.correct, result.extracted, result.accuracy) == (
        [True, True, False, False],
        ["7", "7", None, None],
        0.5,
    )
    assert result.texts == [asked, asked, asked.replace(r"\boxed{7}", "none"), asked.replace(r"\boxed{7}", "none")]
