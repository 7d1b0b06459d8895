"""A task as a record, and how its returns are scored."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from obd_jax.types import ActionBounds, Array, InvalidInputError, Key

# gymnasium: MuJoCo on the CPU. mjx: the same model in JAX. brax: Brax's own task of that name,
# whose physics and rewards are others.
SIMULATORS = ("gymnasium", "mjx", "brax")
# Before the name of a task of Brax's own, and of the control suite of MuJoCo Playground.
BRAX, PLAYGROUND = "brax:", "playground:"


class FunctionalEnvironment(NamedTuple):
    """A task made of pure functions, so that rollouts run inside `jit`, `vmap` and `scan`.

    reset:            key -> state, a pytree.
    step:             (state, action [A] in [-1, 1]) -> (state, reward []).
    observe:          state -> observation [D], raw units.
    horizon:          steps per episode; episodes end by time only.
    observation_size: D.
    action_size:      A.
    """

    reset: Callable[[Key], Any]
    step: Callable[[Any, Array], tuple[Any, Array]]
    observe: Callable[[Any], Array]
    horizon: int
    observation_size: int
    action_size: int


class EnvironmentSpec(NamedTuple):
    """A task.

    name:             as data set names begin, or as it was asked for.
    gymnasium_id:     argument of `gymnasium.make`; None for a task that Gymnasium does not have.
    make_kwargs:      further arguments of `gymnasium.make`.
    reference_min:    undiscounted return that scores 0 (a random policy's); None: not known.
    reference_max:    undiscounted return that scores 100 (an expert's); None: not known.
    functional:       the task itself, where it is not Gymnasium's.
    simulator:        one of SIMULATORS, or "playground"; not read where it is functional.
    action_bounds:    in Gymnasium's units; None: [-1, 1].
    sizes:            of observations and actions; None: it has not been made yet.
    horizon:          steps that an episode can have; None: it has not been made, or has no limit.
    reference_source: data set whose metadata name the reference returns; None: D4RL's, or given.
    """

    name: str
    gymnasium_id: str | None
    make_kwargs: Mapping[str, Any]
    reference_min: float | None
    reference_max: float | None
    functional: FunctionalEnvironment | None = None
    simulator: str = "gymnasium"
    action_bounds: ActionBounds | None = None
    sizes: tuple[int, int] | None = None
    horizon: int | None = None
    reference_source: str | None = None

    @property
    def backend(self) -> str:
        """What simulates the task."""
        if self.functional is not None:
            return "jax"
        by_own_name = self.simulator in ("brax", "playground")
        return f"{self.simulator} {self.short_name if by_own_name else self.gymnasium_id}"

    @property
    def in_gymnasium(self) -> bool:
        """Whether Gymnasium simulates it, step by step; else JAX does."""
        return self.functional is None and self.simulator == "gymnasium"

    @property
    def short_name(self) -> str:
        """Without what says whose it is: `ant` of `brax:ant`."""
        return self.name.removeprefix(BRAX).removeprefix(PLAYGROUND)

    @property
    def is_substitute(self) -> bool:
        """Whether it is Brax's task in place of Gymnasium's, where returns are other ones."""
        return self.simulator == "brax" and self.gymnasium_id is not None

    @property
    def normalized(self) -> bool:
        """Whether reference returns are known, by which returns are normalised."""
        return self.reference_min is not None

    @property
    def unit(self) -> str:
        """What a score of the task is, for headings and files."""
        if self.normalized:
            return "normalised return"
        return "raw Brax return" if self.simulator == "brax" else "return"


def normalized_score(spec: EnvironmentSpec, returns: Any) -> np.ndarray:
    """Normalised returns, as D4RL's: 100 (returns - min) / (max - min), any shape, float64.

    Raises:
        InvalidInputError: reference returns are not known, as of Brax's own tasks.
    """
    low, high = spec.reference_min, spec.reference_max
    if low is None or high is None:
        raise InvalidInputError(f"returns of {spec.backend} must not be normalised")
    return 100 * (np.asarray(returns, np.float64) - low) / (high - low)


def score(spec: EnvironmentSpec, returns: Any) -> np.ndarray:
    """Returns in the task's unit: normalised where reference returns are known, else raw."""
    if spec.normalized:
        return normalized_score(spec, returns)
    return np.asarray(returns, np.float64)
