"""Options of density weights: the estimator, and what its densities become."""

import dataclasses
from typing import Any

from obd_jax.settings import OptionError, at_least, choice, not_negative, option


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Settings of `gaussian`, which has none."""


@dataclasses.dataclass(frozen=True)
class Kde:
    """Settings of `kde`, which has none."""


@dataclasses.dataclass(frozen=True)
class Knn:
    """Settings of `knn`, which has none."""


@dataclasses.dataclass(frozen=True)
class Maf:
    """Settings of `maf`.

    epochs: passes over the states when it is fitted.
    """

    epochs: int = option(10, "Epochs of the flow's training.", "density_epochs")

    def __post_init__(self) -> None:
        at_least(1, density_epochs=self.epochs)


SETTINGS: dict[str, type[Any]] = {"gaussian": Gaussian, "kde": Kde, "knn": Knn, "maf": Maf}


@dataclasses.dataclass(frozen=True)
class DensitySettings:
    """State density weights (SDW, Lei et al. 2025).

    estimator:      of the state density.
    states:         that it is fitted to at most.
    temperature:    the weight is the density to the minus temperature; 0: no weights.
    floor_quantile: log densities below it are raised to it.
    """

    estimator: Any = choice(
        SETTINGS, "maf", f"State density: one of {', '.join(SETTINGS)}.", "density"
    )
    states: int = option(
        50_000,
        "Maximum number of states to fit the density to, drawn at random. All get weights.",
        "density_states",
    )
    temperature: float = option(
        0.05, "SDW weight = density ** -temperature; 0: no density weights."
    )
    floor_quantile: float = option(
        0.01, "Log densities below this quantile are raised to it; in [0, 1)."
    )

    def __post_init__(self) -> None:
        at_least(1, density_states=self.states)
        not_negative(temperature=self.temperature)
        if not 0 <= self.floor_quantile < 1:
            raise OptionError(f"{{floor_quantile}} must be in [0, 1), got {self.floor_quantile}")

    @property
    def name(self) -> str:
        """Of the estimator."""
        return next(name for name, kind in SETTINGS.items() if type(self.estimator) is kind)
