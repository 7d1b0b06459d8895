"""The behaviour policies that come with the package: snapshots of three trainings."""

import hashlib
import pathlib
from types import MappingProxyType

from obd_jax.recorded.policy import BehaviorPolicy, load
from obd_jax.types import InvalidInputError

_FOLDER = pathlib.Path(__file__).with_name("policies")

# Training steps of the policy behind each kind of data set (docs/behavior.md).
ROLES = MappingProxyType(
    {
        "hopper": MappingProxyType({"medium": 170_000, "expert": 280_000}),
        "halfcheetah": MappingProxyType({"medium": 90_000, "expert": 740_000}),
        "walker2d": MappingProxyType({"medium": 250_000, "expert": 470_000}),
    }
)


def snapshots(environment: str) -> list[int]:
    """Training steps of the policies of an environment, in ascending order.

    Raises:
        InvalidInputError: an environment without policies; the message lists those with.
    """
    if environment not in ROLES:
        raise InvalidInputError(
            f"no behaviour policies come with the package for {environment!r}; they do for "
            f"{', '.join(ROLES)}"
        )
    return sorted(int(path.stem) for path in (_FOLDER / environment).glob("*.npz"))


def snapshot(environment: str, steps: int) -> BehaviorPolicy:
    """The policy of an environment after so many training steps.

    Raises:
        InvalidInputError: no such policy; the message lists those there are.
    """
    known = snapshots(environment)
    if steps not in known:
        raise InvalidInputError(
            f"no policy of {environment} after {steps} steps; there are those after "
            f"{', '.join(map(str, known))}"
        )
    return load(_path(environment, steps))


def fingerprint(environment: str, steps: int) -> str:
    """SHA-256 of the file of a policy."""
    return hashlib.sha256(_path(environment, steps).read_bytes()).hexdigest()


def _path(environment, steps):
    return _FOLDER / environment / f"{steps:08d}.npz"
