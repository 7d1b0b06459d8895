"""Tasks: D4RL's, any of Gymnasium's with vectors, Brax's own; and how returns are scored."""

from obd_jax.environments.copies import Copies, make_copies
from obd_jax.environments.d4rl import DATASET_TYPES, KNOWN, MAX_EPISODE_STEPS, parse_dataset
from obd_jax.environments.names import (
    from_card,
    get,
    same_task,
    simulated_by,
    to_card,
    with_references,
)
from obd_jax.environments.registry import make
from obd_jax.environments.settings import NO_ENVIRONMENT, EnvironmentSettings
from obd_jax.environments.spec import (
    SIMULATORS,
    EnvironmentSpec,
    FunctionalEnvironment,
    normalized_score,
    score,
)

__all__ = [
    "DATASET_TYPES",
    "KNOWN",
    "MAX_EPISODE_STEPS",
    "NO_ENVIRONMENT",
    "SIMULATORS",
    "Copies",
    "EnvironmentSettings",
    "EnvironmentSpec",
    "FunctionalEnvironment",
    "from_card",
    "get",
    "make",
    "make_copies",
    "normalized_score",
    "parse_dataset",
    "same_task",
    "score",
    "simulated_by",
    "to_card",
    "with_references",
]
