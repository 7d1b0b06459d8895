"""What data sets are like."""

from obd_jax.analysis.diversity import state_diversity

__all__ = ["state_diversity"]
