"""Verdicts of the benchmarks' rows, and the references that their bars are multiples of."""

import os
import sys

import pytest

from bench import references
from bench.processes import cpu_seconds, resident_mib, seconds_and_peak_mib, seconds_until
from bench.references import Reading, Reference, beside
from bench.rows import Row, at_least, at_most, at_most_times, report


@pytest.mark.parametrize(
    ("value", "bar", "ok"),
    [
        (2.0, at_most(2), True),
        (2.001, at_most(2), False),
        (80.0, at_least(80), True),
        (79.9, at_least(80), False),
        (float("nan"), at_most(2), False),
        (1.5, at_most_times(3, Reading("start", 0.5, "s")), True),
        (1.6, at_most_times(3, Reading("start", 0.5, "s")), False),
        (3.2, at_most_times(3, Reading("start", 1.0, "s")), False),  # half as fast, and the row more than twice as slow
        (3.0, at_most_times(3, Reading("start", 1.0, "s")), True),
    ],
)
def test_a_row_holds_up_to_its_bar(value, bar, ok):
    assert Row("planning", value, "s", bar).ok is ok


def test_a_row_prints_value_unit_bar_verdict_and_reference():
    row = Row("planning", 1.25, "s", at_most_times(4.0, Reading("start", 0.5, "s")))
    assert " ".join(str(row).split()) == "planning 1.25 s <= 2 ok 4 x start, 0.5 s"
    row = Row("records", 503, "", at_least(505))
    assert " ".join(str(row).split()) == "records 503 >= 505 SHORT"


def test_status_is_1_if_any_row_falls_short(capsys):
    good, short = Row("records", 2, "", at_least(2)), Row("memory", 3.0, "MiB", at_most(2))
    assert report([good]) == 0
    assert report([short, good]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(good), "", str(good), str(short), str(good), "", str(short), str(good)]


def test_reference_and_work_take_turns_and_their_medians_count():
    turns = []
    reference = iter([1.0, 9.0, 2.0, 3.0])
    work = iter([10.0, 30.0, 20.0])

    def take(name: str, values) -> float:
        turns.append(name)
        return next(values)

    start = Reference("start", "s", lambda: take("start", reference))
    taken, reading = beside(start, lambda: take("work", work), runs=3)
    assert turns == ["start", "work", "start", "work", "start", "work", "start"]
    assert (taken, reading) == (20.0, Reading("start", 2.5, "s"))


@pytest.mark.slow
def test_every_reference_can_be_read():
    named = (
        references.INTERPRETER,
        references.BARE,
        references.LOOP,
        references.LOOP_CPU,
        references.TUNE,
        references.DRIVER,
    )
    for reference in named:
        assert reference.read().value > 0, reference.name


def test_a_command_is_timed_until_a_condition_and_watched_to_its_end(tmp_path):
    write = f"import pathlib, time; pathlib.Path({str(tmp_path / 'here')!r}).touch(); time.sleep(0.2)"
    assert seconds_until((tmp_path / "here").exists, sys.executable, "-c", write) > 0
    with pytest.raises(AssertionError):
        seconds_until(lambda: False, sys.executable, "-c", "raise SystemExit(3)")


def test_the_most_memory_of_a_command_is_seen_also_where_it_is_free_again():
    hold = "import time; held = bytearray(200 << 20); del held; time.sleep(0.3)"
    seconds, peak_mib = seconds_and_peak_mib(sys.executable, "-c", hold)
    assert seconds > 0
    assert 200 < peak_mib < 300
    with pytest.raises(AssertionError):
        seconds_and_peak_mib(sys.executable, "-c", "raise SystemExit(3)")


def test_a_process_is_seen_from_outside():
    assert resident_mib(os.getpid()) > 10
    assert cpu_seconds(os.getpid()) >= 0
