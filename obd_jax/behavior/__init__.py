"""Behaviour policies: how they are trained, stored and acted with."""

from obd_jax.behavior.embedded import ROLES, embedded, snapshots
from obd_jax.behavior.policy import BehaviorPolicy, load, save
from obd_jax.behavior.rollouts import LANES, roll_out
from obd_jax.behavior.sac import SAC, SACState, Transitions, gaussian, sac, sample_squashed

__all__ = [
    "LANES",
    "ROLES",
    "SAC",
    "BehaviorPolicy",
    "SACState",
    "Transitions",
    "embedded",
    "gaussian",
    "load",
    "roll_out",
    "sac",
    "sample_squashed",
    "save",
    "snapshots",
]
