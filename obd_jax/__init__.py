"""Offline behaviour distillation with state density weighting, in JAX."""

__version__ = "0.1.0"
