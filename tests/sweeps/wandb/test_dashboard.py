"""Workspace and report of a sweep, as W&B is sent them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from em.store import Store
from sweeps.source import settled
from sweeps.wandb import view
from sweeps.wandb.dashboard import report, specification, workspace
from tests.sweeps.wandb.conftest import composed, run
from tests.wandb_server import Server

IDS = ("__id__", "id", "ref")  # random
TEMPERATURE = "{field: rollout.temperature, values: [0.5, 1.0]}"
AXES = f"sweep.axes=[{TEMPERATURE}, {{field: objective.first_token, values: [true, false]}}]"
TABLES = ("seeds", "responses", "cells")


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaf by dotted path, without random ids and without the query language of table panels but its table's name."""
    if isinstance(value, dict):
        if "panel2Config" in value:
            return {f"{path}.table": [name for name in TABLES if f'"{name}"' in json.dumps(value)]}
        items = {key: item for key, item in value.items() if key not in IDS}.items()
        return {name: leaf for key, item in items for name, leaf in flat(item, f"{path}.{key}").items()}
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return {name: leaf for place, item in enumerate(value) for name, leaf in flat(item, f"{path}.{place}").items()}
    return {path.removeprefix("."): value}


@pytest.mark.parametrize("runs", ["cell", "trial"])
@pytest.mark.parametrize("make", [workspace, report])
def test_the_specification_is_the_accepted_one(
    store: Store, golden: Callable[..., None], runs: str, make: Callable[..., Any]
) -> None:
    config = composed(store, AXES, f"tracking.runs={runs}")
    golden(f"wandb_{make.__name__}_{runs}", flat(specification(make(config, ""))))


def test_every_chart_sets_its_number_of_runs_and_its_grouping(store: Store) -> None:
    for runs in ("cell", "trial"):
        leaves = flat(specification(workspace(composed(store, AXES, f"tracking.runs={runs}"), "")))
        charts = [path.removesuffix(".xAxis") for path in leaves if path.endswith("config.xAxis")]
        lines = [path for path in charts if f"{path}.metrics" in leaves]
        assert len(lines) == 1 + 4 + 4
        assert all(f"{path}.limit" in leaves and f"{path}.aggregate" in leaves for path in lines)


def test_without_a_key_the_specifications_lie_on_disk(store: Store) -> None:
    said = run(store, action="dashboard")
    path = store.root / "wandb" / "em-smoke-smoke-specification.json"
    assert said.startswith(f"no API key: the specifications are in {path}")
    assert set(json.loads(path.read_text())) == {"workspace", "report"}


def test_workspace_and_report_are_sent_and_replaced_when_sent_again(store: Store, server: Server) -> None:
    said = run(store, action="dashboard", environment=server.environment())
    assert f"workspace {server.url}/me/em-smoke?nw=" in said
    assert f"report {server.url}/me/em-smoke/reports/" in said
    assert run(store, action="dashboard", environment=server.environment()) == said
    assert {view["displayName"] for view in server.views.values()} == {"Sweep smoke"}
    assert len(server.views) == 2


def test_a_search_has_a_section_of_its_own(store: Store) -> None:
    words = ["search=random", "search.points=3", "search.objectives=[mean,seconds]", AXES]
    config = settled(composed(store, *words), store)
    leaves = flat(specification(workspace(config, "")))
    names = [value for path, value in leaves.items() if path.endswith(".name") and value in ("Search", "Score")]
    assert names == ["Search", "Score"]
    kinds = [value for path, value in leaves.items() if path.endswith("viewType")]
    assert kinds[:3] == ["Parameter Importance", "Scatter Plot", "Scatter Plot"]
    texts = {value for value in leaves.values() if isinstance(value, str)}
    assert {"score/mean point by point", "score/mean against lane seconds a trial"} <= texts
    assert [cell.axes["point"] for cell in view.cells(config)] == list(range(len(view.cells(config))))
