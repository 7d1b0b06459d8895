"""Offline RL algorithms by name."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from obd_jax.teachers.algorithm import Algorithm
from obd_jax.teachers.cal_ql import cal_ql
from obd_jax.teachers.iql import iql
from obd_jax.teachers.td3 import rebrac, td3_bc
from obd_jax.types import InvalidInputError

ALGORITHMS: Mapping[str, Callable[..., Algorithm]] = MappingProxyType(
    {"rebrac": rebrac, "td3_bc": td3_bc, "iql": iql, "cal_ql": cal_ql}
)


def make_algorithm(
    name: str, observation_size: int, action_size: int, options: Mapping[str, str]
) -> Algorithm:
    """An algorithm by name, with some of its keyword arguments given as text.

    Raises:
        InvalidInputError: an unknown name or option, or text that is no number; the message
            lists the known ones.
    """
    if name not in ALGORITHMS:
        raise InvalidInputError(f"unknown algorithm {name!r}; known: {', '.join(ALGORITHMS)}")
    _, _, *parameters = inspect.signature(ALGORITHMS[name]).parameters.values()
    known = {p.name: p.annotation for p in parameters if p.annotation in (int, float)}
    values = {}
    for option, text in options.items():
        if option not in known:
            raise InvalidInputError(f"{name} has no option {option!r}; known: {', '.join(known)}")
        try:
            values[option] = known[option](text)
        except ValueError as error:
            raise InvalidInputError(
                f"{name}: {option} takes {known[option].__name__}, got {text!r}"
            ) from error
        least = 1 if known[option] is int else 0
        most = 0.9999 if option == "discount" else 1.0 if option == "expectile" else np.inf
        if not least <= values[option] <= most:
            raise InvalidInputError(
                f"{name}: {option} must lie between {least} and {most}, got {text}"
            )
    return ALGORITHMS[name](observation_size, action_size, **values)
