"""Runs on the shared sets: what ends one ends all."""

import pathlib
import subprocess
import sys

import pytest

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
# A run that saves when it is told to end, and says so with its exit status.
CHILD = """
import signal, sys, time
for number, status in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
    signal.signal(number, lambda *_, status=status: (print("saved", flush=True), sys.exit(status)))
print("ready", flush=True)
time.sleep(200)
"""


def start(child):
    program = (
        # Where tests run in the background of a shell, Ctrl-C is ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"import sys; sys.path.insert(0, {str(EXPERIMENTS)!r})\n"
        f"import shared_sets; shared_sets.run_child([sys.executable, '-c', {child!r}])\n"
        # Between two runs the signals are the parent's own again.
        "print('next', signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,"
        " signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("signals", ["SIGTERM to the parent", "Ctrl-C to both"])
def test_a_signal_ends_the_run_in_its_own_way_and_those_after_it(signals):
    parent = start(CHILD)
    assert parent.stdout.readline() == "ready\n"
    if signals == "Ctrl-C to both":
        subprocess.run(["kill", "-INT", "--", f"-{parent.pid}"], check=True)
    else:
        parent.terminate()
    output, _ = parent.communicate(timeout=200)
    assert output == "saved\n"
    assert parent.returncode == (75 if signals == "SIGTERM to the parent" else 130)


@pytest.mark.parametrize(("child", "status"), [("pass", 0), ("import sys; sys.exit(2)", 2)])
def test_the_next_run_starts_only_after_a_run_without_errors(child, status):
    parent = start(child)
    output, _ = parent.communicate(timeout=200)
    assert parent.returncode == status
    assert output == ("next True True\n" if status == 0 else "")
