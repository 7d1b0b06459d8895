"""A small population, run by this file in processes of its own and by its tests in theirs.

python population_case.py OUT [--devices=8] [--process=0 --processes=2 --port=1234]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

P, M, D, A, N = 8, 60, 3, 2, 5


def problem():
    """Keys [P], learning rates [P], targets with weights [P, M], sets [P, N, ...]."""
    from obd_jax.types import SyntheticData, Targets

    keys = jax.random.split(jax.random.key(0), 4)
    targets = Targets(
        jax.random.normal(keys[0], (M, D)),
        jnp.tanh(jax.random.normal(keys[1], (M, A))),
        jnp.linspace(0.5, 1.5, P)[:, None] * jnp.linspace(0.2, 1.8, M)[None, :],
    )
    synthetic = SyntheticData(
        jax.random.normal(keys[2], (P, N, D)),
        jax.random.uniform(keys[3], (P, N, A), minval=-0.9, maxval=0.9),
    )
    return jax.random.split(jax.random.key(1), P), jnp.linspace(0.01, 0.08, P), targets, synthetic


def make_distiller(learning_rate):
    """For a small network; the rate is a leaf."""
    from obd_jax import distill, students

    student = students.mlp(A, hidden_sizes=(8, 8), steps=4, optimizer=optax.sgd(0.1))
    return distill.distiller(student, optax.adam(learning_rate), constraint=distill.clipped())


def population(**options):
    """All members by `train_population`, as NumPy arrays, and the last record."""
    from obd_jax import distill
    from obd_jax.distill.population import gather

    keys, rates, targets, synthetic = problem()
    options = {"steps": 7, "batch_size": 16, "steps_per_call": 3, **options}
    states, history = distill.train_population(
        keys,
        make_distiller,
        rates,
        targets,
        synthetic,
        targets_axes=(None, None, 0),
        **options,
    )
    return gather(states.synthetic), history[-1]


def main():
    """Write what all devices find."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    if options.processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{options.port}", options.processes, options.process)
    from obd_jax import distill

    mesh = distill.device_mesh()
    assert mesh.size == options.devices * options.processes
    sets, record = population(mesh=mesh)
    if options.process == 0:
        np.savez(
            options.out,
            observations=sets.observations,
            actions=sets.actions,
            loss=record["loss"],
        )


if __name__ == "__main__":
    main()
