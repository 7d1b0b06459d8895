"""The command of populations: which process has ended, and what only looks like it."""

from types import SimpleNamespace

import jax
import pytest

from obd_jax.cli import STOPPED, population
from obd_jax.pipeline import MemberSettings, RunSettings
from obd_jax.settings import OptionError, from_options
from obd_jax.types import InvalidInputError

SETTINGS = from_options(RunSettings, {"dataset": "toy", "out": "a"})
UNUSED = ("curve_points", "fqe_steps")


class Flags(dict):
    distributed = True


@pytest.fixture
def main(monkeypatch):
    """The command as one of several processes, with a run that ends as given."""

    def main(run, given=(), temperatures=None):
        differ, names = MemberSettings((0,), temperatures), ("seed", "temperature", *UNUSED)
        values = Flags({name: SimpleNamespace(present=name in given) for name in names})
        monkeypatch.setattr(population.flags, "FLAGS", values, raising=False)
        monkeypatch.setattr(population.jax.distributed, "initialize", lambda *_: None)
        monkeypatch.setattr(population, "run_settings", lambda: SETTINGS)
        monkeypatch.setattr(population, "settings_from_flags", lambda _: differ)
        monkeypatch.setattr(population, "run_population", run)
        return population.main()

    return main


def raising(error):
    def run(*_):
        raise error

    return run


def test_bad_input_is_no_loss_of_a_process_whatever_it_says(main):
    with pytest.raises(InvalidInputError, match="Connection refused"):
        main(raising(InvalidInputError("download failed: Connection refused")))


@pytest.mark.parametrize("name", UNUSED)
def test_what_it_does_not_use_is_refused(main, name):
    with pytest.raises(OptionError, match=f"{name}.*scored once"):
        main(raising(AssertionError()), given=(name,))


@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_a_lost_process_is_told_of_in_two_lines(main, capsys, kind):
    with pytest.raises(SystemExit) as end:
        main(raising(kind("UNAVAILABLE: it ended\nand more")))
    assert end.value.code == STOPPED
    assert capsys.readouterr().err == (
        "UNAVAILABLE: it ended\n"
        "error: another process of this job has ended, or cannot be reached\n"
    )


@pytest.fixture
def nowhere(monkeypatch):
    """A process whose environment tells of no other."""
    for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(f"JAX_{name}", raising=False)


@pytest.mark.usefixtures("nowhere")
def test_outside_of_a_cluster_one_line_says_what_is_needed(monkeypatch):
    def initialize(*_):  # As JAX does before it has started, which it has done in this process.
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(OptionError) as refusal:
        population.join()
    said = refusal.value.spelled("--")
    assert said.startswith("--distributed finds no job: no variable of SLURM, Open MPI")
    assert "(host:port of the first process), $JAX_NUM_PROCESSES and $JAX_P" in said
    assert "\n" not in said


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("NUM_PROCESSES", "two", r"\$JAX_NUM_PROCESSES must be a whole number, got 'two'"),
        ("PROCESS_ID", "-1", r"\$JAX_PROCESS_ID must be a whole number, got '-1'"),
        ("COORDINATOR_ADDRESS", "host", r"\$JAX_COORDINATOR_ADDRESS must be host:port, got 'host'"),
    ],
)
def test_variables_that_cannot_be_used_are_refused(monkeypatch, name, value, words):
    monkeypatch.setenv(f"JAX_{name}", value)
    with pytest.raises(InvalidInputError, match=words):
        population.join()


def test_variables_of_the_environment_are_a_job_by_hand(monkeypatch):
    given = {"COORDINATOR_ADDRESS": "localhost:1234", "NUM_PROCESSES": "2", "PROCESS_ID": "1"}
    for name, value in given.items():
        monkeypatch.setenv(f"JAX_{name}", value)
    calls = []
    monkeypatch.setattr(population.jax.distributed, "initialize", lambda *a: calls.append(a))
    population.join()
    assert calls == [("localhost:1234", 2, 1)]


def test_a_first_process_that_cannot_be_reached_is_told_of(monkeypatch, capsys):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: no one\nthere")

    monkeypatch.setattr(population.jax.distributed, "initialize", fail)
    with pytest.raises(SystemExit) as end:
        population.join()
    assert end.value.code == STOPPED
    assert capsys.readouterr().err.splitlines()[0] == "DEADLINE_EXCEEDED: no one"


def test_other_errors_are_bugs(main):
    with pytest.raises(ValueError, match="a bug"):
        main(raising(ValueError("a bug")))


@pytest.mark.parametrize(
    ("given", "temperatures", "message"),
    [
        ("seed", None, "a population takes --seeds, not --seed"),
        ("temperature", (0.1,), "a population takes --temperatures, not --temperature"),
    ],
)
def test_flags_that_the_lists_replace_are_refused(main, given, temperatures, message):
    with pytest.raises(OptionError) as refusal:
        main(lambda *_: pytest.fail("ran"), [given], temperatures)
    assert refusal.value.spelled("--") == message


def test_members_may_share_one_temperature(main, capsys, monkeypatch):
    monkeypatch.setattr(population, "population_summary", lambda results, out: f"{results} {out}")
    main(lambda settings, differ: (settings is SETTINGS, differ.seeds), ["temperature"])
    assert capsys.readouterr().out == "(True, (0,)) a\n"
