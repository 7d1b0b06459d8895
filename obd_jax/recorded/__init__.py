"""Behaviour policies that come with the package, and the recorder of their transitions."""

from obd_jax.recorded.policy import BehaviorPolicy, load, save
from obd_jax.recorded.rollouts import roll_out
from obd_jax.recorded.shipped import ROLES, snapshot, snapshots

__all__ = [
    "ROLES",
    "BehaviorPolicy",
    "load",
    "roll_out",
    "save",
    "snapshot",
    "snapshots",
]
