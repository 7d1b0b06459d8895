"""Notes, progress and seconds by phase."""

import io
import sys

import pytest

from obd_jax import progress_bars, reporting
from obd_jax.progress_bars import Bar
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
    set_time(101.0)
    progress(1, 10)
    assert capsys.readouterr().err == ""
    set_time(102.0)
    progress(2, 10)
    assert capsys.readouterr().err.startswith("work 2/10")
    set_time(104.0)
    progress(3, 10)
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


def test_the_console_is_stderr(set_time, capsys):
    CONSOLE.note("half of it")
    progress = CONSOLE.progress("work")
    set_time(102.0)
    progress(3, 3, eta=0.0)
    CONSOLE.progress("what takes no time")(3, 3)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "half of it\nwork 3/3 | 0:02 elapsed, 0:00 to go\n"


def test_a_terminal_has_bars_below_what_is_printed_meanwhile(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress_bars._bars.cache_clear()
    outer, inner = CONSOLE.progress("distil, step"), CONSOLE.progress("roll out")
    assert isinstance(outer, Bar)
    outer(5, 10, eta=65.0, note="loss [0.1]")
    inner(1, 4)
    bars = progress_bars._bars()
    assert [task.description for task in bars.tasks] == ["distil, step", "roll out"]
    bars.refresh()
    CONSOLE.note("half of it")
    inner(4, 4)
    outer(10, 10)
    assert not bars.tasks
    assert not bars.live.is_started
    said = sys.stderr.getvalue()
    for part in ("distil, step", "5/10", "1:05 to go", "loss [0.1]", "half of it"):
        assert part in said
    # Another run begins anew.
    outer(1, 2)
    assert bars.live.is_started
    outer(2, 2)
    progress_bars._bars.cache_clear()


def test_silence_says_nothing(capsys):
    SILENT.note("half of it")
    SILENT.progress("work")(1, 1, eta=0.0, note="loss 0.1")
    assert capsys.readouterr() == ("", "")
