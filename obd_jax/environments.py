"""The locomotion tasks of D4RL: how to make them and how their returns are scored."""

import difflib
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from obd_jax.types import Array, InvalidInputError, Key

if TYPE_CHECKING:
    import gymnasium


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

    name:           as data set names begin.
    gymnasium_id:   argument of `gymnasium.make`; None for a task that Gymnasium does not have.
    make_kwargs:    further arguments of `gymnasium.make`.
    reference_min:  undiscounted return that scores 0 (a random policy's).
    reference_max:  undiscounted return that scores 100 (an expert's).
    functional:     the task itself, where it is not Gymnasium's.
    simulator:      one of SIMULATORS, where it is Gymnasium's.
    """

    name: str
    gymnasium_id: str | None
    make_kwargs: Mapping[str, Any]
    reference_min: float
    reference_max: float
    functional: FunctionalEnvironment | None = None
    simulator: str = "gymnasium"

    @property
    def backend(self) -> str:
        """What simulates the task."""
        if self.functional is not None:
            return "jax"
        return f"{self.simulator} {self.name if self.simulator == 'brax' else self.gymnasium_id}"

    @property
    def normalized(self) -> bool:
        """Whether returns are D4RL-normalised: those of Brax's own tasks never are."""
        return self.simulator != "brax"

    @property
    def unit(self) -> str:
        """What a score of the task is, for headings and files."""
        return "normalised return" if self.normalized else "raw Brax return"


# gymnasium: MuJoCo on the CPU. mjx: the same model in JAX. brax: Brax's own task of that name,
# whose physics and rewards are others.
SIMULATORS = ("gymnasium", "mjx", "brax")
_IN_BRAX = ("hopper", "halfcheetah", "walker2d")

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})

# Time limit of the locomotion tasks.
MAX_EPISODE_STEPS = 1000

# Reference returns: D4RL (Fu et al. 2020, arXiv 2004.07219). Gymnasium's v4 tasks have the
# physics of the v2 tasks that D4RL recorded; v5 changed both physics and rewards.
_ENVIRONMENTS = {
    spec.name: spec
    for spec in (
        EnvironmentSpec("hopper", "Hopper-v4", _NO_KWARGS, -20.272305, 3234.3),
        EnvironmentSpec("halfcheetah", "HalfCheetah-v4", _NO_KWARGS, -280.178953, 12135.0),
        EnvironmentSpec("walker2d", "Walker2d-v4", _NO_KWARGS, 1.629008, 4592.3),
        EnvironmentSpec(
            "ant",
            "Ant-v4",
            # D4RL's 111 observations include the contact forces.
            MappingProxyType({"use_contact_forces": True}),
            -325.6,
            3879.7,
        ),
    )
}
DATASET_TYPES = ("random", "medium", "expert", "medium-replay", "full-replay", "medium-expert")


def _by_gymnasium_id() -> dict[str, EnvironmentSpec]:
    """Ids of all versions: v2 stands for v4, and v5 is scored by the same reference returns."""
    found: dict[str, EnvironmentSpec] = {}
    for spec in _ENVIRONMENTS.values():
        assert spec.gymnasium_id is not None
        v4 = spec.gymnasium_id
        v2, v5 = (v4.removesuffix("4") + version for version in "25")
        found |= {v2: spec, v4: spec}
        found[v5] = spec._replace(name=v5, gymnasium_id=v5, make_kwargs=_NO_KWARGS)
    return found


_BY_GYMNASIUM_ID = _by_gymnasium_id()


def get(name: str) -> EnvironmentSpec:
    """The task called `name`: `hopper`, or by its id in Gymnasium, `Hopper-v5`.

    Raises:
        InvalidInputError: an unknown name; the message lists the known ones.
    """
    known = _ENVIRONMENTS | _BY_GYMNASIUM_ID
    if name not in known:
        raise InvalidInputError(f"unknown environment {name!r}; known are {', '.join(known)}")
    return known[name]


def same_task(first: str, second: str) -> bool:
    """Whether two names or ids are of one task, whatever its version: `hopper` and `Hopper-v2`."""
    return _base(first) == _base(second)


def _base(name: str) -> str:
    """`hopper` of `Hopper-v4`."""
    base, _, version = name.rpartition("-v")
    return (base if version.isdigit() and base else name).lower()


def simulated_by(environment: EnvironmentSpec, simulator: str) -> EnvironmentSpec:
    """The task, simulated by one of SIMULATORS.

    Raises:
        InvalidInputError: an unknown simulator, or one that does not have this task.
    """
    if simulator not in SIMULATORS:
        raise InvalidInputError(f"unknown backend {simulator!r}; known are {', '.join(SIMULATORS)}")
    if simulator != "gymnasium" and environment.name not in _IN_BRAX:
        raise InvalidInputError(
            f"backend {simulator} has {', '.join(_IN_BRAX)}, and not {environment.name}, which "
            f"runs in {environment.backend}"
        )
    return environment._replace(simulator=simulator)


def parse_dataset(name: str) -> tuple[EnvironmentSpec, str]:
    """Task and type of a D4RL data set, named like `walker2d-medium-expert` or `hopper-medium-v2`.

    Raises:
        InvalidInputError: an unknown name; the message lists the known ones.
    """
    environment, _, dataset_type = name.removesuffix("-v2").partition("-")
    if environment not in _ENVIRONMENTS or dataset_type not in DATASET_TYPES:
        raise InvalidInputError(
            f"unknown data set {name!r}; known are ENVIRONMENT-TYPE and "
            f"ENVIRONMENT-TYPE-v2 with ENVIRONMENT in {', '.join(_ENVIRONMENTS)} "
            f"and TYPE in {', '.join(DATASET_TYPES)}"
        )
    return _ENVIRONMENTS[environment], dataset_type


def normalized_score(spec: EnvironmentSpec, returns: Any) -> np.ndarray:
    """D4RL-normalised returns: 100 (returns - min) / (max - min), any shape, float64.

    Raises:
        InvalidInputError: Brax's own task, whose returns do not compare with the references.
    """
    if not spec.normalized:
        raise InvalidInputError(f"returns of {spec.backend} are not to be normalised")
    returns = np.asarray(returns, np.float64)
    return 100 * (returns - spec.reference_min) / (spec.reference_max - spec.reference_min)


def make(environment: EnvironmentSpec) -> "gymnasium.Env":
    """The task in Gymnasium, without the advice to use newer ones (`docs/rollouts.md`).

    Raises:
        InvalidInputError: Gymnasium does not have it.
    """
    name = environment.gymnasium_id
    if name is None:
        raise InvalidInputError(f"{environment.name} is no task of Gymnasium")
    import gymnasium  # Here, so that data and distillation do without a simulator.
    import mujoco

    if name not in gymnasium.registry:
        close = difflib.get_close_matches(name, gymnasium.registry, 3, 0.8)
        alike = f"; there are {', '.join(close)}" if close else ""
        raise InvalidInputError(
            f"Gymnasium has no task {name!r}{alike}; import the package that registers it first"
        )
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_pass_on)
    try:
        # By specification rather than by name: no advice to move to v5, whose physics differ.
        return gymnasium.make(gymnasium.registry[name], **environment.make_kwargs)
    finally:
        mujoco.set_mju_user_warning(before)


def _pass_on(message: str) -> None:
    if "'settotalmass' is deprecated" not in message:
        warnings.warn(message, stacklevel=2)
