"""Actions in the units of a recording -> in [-1, 1], as everything here acts."""

import dataclasses
from collections.abc import Callable

import numpy as np

from obd_jax import environments
from obd_jax.settings import OptionError
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData

# Beyond [-1, 1]: what stays as it is, and what single precision rounds to and is clipped.
_NOTHING, _ROUNDING = 1e-6, 5e-6


def in_bounds(
    data: OfflineData, bounds: ActionBounds | None, note: Callable[[str], None]
) -> OfflineData:
    """The data with actions in [-1, 1]; those beyond the bounds by rounding are clipped.

    Args:
        data: actions in the units of the recording.
        bounds: in these units, of each action or one for all; None: [-1, 1].
        note: gets a line on how many actions are clipped, and on what looks rescaled already.

    Raises:
        InvalidInputError: actions are further beyond the bounds than 5e-6 of half their range, or
            there are not as many bounds.
    """
    where, actions, following = data.provenance.name, data.actions, data.next_actions
    if bounds is not None:
        if len(bounds.low) == 1:
            bounds = ActionBounds(bounds.low * data.action_size, bounds.high * data.action_size)
        if len(bounds.low) != data.action_size:
            raise InvalidInputError(
                f"{where} has {data.action_size} actions; bounds of {len(bounds.low)} are given"
            )
        actions, following = bounds.normalize(actions), bounds.normalize(following)
    shown = "[-1, 1]" if bounds is None else str(bounds)
    low = min(data.actions.min(), data.next_actions.min())
    high = max(data.actions.max(), data.next_actions.max())
    beyond = np.abs(actions) - 1
    outside = (beyond > _ROUNDING).any(axis=1)
    if not outside.any():  # The action of a row that is dropped is a next action only.
        outside = (np.abs(following) - 1 > _ROUNDING).any(axis=1)
    if outside.any():
        raise OptionError(
            f"{where}: actions range from {low:.6g} to {high:.6g}; they must lie in {shown}, but "
            f"do not in {np.count_nonzero(outside)} of {len(outside)} transitions, first in "
            f"number {np.argmax(outside)}: give the bounds that they were recorded with "
            "({action_low} and {action_high}, or an {env} that has them), or clip actions that "
            "noise moved out of bounds"
        )
    clipped = beyond > _NOTHING
    if clipped.any():
        note(
            f"{where}: {np.count_nonzero(clipped)} of {clipped.size} actions are beyond {shown} by "
            f"rounding, at most {beyond.max() / 2:.2g} of the range: they are clipped"
        )
        actions = actions.clip(-1, 1)
        following = following.clip(-1, 1)
    largest = max(-low, high)
    if bounds is not None and not bounds.is_unit and abs(largest - 1) <= _ROUNDING:
        note(
            f"{where}: the largest action is {largest:.6g}, and bounds are {shown}: if the actions "
            "are in [-1, 1] already, give bounds of -1 and 1"
        )
    return dataclasses.replace(data, actions=actions, next_actions=following, action_bounds=bounds)


def bounds_of(environment: str | None) -> ActionBounds | None:
    """Bounds of an environment's actions; None: [-1, 1], not named, or it cannot be made here."""
    if environment is None:
        return None
    try:
        return environments.get(environment).action_bounds
    except InvalidInputError:
        return None
