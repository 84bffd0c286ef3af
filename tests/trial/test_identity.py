"""Ids are content: what changes a result changes the id, nothing else does, and no old id ever changes."""

import dataclasses
import json
import shutil
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from typing import Any

import pytest

from em.cli.compose import compose_trial
from em.cli.inputs import folder_digest, resolve_benchmark, resolve_model, resolve_prompts
from em.errors import InputError
from em.store.files import PosixFiles
from em.tiny.recipe import Recipe
from em.train.entropy import EntropyMinimisation
from em.trial.evaluation import STYLES, Benchmark, Chat, Evaluation
from em.trial.fields import with_value
from em.trial.identity import content_id, not_identity
from em.trial.model import Model, Precision
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts, Select
from em.trial.rollout import Rollout
from em.trial.trial import Earlier, Trial
from em.trial.unit import Measurement, Unit
from em.trial.written import plain, trial_from
from tests.trials import one_phase


def trial(**changes: Any) -> Trial:
    return one_phase(**{"model": Model(path="owner/model"), "prompts": Prompts(texts=["1+1?"]), **changes})


def evaluation(**changes: Any) -> Evaluation:
    benchmark = Benchmark(name="b", path="b.jsonl", digest="d", grader="boxed")
    settings = {"benchmark": benchmark, "temperature": 1.0, "top_p": 1.0, "samples": 8, "seed": 0}
    return Evaluation(**{**settings, **changes})


GIVEN = "prompts.texts=['1+0M7*5?']"  # the default, before prompts were selected
GOLDEN = {
    "defaults": [GIVEN],
    "seed": [GIVEN, "seed=1"],
    "temperature": [GIVEN, "rollout.temperature=1.0"],
    "transformers": [GIVEN, "rollout=transformers"],
    "reference_code": [GIVEN, "objective=reference_code"],
    "paper_7b": [GIVEN, "model=qwen2.5-math-7b", "model.revision=main"],
    "reference_code_7b": [GIVEN, "model=qwen2.5-math-7b", "model.revision=main", "objective=reference_code"],
    "hub_model": [GIVEN, "model=checkpoint", "model.path=owner/model"],
    "two_prompts": ["prompts.texts=['1+1+1+1?','2+2+2+2?']"],
    "selected": [],
    "selected, seed": ["seed=1"],
    "selected, transformers": ["rollout=transformers"],
}


def test_golden_ids(golden):
    """A changed id orphans every record made under the old one."""
    ids = {}
    for name, overrides in GOLDEN.items():
        config = compose_trial(overrides)
        unit = Unit(config.trial, config.measurements(config.eval.steps))
        ids |= {name: config.trial.id, f"{name}, base": config.trial.base.id, f"{name}, unit": unit.id}
        ids |= {f"evaluation of {e.benchmark.name}": e.id for e in config.evaluations}
    golden("ids", ids)
    trials = [ids[name] for name in GOLDEN]
    assert len(set(trials)) == len(trials)


class Colour(Enum):
    red = "red"
    blue = "blue"


def test_a_new_field_with_a_default_changes_no_id():
    old = make_dataclass("Old", [("a", int), ("b", list, field(default_factory=list))])
    new = make_dataclass(
        "New",
        [
            ("a", int),
            ("b", list, field(default_factory=list)),
            ("c", float, field(default=0.5)),
            ("d", dict, field(default_factory=dict)),
            ("e", Colour, field(default=Colour.red)),
            ("f", Rollout, field(default_factory=Rollout)),
        ],
    )
    assert content_id(new(a=1)) == content_id(old(a=1))
    assert content_id(new(a=1, b=[2])) == content_id(old(a=1, b=[2]))
    changed = [new(a=1, c=0.6), new(a=1, d={"x": 1}), new(a=1, e=Colour.blue), new(a=1, f=Rollout(top_p=0.9))]
    assert len({content_id(item) for item in [new(a=1), *changed]}) == 5


