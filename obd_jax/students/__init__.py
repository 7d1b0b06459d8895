"""Students: policy classes together with how they are trained from a distilled set."""

from obd_jax.students.clone import CloneCallback, clone
from obd_jax.students.ensemble import ensemble
from obd_jax.students.kernel import KernelParams, KernelRecipe, kernel
from obd_jax.students.kernels import (
    KERNELS,
    Kernel,
    KernelSettings,
    gram,
    make_kernel,
    matern,
    nngp,
    ntk,
    rbf,
    standard_ntk,
)
from obd_jax.students.lazy_mlp import LazyMLPRecipe, lazy_mlp
from obd_jax.students.mlp import (
    CLONING_ERRORS,
    MLPRecipe,
    action_error,
    mlp,
    presquash_error,
)
from obd_jax.students.random_features import RandomFeaturesRecipe, random_features
from obd_jax.students.recipes import RECIPES, Recipe, StudentSettings, from_card, to_card
from obd_jax.students.training import (
    TRAINERS,
    Trainer,
    Training,
    mixed,
    reverse,
    truncated,
)

__all__ = [
    "CLONING_ERRORS",
    "KERNELS",
    "RECIPES",
    "TRAINERS",
    "CloneCallback",
    "Kernel",
    "KernelParams",
    "KernelRecipe",
    "KernelSettings",
    "LazyMLPRecipe",
    "MLPRecipe",
    "RandomFeaturesRecipe",
    "Recipe",
    "StudentSettings",
    "Trainer",
    "Training",
    "action_error",
    "clone",
    "ensemble",
    "from_card",
    "gram",
    "kernel",
    "lazy_mlp",
    "make_kernel",
    "matern",
    "mixed",
    "mlp",
    "nngp",
    "ntk",
    "presquash_error",
    "random_features",
    "rbf",
    "reverse",
    "standard_ntk",
    "to_card",
    "truncated",
]
