"""Pytrees as files: the same leaves come back, other shapes are refused."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.artefacts import load_checkpoint, save_checkpoint
from obd_jax.types import InvalidInputError


class State(NamedTuple):
    weights: dict
    key: jax.Array
    step: jax.Array


def state(size=3, seed=1):
    return State({"kernel": jnp.arange(2.0 * size).reshape(2, size)}, jax.random.key(seed), 7)


def test_all_leaves_come_back_keys_among_them(tmp_path):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, state())
    loaded = load_checkpoint(path, state(seed=5))
    np.testing.assert_array_equal(loaded.weights["kernel"], state().weights["kernel"])
    np.testing.assert_array_equal(
        jax.random.normal(loaded.key, (4,)), jax.random.normal(state().key, (4,))
    )
    assert int(loaded.step) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_another_shape_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, state())
    with pytest.raises(InvalidInputError, match="of another algorithm or data"):
        load_checkpoint(path, state(size=4))


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, state())
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(InvalidInputError, match=r"checkpoint\.npz: not a checkpoint"):
        load_checkpoint(path, state())