def test_a_new_field_within_a_trial_changes_no_id():
    @dataclass(kw_only=True)
    class NewObjective(EntropyMinimisation):
        entropy_of: str = "tokens"

    @dataclass(frozen=True, kw_only=True)
    class NewTrial(Trial):
        schedule: str = "constant"

    old = trial(objective=EntropyMinimisation(first_token=False))
    kept = {item.name: getattr(old, item.name) for item in dataclasses.fields(old)}
    new = NewTrial(**{**kept, "phase": trial(objective=NewObjective(first_token=False)).phase})
    assert new.id == old.id
    assert NewTrial(**{**kept, "schedule": "cosine"}).id != old.id
    assert with_value(new, "phase.objective.entropy_of", "words").id != old.id


def test_an_old_default_that_is_made_explicit_keeps_the_id():
    assert trial(rollout=Rollout(temperature=0.5), optimizer=Optimizer()).id == trial().id


def other(value: Any) -> Any:
    """Another value of the same type, also a valid one."""
    match value:
        case bool():
            return not value
        case Enum():
            return next(member for member in type(value) if member is not value)
        case int():
            return value + 1
        case float():
            return value * 0.75 if value else 0.25
        case str():
            return value + "x"
        case list():
            return [*value, 0 if value and isinstance(value[0], int) else "x"]
        case dict():
            return value | {"x": [1, 2]}
    raise TypeError(f"no other value for {value!r}")


SPECIAL = {  # have tests of their own
    *("model.pretrain", "model.digest", "benchmark.suite", "benchmark.pairs", "benchmark.digest"),
    *("phase.prompts.answers", "phase.prompts.answer_field", "phase.prompts.grader", "phase.prompts.suites", "before"),
}


def leaves(root: Any, prefix: str = "") -> list[tuple[str, Any, bool]]:
    """Path, value and whether it is part of the identity, for every field of a dataclass and those in it."""
    paths = []
    for item in dataclasses.fields(root):
        path, value = prefix + item.name, getattr(root, item.name)
        if dataclasses.is_dataclass(value):
            paths += leaves(value, f"{path}.")
        elif path not in SPECIAL:
            paths.append((path, value, item.metadata.get("identity", True)))
    return paths


@pytest.mark.parametrize(
    ("root", "path", "value", "identifies"),
    [
        pytest.param(root, *leaf, id=f"{type(root).__name__}.{leaf[0]}")
        for root in (trial(), evaluation())
        for leaf in leaves(root)
    ],
)
def test_exactly_the_fields_of_the_identity_change_an_id(root, path, value, identifies):
    assert (with_value(root, path, other(value)).id != root.id) is identifies


def test_some_fields_are_on_either_side():
    """So that the loop above cannot pass by finding nothing."""
    sides = {path: identifies for root in (trial(), evaluation()) for path, _, identifies in leaves(root)}
    for path in (
        "seed",
        "model.revision",
        "phase.prompts.texts",
        "phase.optimizer.lr",
        "engine.engine",
        "benchmark.stop",
    ):
        assert sides[path]
    for path in ("model.cpu_threads", "phase.prompts.path", "engine.max_num_seqs", "benchmark.path"):
        assert not sides[path]


def test_a_suite_and_its_split_identify_a_benchmark():
    places = [(suite, split) for suite in ("sum", "max") for split in ("test", "validation")]
    listed = (Benchmark(name="b", suite=suite, split=split, grader="tiny") for suite, split in places)
    suites = [resolve_benchmark(benchmark) for benchmark in listed]
    assert len({evaluation(benchmark=benchmark).id for benchmark in suites}) == 4


def test_integers_and_floats_of_one_value_are_one_trial():
    pairs = [("rollout.temperature", "1", "1.0"), ("optimizer.lr", "2e-5", "0.00002"), ("optimizer.eps", "1", "1.0")]
    for path, one, two in pairs:
        ids = {compose_trial([f"{path}={text}"]).trial.id for text in (one, two)}
        assert len(ids) == 1


