"""Actions that are a policy's at the synthetic states."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill, students
from obd_jax.types import SyntheticData, Targets

N, D, A, B = 6, 4, 2, 9


def policy(observations):
    return jnp.tanh(observations[:, :A] - 0.5 * observations[:, 1 : 1 + A])


@pytest.mark.parametrize("constraint", [None, distill.squashed()])
def test_a_set_has_the_policys_actions_before_and_after_steps(constraint):
    keys = jax.random.split(jax.random.key(0), 3)
    synthetic = SyntheticData(jax.random.normal(keys[0], (N, D)), jnp.zeros((N, A)))
    states = jax.random.normal(keys[1], (B, D))
    batch = Targets(states, jnp.sin(states[:, :A]), jnp.ones(B))
    student = students.kernel(students.ntk(), students.KernelSettings(depth=1, ridge=0.01))
    distiller = distill.distiller(
        student, optax.adam(0.05), constraint=distill.labelled(policy, constraint)
    )
    step = jax.jit(distiller.update)
    state = distiller.init(jax.random.key(0), synthetic)
    losses = []
    for _ in range(60):
        np.testing.assert_allclose(
            state.synthetic.actions, policy(state.synthetic.observations), rtol=1e-5, atol=1e-6
        )
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    # The gradient goes through the policy: states move to where its actions serve.
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_allclose(state.coordinates.actions, 0.0)
