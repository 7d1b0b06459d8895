"""Functions that are traced once for all processes."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.evaluation.traced import traced

FORM = jax.ShapeDtypeStruct((3,), jnp.float32)


@pytest.fixture
def folder(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "programs"))
    yield tmp_path / "programs"
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def counted(tmp_path):
    """Makes the function as a new process would, and counts its traces."""
    source = tmp_path / "source.py"
    source.write_text("1")
    calls = []

    def make(name="sine"):
        def function(x):
            calls.append(None)
            return [jnp.sin(x)], x.sum()

        return traced(function, name, [source], FORM)

    make.calls, make.source = calls, source
    return make


def check(function):
    x = jnp.arange(3.0)
    (sine,), total = jax.jit(function)(x)
    np.testing.assert_allclose(sine, np.sin(x), rtol=1e-6)
    assert float(total) == 3.0


def test_it_is_traced_once(folder, counted):
    for _ in range(3):
        check(counted())
    assert len(counted.calls) == 1
    assert len(list(folder.iterdir())) == 1


def test_another_name_or_source_is_another_function(folder, counted):
    check(counted())
    check(counted("other"))
    counted.source.write_text("2")
    check(counted())
    assert len(counted.calls) == len(list(folder.iterdir())) == 3


def test_a_function_in_a_file_that_has_changed_is_another_one(folder, tmp_path):
    source = tmp_path / "source.py"
    source.write_text("")
    found = []
    for number in (1, 2):
        module = tmp_path / "defined.py"
        module.write_text(f"def function(x):\n    return {number} * x\n")
        scope = {}
        exec(compile(module.read_text(), str(module), "exec"), scope)
        found.append(traced(scope["function"], "scale", [source], FORM)(jnp.ones(3)))
    np.testing.assert_array_equal(found[1], 2.0)
    assert len(list(folder.iterdir())) == 2


def test_a_simulation_depends_on_all_of_its_files(monkeypatch):
    mjx = pytest.importorskip("obd_jax.evaluation.mjx")
    found = []

    def spy(function, name, sources, *forms):
        defined = pathlib.Path(function.__code__.co_filename)
        found.append({source.name for source in (*sources, defined)})
        return function

    monkeypatch.setattr(mjx, "traced", spy)
    with jax.numpy_rank_promotion("allow"):  # MJX promotes.
        mjx._simulation("hopper", "mjx", 1)
    assert found == [{"locomotion.py", "mjx.py", "rules.py"}] * 2


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b""])
def test_a_damaged_file_is_made_again(folder, counted, damage):
    check(counted())
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    check(counted())
    assert len(counted.calls) == 2
    check(counted())
    assert len(counted.calls) == 2


def test_without_a_folder_the_function_is_itself(tmp_path, counted):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    check(counted())
    jax.config.update("jax_compilation_cache_dir", before)
    assert not (tmp_path / "programs").exists()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(folder, counted):
    folder.write_text("a file")
    for _ in range(2):
        check(counted())
    assert len(counted.calls) == 2
