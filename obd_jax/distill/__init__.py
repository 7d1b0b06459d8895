"""Distillation: objectives, starting points, one meta-gradient step and its driver."""

from obd_jax.distill.constraints import (
    CONSTRAINTS,
    Constraint,
    clipped,
    free,
    make_constraint,
    squashed,
)
from obd_jax.distill.distiller import Distiller, DistillerState, distiller
from obd_jax.distill.initializers import by_weight, choose, kmeans_plus_plus, uniform
from obd_jax.distill.mesh import device_mesh, devices_for
from obd_jax.distill.objectives import (
    OBJECTIVES,
    av_pbc,
    dbc,
    early,
    make_objective,
    pbc,
    sdw,
    weighted_squared_error,
    weighted_variance,
    with_state_noise,
)
from obd_jax.distill.population import (
    PopulationCallback,
    from_first_process,
    gather,
    sum_over_processes,
    train_population,
)
from obd_jax.distill.train import (
    Callback,
    DivergedError,
    cosine_anneal,
    one_blas_thread,
    sample,
    train,
)

__all__ = [
    "CONSTRAINTS",
    "OBJECTIVES",
    "Callback",
    "Constraint",
    "Distiller",
    "DistillerState",
    "DivergedError",
    "PopulationCallback",
    "av_pbc",
    "by_weight",
    "choose",
    "clipped",
    "cosine_anneal",
    "dbc",
    "device_mesh",
    "devices_for",
    "distiller",
    "early",
    "free",
    "from_first_process",
    "gather",
    "kmeans_plus_plus",
    "make_constraint",
    "make_objective",
    "one_blas_thread",
    "pbc",
    "sample",
    "sdw",
    "squashed",
    "sum_over_processes",
    "train",
    "train_population",
    "uniform",
    "weighted_squared_error",
    "weighted_variance",
    "with_state_noise",
]
