"""Behavioural cloning on all data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import students
from obd_jax.types import InvalidInputError


def pairs(rows=2000):
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(rows, 3)).astype(np.float32)
    actions = np.tanh(observations[:, :2] - 0.5 * observations[:, 1:]).astype(np.float32)
    return observations, actions


def test_the_network_learns_the_data_and_acts_as_a_student():
    losses = []
    observations, actions = pairs()
    params = students.clone(
        jax.random.key(0),
        observations,
        actions,
        hidden_sizes=(32, 32),
        steps=1500,
        block=500,
        learning_rate=3e-3,
        callback=lambda done, loss: losses.append((done, loss)),
    )
    assert [done for done, _ in losses] == [500, 1000, 1500]
    act = students.mlp(2, hidden_sizes=(32, 32), optimizer=optax.sgd(0.1)).act
    error = np.abs(act(params, jnp.asarray(observations)) - actions).mean()
    assert error < 0.02


def test_the_key_decides_everything():
    def first(seed):
        params = students.clone(
            jax.random.key(seed), *pairs(50), hidden_sizes=(8,), steps=4, block=2
        )
        return np.asarray(jax.tree.leaves(params)[0])

    np.testing.assert_array_equal(first(0), first(0))
    assert not np.array_equal(first(0), first(1))


def test_seeds_and_data_of_a_size_share_one_program_that_holds_neither(monkeypatch):
    texts, jit = [], jax.jit

    def lowering_jit(function, **options):
        compiled = jit(function, **options)

        def call(*arguments):
            texts.append(compiled.lower(*arguments).as_text())
            return compiled(*arguments)

        return call

    monkeypatch.setattr(jax, "jit", lowering_jit)
    observations, actions = pairs(500)
    options = {"hidden_sizes": (8,), "steps": 2, "block": 2}
    students.clone(jax.random.key(0), observations, actions, **options)
    students.clone(jax.random.key(1), 2 * observations, actions, **options)
    first, second = (text for text in texts if "train_block" in text)
    assert first == second
    assert len(first) < 1_000_000


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match=r"a multiple of 1000, got 1500, 256 and 0\.0003"):
        students.clone(jax.random.key(0), *pairs(50), steps=1500)
    with pytest.raises(InvalidInputError, match=r"got 1000, 0 and 0\.0003"):
        students.clone(jax.random.key(0), *pairs(50), steps=1000, batch_size=0)


def test_a_loss_that_is_not_finite_ends_the_training():
    observations, actions = pairs(50)
    observations[3] = np.nan
    with pytest.raises(FloatingPointError, match="before step 4"):
        students.clone(
            jax.random.key(0), observations, actions, hidden_sizes=(8,), steps=8, block=4
        )
