"""Masked autoregressive flow: exact log-determinant, autoregressive, as good as flowjax."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import density
from obd_jax.density.maf import made_masks, maf_transform
from obd_jax.types import InvalidInputError


def random_flow(num_blocks, size, hidden_sizes=(12, 9)):
    """A flow far from the identity, in float64."""
    estimator = density.maf(num_blocks, hidden_sizes)
    observations = jax.random.normal(jax.random.key(1), (200, size)) * 3.0 + 1.0
    params = estimator.init(jax.random.key(0), observations)
    leaves, structure = jax.tree.flatten((params.weights, params.biases))
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [
        leaf + 0.4 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    weights, biases = jax.tree.unflatten(structure, leaves)
    params = params._replace(weights=weights, biases=biases)
    return estimator, params, observations[:16]


@pytest.mark.parametrize("size", [1, 5])
def test_log_det_is_that_of_the_autodiff_jacobian(size):
    with jax.enable_x64(True):
        _, params, observations = random_flow(3, size)
        _, log_det = maf_transform(params, observations)
        jacobian = jax.vmap(jax.jacfwd(lambda x: maf_transform(params, x[None, :])[0][0]))(
            observations
        )
        expected = jnp.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(log_det, expected, atol=1e-9)
        assert np.ptp(log_det) > 0.1 or size == 1


def test_a_block_is_autoregressive_and_uses_all_it_may():
    # Connectivity through all layers: output d sees exactly the inputs before it.
    first, second, last = made_masks(6, (20, 15))
    paths = first @ second @ last
    before = np.triu(np.ones((6, 6)), 1)
    np.testing.assert_array_equal(paths > 0, np.concatenate([before, before], axis=1) > 0)


def test_one_block_has_a_triangular_jacobian_and_two_have_not():
    with jax.enable_x64(True):
        for num_blocks, triangular in ((1, True), (2, False)):
            _, params, observations = random_flow(num_blocks, 5)
            jacobian = jax.jacfwd(lambda x, p=params: maf_transform(p, x[None, :])[0][0])(
                observations[0]
            )
            # A block leaves its output in reversed order.
            jacobian = jacobian[::-1] if num_blocks == 1 else jacobian
            assert bool(jnp.all(jnp.triu(jacobian, 1) == 0)) is triangular


@pytest.mark.filterwarnings("ignore:the density is the untrained one")
def test_constant_columns_are_passed_through():
    observations = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    observations[:, 1] = 4.0  # in the middle, where reversal leaves it
    params, _ = density.fit(jax.random.key(0), density.maf(2, (8,)), observations, epochs=2)
    values, _ = maf_transform(params, jnp.asarray(observations))
    np.testing.assert_array_equal(values[:, 1], 0.0)


@pytest.mark.parametrize(
    ("num_blocks", "hidden_sizes", "message"),
    [(0, (10,), "num_blocks.*0"), (2, (), "hidden_sizes.*()"), (2, (8, 0), "hidden_sizes.*0")],
)
def test_bad_settings_are_refused(num_blocks, hidden_sizes, message):
    with pytest.raises(InvalidInputError, match=message):
        density.maf(num_blocks, hidden_sizes)


def hopper_states(shared_data, rows):
    with h5py.File(shared_data / "calql_rollouts" / "hopper-medium.hdf5") as file:
        observations = file["observations"][:].astype(np.float32)
    observations = observations[np.random.default_rng(0).permutation(len(observations))[:rows]]
    return observations[rows // 5 :], observations[: rows // 5]


def flowjax_held_out(train, held_out, *, epochs, batch_size, learning_rate):
    """Held-out log likelihood of flowjax 19.1.2 with 5 blocks of 2 hidden layers of 100."""
    flows = pytest.importorskip("flowjax.flows")
    from flowjax.distributions import StandardNormal
    from flowjax.train import fit_to_data

    mean, std = train.mean(0), train.std(0)
    size = train.shape[1]
    # flowjax promotes ranks implicitly.
    with jax.numpy_rank_promotion("allow"):
        flow = flows.masked_autoregressive_flow(
            jax.random.key(0),
            base_dist=StandardNormal((size,)),
            flow_layers=5,
            nn_width=100,
            nn_depth=2,
        )
        flow, _ = fit_to_data(
            jax.random.key(1),
            flow,
            jnp.asarray((train - mean) / std),
            optimizer=optax.adam(learning_rate),
            max_epochs=epochs,
            batch_size=batch_size,
            show_progress=False,
        )
        log_density = jax.jit(lambda x: flow.log_prob(x))(jnp.asarray((held_out - mean) / std))
    return float(log_density.mean() - np.log(std).sum())


def maf_held_out(train, held_out, *, epochs, batch_size, learning_rate):
    estimator = density.maf()
    params, _ = density.fit(
        jax.random.key(0),
        estimator,
        train,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optax.adam(learning_rate),
    )
    return float(density.log_prob_chunked(estimator, params, held_out).mean())


@pytest.mark.slow
def test_held_out_likelihood_is_no_worse_than_flowjax(shared_data):
    train, held_out = hopper_states(shared_data, 6_000)
    settings = {"epochs": 4, "batch_size": 200, "learning_rate": 1e-3}
    expected = flowjax_held_out(train, held_out, **settings)
    assert maf_held_out(train, held_out, **settings) > expected - 0.3


@pytest.mark.slow
def test_held_out_likelihood_is_no_worse_than_flowjax_on_all_hopper_states(shared_data):
    train, held_out = hopper_states(shared_data, 100_000)
    settings = {"epochs": 10, "batch_size": 512, "learning_rate": 1e-3}
    expected = flowjax_held_out(train, held_out, **settings)
    assert maf_held_out(train, held_out, **settings) > expected - 0.3
