"""The expert among the behaviour policies of the package, as a teacher."""

import jax.numpy as jnp

from obd_jax import environments, recorded
from obd_jax.networks import MLP
from obd_jax.recorded.shipped import fingerprint
from obd_jax.types import Provenance, Teacher


def behavior_teacher(environment: str) -> Teacher:
    """The policy behind embedded `expert` data, acting by its mean; it has no critic.

    Args:
        environment: name of a task, like `hopper`.

    Raises:
        InvalidInputError: an environment without policies; the message lists those with.
    """
    recorded.snapshots(environment)  # Refuses an unknown environment.
    steps = recorded.ROLES[environment]["expert"]
    policy = recorded.snapshot(environment, steps)
    *hidden_sizes, output_size = (bias.shape[0] for bias in policy.biases)
    network = MLP(hidden_sizes=tuple(hidden_sizes), output_size=output_size)
    layers = zip(policy.kernels, policy.biases, strict=True)
    params = {
        "params": {
            f"Dense_{i}": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
            for i, (kernel, bias) in enumerate(layers)
        }
    }
    action_size = output_size // 2

    def act(observations):
        return jnp.tanh(jnp.asarray(network.apply(params, observations))[..., :action_size])

    return Teacher(
        act,
        None,
        policy.kernels[0].shape[0],
        action_size,
        Provenance(
            "behaviour policy",
            f"{environment} expert, {steps} steps",
            fingerprint(environment, steps),
            environments.get(environment).gymnasium_id,
        ),
    )
