"""Tasks by name: D4RL's, any of Gymnasium's, Brax's own, MuJoCo Playground's."""

from collections.abc import Mapping, Sequence
from typing import Any

from obd_jax.environments.d4rl import KNOWN, NO_KWARGS
from obd_jax.environments.registry import registered
from obd_jax.environments.spec import BRAX, PLAYGROUND, SIMULATORS, EnvironmentSpec
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError

# Tasks that JAX simulates, each by its own simulator.
_IN_JAX = (BRAX, PLAYGROUND)
# Tasks of D4RL that Brax has too, and whose models are here in MJX.
_IN_BRAX = ("hopper", "halfcheetah", "walker2d")


def get(
    name: str,
    make_kwargs: Mapping[str, Any] | None = None,
    reference_returns: Sequence[float] | None = None,
) -> EnvironmentSpec:
    """The task called `name`; those of D4RL are known without Gymnasium, others are made once.

    Args:
        name: `hopper`; an id of Gymnasium's, `Pendulum-v1`, or `package:MyEnv-v0` of a package
            that registers it; `brax:ant`, Brax's own; `playground:CartpoleBalance`, of the control
            suite of MuJoCo Playground.
        make_kwargs: further arguments of `gymnasium.make`: they make it another task, whose
            reference returns are not known.
        reference_returns: those that score 0 and 100, in place of the known ones.

    Raises:
        InvalidInputError: an unknown name, arguments that it does not take, observations or
            actions that are no vectors, or actions without bounds.
    """
    kwargs = make_kwargs or {}
    if name.startswith(_IN_JAX):
        if kwargs:
            raise OptionError(f"{{env_kwargs}} is for tasks of Gymnasium, not {name}")
        simulator = name.partition(":")[0]
        found = EnvironmentSpec(name, None, NO_KWARGS, None, None, simulator=simulator)
    elif name not in KNOWN:
        found = registered(name, kwargs)
    elif kwargs:
        own = KNOWN[name]
        assert own.gymnasium_id is not None
        found = registered(own.gymnasium_id, {**own.make_kwargs, **kwargs})
    else:
        found = KNOWN[name]
    if reference_returns is None:
        return found
    low, high = reference_returns
    return found._replace(reference_min=low, reference_max=high)


def with_references(
    spec: EnvironmentSpec, references: tuple[float, float] | None, source: str
) -> EnvironmentSpec:
    """The task, scored by the reference returns of its data where none are known of it.

    A task that JAX simulates, or that is made with further arguments, is another than the data's.

    Args:
        spec: the task.
        references: those that score 0 and 100, by the data; None: the data name none.
        source: name of the data.
    """
    other = spec.gymnasium_id is None or not spec.in_gymnasium or bool(spec.make_kwargs)
    if references is None or spec.normalized or other:
        return spec
    low, high = references
    return spec._replace(reference_min=low, reference_max=high, reference_source=source)


def to_card(spec: EnvironmentSpec) -> dict[str, Any]:
    """A task in plain values, without what its name says."""
    card: dict[str, Any] = {"name": spec.name, "backend": spec.backend}
    if spec.functional is not None:
        return card
    known = KNOWN.get(spec.name, EnvironmentSpec(spec.name, None, NO_KWARGS, None, None))
    if spec.make_kwargs != known.make_kwargs:
        card["kwargs"] = dict(spec.make_kwargs)
    references = spec.reference_min, spec.reference_max
    if spec.normalized and references != (known.reference_min, known.reference_max):
        card["reference_returns"] = list(references)
    if spec.reference_source is not None:
        card["reference_source"] = spec.reference_source
    return card


def from_card(card: Mapping[str, Any]) -> EnvironmentSpec:
    """The task of a card, in its own simulator; errors as of `get`."""
    found = get(card["name"], card.get("kwargs"), card.get("reference_returns"))
    return found._replace(reference_source=card.get("reference_source"))


def same_task(first: str, second: str) -> bool:
    """Whether two names or ids are of one task, whatever its version: `hopper` and `Hopper-v2`."""
    return _base(first) == _base(second)


def _base(name: str) -> str:
    """`hopper` of `Hopper-v4` and of `package:Hopper-v4`; tasks in JAX are others."""
    if not name.startswith(_IN_JAX):
        name = name.rpartition(":")[2]
    base, _, version = name.rpartition("-v")
    return (base if version.isdigit() and base else name).lower()


def simulated_by(environment: EnvironmentSpec, simulator: str) -> EnvironmentSpec:
    """The task, simulated by one of SIMULATORS; by "gymnasium", those of others by their own.

    Raises:
        InvalidInputError: an unknown simulator, or one that does not have this task.
    """
    if simulator not in SIMULATORS:
        raise InvalidInputError(f"unknown backend {simulator!r}; known are {', '.join(SIMULATORS)}")
    if environment.name.startswith(_IN_JAX) and simulator != "mjx":
        return environment
    if simulator == "gymnasium":
        return environment._replace(simulator=simulator)
    if environment.name not in _IN_BRAX:
        raise InvalidInputError(
            f"backend {simulator} has {', '.join(_IN_BRAX)}, and not {environment.name}, which "
            f"runs in {environment.backend}"
        )
    if simulator == "brax":  # Its returns do not compare with the references.
        environment = environment._replace(reference_min=None, reference_max=None)
    return environment._replace(simulator=simulator)
