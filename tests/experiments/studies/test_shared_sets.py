"""Runs on the shared sets: what ends one ends all."""

import hashlib
import json
import pathlib
import subprocess
import sys

import pytest
import shared_sets
import transfer

from obd_jax.types import InvalidInputError

EXPERIMENTS = pathlib.Path(__file__).parents[3] / "experiments/studies"
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


def test_results_of_other_flags_are_not_taken(tmp_path, monkeypatch):
    def run_child(command):
        (out,) = (word.removeprefix("--out=") for word in command if word.startswith("--out="))
        pathlib.Path(out).mkdir(exist_ok=True)
        (pathlib.Path(out) / "results.json").write_text('{"loss": 1.0}')

    def result(seed, *options):
        return shared_sets.result("hopper-medium", "data", seed, tmp_path / "out", options)

    monkeypatch.setattr(shared_sets, "run_child", run_child)
    assert result(0, "--temperature=0", "--centred") == {"loss": 1.0}
    monkeypatch.setattr(shared_sets, "run_child", None)
    assert result(0, "--temperature=0", "--centred") == {"loss": 1.0}
    with pytest.raises(InvalidInputError, match=r"^temperature is 1, the run in .* has 0$"):
        result(0, "--temperature=1", "--centred")
    with pytest.raises(InvalidInputError, match=r"^seed is 2, the run in .* has 0; centred is"):
        result(2, "--temperature=0")
    # A run that was stopped and ended by itself is known; one of unknown flags is not.
    flags = tmp_path / "out.flags.json"
    assert json.loads(flags.read_text())["env"] == "hopper"
    flags.unlink()
    with pytest.raises(InvalidInputError, match=r"lacks .*out\.flags\.json, its flags; give"):
        result(0, "--temperature=0", "--centred")


def test_scores_of_another_set_are_not_taken(tmp_path):
    folder = tmp_path / "hopper-0"
    folder.mkdir()
    (folder / "distilled.npz").write_bytes(b"a set")
    results = {"unit": "score", "provenance": {"set": {}}}
    for content in (b"a set", b"another"):
        results["provenance"]["set"]["sha256"] = hashlib.sha256(content).hexdigest()
        (tmp_path / "hopper-0 kernel x1.json").write_text(json.dumps(results))
        if content == b"a set":
            assert transfer.scored(folder, "kernel", 1) == results
    with pytest.raises(
        InvalidInputError, match=r"x1.json has scores of another set; give another out"
    ):
        transfer.scored(folder, "kernel", 1)


@pytest.mark.parametrize("script", ["main_job", "transfer"])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--temperature=0", "--seed=5"], "seed"),
        (["--seed", "5"], "seed"),
        (["-out=x"], "out"),
        (["--teacher=rebrac"], "teacher"),
        (["--dataset=toy"], "dataset"),
    ],
)
def test_flags_that_the_script_sets_itself_are_refused(script, arguments, name, tmp_path):
    done = subprocess.run(
        [sys.executable, f"{script}.py", f"--out={tmp_path / 'out'}", "--", *arguments],
        cwd=EXPERIMENTS,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: --{name} cannot be given: this script sets it itself\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("child", "status"), [("pass", 0), ("import sys; sys.exit(2)", 2)])
def test_the_next_run_starts_only_after_a_run_without_errors(child, status):
    parent = start(child)
    output, _ = parent.communicate(timeout=200)
    assert parent.returncode == status
    assert output == ("next True True\n" if status == 0 else "")
