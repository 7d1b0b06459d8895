"""Behaviour policies: how they are trained, stored and acted with."""

from obd_jax.behavior.policy import BehaviorPolicy, load, save
from obd_jax.behavior.sac import SAC, SACState, Transitions, gaussian, sac, sample_squashed

__all__ = [
    "SAC",
    "BehaviorPolicy",
    "SACState",
    "Transitions",
    "gaussian",
    "load",
    "sac",
    "sample_squashed",
    "save",
]
