"""Whether a record that was made anew is the recorded one, and what is refused before anything is loaded."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from em import rerun
from em.errors import InputError
from em.rerun import compared, found, unequal
from em.store import Store
from em.store.record import Metric, Record, Status, WeightDigest
from tests.analysis.test_why import commit, failed, made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def another_grad_norm(record: Record) -> None:
    record.steps[1].grad_norm = math.nextafter(0.125, 1)


def another_token(record: Record) -> None:
    record.rollouts[0].token_ids[0] += 1


def another_grade(record: Record) -> None:
    record.evaluations[0].correct[1] = True


def another_text(record: Record) -> None:
    record.evaluations[0].texts[1] = "#2"


def another_weight(record: Record) -> None:
    record.digests[1].sha256 = "f" * 64


def another_metric(record: Record) -> None:
    record.metrics = [Metric(step=2, name="kl", value=0.5)]


def diverged(record: Record) -> None:
    record.status = Status.diverged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_grad_norm, "metrics"),
        (another_metric, "metrics"),
        (another_token, "samples"),
        (another_grade, "grades"),
        (another_text, "answers"),
        (another_weight, "weights"),
        (diverged, "outcome"),
    ],
)
def test_what_differs_is_named(change: Callable[[Record], None], said: str):
    other = copy.deepcopy(made())
    change(other)
    assert unequal(made(), other) == [said]
    assert unequal(other, made()) == [said]


def test_several_differences_in_the_order_in_which_they_happen():
    other = copy.deepcopy(made())
    another_weight(other)
    another_token(other)
    assert unequal(made(), other) == ["samples", "weights"]


def test_when_and_where_makes_no_difference_and_nan_is_nan():
    a, b = made(), made(attempt_id="b2", started="2027-01-01T00:00:00+00:00")
    b.attempt, b.provenance.node, b.provenance.code_version = 2, "n2", "v2"
    for record in (a, b):
        record.steps[1].loss = math.nan
    b.evaluations.reverse()
    assert unequal(a, b) == []


def test_only_what_both_recorded_is_compared():
    """A continued record holds steps and digests that its unit alone does not ask for."""
    continued = made(steps=5)
    continued.digests.append(WeightDigest(step=5, sha256="f" * 64))
    assert unequal(made(), continued) == []


def test_digests_of_another_kind_are_not_compared():
    other = copy.deepcopy(made())
    for digest in other.digests:
        digest.sha256, digest.kind = "f" * 64, "tensors"
    assert unequal(made(), other) == []


def test_grades_of_another_version_of_the_grader_are_not_compared():
    other = copy.deepcopy(made())
    for result in other.evaluations:
        result.grader_version, result.correct = 2, [True] * 6
    assert unequal(made(), other) == []


def test_the_verdict(store: Store, tmp_path: Path):
    other = Store(tmp_path / "other")
    unit = commit(store, made())
    before, after = (at.where(f"records/{unit}.parquet") for at in (store, other))
    assert compared(made(), store, other) == (
        f"equal, bit by bit, to {before}: weights after step 0, 2, samples, metrics, answers"
    )
    differing = copy.deepcopy(made())
    another_token(differing)
    with pytest.raises(SystemExit) as ended:
        compared(differing, store, other)
    assert ended.value.code == (
        f"{unit}: recorded in {other.where('records')}; differs from {before} in samples; "
        f"where they part: make why A={before} B={after}"
    )


def test_which_record_or_attempt_is_run(store: Store):
    unit = commit(store, made())
    with pytest.raises(InputError, match=f"^{unit}: is recorded in .*; to=FOLDER makes it anew, and compares$"):
        found(store, unit, is_anew=False)
    commit(store, failed("f1"))
    assert found(store, unit, is_anew=False).status is Status.failed
    assert found(store, unit, is_anew=True).status is Status.done
    with pytest.raises(InputError, match=r"^feed: no failed attempt in "):
        found(store, "feed", is_anew=True)


def test_a_store_is_not_made_anew_into_itself(store: Store):
    unit = commit(store, made())
    with pytest.raises(InputError, match=f"^to={store.root}: is the store itself$"):
        rerun.main([unit, f"store={store.root}", f"to={store.root}"])
    other = Store(store.root.with_name("other"))
    commit(other, made())
    with pytest.raises(SystemExit, match=f"{unit}: has succeeded since, .*; name another folder with to="):
        rerun.main([unit, f"store={store.root}", f"to={other.root}"])
