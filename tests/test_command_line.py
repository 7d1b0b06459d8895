"""Flags from records, errors, progress and clocks."""

import dataclasses
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from absl import flags

from obd_jax import command_line
from obd_jax.command_line import Clock, Progress, Stopped, field, signals_wait
from obd_jax.types import InvalidInputError


@dataclasses.dataclass(frozen=True)
class Example:
    name: str | None = field(None, "A name.")
    count: int = field(3, "A count.")
    rate: float = field(0.5, "A rate.")
    budget: float | None = field(None, "A budget.")
    sizes: tuple[int, ...] = field((4, 5), "Sizes.")
    optional_sizes: tuple[int, ...] | None = field(None, "More sizes.")
    fast: bool = field(False, "Whether.")


@pytest.fixture
def parse(monkeypatch):
    """Parses arguments with flags of `Example` alone."""
    values = flags.FlagValues()
    for name in ("string", "integer", "float", "boolean", "list"):
        define = getattr(flags, f"DEFINE_{name}")
        bound = lambda *given, define=define: define(*given, flag_values=values)  # noqa: E731
        monkeypatch.setattr(flags, f"DEFINE_{name}", bound)
        kind = {"string": str, "integer": int, "float": float, "boolean": bool}.get(name)
        if kind:
            monkeypatch.setitem(command_line._DEFINERS, kind, bound)
    monkeypatch.setattr(flags, "FLAGS", values)
    command_line.define_flags(Example)

    def parse(*arguments, preset=()):
        values(["program", *arguments])
        return command_line.config_from_flags(Example, dict(preset))

    parse.values = values
    return parse


def test_without_flags_the_configuration_is_the_records_defaults(parse):
    assert parse() == Example()


def test_flags_win_over_the_preset_and_the_preset_over_defaults(parse):
    config = parse("--count=7", "--nofast", preset={"count": 5, "rate": 0.1, "fast": True})
    assert config == Example(count=7, rate=0.1, fast=False)


def test_every_type_is_read(parse):
    config = parse(
        "--name=x", "--count=2", "--rate=1e-3", "--budget=9", "--sizes=1,2,3", "--optional_sizes=8"
    )
    assert config == Example("x", 2, 1e-3, 9.0, (1, 2, 3), (8,))


def test_zero_is_a_value_and_not_absence(parse):
    assert parse("--count=0", "--rate=0") == Example(count=0, rate=0.0)


def test_a_list_of_other_things_than_integers_is_refused(parse):
    with pytest.raises(InvalidInputError, match=r"--sizes takes integers .* got 1,x"):
        parse("--sizes=1,x")


def test_help_tells_the_default(parse):
    shown = {name: parse.values[name].help for name in ("name", "count", "sizes")}
    assert shown == {
        "name": "A name.",
        "count": "A count. Default: 3.",
        "sizes": "Sizes. Default: (4, 5).",
    }


def script(body, *arguments, takes="", options=""):
    """Runs `main` with this body in an interpreter of its own."""
    code = (
        "from obd_jax.command_line import run_main\n"
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


def signalled_twice(first, second=None):
    """What is known of a signal in a block of work that ends nevertheless."""
    with signals_wait() as signalled:
        assert signalled() is None
        os.kill(os.getpid(), first)
        known = signalled()
        if second is not None:
            os.kill(os.getpid(), second)
            pytest.fail("went on")
    pytest.fail(f"{known!r} was not raised at the end")


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_waits_for_the_end_of_a_block(number, raised):
    before = signal.getsignal(number)
    with pytest.raises(raised) as error:
        signalled_twice(number)
    assert type(error.value) is raised
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("heard")
def test_a_second_signal_has_its_effect_at_once():
    with pytest.raises(KeyboardInterrupt):
        signalled_twice(signal.SIGTERM, signal.SIGINT)


def test_without_signals_nothing_is_raised_and_other_threads_have_none():
    with signals_wait() as signalled:
        assert signalled() is None
    before = signal.getsignal(signal.SIGINT)

    def elsewhere():
        with signals_wait() as signalled:
            return signalled(), signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(elsewhere).result() == (None, before)


@pytest.fixture
def set_time(monkeypatch):
    """Sets what both clocks of the `time` module read."""

    def set_time(seconds):
        monkeypatch.setattr(command_line.time, "monotonic", lambda: seconds)
        monkeypatch.setattr(command_line.time, "perf_counter", lambda: seconds)

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


@pytest.fixture
def compiling(tmp_path):
    """() -> (output, names of what is kept, messages) of a script that compiles something."""
    script = tmp_path / "script.py"
    script.write_text(
        "import jax, jax.numpy as jnp\n"
        "from obd_jax.command_line import run_main\n"
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
