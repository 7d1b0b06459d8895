"""The mean of the last sets of a distillation, in place of the last one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax.distill.distiller import Distiller, DistillerState
from obd_jax.types import Array, InvalidInputError, Key, SyntheticData, Targets


class AveragedState(NamedTuple):
    """The state of a distiller, and the set that counts.

    synthetic: mean of the sets so far that are averaged; before the first of them, the last set.
    inner:     of the distiller.
    """

    synthetic: SyntheticData
    inner: DistillerState

    @property
    def step(self) -> Array:
        """[] int32 outer steps done."""
        return self.inner.step


def averaged(distiller: Distiller, start: int) -> Distiller:
    """The distiller, whose set is the mean of the sets after more than `start` steps.

    Single sets of one distillation walk or fall at equal loss; their mean lies in the middle of the
    flat region that they move in (Polyak & Juditsky 1992; for networks Izmailov et al. 2018, arXiv
    1803.05407). The distiller continues from its own last set. Means of actions stay within bounds.

    Args:
        distiller: one step.
        start: outer steps before the first set that is averaged.

    Raises:
        InvalidInputError: `start` is negative.
    """
    if start < 0:
        raise InvalidInputError(f"start must not be negative, got {start}")

    def init(key: Key, synthetic: SyntheticData) -> AveragedState:
        inner = distiller.init(key, synthetic)
        return AveragedState(inner.synthetic, inner)

    def update(state: AveragedState, batch: Targets, step_scale: Array | float = 1.0):
        inner, metrics = distiller.update(state.inner, batch, step_scale)
        share = 1 / jnp.maximum(inner.step - start, 1)
        synthetic = jax.tree.map(
            lambda mean, latest: mean + share * (latest - mean), state.synthetic, inner.synthetic
        )
        return AveragedState(synthetic, inner), metrics

    # The state has the fields that drivers read: the set and the number of steps.
    return Distiller(init, update, distiller.advice)  # type: ignore[arg-type]
