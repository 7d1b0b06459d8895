"""Distillation: objectives, starting points, one meta-gradient step and its driver."""

from obd_jax.distill.aggregations import (
    AGGREGATIONS,
    Aggregation,
    log_sum_exp,
    make_aggregation,
)
from obd_jax.distill.average import AveragedState, averaged
from obd_jax.distill.constraints import (
    CONSTRAINTS,
    Constraint,
    clipped,
    free,
    make_constraint,
    squashed,
)
from obd_jax.distill.distiller import Distiller, DistillerState, distiller
from obd_jax.distill.initializers import (
    INITIALIZERS,
    StartSettings,
    by_weight,
    choose,
    kmeans_plus_plus,
    uniform,
)
from obd_jax.distill.labels import labelled
from obd_jax.distill.mesh import device_mesh
from obd_jax.distill.objectives import (
    OBJECTIVES,
    ObjectiveSettings,
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
from obd_jax.distill.outer import ANNEALS, OuterSettings
from obd_jax.distill.pool import PoolState, pool_distiller
from obd_jax.distill.pool_member import Networks, PoolMember
from obd_jax.distill.population import PopulationCallback, train_population
from obd_jax.distill.train import (
    Callback,
    DivergedError,
    cosine_anneal,
    sample,
    train,
)

__all__ = [
    "AGGREGATIONS",
    "ANNEALS",
    "CONSTRAINTS",
    "INITIALIZERS",
    "OBJECTIVES",
    "Aggregation",
    "AveragedState",
    "Callback",
    "Constraint",
    "Distiller",
    "DistillerState",
    "DivergedError",
    "Networks",
    "ObjectiveSettings",
    "OuterSettings",
    "PoolMember",
    "PoolState",
    "PopulationCallback",
    "StartSettings",
    "av_pbc",
    "averaged",
    "by_weight",
    "choose",
    "clipped",
    "cosine_anneal",
    "dbc",
    "device_mesh",
    "distiller",
    "early",
    "free",
    "kmeans_plus_plus",
    "labelled",
    "log_sum_exp",
    "make_aggregation",
    "make_constraint",
    "make_objective",
    "pbc",
    "pool_distiller",
    "sample",
    "sdw",
    "squashed",
    "train",
    "train_population",
    "uniform",
    "weighted_squared_error",
    "weighted_variance",
    "with_state_noise",
]
