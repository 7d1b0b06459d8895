"""How every command starts and ends: exit codes, one line on stderr, programs that are kept."""

import os
import signal
import subprocess
import sys

import pytest

from obd_jax.cli.main import show_resume_command
from obd_jax.runs import CHECKPOINTS, Stopped


def script(body, *arguments, takes="", options=""):
    """Runs `main` with this body in an interpreter of its own."""
    code = (
        "from obd_jax.cli import run_main\n"
        "from obd_jax.settings import OptionError\n"
        "from obd_jax.types import InvalidInputError\n"
        f"def main({takes}):\n    {body}\n"
        f"run_main(main{options})\n"
    )
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def test_invalid_input_is_one_line_and_exit_code_2():
    done = script("raise InvalidInputError('no such thing')")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no such thing\n")


def test_options_are_spelled_as_flags():
    done = script("raise OptionError('{ridge} is for {student}=kernel')")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --ridge is for --student=kernel\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_says_what_a_command_does_and_ends_well(flag):
    done = script("print('ran')", flag, "--seed=x", options=", about='Draws.'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Draws.\n")
    assert "ran" not in done.stdout


def test_help_that_is_passed_on_is_not_asked_of_the_command():
    done = script("print(words)", "--", "--help", takes="words", options=", passes_on=True")
    assert (done.returncode, done.stdout) == (0, "['--help']\n"), done.stderr


def test_an_argument_that_is_no_flag_is_invalid_input():
    done = script("print('ran')", "stray")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unexpected argument 'stray'; flags start with --\n"


def test_what_follows_two_dashes_is_passed_on_where_that_is_wanted():
    given = {"takes": "words", "options": ", passes_on=True"}
    done = script("print(words)", "--", "--depth=3", "stray", **given)
    assert (done.returncode, done.stdout) == (0, "['--depth=3', 'stray']\n"), done.stderr
    assert script("raise InvalidInputError(words[0])", "--", "-x", **given).stderr == "error: -x\n"


def test_a_flag_that_does_not_exist_is_invalid_input():
    done = script("print('ran')", "--temprature=0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Unknown command line flag 'temprature'")
    assert done.stderr.count("\n") == 1


def test_other_errors_keep_their_traceback():
    done = script("raise RuntimeError('a bug')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug" in done.stderr


@pytest.fixture
def heard():
    """Where tests run in the background of a shell, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("SIGTERM", 75, "stopped by SIGTERM\n"), ("SIGINT", 130, "interrupted\n")],
)
def test_a_signal_ends_a_script_with_a_code_of_its_own(name, code, said):
    done = script(f"import os, signal; os.kill(os.getpid(), signal.{name}); print('ran')")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


@pytest.fixture
def resuming(tmp_path, monkeypatch, capsys):
    """(arguments, error) -> what is said when the error ends the command."""

    def resuming(arguments, error, out):
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        monkeypatch.setattr(sys, "orig_argv", ["python", "run.py", *arguments])
        with pytest.raises(type(error)), show_resume_command(tmp_path / out):
            raise error
        return capsys.readouterr().err

    (tmp_path / "a b" / CHECKPOINTS).mkdir(parents=True)
    return resuming


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped(), OSError(28, "No space left")])
def test_what_ends_a_run_shows_the_command_that_resumes_it(resuming, tmp_path, error):
    command = "to resume: python run.py"
    assert resuming(["--out=c"], error, "a b") == f"{command} --out=c\n"
    assert resuming(["-out", "c"], error, "a b") == f"{command} -out c\n"
    expected = f"{command} --seed=1 '--out={tmp_path / 'a b'}'\n"
    assert resuming(["--seed=1"], error, "a b") == expected


def test_what_cannot_be_resumed_shows_no_command(resuming):
    assert resuming([], KeyboardInterrupt(), "absent") == ""
    assert resuming([], RuntimeError("a bug"), "a b") == ""


@pytest.fixture
def compiling(tmp_path):
    """() -> (output, names of what is kept, messages) of a script that compiles something."""
    script = tmp_path / "script.py"
    script.write_text(
        "import jax, jax.numpy as jnp\n"
        "from obd_jax.cli import run_main\n"
        "def slow(x):\n"
        "    for i in range(60):\n"
        "        x = jnp.sin(x @ x + i)\n"
        "    return x\n"
        "run_main(lambda: print(float(jax.jit(slow)(jnp.ones((9, 9))).sum())))\n"
    )
    environment = {**os.environ, "OBD_JAX_CACHE": str(tmp_path / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    environment["JAX_DEBUG_LOG_MODULES"] = "jax._src.compiler"

    def run():
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        # On a busy machine the sum after it may be slow enough to be kept too.
        kept = {path.name for path in (tmp_path / "cache" / "compiled").glob("jit_slow*-cache")}
        return done.stdout, kept, done.stderr

    return run


HIT = "cache hit for 'jit_slow'"


def test_compiled_programs_are_kept_for_the_next_process(compiling):
    first, again = compiling(), compiling()
    assert first[:2] == again[:2]
    assert (HIT in first[2], HIT in again[2]) == (False, True)
    assert len(first[1]) == 1


def test_what_a_killed_process_left_half_written_is_compiled_again(compiling, tmp_path):
    output, kept, _ = compiling()
    folder = tmp_path / "cache" / "compiled"
    for name in kept:  # The program is written first, and the time of its use after it.
        (folder / name).write_bytes((folder / name).read_bytes()[:100])
        (folder / name.replace("-cache", "-atime")).unlink()
    again = compiling()
    assert (output, kept) == again[:2]
    assert HIT not in again[2]
    assert "Error" not in again[2]
    assert HIT in compiling()[2]
