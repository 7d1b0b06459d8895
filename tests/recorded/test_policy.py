"""Behaviour policies: the network in plain arrays, to a file and back."""

import jax
import numpy as np
import pytest

from obd_jax import networks, recorded
from obd_jax.types import InvalidInputError

D, A = 3, 2
STATES = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)


def make_policy():
    network = networks.MLP((16, 8), 2 * A)
    params = network.init(jax.random.key(0), STATES)
    return recorded.BehaviorPolicy.from_params(params), network.apply(params, STATES)


def test_a_policy_computes_what_its_network_does():
    policy, outputs = make_policy()
    mean, log_std = np.split(np.asarray(outputs), 2, axis=-1)
    assert log_std.max() < 2  # Nothing is clipped.
    np.testing.assert_allclose(policy.gaussian(STATES)[0], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(policy.gaussian(STATES)[1], np.exp(log_std), rtol=1e-5)


def test_samples_have_the_mean_and_deviation_before_tanh():
    policy, _ = make_policy()
    states = np.broadcast_to(STATES[0], (20_000, D))
    latent = np.arctanh(policy.sample(np.random.default_rng(0), states).astype(np.float64))
    mean, std = policy.gaussian(STATES[0])
    np.testing.assert_allclose(latent.mean(axis=0), mean, atol=5 * std.max() / 20_000**0.5)
    np.testing.assert_allclose(latent.std(axis=0), std, rtol=0.03)


def test_a_policy_survives_its_file_in_half_precision(tmp_path):
    policy, _ = make_policy()
    recorded.save(tmp_path / "policy.npz", policy)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.npz"]
    again = recorded.load(tmp_path / "policy.npz")
    assert {leaf.dtype for leaf in jax.tree.leaves(again)} == {np.dtype(np.float32)}
    for found, expected in zip(again.gaussian(STATES), policy.gaussian(STATES), strict=True):
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=5e-3)


def test_a_file_that_holds_no_policy_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nothing")
    np.savez(tmp_path / "other.npz", a=np.zeros(2), b=np.zeros(2))
    recorded.save(tmp_path / "whole.npz", make_policy()[0])
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "truncated.npz").write_bytes(content[: len(content) // 2])
    for name in ("absent.npz", "text.npz", "other.npz", "truncated.npz"):
        with pytest.raises(InvalidInputError, match=rf"{name}: not a behaviour policy"):
            recorded.load(tmp_path / name)
