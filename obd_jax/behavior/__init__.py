"""Behaviour policies: how they are trained, stored and acted with."""

from obd_jax.behavior.policy import BehaviorPolicy, load, save
from obd_jax.behavior.rollouts import LANES, roll_out
from obd_jax.behavior.sac import SAC, SACState, Transitions, gaussian, sac, sample_squashed
from obd_jax.behavior.shipped import ROLES, fingerprint, snapshot, snapshots

__all__ = [
    "LANES",
    "ROLES",
    "SAC",
    "BehaviorPolicy",
    "SACState",
    "Transitions",
    "fingerprint",
    "gaussian",
    "load",
    "roll_out",
    "sac",
    "sample_squashed",
    "save",
    "snapshot",
    "snapshots",
]
