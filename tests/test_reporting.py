"""Notes, progress and seconds by phase."""

import pytest

from obd_jax import reporting
from obd_jax.reporting import CONSOLE, SILENT, Clock, Progress


@pytest.fixture
def set_time(monkeypatch):
    """Sets what both clocks of the `time` module read."""

    def set_time(seconds):
        monkeypatch.setattr(reporting.time, "monotonic", lambda: seconds)
        monkeypatch.setattr(reporting.time, "perf_counter", lambda: seconds)

    set_time(100.0)
    return set_time


def test_progress_extrapolates_the_time_to_go(set_time, capsys):
    progress = Progress("work")
    set_time(130.0)
    progress(25, 100)
    assert capsys.readouterr().err == "work 25/100 | 0:30 elapsed, 1:30 to go\n"


def test_progress_is_quiet_between_intervals_but_reports_the_end(set_time, capsys):
    progress = Progress("work", interval=5.0)
    set_time(104.0)
    progress(1, 10)
    assert capsys.readouterr().err == ""
    progress(10, 10, eta=0.0, note="loss 0.1")
    assert capsys.readouterr().err == "work 10/10 | 0:04 elapsed, 0:00 to go | loss 0.1\n"


def test_a_clock_adds_up_phases_of_the_same_name(set_time):
    clock = Clock()
    for name, start, end in (("a", 0.0, 2.0), ("b", 2.0, 5.0), ("a", 5.0, 6.0)):
        set_time(start)
        with clock(name):
            set_time(end)
    assert clock.seconds == {"a": 3.0, "b": 3.0}


def test_a_clock_counts_phases_that_fail(set_time):
    clock = Clock()

    def fail():
        with clock("a"):
            set_time(101.5)
            raise RuntimeError("fails")

    with pytest.raises(RuntimeError, match="fails"):
        fail()
    assert clock.seconds == {"a": 1.5}


def test_the_console_is_stderr(capsys):
    CONSOLE.note("half of it")
    CONSOLE.progress("work")(3, 3, eta=0.0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "half of it\nwork 3/3 | 0:00 elapsed, 0:00 to go\n"


def test_silence_says_nothing(capsys):
    SILENT.note("half of it")
    SILENT.progress("work")(1, 1, eta=0.0, note="loss 0.1")
    assert capsys.readouterr() == ("", "")
