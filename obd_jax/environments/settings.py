"""The options that choose an environment."""

import dataclasses
import json
from typing import Any

import numpy as np

from obd_jax.environments.names import get
from obd_jax.environments.spec import EnvironmentSpec
from obd_jax.settings import OptionError, option

NO_ENVIRONMENT = "none"


@dataclasses.dataclass(frozen=True)
class EnvironmentSettings:
    """Which environment.

    name:              of a task, or NO_ENVIRONMENT; None: that of the data.
    kwargs:            further arguments of `gymnasium.make`, a JSON object.
    reference_returns: those that score 0 and 100; None: D4RL's where known, else the data's.
    """

    name: str | None = option(
        None,
        "Environment: hopper; a Gymnasium id, such as Pendulum-v1 or package:MyEnv-v0 (package "
        "registers it); brax:ant, a task of Brax; playground:CartpoleBalance, a task of MuJoCo "
        "Playground; none: policies are judged offline. Absent: that of the data, or of the set.",
        "env",
    )
    kwargs: str | None = option(
        None,
        'Further arguments of gymnasium.make, a JSON object: {"max_episode_steps": 500}.',
        "env_kwargs",
    )
    reference_returns: tuple[float, ...] | None = option(
        None,
        "MIN,MAX: returns that score 0 and 100. Absent: D4RL's where known, else those that Minari "
        "has for the data; else returns are raw.",
    )

    def __post_init__(self) -> None:
        given = {"env_kwargs": self.kwargs, "reference_returns": self.reference_returns}
        for name, value in given.items():
            if value is not None and self.name in (None, NO_ENVIRONMENT):
                raise OptionError(f"{{{name}}} needs an environment in {{env}}, got {self.name}")
        _ = self.arguments  # Refuses what is no JSON object.
        references = self.reference_returns
        if references is not None and not (
            len(references) == 2 and np.isfinite(references).all() and references[0] < references[1]
        ):
            raise OptionError(
                f"{{reference_returns}} takes two numbers, the lower first, got {references}"
            )

    @property
    def arguments(self) -> dict[str, Any]:
        """Further arguments of `gymnasium.make`."""
        try:
            found = json.loads(self.kwargs or "{}")
        except ValueError as error:
            raise OptionError(f"{{env_kwargs}} {self.kwargs} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise OptionError(f"{{env_kwargs}} takes a JSON object, got {self.kwargs}")
        return found

    def load(self) -> EnvironmentSpec | None:
        """The environment that is named; None: there is none, or it is that of the data.

        Raises:
            InvalidInputError: an environment that cannot be used.
        """
        if self.name is None or self.name == NO_ENVIRONMENT:
            return None
        return get(self.name, self.arguments, self.reference_returns)
