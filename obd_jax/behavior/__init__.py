"""Behaviour policies: how they are trained, stored and acted with."""

from obd_jax.behavior.policy import BehaviorPolicy, load, save
from obd_jax.behavior.rollouts import roll_out
from obd_jax.behavior.sac import SAC, SACState, Transitions, gaussian, sac, sample_squashed

__all__ = [
    "SAC",
    "BehaviorPolicy",
    "SACState",
    "Transitions",
    "gaussian",
    "load",
    "roll_out",
    "sac",
    "sample_squashed",
    "save",
]
