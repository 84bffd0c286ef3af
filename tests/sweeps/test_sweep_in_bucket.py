"""Sweeps whose store is a bucket: whole, with two drivers, through an outage; and what is made of their records."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import why
from analysis.show import __main__ as show
from em.errors import InputError
from em.evaluation import grade
from em.store import Store
from em.store.bucket import BucketFiles
from sweeps import failures, figures, findings, plan, report, status, tables
from sweeps.board import Board
from sweeps.config import compose_launch
from sweeps.doctor import checks
from sweeps.doctor.__main__ import own_folder
from tests.memory import MemoryFiles
from tests.processes import finished, started, wait_for
from tests.synthetic import fill
from tests.truth import Options, Peak
from tests.wire import wired

CELLS = "sweep.axes=[{field:rollout.temperature,values:[1,1.25,1.5,1.75,2]}]"  # without poison
FEW = [CELLS, "sweep.seeds=8", "sweep.figures=[]", "cluster.lanes=1"]
TINY = ["sweep=temperature", "model.pretrain.steps=30", "tracking.progress=none"]
UNITS = 41
OUTAGE_SECONDS = 30.0  # longer than the client tries by itself
ARRIVED_SECONDS = 5.0  # in which the server does what it was asked for before the outage


def start(bucket: str, log: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.sweep", "tests.poison:Trainer", *TINY, f"store={bucket}", *FEW, *words]
    return started(command, os.environ | {"CHAOS_LOG": str(log)} | environment)


def check(bucket: str) -> None:
    """Each unit is recorded once, and nothing else has happened."""
    store = Store(bucket)
    records, damaged = store.records()
    assert (records["unit_id"].n_unique(), len(records), damaged) == (UNITS, UNITS, [])
    assert len(store.recorded_units()) == UNITS
    assert store.failed_attempts() == {}


@pytest.mark.slow
def test_two_drivers_on_one_bucket_share_the_work(bucket: str, tmp_path: Path) -> None:
    drivers = [start(bucket, tmp_path / "starts") for _ in range(2)]
    for driver in drivers:
        finished(driver)
    check(bucket)
    assert Store(bucket).files.list("claims") == []
    starts = Counter((tmp_path / "starts").read_text().split())
    assert len(starts) == UNITS
    assert starts.total() - len(starts) <= 2


@pytest.mark.slow
def test_a_sweep_rides_out_an_outage_of_its_store(bucket: str, tmp_path: Path) -> None:
    """Driver, lanes and workers speak to the server over a wire that is cut in mid-sweep."""
    store = Store(bucket)
    with wired(os.environ["AWS_ENDPOINT_URL"]) as wire:
        driver = start(bucket, tmp_path / "starts", AWS_ENDPOINT_URL=wire.address)
        wait_for(lambda: len(store.recorded_units()) > 4)
        wire.cut()
        time.sleep(ARRIVED_SECONDS)
        known = len(store.recorded_units())
        time.sleep(OUTAGE_SECONDS)
        assert driver.poll() is None
        assert len(store.recorded_units()) == known < UNITS
        wire.mend()
        finished(driver)
    check(bucket)
    assert len(store.files.list("claims")) <= 1  # that was to be released when the wire was cut, of a recorded unit
    starts = Counter((tmp_path / "starts").read_text().split())
    assert starts.total() == UNITS  # no result was lost, nothing was made twice


@pytest.mark.slow
def test_a_running_sweep_is_steered_from_anywhere(bucket: str, tmp_path: Path) -> None:
    store = Store(bucket)
    driver = start(bucket, tmp_path / "starts", "sweep.seeds=400")
    wait_for(lambda: len(store.recorded_units()) > 2)

    def steer(*words: str) -> str:
        command = [sys.executable, "-m", "sweeps.steer", words[0], *TINY, f"store={bucket}", *FEW, *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "paused: lanes finish the trials they are in and wait" in steer("pause")
    assert "5 units of work added" in steer("add", "sweep.seeds=401")
    assert "stopping: lanes finish" in steer("stop")
    assert finished(driver, status=2).splitlines()[-1] == "error: asked to stop; the same command goes on"


WORDS = [
    *TINY[:2],
    *("rollout.temperature=0.5,1", "sweep.seeds=3", "eval.steps=[1,2]"),
    *("sweep.figures=[{kind: axis}]", "sweep.table={paper: 0}"),
]


@pytest.fixture
def filled(bucket: str) -> Store:
    """A small sweep, of which two trials failed."""
    store = Store(bucket)
    fill(store, compose_launch(WORDS), Peak(), Options(fails=lambda trial: 2 if trial.seed == 2 else 0))
    return store


def said(main: Callable[[list[str]], None], words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, in one line."""
    main(words)
    return "".join(capsys.readouterr().out.split())


def test_what_is_recorded_in_a_bucket_is_planned_shown_and_compared(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f"store={filled.address}"
    first, second, *_ = sorted(filled.recorded_trials())
    [unit, *_] = filled.units_of([first])
    words = [*WORDS, own]
    planned = said(plan.main, words, capsys)
    assert f"unitsofworkin{filled.where('records')}," in planned
    assert "requeststothestore:" in planned
    assert "7units" in said(status.main, words, capsys).replace("unitsofwork", "units")
    assert f"atunits{filled.where('failed')}" in said(failures.main, words, capsys).replace("2unitsofworkin", "units")
    for word in (first, filled.where(f"records/{unit}.parquet")):
        assert f"em.rerun{unit}{own}" in said(show.main, [word, own], capsys)
    assert "prompt" in said(why.main, [first, second, own], capsys)


@pytest.mark.slow
def test_what_is_made_of_records_lies_in_the_bucket_and_can_be_opened_here(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"store={filled.address}"]
    for main, file in (
        (figures.main, "figures/temperature.pdf"),
        (tables.main, "figures/temperature-table.csv"),
        (findings.main, "figures/findings.csv"),
        (report.main, "report/temperature/index.html"),
    ):
        assert str(filled.root / file) in said(main, words, capsys)
        assert (filled.root / file).read_bytes() == filled.files.read(file)
    cells = filled.files.list("report/temperature/cells")
    assert cells == sorted(path.name for path in (filled.root / "report/temperature/cells").iterdir())
    filled.files.replace("report/temperature/cells/stale.js", b"")
    report.main(words)
    assert filled.files.list("report/temperature/cells") == cells
    grade.main(words[-1:])
    assert "grade" in capsys.readouterr().out


class Forgetful(MemoryFiles):
    """As a server that takes no notice of `If-None-Match`."""

    def create_once(self, name: str, content: bytes) -> bool:
        self.replace(name, content)
        return True


def test_a_server_without_conditional_writes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^store={tmp_path}: a name can be created twice there, so records could"):
        Board(Store(tmp_path, Forgetful()), "temperature", [])


def test_the_doctor_tries_a_bucket(bucket: str) -> None:
    with own_folder(Store(bucket)) as folder:
        assert [checks.try_store(folder), checks.try_store(folder)] == ["", ""]
        assert abs(checks.clock_ahead(folder)) < 60
        assert checks.try_store(f"{bucket}/other") == f"this node does not see {bucket}/other"
        assert checks.try_store("s3://nobody-has-it/x").startswith("store=s3://nobody-has-it/x: NoSuchBucket")
    assert Store(bucket).files.list("") == []
    assert isinstance(Store(bucket).files, BucketFiles)
