"""What a stub of W&B receives from the real `wandb sync` equals the store; what goes wrong is said in one line."""

import json
import os
import random
import signal
import time
from typing import Any

import pytest

from em.store import Store
from sweeps.wandb.folder import Folder
from sweeps.wandb.runs import Run, planned
from tests.processes import started, wait_for
from tests.sweeps.wandb.conftest import NO_KEY, Filled, command, composed, folder_of, run, viewed
from tests.wandb_server import SentRun, Server

TRIALS = ["tracking.runs=trial"]


def plans_of(store: Store, *words: str) -> dict[str, Run]:
    return {plan.id: plan for plan in planned(viewed(composed(store, *words)), [])}


def own(values: dict[str, Any]) -> dict[str, Any]:
    """Without what wandb adds, and without tables."""
    return {k: v for k, v in values.items() if not k.startswith("_") and not isinstance(v, dict)}


def assert_received(server: Server, plans: dict[str, Run]) -> None:
    """Every number of every run, and no run more."""
    received = {name: sent for (_, name), sent in server.runs.items() if not name.endswith(("monitor", "curve"))}
    assert set(received) == set(plans)
    for name, plan in plans.items():
        sent: SentRun = received[name]
        assert [row["_step"] for row in sent.history] == [row["_step"] for row in plan.history]
        assert [own(row) for row in sent.history] == [own(row) for row in plan.history]
        assert sent.summary.items() >= (own(plan.history[-1]) | plan.summary).items()
        assert {k: v for k, v in sent.config.items() if k != "_wandb"} == json.loads(json.dumps(plan.config))
        about = (sent.about["displayName"], sent.about["groupName"], sent.about["jobType"], sent.about["tags"])
        assert about == (plan.name, plan.group, plan.job_type, plan.tags)
        assert sent.exit_code == plan.exit_code
        for title, of in plan.tables.items():
            assert sent.table(title) == {"columns": of["columns"], "data": of["rows"]}


def test_cells_tables_and_monitor_arrive_once(filled: Filled, server: Server) -> None:
    store = filled()
    said = run(store)
    assert "5 not sent yet" in said
    assert "5 runs sent to the entity of the key, em-smoke" in run(
        store, action="sync", environment=server.environment()
    )
    assert_received(server, plans_of(store))
    assert {path for path, _ in server.runs} == {"em-smoke"}
    [monitor] = [sent for (_, name), sent in server.runs.items() if name.endswith("monitor")]
    assert monitor.table("cells")["data"][0][1] == 0.5
    assert not folder_of(store).staging.exists()
    before = server.requests
    assert "nothing to send: W&B has all 5 runs" in run(store, action="sync", environment=server.environment())
    assert server.requests == before


@pytest.mark.slow
def test_with_a_key_runs_are_sent_as_they_are_written(filled: Filled, server: Server) -> None:
    store = filled()
    environment = server.environment() | {"WANDB_MODE": "online"}
    assert "5 runs sent" in run(store, environment=environment)
    filled("sweep.seeds=4")
    run(store, "sweep.seeds=4", environment=environment)
    tags = sorted(sent.about["tags"][0] for sent in server.runs.values())
    assert tags == ["current"] * 3 + ["curve", "monitor"] + ["superseded"] * 3
    before = server.requests
    run(store, "sweep.seeds=4", environment=environment)
    assert server.requests == before


def test_a_run_that_was_marked_before_its_history_was_sent_is_sent_again(filled: Filled, server: Server) -> None:
    """What a `wandb sync` leaves that was killed, after wandb had closed one run too soon."""
    store = filled()
    run(store)
    folder = folder_of(store)
    said: list[dict[str, str]] = []
    for path in folder.waiting():
        file = path / f"run-{path.name.removeprefix('offline-run-').rpartition('.')[0]}.wandb"
        file.with_suffix(".wandb.synced").touch()
        messages = ["sender: started", "filestream: request sent"][: 1 + bool(said)]  # of all but the first
        said += [{"msg": message, "sync_path": str(file)} for message in messages]
    log = folder.staging / "wandb" / "logs" / "debug-sync.1.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in said) + '{"msg":"filestream: re')
    assert "1 runs sent" in run(store, action="sync", environment=server.environment())
    [(_, name)] = server.runs
    assert name in said[0]["sync_path"]
    assert not folder.waiting()


@pytest.mark.slow
def test_500_trials_arrive_exactly_whatever_is_killed(filled: Filled, server: Server) -> None:
    words, rng = ["sweep.seeds=167", *TRIALS], random.Random(1)
    store = filled("sweep.seeds=167")
    folder = folder_of(store)
    environment = os.environ | NO_KEY | server.environment()
    for _ in range(2):
        process, there = started(command(store, *words), environment), len(folder.runs())
        wait_for(lambda there=there: len(folder.runs()) > there + 20)
        time.sleep(0.3 * rng.random())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    run(store, *words)
    process = started(command(store, *words, action="sync"), environment)
    wait_for(lambda: len(folder.waiting()) < 400)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(folder.waiting()) > 0
    run(store, *words, action="sync", environment=server.environment())
    assert len(server.runs) == 502 + 2
    assert_received(server, plans_of(store, *words))
    before = server.requests
    assert "nothing to send" in run(store, *words, action="sync", environment=server.environment())
    assert server.requests == before


def test_a_run_that_was_deleted_at_wandb_is_named_and_the_others_arrive(
    filled: Filled, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled()
    run(store)
    server.deleted.add(next(iter(plans_of(store))))
    monkeypatch.setenv("WANDB__GRAPHQL_RETRY_MAX", "1")
    said = run(store, action="sync", status=2, environment=server.environment())
    assert said.startswith("error: W&B has taken 4 of 5 runs: they were deleted at W&B, which takes no id twice")
    assert said.count("\n") == 1
    assert len(server.runs) == 4


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WANDB_API_KEY": "x" * 40}, "does not know this key; copy it from"),
        ({"WANDB_API_KEY": "x" * 4}, "API key must have 40+ characters"),
        ({"WANDB_API_KEY": ""}, "WANDB_API_KEY: there is none; set it, or run"),
        (
            {"WANDB_BASE_URL": "http://127.0.0.1:9"},
            "no way to W&B ([Errno 111] Connection refused); what waits",
        ),
    ],
)
def test_a_wrong_key_and_no_network_are_one_line(
    filled: Filled, server: Server, environment: dict[str, str], expected: str
) -> None:
    store = filled()
    folder: Folder = folder_of(store)
    for number in range(5):
        (folder.root / "em-smoke" / f"offline-run-{number}.current").mkdir(parents=True)
    said = run(store, action="sync", status=2, environment=server.environment() | environment)
    assert said.startswith("error: ")
    assert expected in said
    assert said.count("\n") == 1
    assert not server.runs
