"""Progress never runs backwards, cancelling unwinds, and every failure becomes a sentence."""

import errno
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.core.errors import LikenessError
from likeness.jobs import progress
from likeness.jobs.defect import as_likeness_error
from likeness.jobs.progress import Tracker

STAGES = {"read": 1.0, "body": 5.0, "write": 2.0}


@given(st.lists(st.floats(-1, 2), max_size=30))
def test_fraction_never_falls_and_ends_at_one(fractions):
    events = []
    tracker = Tracker(STAGES, events.append)
    for key in STAGES:
        with tracker.stage(key) as report:
            for fraction in fractions:
                progress_interval, progress._MIN_INTERVAL_S = progress._MIN_INTERVAL_S, 0.0
                try:
                    report(fraction, "message")
                finally:
                    progress._MIN_INTERVAL_S = progress_interval
    shares = [e["fraction"] for e in events]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert all(e["remaining_s"] >= 0 for e in events) and events[-1]["remaining_s"] == 0
    assert [e["stage"] for e in events if e["message"] == ""][::2] == list(STAGES)


def test_cancel_unwinds_at_the_next_report():
    stop = threading.Event()
    tracker = Tracker(STAGES, lambda event: None, stop)
    with pytest.raises(LikenessError) as caught, tracker.stage("read") as report:
        stop.set()
        report(0.5)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (MemoryError(), "engine.out_of_memory", 4),
        (OSError(errno.ENOSPC, "No space left on device"), "output.unwritable", 4),
        (ModuleNotFoundError("no", name="torch"), "environment.package", 4),
        (LikenessError("capture.no_person", "x: nobody."), "capture.no_person", 3),
        (ZeroDivisionError("x"), "defect.unexpected", 70),
    ],
)
def test_every_failure_is_a_sentence(tmp_path, error, code, exit_code):
    shown = as_likeness_error(error, tmp_path)
    assert (shown.code, shown.exit_code) == (code, exit_code)
    reports = list(tmp_path.glob("likeness-report-*.txt"))
    assert len(reports) == (1 if exit_code == 70 else 0)
    if reports:
        assert reports[0].name in shown.hint and "ZeroDivisionError" in reports[0].read_text()
