"""Records and function types shared by every room.

Axis letters used in all docstrings:

    N  synthetic pairs            D  observation size      A  action size
    B  batch of real states       M  transitions in the offline data
    T  inner training steps       P  population (synthetic sets distilled together)
    K  students                   E  episodes

Arrays on the host (offline data, returns) are numpy; everything that is computed
with is a JAX array. A record of pure functions is a `NamedTuple`, in the manner of
`optax.GradientTransformation`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array
Key = jax.Array
Params = Any

# Acts on raw observations: (params, observations [..., D]) -> actions [..., A] in [-1, 1].
Policy = Callable[[Params, Array], Array]


class InvalidInputError(ValueError):
    """Input that cannot be used: the message says what was given and what is accepted."""


class DivergedError(RuntimeError):
    """A loop met numbers that are not finite or too large; subclasses carry the last good state."""


def _row(vector, like):
    """Vector [D] with as many leading axes as `like` [..., D] has."""
    return vector.reshape((1,) * (like.ndim - 1) + (-1,))


class Normalizer(NamedTuple):
    """Affine map between raw and normalised observations: (raw - mean) / scale.

    mean:  [D] raw units.
    scale: [D] raw units, positive; whatever was added to the standard deviation is included.
    """

    mean: Array
    scale: Array

    def normalize(self, observations):
        """Raw observations [..., D] -> normalised ones [..., D]."""
        return (observations - _row(self.mean, observations)) / _row(self.scale, observations)

    def denormalize(self, observations):
        """Normalised observations [..., D] -> raw ones [..., D]."""
        return observations * _row(self.scale, observations) + _row(self.mean, observations)


@dataclasses.dataclass(frozen=True)
class ActionBounds:
    """Bounds of actions in an environment's units; everything inside acts in [-1, 1].

    low:  of each of the A actions.
    high: the same.

    Raises:
        InvalidInputError: not as many finite numbers, or a low one that is not below the high one.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if not (
            len(low) == len(high) > 0
            and np.isfinite([low, high]).all()
            and np.less(low, high).all()
        ):
            raise InvalidInputError(
                "bounds of actions must be equally many finite numbers, each low one below the "
                "high one; got "
                f"{low} and {high}"
            )

    def __str__(self) -> str:
        """[low, high] of each action, once where all have the same."""
        pairs = dict.fromkeys(zip(self.low, self.high, strict=True))
        return " x ".join(f"[{low:g}, {high:g}]" for low, high in pairs)

    @property
    def is_unit(self) -> bool:
        """Whether they are [-1, 1]."""
        return set(self.low) == {-1.0} and set(self.high) == {1.0}

    def normalize(self, actions):
        """Actions [..., A] in the environment's units -> in [-1, 1], or as far beyond."""
        center, half = self._center_and_half(actions)
        return (actions - center) / half

    def denormalize(self, actions):
        """Actions [..., A] in [-1, 1] -> in the environment's units, clipped to the bounds."""
        center, half = self._center_and_half(actions)
        low, high = (_row(np.array(ends, np.float32), actions) for ends in (self.low, self.high))
        return (actions * half + center).clip(low, high)

    def _center_and_half(self, actions):
        low, high = np.array(self.low), np.array(self.high)
        halves = (high + low) / 2, (high - low) / 2
        return (_row(half.astype(np.float32), actions) for half in halves)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where data or a policy comes from.

    source:      what kind of thing it is, for example "d4rl-layout hdf5" or "arrays".
    name:        path or name as the user gave it.
    sha256:      hash of the file's bytes, or of the arrays when there is no file.
    environment: Gymnasium's id of the task that it was recorded in, where that is known.
    """

    source: str
    name: str
    sha256: str
    environment: str | None = None


@dataclasses.dataclass(frozen=True)
class OfflineData:
    """Transitions of an offline RL data set, in q-learning form (host memory, raw units).

    observations:      [M, D] float32.
    actions:           [M, A] float32 in [-1, 1].
    rewards:           [M] float32.
    next_observations: [M, D] float32; row i follows row i within its episode.
    next_actions:      [M, A] float32 in [-1, 1], what the recording does in the next observation;
                       the action of the row itself where the recording does not say.
    terminals:         [M] bool; true where the environment ended (not where time ran out).
    episode_starts:    [episodes] int64, the first row of every episode.
    episode_returns:   [complete episodes] float64, undiscounted, rewards of dropped rows included.
    provenance:        where the data comes from.
    action_bounds:     what -1 and 1 stand for in the units of the recording; None: not said, the
                       actions were recorded in [-1, 1].
    reference_returns: those that score 0 and 100 in the task; None: the recording names none.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    next_actions: np.ndarray
    terminals: np.ndarray
    episode_starts: np.ndarray
    episode_returns: np.ndarray
    provenance: Provenance
    action_bounds: ActionBounds | None = None
    reference_returns: tuple[float, float] | None = None

    @property
    def observation_size(self) -> int:
        """D."""
        return self.observations.shape[1]

    @property
    def action_size(self) -> int:
        """A."""
        return self.actions.shape[1]

    @property
    def episode_steps(self) -> np.ndarray:
        """[M] int64, the step of every row in its episode, from 0."""
        rows = np.arange(len(self))
        episodes = np.searchsorted(self.episode_starts, rows, side="right") - 1
        return rows - self.episode_starts[episodes]

    def __len__(self) -> int:
        """M."""
        return self.observations.shape[0]


class Teacher(NamedTuple):
    """A near-expert policy and its critic, both on raw observations.

    act:           observations [..., D] -> actions [..., A] in [-1, 1] (pi*).
    value:         (observations [..., D], actions [..., A]) -> [...] discounted return (q*); None
                   where there is no critic.
    action_bounds: what -1 and 1 stand for; None: not known.
    """

    act: Callable[[Array], Array]
    value: Callable[[Array, Array], Array] | None
    observation_size: int
    action_size: int
    provenance: Provenance
    action_bounds: ActionBounds | None = None


class DensityEstimator(NamedTuple):
    """A model of the state density.

    init:      (key, observations [M, D]) -> params; closed-form estimators are complete here.
    log_prob:  (params, observations [B, D]) -> [B] log density in nats.
    trainable: whether `density.fit` then maximises the likelihood by gradient steps.
    """

    init: Callable[[Key, Array], Params]
    log_prob: Callable[[Params, Array], Array]
    trainable: bool


class SyntheticData(NamedTuple):
    """The distilled set.

    observations: [N, D] normalised.
    actions:      [N, A].
    """

    observations: Array
    actions: Array


class Targets(NamedTuple):
    """A weighted regression on real states: which action to match, how much each state counts.

    observations: [M or B, D] normalised.
    actions:      [M or B, A] the actions to match.
    weights:      [M or B] non-negative, mean 1 over the data.
    """

    observations: Array
    actions: Array
    weights: Array


class Student(NamedTuple):
    """A policy class together with how it is trained from a distilled set.

    fit:           (key, synthetic) -> params; differentiable in synthetic.
    act:           (params, normalised observations [..., D]) -> actions [..., A] in [-1, 1].
    advice:        what to change when a fit, or the gradient through it, is not finite.
    deterministic: whether `fit` ignores its key, so that all students of a set are one.
    """

    fit: Callable[[Key, SyntheticData], Params]
    act: Callable[[Params, Array], Array]
    advice: str = "lower the outer learning rate"
    deterministic: bool = False
