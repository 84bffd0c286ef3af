"""Every place starts Ray with the environment of cluster/ray.env."""

import re
from pathlib import Path

import pytest

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
WANTED = dict(re.findall(r"^(RAY_\w+)=(.*)$", (CLUSTER / "ray.env").read_text(), re.MULTILINE))


def test_it_asks_for_a_token_and_notices_a_lost_node_within_seconds() -> None:
    assert WANTED["RAY_AUTH_MODE"] == "token"
    period, timeout, times = (
        int(WANTED[f"RAY_health_check_{name}"]) for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert (period + timeout) * times <= 12_000


@pytest.mark.parametrize("name", ["onprem.yaml", "kuberay/rayjob.yaml", "kuberay/raycluster.yaml"])
def test_health_checks_are_those(name: str) -> None:
    text = (CLUSTER / name).read_text()
    found = re.findall(r"(RAY_health_check_\w+?)(?:=|, value: \")(\d+)", text)
    assert {key for key, _ in found} == {key for key in WANTED if "health" in key}
    assert all(WANTED[key] == value for key, value in found)
