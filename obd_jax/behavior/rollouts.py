"""Transitions by a behaviour policy, the same ones for a seed."""

from collections.abc import Callable

import gymnasium
import numpy as np

from obd_jax.behavior.policy import BehaviorPolicy
from obd_jax.data.environments import EnvironmentSpec
from obd_jax.types import InvalidInputError

# Environments that advance together, so that the policy is evaluated for all of them at once.
LANES = 8


def roll_out(
    policy: BehaviorPolicy | None,
    environment: EnvironmentSpec,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Record a policy, as D4RL did: sampled actions, one episode after another.

    Args:
        policy: stochastic; None: uniform actions in [-1, 1].
        environment: a Gymnasium task.
        steps: rows to record, at least `LANES`; each of `LANES` environments gives its share,
            whose last episode is cut off there and counts as out of time.
        seed: of the environments and of the actions.
        progress: called now and then with the rows recorded and `steps`.

    Returns:
        observations [steps, D], actions [steps, A], rewards [steps], terminals and timeouts
        [steps] bool, in D4RL's layout, float32; episodes are contiguous.

    Raises:
        InvalidInputError: too few steps, or a task that Gymnasium does not have.
    """
    if steps < LANES:
        raise InvalidInputError(f"at least {LANES} steps are needed, got {steps}")
    if environment.gymnasium_id is None:
        raise InvalidInputError(f"{environment.name} is no task of Gymnasium")
    # By specification rather than by name: no advice to move to v5, whose physics differ.
    specification = gymnasium.registry[environment.gymnasium_id]
    lanes = [gymnasium.make(specification, **environment.make_kwargs) for _ in range(LANES)]
    generator = np.random.default_rng(seed)
    # A seed for each lane from one stream: lanes of neighbouring seeds have nothing in common.
    seeds = generator.integers(2**31, size=LANES)
    states = [env.reset(seed=int(s))[0] for env, s in zip(lanes, seeds, strict=True)]
    observation = np.stack(states).astype(np.float32)
    (action_size,) = lanes[0].action_space.shape or ()

    rows = -(-steps // LANES)
    observations = np.zeros((LANES, rows, observation.shape[1]), np.float32)
    actions = np.zeros((LANES, rows, action_size), np.float32)
    rewards = np.zeros((LANES, rows), np.float32)
    terminals, timeouts = np.zeros((2, LANES, rows), bool)
    for row in range(rows):
        observations[:, row] = observation
        if policy is None:
            actions[:, row] = generator.uniform(-1, 1, (LANES, action_size))
        else:
            actions[:, row] = policy.sample(generator, observation)
        for lane, env in enumerate(lanes):
            following, reward, terminated, truncated, _ = env.step(actions[lane, row])
            rewards[lane, row] = float(reward)
            terminals[lane, row], timeouts[lane, row] = terminated, truncated and not terminated
            observation[lane] = env.reset()[0] if terminated or truncated else following
        if progress is not None and (row + 1) % 1000 == 0:
            progress(LANES * (row + 1), steps)
    for env in lanes:
        env.close()
    timeouts[:, -1] |= ~terminals[:, -1]
    arrays = {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "terminals": terminals,
        "timeouts": timeouts,
    }
    flat = {k: v.reshape(LANES * rows, *v.shape[2:])[:steps] for k, v in arrays.items()}
    flat["timeouts"][-1] |= ~flat["terminals"][-1]
    return flat
