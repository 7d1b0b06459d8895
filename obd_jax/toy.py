"""A point mass in a twisted force field: a small control task in JAX whose optimum is known.

A damped mass in the plane is to be brought to rest at the origin. The action is a force that is
turned by an angle which depends on the position:

    force     = rotate(action, TWIST position_x)
    position' = position + DT velocity
    velocity' = velocity + DT (STRENGTH force - SPRING position - DAMPING velocity)
    reward    = 1 - |position|^2 - 0.1 |velocity|^2 - 0.8 |action|^2

A rotation keeps the length of the action, so in terms of the force the task is a linear-quadratic
regulator with an exact solution, while in terms of the action the best policy is nonlinear. The
optimum never meets the bounds of the action from any state that `reset` draws.
"""

import dataclasses
import functools
import hashlib
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.data import from_arrays
from obd_jax.environments import EnvironmentSpec, FunctionalEnvironment
from obd_jax.types import Array, InvalidInputError, Key, OfflineData, Provenance, Teacher

# Of data, in their provenance.
SOURCE = "toy task"

DISCOUNT = 0.95
HORIZON = 100

_DT, _TWIST, _STRENGTH, _SPRING, _DAMPING = 0.1, 2.0, 2.0, 0.2, 1.5
_POSITION_COST, _VELOCITY_COST, _ACTION_COST = 1.0, 0.1, 0.8

# Standard deviation of the noise on the optimal actions in the offline data.
_NOISE = 0.5

# The dynamics of either axis as matrices: (position, velocity)' = A (position, velocity) + B force.
_A = np.array([[1.0, _DT], [-_DT * _SPRING, 1.0 - _DT * _DAMPING]])
_B = np.array([0.0, _DT * _STRENGTH])


class State(NamedTuple):
    """The mass: position [2], velocity [2]."""

    position: Array
    velocity: Array


def reset(key: Key) -> State:
    """At rest, anywhere in the square of half-width 1 with equal probability."""
    return State(jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0), jnp.zeros(2))


def step(state: State, action: Array) -> tuple[State, Array]:
    """One step under an action [2], clipped to [-1, 1]: (next state, reward [])."""
    action = jnp.clip(action, -1.0, 1.0)
    return _move(state, action), _reward(state, action)


def observe(state: State) -> Array:
    """Position and velocity, [4]."""
    return jnp.concatenate([state.position, state.velocity], axis=-1)


# The references are the expected returns of uniformly random actions and of the optimum, in
# closed form (see the tests).
SPEC = EnvironmentSpec(
    "point-mass",
    None,
    MappingProxyType({}),
    -6.46685,
    91.86915,
    FunctionalEnvironment(reset, step, observe, HORIZON, 4, 2),
)


def teacher() -> Teacher:
    """The optimal policy and its discounted value, from the Riccati equation.

    Both are exact for an unlimited horizon, as long as the optimal force stays within the bounds;
    elsewhere `act` is clipped and `value` is an upper bound.
    """
    gain, cost_to_go = _optimum()
    (position_gain, velocity_gain), ((pp, pv), (_, vv)) = gain.tolist(), cost_to_go.tolist()

    def act(observations):
        state = _state(observations)
        force = -(position_gain * state.position + velocity_gain * state.velocity)
        return jnp.clip(_rotate(force, -_TWIST * state.position[..., 0]), -1.0, 1.0)

    def value(observations, actions):
        state = _state(observations)
        x, v = _move(state, actions)
        future = 1.0 / (1.0 - DISCOUNT) - (pp * x * x + 2.0 * pv * x * v + vv * v * v).sum(-1)
        return _reward(state, actions) + DISCOUNT * future

    sha256 = hashlib.sha256(gain.tobytes() + cost_to_go.tobytes()).hexdigest()
    return Teacher(act, value, 4, 2, Provenance("closed form", SPEC.name, sha256))


def offline_data(key: Key, transitions: int) -> OfflineData:
    """Transitions of the optimal policy with Gaussian noise on its actions, M = `transitions`.

    Raises:
        InvalidInputError: fewer than two transitions.
    """
    if transitions < 2:
        raise InvalidInputError(f"{transitions} transitions asked for; at least two are needed")
    episodes = _noisy_episodes(jax.random.split(key, -(-transitions // HORIZON)))
    observations, actions, rewards, next_observations = (
        np.asarray(field).reshape(-1, *field.shape[2:])[:transitions] for field in episodes
    )
    data = from_arrays(
        observations,
        actions,
        rewards,
        next_observations,
        timeouts=np.arange(1, transitions + 1) % HORIZON == 0,
    )
    provenance = dataclasses.replace(data.provenance, source=SOURCE, name=SPEC.name)
    return dataclasses.replace(data, provenance=provenance)


@jax.jit
@jax.vmap
def _noisy_episodes(key):
    """Keys [E] -> observations, actions, rewards, next observations, each [E, HORIZON, ...]."""
    act = teacher().act
    reset_key, noise_key = jax.random.split(key)

    def scan_step(state, noise):
        observation = observe(state)
        action = jnp.clip(act(observation) + _NOISE * noise, -1.0, 1.0)
        state, reward = step(state, action)
        return state, (observation, action, reward, observe(state))

    noise = jax.random.normal(noise_key, (HORIZON, 2))
    return jax.lax.scan(scan_step, reset(reset_key), noise)[1]


def _state(observations):
    return State(observations[..., :2], observations[..., 2:])


def _move(state, action):
    force = _rotate(action, _TWIST * state.position[..., 0])
    acceleration = _STRENGTH * force - _SPRING * state.position - _DAMPING * state.velocity
    return State(state.position + _DT * state.velocity, state.velocity + _DT * acceleration)


def _reward(state, action):
    cost = (
        _POSITION_COST * jnp.square(state.position)
        + _VELOCITY_COST * jnp.square(state.velocity)
        + _ACTION_COST * jnp.square(action)
    )
    return 1.0 - cost.sum(-1)


def _rotate(vectors, angles):
    """Vectors [..., 2] turned by angles [...] in radians."""
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    x, y = vectors[..., 0], vectors[..., 1]
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


@functools.cache
def _optimum():
    """Gain [2] and cost-to-go [2, 2] of either axis: fixed point of the discounted Riccati map.

    The best force along an axis is -gain @ x with x = (position, velocity), and the discounted
    costs from there on are x @ cost_to_go @ x.
    """
    stage = np.diag([_POSITION_COST, _VELOCITY_COST])
    gain, cost_to_go = np.zeros(2), stage
    for _ in range(1000):  # Contracts by at least the discount a step: far below rounding.
        weight = _ACTION_COST + DISCOUNT * _B @ cost_to_go @ _B
        gain = DISCOUNT * _B @ cost_to_go @ _A / weight
        cost_to_go = stage + DISCOUNT * _A.T @ cost_to_go @ (_A - np.outer(_B, gain))
    return gain, cost_to_go
