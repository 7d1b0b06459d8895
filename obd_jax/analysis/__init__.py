"""What data sets are like, and where policies err."""

from obd_jax.analysis.diversity import state_diversity
from obd_jax.analysis.errors import StateErrors, state_errors

__all__ = ["StateErrors", "state_diversity", "state_errors"]