def test_a_tiny_model_is_its_recipe():
    one = trial(model=Model(pretrain=Recipe()))
    assert trial(model=Model(pretrain=Recipe())).id == one.id
    assert trial(model=Model(pretrain=Recipe(seed=1))).id != one.id
    worked = dict(reversed(Recipe().worked.items()))
    assert trial(model=Model(pretrain=Recipe(worked=worked))).id == one.id
    assert trial(model=Model(pretrain=Recipe(), precision=Precision.bf16)).id != one.id


def test_a_local_model_is_its_files_wherever_they_lie(tmp_path, checkpoint):
    source = checkpoint(tied=True)
    copies = [tmp_path / "copy", tmp_path / "other"]
    for copy in copies:
        shutil.copytree(source, copy)
    (copies[0] / ".cache").mkdir()
    (copies[0] / ".hidden").write_text("not part of it")
    settings = json.loads((copies[1] / "config.json").read_text())
    (copies[1] / "config.json").write_text(json.dumps({**settings, "rms_norm_eps": 0.1}))
    ids = [trial(model=resolve_model(Model(path=str(folder)))).id for folder in (source, *copies)]
    assert ids[0] == ids[1] != ids[2]
    assert trial(model=resolve_model(Model(path=str(checkpoint(tied=True, seed=1))))).id not in ids


