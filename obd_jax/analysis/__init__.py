"""What data sets are like, and where policies err."""

from obd_jax.analysis.diversity import state_diversity
from obd_jax.analysis.errors import StateErrors, state_errors
from obd_jax.analysis.projection import Plane, principal_plane

__all__ = ["Plane", "StateErrors", "principal_plane", "state_diversity", "state_errors"]
