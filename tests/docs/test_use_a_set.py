"""The code of docs/use_a_set.md acts from a distilled set without the package."""

import jax
import numpy as np
import pytest

import obd_jax
from tests.docs.pages import DOCS, python_blocks, run

PAGE = DOCS / "use_a_set.md"
STATES = np.random.default_rng(1).normal([1.0, -2.0, 0.0], [1.0, 3.0, 0.1], (200, 3))


def expert(states):
    return np.tanh(states @ np.array([[-0.5, 0.0], [0.0, -0.3], [-2.0, 1.0]]))


def block_of(library):
    (block,) = (code for code in python_blocks(PAGE) if library in code)
    return block


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "run"
    problem = obd_jax.Problem(obd_jax.data.from_arrays(STATES, expert(STATES)), expert)
    obd_jax.synthesize(
        jax.random.key(0),
        problem,
        pairs=32,
        outer_steps=100,
        density="gaussian",
        outer_learning_rate=0.03,
    ).save(path)
    return path


def test_numpy_is_the_policy_of_the_package(folder, monkeypatch):
    monkeypatch.chdir(folder)
    policy = run(block_of("def ntk"), PAGE.name)["policy"]
    expected = obd_jax.load_distilled(folder).policy()(STATES.astype(np.float32))
    np.testing.assert_allclose(policy(STATES), expected, atol=2e-4)
    assert np.abs(policy(STATES) - expert(STATES)).mean() < 0.05


@pytest.mark.parametrize("library", ["sklearn", "torch", "flax"])
def test_learners_of_other_libraries_fit_the_set(folder, monkeypatch, library):
    pytest.importorskip(library)
    monkeypatch.chdir(folder)
    actions = np.asarray(run(block_of(library), PAGE.name)["policy"](STATES))
    assert actions.shape == (200, 2)
    assert np.abs(actions).max() <= 1
    # Half of what the best constant action errs.
    error = np.abs(actions - expert(STATES)).mean()
    assert error < 0.5 * np.abs(expert(STATES) - expert(STATES).mean(axis=0)).mean()


def test_the_page_has_a_block_for_each_library():
    assert len(python_blocks(PAGE)) == 4