def test_a_folders_digest_depends_on_names_and_contents(tmp_path):
    digests = []
    for name, content in (("a", b"1"), ("a", b"2"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
        digests.append(folder_digest(tmp_path, PosixFiles(tmp_path / "cache")))
    assert len(set(digests)) == 3


def test_prompts_are_their_texts_wherever_they_come_from(tmp_path):
    for name, key in (("one.jsonl", "problem"), ("two.jsonl", "question")):
        (tmp_path / name).write_text("".join(json.dumps({key: text}) + "\n" for text in ("1+1?", "2+2?")))
    one = resolve_prompts(Prompts(path=str(tmp_path / "one.jsonl")))
    two = resolve_prompts(Prompts(path=str(tmp_path / "two.jsonl"), text_field="question"))
    listed = Prompts(texts=["1+1?", "2+2?"])
    assert trial(prompts=one).id == trial(prompts=two).id == trial(prompts=listed).id
    assert trial(prompts=Prompts(texts=["2+2?", "1+1?"])).id != trial(prompts=listed).id
    first = resolve_prompts(Prompts(path=str(tmp_path / "one.jsonl"), rows=[0]))
    assert trial(prompts=first).id == trial().id


def test_a_benchmark_is_its_problems_and_answers(tmp_path):
    def id_of(name: str, rows: list[dict[str, str]], **settings: Any) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        benchmark = Benchmark(name="b", path=str(path), grader="boxed", **settings)
        return evaluation(benchmark=resolve_benchmark(benchmark)).id

    rows = [{"problem": "1+1", "answer": "2"}, {"problem": "2+2", "answer": "4"}]
    first = id_of("a.jsonl", rows)
    assert id_of("b.jsonl", [{**row, "source": "elsewhere"} for row in rows]) == first
    renamed = [{"q": row["problem"], "answer": row["answer"]} for row in rows]
    assert id_of("c.jsonl", renamed, problem_fields=["q"]) == first
    assert id_of("d.jsonl", [rows[0], {"problem": "2+2", "answer": "5"}]) != first
    assert id_of("e.jsonl", rows[::-1]) != first
    assert id_of("f.jsonl", rows[:1]) != first


def test_the_order_of_a_dictionary_does_not_matter():
    assert content_id({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == content_id({"b": [2, {"d": 4, "c": 3}], "a": 1})
    assert content_id({"a": [1, 2]}) != content_id({"a": [2, 1]})


def test_not_a_number_has_no_id():
    with pytest.raises(ValueError, match="Out of range float"):
        content_id({"a": float("nan")})


def test_not_identity_is_a_default_like_any_other():
    @dataclass
    class Item:
        a: int
        place: str = not_identity(default="here")

    assert Item(1).place == "here"
    assert content_id(Item(1, "there")) == content_id(Item(1)) != content_id(Item(2))


def test_a_unit_is_its_trial_and_what_is_measured_in_any_order():
    measurements = [Measurement(step, evaluation(seed=seed)) for step in (0, 10) for seed in (0, 1)]
    unit = Unit(trial(), tuple(measurements))
    assert Unit(trial(), tuple(reversed(measurements))).id == unit.id
    assert unit.id.startswith(f"{trial().id}-")
    assert Unit(trial(), tuple(measurements[1:])).id != unit.id
    assert Unit(trial(seed=1), tuple(measurements)).id != unit.id


def test_ids_do_not_depend_on_the_process(golden):
    """Python's own hashes of strings do; these are of sixteen hexadecimal digits, in golden files."""
    assert len(trial().id) == 16
    assert int(trial().id, 16) >= 0
    golden("trial_id", {"owner/model, 1+1?": trial().id, "its evaluation": evaluation().id})


def test_a_changed_method_or_style_is_another_trial_or_evaluation(monkeypatch):
    """Versions are left out at their first value: no id changes until one is raised."""
    before = trial().id, trial().base.id, evaluation().id
    monkeypatch.setattr(EntropyMinimisation, "version", 2)
    monkeypatch.setitem(STYLES, Chat.model, 2)
    assert trial().id != before[0]
    assert trial().base.id == before[1]
    assert evaluation().id != before[2]


def test_an_earlier_phase_and_its_seed_make_another_trial():
    phase = trial().phase
    assert phase is not None
    first = Earlier(phase=phase, steps=5)
    after = dataclasses.replace(trial(), before=(first,))
    others = [dataclasses.replace(first, steps=6), dataclasses.replace(first, seed=1)]
    ids = [trial().id, after.id, *(dataclasses.replace(trial(), before=(other,)).id for other in others)]
    assert len(set(ids)) == 4
    assert after.base.id == trial().base.id


def test_what_came_before_is_a_trial_of_its_own_shared_by_all_that_follow():
    """Its end is a measurement of the trial that ended there: two phases before, one before, the base model."""
    phase, other = trial().phase, trial(prompts=Prompts(texts=["2+2?"])).phase
    assert phase is not None
    assert other is not None
    before = (Earlier(phase=other, steps=7, seed=3), Earlier(phase=phase, steps=5, seed=4))
    last = dataclasses.replace(trial(seed=9), before=before)
    ends = [(trial(prompts=Prompts(texts=["2+2?"]), seed=3).id, 7), (last.origin[0].id, 5)]
    assert [(end.id, steps) for end, steps in last.path] == ends
    assert (last.origin[0].phase, last.origin[0].before, last.origin[0].seed) == (phase, before[:1], 4)
    assert last.with_seed(10).path == last.path
    assert trial().path == ()
    with pytest.raises(InputError, match="before=1: needs a phase that follows"):
        Trial(model=Model(path="owner/model"), before=before[:1])


def test_given_texts_win_over_a_selection_and_are_the_trial_that_they_always_were(tmp_path):
    """The rule identifies a trial, and not what it selects: planning needs no model."""
    given = compose_trial([GIVEN])
    assert given.prompts == Prompts(texts=["1+0M7*5?"])
    assert given.trial.id == "f89a03b229bc14c3"
    assert compose_trial(["prompts.texts=['1+2+3+4?']"]).prompts.texts == ["1+2+3+4?"]
    selected = compose_trial([])
    assert selected.prompts == Prompts(select=Select.variance)
    assert selected.trial.id != compose_trial([GIVEN]).trial.id
    assert "select" not in plain(given.trial)["prompts"]
    assert trial_from(json.loads(json.dumps(plain(selected.trial)))) == selected.trial
    (tmp_path / "prompts.jsonl").write_text('{"problem": "1+1?"}\n')
    file = compose_trial([f"prompts.path={tmp_path}/prompts.jsonl"]).prompts
    assert (file.texts, file.select) == (["1+1?"], Select.none)
