"""Own arrays, own density, own objective, own optimiser, three seeds at once: one plot.

python examples/compose.py compose.png
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from obd_jax import data, density, distill, students
from obd_jax.types import DensityEstimator

SEEDS, STEPS, PAIRS = 3, 100, 16


def laplace() -> DensityEstimator:
    """Own density: independent Laplace columns, whose best scale is the mean deviation."""

    def init(key, observations):
        del key  # Nothing is random.
        median = jnp.median(observations, axis=0)
        return median, jnp.mean(jnp.abs(observations - median[None, :]), axis=0)

    def log_prob(params, observations):
        median, scale = params[0][None, :], params[1][None, :]
        return -jnp.sum(jnp.abs(observations - median) / scale + jnp.log(2 * scale), axis=1)

    return DensityEstimator(init, log_prob, trainable=False)


def huber(predicted, batch):
    """Own objective: a robust error, weighted by state."""
    errors = optax.losses.huber_loss(predicted, batch.actions, delta=0.1).mean(axis=1)
    return jnp.mean(batch.weights * errors)


def main(path: str) -> np.ndarray:
    """Distil three sets side by side and draw their losses [SEEDS, STEPS] into `path`."""
    states = np.random.default_rng(0).laplace(size=(5_000, 3)).astype(np.float32)
    behaviour = np.tanh(states @ np.array([[1.0, 0.5], [-1.0, 1.0], [0.2, -2.0]]))
    offline = data.from_arrays(states, behaviour)

    targets = distill.dbc(offline, data.normalizer(offline.observations))
    params, _ = density.fit(jax.random.key(0), laplace(), targets.observations)
    log_density = laplace().log_prob(params, targets.observations)
    targets = distill.sdw(targets, density.reciprocal_weights(log_density, temperature=0.1).weights)

    student = students.mlp(2, hidden_sizes=(32, 32), steps=20, optimizer=optax.sgd(0.3))
    distiller = distill.distiller(student, optax.lion(0.01), huber, distill.clipped())

    def one_seed(key, targets):
        initial_key, state_key, batch_key = jax.random.split(key, 3)

        def step(state, key):
            state, metrics = distiller.update(state, distill.sample(key, targets, 256))
            return state, metrics["loss"]

        start = distill.choose(initial_key, distill.uniform, targets, PAIRS)
        keys = jax.random.split(batch_key, STEPS)
        return jax.lax.scan(step, distiller.init(state_key, start), keys)[1]

    keys = jax.random.split(jax.random.key(1), SEEDS)
    # The data are an argument: what a program captures is compiled into it.
    losses = np.asarray(jax.jit(jax.vmap(one_seed, in_axes=(0, None)))(keys, targets))
    figure, axes = plt.subplots(layout="constrained")
    axes.semilogy(losses.T)
    axes.set(xlabel="outer step", ylabel="objective of each seed")
    figure.savefig(path)
    plt.close(figure)
    return losses


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/compose.py PICTURE.png")
    main(sys.argv[1])
