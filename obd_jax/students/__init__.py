"""Students: policy classes together with how they are trained from a distilled set."""

from obd_jax.students.mlp import MLPRecipe, cloning_error, mlp

__all__ = ["MLPRecipe", "cloning_error", "mlp"]
