"""Sweeps that ask for more than is recorded, or for more than can be had, as a user starts them."""

from pathlib import Path

import polars as pl
import pytest

from tests.processes import finished
from tests.smallest import recorded, start


@pytest.mark.slow
def test_a_setting_that_no_trial_can_meet_ends_the_sweep_in_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    output = finished(start(environment, tmp_path, "rollout.max_new_tokens=100000", "rollout=transformers"), status=2)
    reason = "error: the last 6 trials all failed alike: InputError: max_new_tokens=100000: the prompt '"
    assert output.splitlines()[-1].startswith(reason)
    assert recorded(tmp_path) <= 1


def trajectories(store: Path) -> dict[str, tuple[object, ...]]:
    """What is recorded of every trial, over all of its records."""
    trials: dict[str, tuple[object, ...]] = {}
    every = pl.read_parquet(store / "records" / "*.parquet").sort(pl.col("steps").list.len())
    for rows in every.partition_by("trial_id"):
        records = rows.to_dicts()
        measured = [(r["step"], r["evaluation_id"], r) for record in records for r in record["evaluations"]]
        digests = {(digest["step"], digest["sha256"]) for record in records for digest in record["digests"]}
        longest = [records[-1][name] for name in ("status", "trial", "prompts", "steps", "rollouts")]
        trials[records[0]["trial_id"]] = (longest, sorted(digests), sorted(measured, key=lambda it: it[:2]))
    return trials


@pytest.mark.slow
def test_an_extended_sweep_is_the_sweep_that_had_it_from_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    """More steps and another evaluation temperature replay recorded tokens; nothing is recorded twice."""
    short, long = ("eval.steps=[10]",), ("eval.steps=[10,20]", "eval.temperatures=[1.0,0.0]")
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    finished(start(environment, grown, "sweep.seeds=1", *short))
    output = finished(start(environment, grown, "sweep.seeds=1", *long))
    assert "3 of these go on from a recorded trial: its tokens are trained on again, not sampled again" in output
    finished(start(environment, whole, "sweep.seeds=1", *long))
    assert trajectories(grown) == trajectories(whole)
    records = pl.read_parquet(grown / "records" / "*.parquet")
    provenance = records.select("unit_id", "provenance").unnest("provenance")
    assert (provenance["replayed"].null_count(), len(provenance)) == (4, 8)
    assert set(provenance["replayed"].drop_nulls()) <= set(provenance["attempt_id"])
    measured = records["evaluations"].list.len().sum()
    assert measured == (1 + 3 * 2) * 12
