"""What every script reads: data and their environment, from flags of the same names."""

from typing import Any

import jax

from obd_jax import data, environments, toy
from obd_jax.command_line import Progress, note
from obd_jax.types import InvalidInputError, OfflineData

TOY_TRANSITIONS = 20_000


def load_data(config: Any) -> OfflineData:
    """The data of a configuration, from a file or by name.

    Args:
        config: with dataset, source, data_rows, dataset_path and env.

    Raises:
        InvalidInputError: flags that do not fit together, or data that cannot be had.
    """
    if (config.dataset is None) == (config.dataset_path is None):
        raise InvalidInputError("give either --dataset or --dataset_path")
    if config.dataset_path is not None and config.env is None:
        raise InvalidInputError("--dataset_path needs --env, the environment of the data")
    if config.env is not None:
        environments.get(config.env)  # Refuses an unknown one before anything is read.
    if config.dataset == "toy":
        if config.source != "auto" or config.data_rows is not None or config.env is not None:
            raise InvalidInputError("--source, --data_rows and --env are not for --dataset=toy")
        return toy.offline_data(jax.random.key(0), TOY_TRANSITIONS)
    if config.dataset is not None:
        return data.load(
            config.dataset, config.source, rows=config.data_rows, note=note, progress=Progress
        )
    if config.source != "auto" or config.data_rows is not None:
        raise InvalidInputError("--source and --data_rows are for --dataset, not --dataset_path")
    return data.load_file(config.dataset_path)


def task_of(config: Any, offline: OfflineData) -> environments.EnvironmentSpec:
    """The environment given, else the one that the data name."""
    if config.dataset == "toy":
        return toy.SPEC
    name = config.env or offline.provenance.environment
    if name is None:
        raise InvalidInputError(f"{config.dataset} does not name its environment: give --env")
    return environments.get(name)
