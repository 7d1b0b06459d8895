"""Transitions by a behaviour policy, the same ones for a seed."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from obd_jax.environments import EnvironmentSpec, make
from obd_jax.types import InvalidInputError

# (generator, observations [B, D]) -> actions [B, A] in [-1, 1].
Act = Callable[[np.random.Generator, np.ndarray], np.ndarray]

# Environments that advance together, so that the policy is evaluated for all of them at once.
LANES = 8


def roll_out(
    act: Act | None,
    environment: EnvironmentSpec,
    steps: int,
    seed: int | Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Record a policy as D4RL did, one episode after another.

    Args:
        act: how it acts, like `BehaviorPolicy.sample`; None: uniform actions in [-1, 1].
        environment: a Gymnasium task.
        steps: rows to record, at least `LANES`. All episodes that had begun when there were as
            many are played to their end, so that short ones have no advantage.
        seed: of the environments and of the actions.
        progress: called now and then with the rows recorded and `steps`.

    Returns:
        observations [steps, D], actions [steps, A], rewards [steps], terminals and timeouts
        [steps] bool, in D4RL's layout, float32; episodes are contiguous and whole, but for the
        last one, which is cut off and counts as out of time.

    Raises:
        InvalidInputError: too few steps, or a task that Gymnasium does not have.
    """
    if steps < LANES:
        raise InvalidInputError(f"at least {LANES} steps are needed, got {steps}")
    lanes = [make(environment) for _ in range(LANES)]
    generator = np.random.default_rng(seed)
    # A seed for each lane from one stream: lanes of neighbouring seeds have nothing in common.
    seeds = generator.integers(2**31, size=LANES)
    states = [env.reset(seed=int(s))[0] for env, s in zip(lanes, seeds, strict=True)]
    observation = np.stack(states).astype(np.float32)
    (action_size,) = lanes[0].action_space.shape or ()

    share = -(-steps // LANES)
    assert lanes[0].spec is not None
    rows = share + (lanes[0].spec.max_episode_steps or 0)
    observations = np.zeros((LANES, rows, observation.shape[1]), np.float32)
    actions = np.zeros((LANES, rows, action_size), np.float32)
    rewards = np.zeros((LANES, rows), np.float32)
    terminals, timeouts = np.zeros((2, LANES, rows), bool)
    recorded = np.zeros(LANES, int)
    running = set(range(LANES))
    for row in itertools.count():
        if not running:
            break
        if act is None:
            action = generator.uniform(-1, 1, (LANES, action_size)).astype(np.float32)
        else:
            action = act(generator, observation)
        for lane in sorted(running):
            observations[lane, row], actions[lane, row] = observation[lane], action[lane]
            following, reward, terminated, truncated, _ = lanes[lane].step(action[lane])
            rewards[lane, row] = float(reward)
            terminals[lane, row], timeouts[lane, row] = terminated, truncated and not terminated
            recorded[lane] += 1
            observation[lane] = following
            if terminated or truncated:
                if row + 1 < share:
                    observation[lane] = lanes[lane].reset()[0]
                else:
                    running.remove(lane)
        if progress is not None and (row + 1) % 1000 == 0:
            progress(min(LANES * (row + 1), steps), steps)
    for env in lanes:
        env.close()
    arrays = {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "terminals": terminals,
        "timeouts": timeouts,
    }
    flat = {
        name: np.concatenate([array[lane, : recorded[lane]] for lane in range(LANES)])[:steps]
        for name, array in arrays.items()
    }
    flat["timeouts"][-1] |= ~flat["terminals"][-1]
    return flat
