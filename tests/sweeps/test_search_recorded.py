"""What a search finds in a store: records of its space, what was decided before, damaged pieces, other stores."""

import json
from pathlib import Path

import pytest

from em.errors import InputError
from em.store import Store
from em.store.record import Status
from sweeps import plan
from sweeps.config import Launch, compose_launch
from sweeps.search import mirror
from sweeps.search.recorded import fields_of, trained
from sweeps.search.source import Search
from sweeps.source import source_of
from tests import searched
from tests.trials import run

GRID = "sweep.axes=[{field: optimizer.lr, values: [1e-4, 1e-3]}, {field: FIELD, values: VALUES}]"
LR = "{field: optimizer.lr, low: 1e-5, high: 1e-2, log: true}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(searched, "SECONDS", 0.0)


def record(folder: Path, *words: str, diverged: bool = False) -> Launch:
    """Every trial of a sweep; those that diverge leave no scores."""
    config = compose_launch([*words, f"store={folder}"])
    store = Store(folder, decides=True)
    while todo := plan.plan(config, store).todo:
        for unit in todo:
            made = run(searched.Trainer(unit.trial.model, unit.trial.engine), unit)
            if diverged and not unit.trial.is_base:
                made.status, made.evaluations = Status.diverged, []
            store.commit(made)
    return config


def source(folder: Path, *words: str, decides: bool = True) -> Search:
    made = source_of(compose_launch([*words, f"store={folder}"]), Store(folder, decides=decides))
    assert isinstance(made, Search)
    return made


def warm(folder: Path, *words: str) -> set[tuple]:
    own = source(folder, "search=random", "search.points=1", "sweep.seeds=1", *words)
    own.settled(own.store.records()[0])
    assert all(of.scores.size == 1 for of in own.study.warm)
    return {tuple(of.values.values()) for of in own.study.warm}


@pytest.mark.parametrize(
    ("words", "field", "values"),
    [
        (["prompts=tiny"], "prompts.rank", [0, 1, 2]),
        (["phase=reference_code"], "optimizer.accumulate", [1, 2]),
    ],
)
def test_a_field_at_its_default_is_recorded_too(words, field, values, tmp_path):
    """Records leave it out; it is what the trial has, whatever the search's config says."""
    grid = GRID.replace("FIELD", field).replace("VALUES", str(values))
    record(tmp_path, "sweep=temperature", "sweep.figures=[]", "sweep.seeds=1", *words, grid)
    expected = {(lr, value) for lr in (1e-4, 1e-3) for value in values}
    assert warm(tmp_path, *words, f"sweep.axes=[{LR}, {{field: {field}, values: {values}}}]") == expected
    ends = f"{{field: {field}, low: {min(values)}, high: {max(values)}}}"
    assert warm(tmp_path, *words, f"sweep.axes=[{LR}, {ends}]") == expected


def test_axes_that_are_groups_alone_are_found(tmp_path):
    groups = "sweep.axes=[{field: objective, values: [paper, reference_code]}]"
    record(tmp_path, "sweep=temperature", "sweep.figures=[]", "sweep.seeds=1", groups)
    assert warm(tmp_path, groups) == {("paper",), ("reference_code",)}
    assert warm(tmp_path, groups, "optimizer.lr=7e-4") == set()


def test_files_of_prompts_are_found_by_what_they_hold(tmp_path):
    """A record has their texts, and the place where they lay."""
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"problem": f"{name}?"}))
    files = f"prompts.path={tmp_path / 'a.jsonl'},{tmp_path / 'b.jsonl'}"
    record(tmp_path / "x", "prompts=jsonl", files, "sweep.seeds=1")
    (tmp_path / "a.jsonl").rename(tmp_path / "c.jsonl")
    moved = f"prompts.path={tmp_path / 'c.jsonl'},{tmp_path / 'b.jsonl'}"
    assert warm(tmp_path / "x", "prompts=jsonl", moved) == {(str(tmp_path / f"{name}.jsonl"),) for name in "cb"}


def test_fields_are_those_of_a_config(tmp_path):
    config = record(tmp_path, "sweep=temperature", "rollout.temperature=1", "sweep.seeds=1")
    [trial] = trained(Store(tmp_path).records()[0])
    fields = fields_of(trial)
    assert fields["rollout.temperature"] == 1.0
    assert fields["rollout.engine"] == config.rollout.engine.value
    assert fields["optimizer.accumulate"] == 1
    assert fields["prompts.select"] == config.prompts.select.value


def test_all_seeds_diverged_is_said_instead_of_a_best_point(tmp_path):
    words = ["sweep=temperature", "search=random", "search.points=2", "sweep.seeds=2"]
    record(tmp_path, *words, diverged=True)
    own = source(tmp_path, *words)
    own.settled(own.store.records()[0])
    _, said = own.said(own.store.records()[0])
    assert said == "  points all of whose seeds diverged, which are never the best: 2 of 2"


SEARCH = ["search=random", "search.points=2", "sweep.seeds=1", f"sweep.axes=[{LR}]"]


@pytest.mark.parametrize(
    "content", ['{"values": {"optim', "", "[1, 2]", '{"values": 3}', '{"values": {"optimizer.lr": 7}}']
)
def test_a_damaged_point_is_one_line_and_asked_again_once_it_is_gone(content, tmp_path):
    def asked() -> list:
        own = source(tmp_path, *SEARCH)
        own.settled(own.store.records()[0])
        return [of.values for of in own.study.asked]

    known = asked()
    [path] = tmp_path.glob("decisions/*/point-1.json")
    path.write_text(content)
    with pytest.raises(InputError, match=rf"^{path}: damaged; .*remove it: it is decided anew"):
        asked()
    path.unlink()
    assert asked() == known


@pytest.mark.parametrize("content", ["[{", "[1, 2]", "7", '[{"values": {}, "seeds": [0]}]'])
def test_what_was_recorded_first_is_not_what_the_search_recorded_since(content, tmp_path):
    record(tmp_path, *SEARCH)
    [path] = tmp_path.glob("decisions/*/warm.json")
    path.write_text(content)
    with pytest.raises(InputError, match=rf"^{path}: damaged"):
        source(tmp_path, *SEARCH)
    path.unlink()
    own = source(tmp_path, *SEARCH)
    own.settled(own.store.records()[0])
    assert own.begun == []


def test_two_stores_show_their_studies_in_one_database(tmp_path):
    url, names = f"sqlite:///{tmp_path / 'studies.db'}", list[str]()
    for folder in (tmp_path / "one", tmp_path / "two"):
        own = source(folder, *SEARCH, f"search.storage='{url}'")
        own.settled(own.store.records()[0])
        [line] = own.publish()
        names.append(line.rpartition(" ")[2])
        assert names[-1].startswith(f"{own.name}-")
        own.store = Store(folder, decides=True)
        assert own.shown_as() == names[-1]
    assert names[0] != names[1]
    with mirror.database(url) as storage:
        assert {study.study_name for study in storage.get_all_studies()} == {*names}
    looking = source(tmp_path / "three", *SEARCH, f"search.storage='{url}'", decides=False)
    looking.settled(looking.store.records()[0])
    assert looking.publish() == []
    assert not (tmp_path / "three" / "decisions").exists()
