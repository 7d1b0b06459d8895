"""Selection: real pairs that serve as they are, the baselines of distillation."""

from obd_jax.selection.dual_ranking import dual_ranking

__all__ = ["dual_ranking"]
