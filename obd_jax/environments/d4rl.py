"""The locomotion tasks of D4RL and the names of its data sets, which need no simulator."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from obd_jax.environments.spec import EnvironmentSpec
from obd_jax.types import InvalidInputError

NO_KWARGS: Mapping[str, Any] = MappingProxyType({})

# Time limit of the locomotion tasks.
MAX_EPISODE_STEPS = 1000

# Reference returns: D4RL (Fu et al. 2020, arXiv 2004.07219). Gymnasium's v4 tasks have the
# physics of the v2 tasks that D4RL recorded; v5 changed both physics and rewards.
TASKS = {
    spec.name: spec
    for spec in (
        EnvironmentSpec("hopper", "Hopper-v4", NO_KWARGS, -20.272305, 3234.3),
        EnvironmentSpec("halfcheetah", "HalfCheetah-v4", NO_KWARGS, -280.178953, 12135.0),
        EnvironmentSpec("walker2d", "Walker2d-v4", NO_KWARGS, 1.629008, 4592.3),
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
    for spec in TASKS.values():
        assert spec.gymnasium_id is not None
        v4 = spec.gymnasium_id
        v2, v5 = (v4.removesuffix("4") + version for version in "25")
        found |= {v2: spec, v4: spec}
        found[v5] = spec._replace(name=v5, gymnasium_id=v5, make_kwargs=NO_KWARGS)
    return found


# By name and by Gymnasium's id.
KNOWN = TASKS | _by_gymnasium_id()


def parse_dataset(name: str) -> tuple[EnvironmentSpec, str]:
    """Task and type of a D4RL data set, named like `walker2d-medium-expert` or `hopper-medium-v2`.

    Raises:
        InvalidInputError: an unknown name; the message lists the known ones.
    """
    environment, _, dataset_type = name.removesuffix("-v2").partition("-")
    if environment not in TASKS or dataset_type not in DATASET_TYPES:
        raise InvalidInputError(
            f"unknown data set {name!r}; known are ENVIRONMENT-TYPE and "
            f"ENVIRONMENT-TYPE-v2 with ENVIRONMENT in {', '.join(TASKS)} "
            f"and TYPE in {', '.join(DATASET_TYPES)}"
        )
    return TASKS[environment], dataset_type
