"""What the doctor finds, what it makes of it, and that nothing of it stays."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from em.config import Model, Unit
from em.store import Store
from em.tiny.recipe import Recipe
from sweeps import checks, expand
from sweeps.checks import Canary, Facts, Probe, StoreFacts
from sweeps.config import compose_launch
from sweeps.doctor import (
    Node,
    Row,
    Verdict,
    Wanted,
    canary_of,
    judge_all,
    nodes_with_room,
    own_folder,
    record_bytes,
    size,
)
from sweeps.plan import plan
from tests.sweeps.test_plan import record

GIB = 2**30
TINY = Model(pretrain=Recipe())
HUB = Model(path="owner/model")
STORE = StoreFacts(created=1, won=10, seconds=0.1, ahead=0.02)
VERSIONS = {"python": "3.11.7", "machine": "x86_64", "torch": "2.13.0", "ray": "2.60.0", "numpy": "2.2"}
FACTS = Facts(
    store=STORE,
    free={"store": 100 * GIB, "temp": 50 * GIB, "cache": 50 * GIB},
    code="da85de12c641",
    versions=VERSIONS,
    has_model=True,
    has_token=False,
    cores=8,
    memory=64 * GIB,
    gpus=[],
    shared_memory=32 * GIB,
)
CANARY = Canary(load=12.0, step=1.5, memory=6 * GIB, weights="a" * 64, answers="b" * 16)
WANTED = Wanted(TINY, {"store": 10 * GIB, "temp": GIB, "cache": GIB}, "da85de12c641", VERSIONS)


def node(name: str = "node-a", **changes: Any) -> Node:
    """A healthy one, but for the changes, of its facts or itself."""
    facts = {key: value for key, value in changes.items() if hasattr(FACTS, key)}
    rest = {key: value for key, value in changes.items() if key not in facts}
    found = {"room": {"CPU": 8}, "lanes": 8, "facts": replace(FACTS, **facts), "canary": CANARY} | rest
    return Node(id=name, name=name, **found)


def rows(*nodes: Node, wanted: Wanted = WANTED) -> list[Row]:
    """What is not ok."""
    return [row for row in judge_all(nodes, wanted) if row.verdict != Verdict.ok]


def test_healthy_nodes_are_said_once_for_all() -> None:
    found = judge_all([node("node-a"), node("node-b")], WANTED)
    assert {row.verdict for row in found} == {Verdict.ok}
    assert {row.node for row in found} == {"all 2"}
    checked = [row.check for row in found]
    assert len(checked) == len(set(checked)) == 15


def test_two_nodes_that_differ() -> None:
    other = node(
        "node-b", versions=VERSIONS | {"torch": "2.12.0"}, code="0123456789ab", canary=replace(CANARY, weights="c" * 64)
    )
    assert rows(node("node-a"), other) == [
        Row(
            "code",
            "node-b",
            "0123456789ab; here: da85de12c641",
            Verdict.fail,
            "check out the same commit on every node",
        ),
        Row(
            "libraries",
            "node-b",
            "torch 2.12.0, here: 2.13.0",
            Verdict.fail,
            "the same .venv on every node (make setup)",
        ),
        *(
            Row(
                "fingerprint",
                name,
                f"weights {weights}, answers bbbbbbbb",
                Verdict.warn,
                "results will be reproducible per node type only",
            )
            for name, weights in (("node-a", "aaaaaaaa"), ("node-b", "cccccccc"))
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "check", "verdict", "remedy"),
    [
        ({"store": StoreFacts("not there")}, "store", "FAIL", "all nodes share"),
        ({"store": StoreFacts("not there"), "canary": None}, "canary", "FAIL", "see store"),
        ({"store": replace(STORE, created=2)}, "store: create", "FAIL", "hard links"),
        ({"store": replace(STORE, retaken=True)}, "store: create", "FAIL", "hard links"),
        ({"store": replace(STORE, won=21)}, "store: create", "FAIL", "atomic links"),
        ({"store": replace(STORE, seconds=None)}, "store: delay", "FAIL", "attribute cache"),
        ({"store": replace(STORE, seconds=9.0)}, "store: delay", "warn", "done twice"),
        ({"store": replace(STORE, ahead=-6.0)}, "clock", "warn", "chrony"),
        ({"free": FACTS.free | {"store": 9 * GIB}}, "disk: store", "FAIL", "store="),
        ({"free": FACTS.free | {"store": 19 * GIB}}, "disk: store", "warn", "store="),
        ({"free": FACTS.free | {"temp": 0}}, "disk: temp", "FAIL", "TMPDIR"),
        ({"free": FACTS.free | {"cache": 0}}, "disk: cache", "FAIL", "XDG_CACHE_HOME"),
        ({"versions": VERSIONS | {"numpy": "2.3"}}, "libraries", "warn", ".venv"),
        ({"versions": VERSIONS | {"vllm": "0.32"}}, "libraries", "FAIL", ".venv"),
        ({"has_model": False}, "model", "warn", "XDG_CACHE_HOME"),
        ({"memory": 50 * GIB}, "memory", "FAIL", "cluster.lanes=7"),
        ({"memory": 6 * GIB}, "memory", "FAIL", "not one fits"),
        ({"room": {"CPU": 8, "GPU": 1}}, "GPUs", "FAIL", "nvidia-smi"),
        ({"gpus": ["H100, driver 550"]}, "GPUs", "warn", "--num-gpus"),
        ({"shared_memory": GIB // 16}, "/dev/shm", "warn", "--shm-size"),
        ({"canary": Canary("OutOfMemoryError: no", log="...")}, "canary", "FAIL", "its log is below"),
        ({"canary": None, "error": "no answer in 960 s"}, "canary", "FAIL", "python -m em"),
        ({"facts": None, "canary": None, "error": "no answer in 240 s"}, "node", "FAIL", "make status"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changes: dict[str, Any], check: str, verdict: str, remedy: str) -> None:
    wrong = [row for row in rows(node(**changes)) if row.check == check]
    assert [row.verdict for row in wrong] == [verdict]
    assert remedy in wrong[0].remedy


def test_lanes_on_several_nodes_are_limited_by_their_cores() -> None:
    """`cluster.lanes` counts all nodes, and Ray fills one before the next."""
    [small] = rows(node("node-a"), node("node-b", memory=50 * GIB))
    assert (small.node, small.verdict, small.remedy) == ("node-b", "FAIL", "cluster.cpus_per_lane=2")


def test_nodes_with_which_something_is_wrong_are_named() -> None:
    nodes = [
        node("a"),
        node("b"),
        node("c", store=replace(STORE, ahead=-7.0)),
        node("d", facts=None, error="no answer"),
    ]
    found = [row for row in judge_all(nodes, WANTED) if row.check in ("clock", "node")]
    assert [(row.node, row.found, row.verdict) for row in found] == [
        ("2 of 4", "+0.0 s against the store's", "ok"),
        ("c", "-7.0 s against the store's", "warn"),
        ("d", "no answer", "FAIL"),
    ]


def test_a_dirty_checkout_is_a_warning_even_where_all_have_it() -> None:
    dirty = replace(WANTED, code="da85de12c641-dirty")
    [code] = rows(node("a", code=dirty.code), node("b", code=dirty.code), wanted=dirty)
    assert (code.check, code.node, code.verdict) == ("code", "all 2", "warn")


def test_a_hub_model_asks_for_a_token_only_where_it_is_not_cached() -> None:
    hub = replace(WANTED, model=HUB)
    assert rows(node(), wanted=hub) == []
    [without] = rows(node(has_model=False), wanted=hub)
    [with_token] = rows(node(has_model=False, has_token=True), wanted=hub)
    assert (without.verdict, with_token.verdict) == ("warn", "warn")
    assert "HF_TOKEN" in without.remedy
    assert "HF_TOKEN" not in with_token.remedy
    [folder] = rows(node(has_model=False), wanted=replace(WANTED, model=Model(path="/models/x", digest="1")))
    assert (folder.verdict, folder.found) == ("FAIL", "no folder /models/x")


def test_nodes_are_those_that_can_hold_a_lane() -> None:
    def known(number: int, name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": f"{number}" * 8, "NodeManagerHostname": name, "Alive": alive, "Resources": resources}

    nodes = [
        known(1, "b.cluster", CPU=8.0, GPU=2.0),
        known(2, "a", CPU=8.0),
        known(3, "c", CPU=8.0, GPU=1.0, alive=False),
        known(4, "b", CPU=32.0, GPU=8.0),
    ]
    found = nodes_with_room(nodes, {"CPU": 4.0, "GPU": 1.0}, lanes=5)
    assert [(node.name, node.lanes) for node in found] == [("b-1111", 2), ("b-4444", 5)]


def test_the_canary_is_the_first_step_of_the_first_trained_trial() -> None:
    wanted = expand.units(compose_launch(["sweep=smoke"]))
    unit = canary_of(wanted)
    [measurement] = unit.measurements
    assert unit.trial == wanted[1].trial
    assert measurement.step == 1
    assert measurement.evaluation.benchmark.limit == 4
    assert measurement.evaluation.benchmark.digest != wanted[1].measurements[0].evaluation.benchmark.digest
    assert canary_of(wanted[:1]).measurements[0].step == 0


def test_a_records_size_is_that_of_the_sweeps_own_records(tmp_path: Path) -> None:
    config, store = compose_launch(["sweep=smoke"]), Store(tmp_path)
    assert record_bytes(plan(config, store), store) == 25_000 + 2 * (10 * 64 * 24 + 6 * 20 * 8 * 24)
    store.commit(record(expand.units(config)[1]))
    [path] = store.records.iterdir()
    assert record_bytes(plan(config, store), store) == path.stat().st_size


def test_a_model_of_the_hub_is_looked_for_without_asking_it() -> None:
    assert not checks.look_for(Model(path="owner/no-such-model"))[0]


def test_sizes_are_read_at_a_glance() -> None:
    assert [size(amount) for amount in (10, 32_000, 1.5 * 2**20, 2**30, 2000 * GIB)] == [
        "10 B",
        "31.2 KiB",
        "1.5 MiB",
        "1 GiB",
        "2,000 GiB",
    ]


def test_a_node_tries_the_store(tmp_path: Path) -> None:
    with own_folder(Store(tmp_path / "new" / "store")) as folder:
        (folder / "a.answer").touch()
        (folder / "b.answer").touch()
        one, two = checks.look_at_store(folder, "a"), checks.look_at_store(folder, "b")
    assert (one.error, one.created, one.retaken, one.won) == ("", 1, False, checks.RACES)
    assert (two.created, two.won) == (1, 0)  # all taken
    assert one.seconds is not None
    assert abs(one.ahead) < 1
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_does_not_see_the_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "VISIBLE_SECONDS", 0.1)
    with own_folder(Store(tmp_path)) as folder:
        assert checks.look_at_store(folder, "a").seconds is None
        assert "does not see" in checks.look_at_store(folder.parent / "elsewhere", "a").error


def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Canary:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    unit: Unit = canary_of(expand.units(compose_launch(["sweep=smoke"])))
    return checks.fly(Probe(folder, "a", unit, trainer="no_such_module:Trainer", own_device=True))


def test_a_canary_that_fails_leaves_its_error_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = canary(tmp_path, monkeypatch, folder=tmp_path)
    assert found.error == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "Traceback" in found.log
    assert list(tmp_path.iterdir()) == []


def test_a_canary_ends_with_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = canary(tmp_path, monkeypatch, folder=tmp_path / "gone")
    assert found.error == "no end in 0 s, while starting the worker"
    assert list(tmp_path.iterdir()) == []


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
    done = doctor(f"store={tmp_path / 'file' / 'store'}")
    assert done.returncode == 1
    assert "Not a directory" in done.stdout.replace("\n", " ")
    assert "0 ok, 0 warn, 1 FAIL" in done.stdout
    assert "starting Ray" not in done.stdout
    assert done.stderr == ""


def test_the_whole_command_on_a_small_model(tmp_path: Path) -> None:
    """As in test_launch, with a cache of its own; the store is not there before, and not after."""
    done = doctor("model.pretrain.steps=30", f"store={tmp_path / 'store'}", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 100
    first = [line.split("  ")[0] for line in done.stdout.splitlines()]
    expected = ["store", "store: create", "store: delay", "clock", "disk: store", "disk: temp", "disk: cache"]
    expected += ["code", "libraries", "model", "memory", "GPUs", "/dev/shm", "canary", "fingerprint"]
    assert [name for name in first if name in expected] == expected
    assert "a step in" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
