"""Students: policy classes together with how they are trained from a distilled set."""

from obd_jax.students.mlp import (
    CLONING_ERRORS,
    MLPRecipe,
    action_error,
    mlp,
    presquash_error,
)

__all__ = ["CLONING_ERRORS", "MLPRecipe", "action_error", "mlp", "presquash_error"]
