"""Transitions by a behaviour policy, the same ones for a seed."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from obd_jax.environments import EnvironmentSpec, make_copies
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
    lanes = make_copies(environment, LANES)
    generator = np.random.default_rng(seed)
    # A seed for each lane from one stream: lanes of neighbouring seeds have nothing in common.
    seeds = generator.integers(2**31, size=LANES)
    for lane, lane_seed in enumerate(seeds):
        lanes.reset(lane, int(lane_seed))

    share = -(-steps // LANES)
    rows = share + lanes.horizon
    observations = np.zeros((LANES, rows, lanes.observations.shape[1]), np.float32)
    actions = np.zeros((LANES, rows, lanes.action_size), np.float32)
    rewards = np.zeros((LANES, rows), np.float32)
    terminals, timeouts = np.zeros((2, LANES, rows), bool)
    recorded = np.zeros(LANES, int)
    running = np.arange(LANES)
    for row in itertools.count():
        if not len(running):
            break
        if act is None:
            action = generator.uniform(-1, 1, (LANES, lanes.action_size)).astype(np.float32)
        else:
            action = act(generator, lanes.observations)
        observations[:, row], actions[:, row] = lanes.observations, action
        rewards[running, row], terminated, truncated = lanes.step(running, action[running])
        terminals[running, row], timeouts[running, row] = terminated, truncated & ~terminated
        recorded[running] += 1
        ended = terminated | truncated
        if ended.any():
            if row + 1 < share:
                for lane in running[ended]:
                    lanes.reset(int(lane))
            else:
                running = running[~ended]
        if progress is not None and (row + 1) % 1000 == 0:
            progress(min(LANES * (row + 1), steps), steps)
    lanes.close()
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
