"""What the doctor finds, what it makes of it, and that nothing of it stays."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from em.errors import InputError
from em.store import Store
from em.trial.model import Model
from sweeps import expand
from sweeps.amounts import Amounts, record_bytes
from sweeps.config import compose_launch
from sweeps.doctor import checks
from sweeps.doctor.__main__ import named, nodes_with_room, own_folder
from sweeps.doctor.canary import Canary, canary_of, fly
from sweeps.doctor.checks import Facts
from sweeps.doctor.verdicts import Node, Row, judge_all

GIB = 2**30
VERSIONS = {"python": "3.11.7", "machine": "x86_64", "torch": "2.13.0", "ray": "2.60.0", "numpy": "2.2"}
FACTS = Facts(
    store="",
    clock=0.1,
    missing="",
    free={"store": 100 * GIB, "temp": 50 * GIB},
    code="da85de12c641",
    versions=VERSIONS,
    cores=8,
    memory=64 * GIB,
    gpus=[],
)
CANARY = Canary(step=1.5, memory=6 * GIB, fingerprint="weights a, answers b")
NEEDED = {"store": 10 * GIB, "temp": GIB}


def node(name: str = "node-a", **changes: Any) -> Node:
    """A healthy one, but for the changes, of its facts or itself."""
    facts = {key: value for key, value in changes.items() if hasattr(FACTS, key)}
    rest = {key: value for key, value in changes.items() if key not in facts}
    fields = {"room": {"CPU": 8}, "lanes": 8, "facts": replace(FACTS, **facts), "canary": CANARY} | rest
    return Node(id=name, name=name, **fields)


def wrong(*nodes: Node, here: Facts = FACTS) -> dict[Row, list[str]]:
    """What is not ok."""
    return {row: names for row, names in judge_all(nodes, here, NEEDED).items() if row.verdict != "ok"}


def test_healthy_nodes_are_said_once_for_all() -> None:
    rows = judge_all([node("node-a"), node("node-b")], FACTS, NEEDED)
    assert {row.verdict for row in rows} == {"ok"}
    assert all(names == ["node-a", "node-b"] for names in rows.values())
    checked = [row.check for row in rows]
    assert len(checked) == len(set(checked)) == 11


def test_two_nodes_that_differ() -> None:
    other = node(
        "node-b",
        versions=VERSIONS | {"torch": "2.12.0"},
        code="0123456789ab",
        canary=replace(CANARY, fingerprint="weights c, answers b"),
    )
    unlike = "results will be reproducible per node type only"
    remedy = "the same .venv on every node (make setup)"
    assert wrong(node("node-a"), other) == {
        Row("code", "0123456789ab; here: da85de12c641", fail="check out the same commit on every node"): ["node-b"],
        Row("libraries", "torch 2.12.0, here: 2.13.0", fail=remedy, warn=remedy): ["node-b"],
        Row("fingerprint", "weights a, answers b", warn=unlike): ["node-a"],
        Row("fingerprint", "weights c, answers b", warn=unlike): ["node-b"],
    }


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "remedy"),
    [
        ({"store": "not there"}, "store", "FAIL", "all nodes share"),
        ({"clock": -61.0}, "clock", "warn", "chrony"),
        ({"missing": "owner/model"}, "keys", "warn", "HF_TOKEN"),
        ({"free": FACTS.free | {"store": 9 * GIB}}, "disk: store", "FAIL", "store="),
        ({"free": FACTS.free | {"store": 19 * GIB}}, "disk: store", "warn", "store="),
        ({"free": FACTS.free | {"temp": 0}}, "disk: temp", "FAIL", "TMPDIR"),
        ({"versions": VERSIONS | {"numpy": "2.3"}}, "libraries", "warn", ".venv"),
        ({"versions": VERSIONS | {"vllm": "0.32"}}, "libraries", "FAIL", ".venv"),
        ({"memory": 50 * GIB}, "memory", "FAIL", "cluster.cpus_per_lane=2 or, on one node, cluster.lanes=7"),
        ({"memory": 6 * GIB}, "memory", "FAIL", "not one fits"),
        ({"room": {"CPU": 8, "GPU": 1}}, "GPUs", "FAIL", "nvidia-smi"),
        ({"gpus": ["H100, driver 550"]}, "GPUs", "warn", "--num-gpus"),
        ({"canary": Canary("OutOfMemoryError: no", log="...")}, "canary", "FAIL", "its log is below"),
        ({"canary": Canary("no answer in 960 s")}, "canary", "FAIL", "python -m em"),
        ({"facts": "no answer in 120 s", "canary": None}, "node", "FAIL", "make status"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changes: dict[str, Any], check: str, verdict: str, remedy: str) -> None:
    [row] = [row for row in wrong(node(**changes)) if row.check == check]
    assert row.verdict == verdict
    assert remedy in (row.fail or row.warn)


def test_nodes_with_which_something_is_wrong_are_named() -> None:
    nodes = [node("a"), node("b"), node("c", code="x"), node("d", facts="no answer", canary=None)]
    rows = judge_all(nodes, FACTS, NEEDED)
    told = [(row.finding, named(names, 4, row.verdict)) for row, names in rows.items() if row.check in ("code", "node")]
    assert told == [(FACTS.code, "2 of 4"), (f"x; here: {FACTS.code}", "c"), ("no answer", "d")]
    assert named(["a", "b"], 2, "FAIL") == "all 2"
    assert named(["a", "b"], 3, "FAIL") == "a, b"


def test_a_dirty_checkout_is_a_warning_even_where_all_have_it() -> None:
    dirty = replace(FACTS, code="da85de12c641-dirty")
    [(code, names)] = wrong(node("a", code=dirty.code), node("b", code=dirty.code), here=dirty).items()
    assert (code.check, names, code.verdict) == ("code", ["a", "b"], "warn")


def test_nodes_are_those_that_can_hold_a_lane() -> None:
    def known(number: int, name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": f"{number}" * 8, "NodeManagerHostname": name, "Alive": alive, "Resources": resources}

    nodes = [
        known(1, "b.cluster", CPU=8.0, GPU=2.0),
        known(2, "a", CPU=8.0),
        known(3, "c", CPU=8.0, GPU=1.0, alive=False),
        known(4, "a-node", CPU=32.0, GPU=8.0),
    ]
    able = nodes_with_room(nodes, {"CPU": 4.0, "GPU": 1.0}, lanes=5)
    assert [(node.name, node.lanes) for node in able] == [("a-node", 5), ("b", 2)]


def test_the_canary_is_the_first_step_of_the_first_trained_trial() -> None:
    wanted = expand.units(compose_launch(["sweep=smoke"]))
    unit = canary_of(wanted)
    assert unit.trial == wanted[1].trial
    assert {(m.step, m.evaluation.benchmark.limit) for m in unit.measurements} == {(1, 4)}
    asked = [m.evaluation.benchmark for m in wanted[1].measurements]
    assert [m.evaluation.benchmark.name for m in unit.measurements] == [benchmark.name for benchmark in asked]
    assert not {m.evaluation.benchmark.digest for m in unit.measurements} & {benchmark.digest for benchmark in asked}
    assert canary_of(wanted[:1]).measurements[0].step == 0


def test_a_records_size_is_estimated_by_its_tokens() -> None:
    trained = expand.units(compose_launch(["sweep=smoke"]))[-1]
    assert record_bytes(trained, Amounts()) == 25_000 + 2 * (10 * 64 * 24 + 6 * 20 * 8 * 24)


def test_a_node_tries_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_folder(Store(tmp_path / "store")) as folder:
        assert [checks.try_store(folder), checks.try_store(folder)] == ["", ""]
        assert checks.try_store(str(tmp_path)) == f"this node does not see {tmp_path}"
        monkeypatch.setattr("os.link", lambda source, target: None)
        assert checks.try_store(folder) == "what was created was replaced"
    assert list((tmp_path / "store").iterdir()) == []


def test_a_node_compares_its_clock_with_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1000)
    assert 999 < checks.clock_ahead(str(tmp_path)) < 1060
    assert checks.clock_ahead(str(tmp_path / "nowhere")) == 0


def test_a_hub_model_wants_a_cached_copy_or_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub = Model(path="owner/no-such-model")
    assert checks.missing_model(hub) == "owner/no-such-model"
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert checks.missing_model(hub) == ""
    assert checks.missing_model(replace(hub, digest="a folder's")) == ""


def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Canary:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    unit = canary_of(expand.units(compose_launch(["sweep=smoke"])))
    flown = fly(replace(unit, trial=replace(unit.trial, **changes)), gpus=0.0, trainer="no_such_module:Trainer")
    assert list(tmp_path.iterdir()) == []
    return flown


def test_a_canary_that_fails_leaves_its_error_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flown = canary(tmp_path, monkeypatch)
    assert flown.error == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "Traceback" in flown.log


def test_a_node_that_does_not_see_the_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flown = canary(tmp_path, monkeypatch, model=Model(path="/no/model", digest="1"))
    assert flown.error == "model.path=/no/model: this node does not see it"


def doctor(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeps.doctor", "sweep=smoke", *overrides],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_store_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = tmp_path / "file" / "store"
    with (
        pytest.raises(InputError, match=f"^store={store}: cannot be written: Not a directory$"),
        own_folder(Store(store)),
    ):
        pass


@pytest.mark.slow
def test_the_whole_command_on_a_small_model(tmp_path: Path) -> None:
    """As in test_launch, with a cache of its own."""
    done = doctor("model.pretrain.steps=30", f"store={tmp_path / 'store'}", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    first = [line.split("  ")[0] for line in done.stdout.splitlines()]
    expected = [
        "store",
        "clock",
        "keys",
        "disk: store",
        "disk: temp",
        "code",
        "libraries",
        "memory",
        "GPUs",
        "canary",
        "fingerprint",
    ]
    assert [name for name in first if name in expected] == expected
    assert "a step in" in done.stdout
    assert list((tmp_path / "store").iterdir()) == []
