"""From arrays and a policy of one's own to 256 pairs, a policy and its files.

python examples/one_call.py runs/mine
"""

import sys
from typing import Any

import jax
import numpy as np

import obd_jax


def behaviour(generator: np.random.Generator, steps: int) -> dict[str, Any]:
    """Random walks of a damped point that noisy feedback draws to the origin, 200 steps each."""
    states, actions = np.zeros((steps, 3), np.float32), np.zeros((steps, 2), np.float32)
    state = generator.normal(size=3)
    for i in range(steps):
        states[i] = state
        actions[i] = np.tanh(expert(state) + 0.3 * generator.normal(size=2))
        push = np.array([actions[i, 0], actions[i, 1], actions[i].sum()])
        state = 0.9 * state + 0.3 * push + 0.1 * generator.normal(size=3)
        if (i + 1) % 200 == 0:
            state = generator.normal(size=3)
    return {
        "observations": states,
        "actions": actions,
        "rewards": -np.square(states).sum(axis=1),
        "timeouts": np.arange(1, steps + 1) % 200 == 0,
    }


def expert(states: np.ndarray) -> np.ndarray:
    """The near-expert, in NumPy: states [..., 3] -> actions [..., 2] in [-1, 1]."""
    return np.tanh(states @ np.array([[-1.0, 0.0], [0.0, -1.0], [-0.5, -0.5]]))


def main(folder: str) -> obd_jax.Result:
    """Distil, act, and write a run folder."""
    data = obd_jax.data.from_arrays(**behaviour(np.random.default_rng(0), 5_000))
    problem = obd_jax.Problem(data, expert)
    result = obd_jax.synthesize(
        jax.random.key(0), problem, pairs=64, outer_steps=300, density="gaussian"
    )
    errors = result.policy(data.observations) - expert(data.observations)
    print(f"mean absolute error to the expert: {np.abs(errors).mean():.3f}")
    print(f"written to {result.save(folder)}")
    return result


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/one_call.py FOLDER")
    main(sys.argv[1])
