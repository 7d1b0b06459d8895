"""Which actions a synthetic set may hold, and the coordinates it is optimised in."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.types import InvalidInputError, SyntheticData

# Largest action of a squashed set; its coordinate is 3.0, so that no step size is lost there.
SQUASHED_LIMIT = 0.995


class Constraint(NamedTuple):
    """Coordinates of a synthetic set; observations are always their own coordinates.

    encode:  synthetic set -> coordinates (the nearest allowed ones).
    decode:  coordinates -> synthetic set.
    project: coordinates after an optimiser's step -> allowed coordinates.
    """

    encode: Callable[[SyntheticData], SyntheticData]
    decode: Callable[[SyntheticData], SyntheticData]
    project: Callable[[SyntheticData], SyntheticData]


def free() -> Constraint:
    """Actions may leave the bounds of the environment (the papers' setting)."""
    return Constraint(_identity, _identity, _identity)


def clipped(bound: float = 1.0) -> Constraint:
    """Actions are projected into [-bound, bound] after every step."""
    return Constraint(
        lambda synthetic: _clip(synthetic, bound), _identity, lambda x: _clip(x, bound)
    )


def squashed(limit: float = SQUASHED_LIMIT) -> Constraint:
    """Actions are tanh of their coordinates, kept within [-limit, limit], limit < 1.

    Steps towards a saturated action do not shrink in these coordinates.
    """
    with jax.ensure_compile_time_eval():  # A number in a function that is traced, too.
        bound = float(jnp.arctanh(limit))

    def encode(synthetic: SyntheticData) -> SyntheticData:
        actions = jnp.arctanh(jnp.clip(synthetic.actions, -limit, limit))
        return _clip(synthetic._replace(actions=actions), bound)

    def decode(coordinates: SyntheticData) -> SyntheticData:
        return coordinates._replace(actions=jnp.tanh(coordinates.actions))

    return Constraint(encode, decode, lambda coordinates: _clip(coordinates, bound))


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "free": free,
    "clipped": clipped,
    "squashed": squashed,
}


def make_constraint(name: str) -> Constraint:
    """Constraint by name; an unknown name raises InvalidInputError with the known ones."""
    if name not in CONSTRAINTS:
        raise InvalidInputError(f"unknown constraint {name!r}; known: {', '.join(CONSTRAINTS)}")
    return CONSTRAINTS[name]()


def _identity(synthetic: SyntheticData) -> SyntheticData:
    return synthetic


def _clip(synthetic: SyntheticData, bound: float) -> SyntheticData:
    return synthetic._replace(actions=jnp.clip(synthetic.actions, -bound, bound))
