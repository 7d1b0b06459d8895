"""Functions as teachers, in JAX, NumPy, PyTorch or what else there is."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from obd_jax.extras import load_module
from obd_jax.types import ActionBounds, InvalidInputError, OfflineData, Provenance, Teacher

# States that a function is called with once, to see what it does and to tell it from another.
_PROBE = 256
# Beyond the bounds of actions, as a share of half their range: rounding.
_ROUNDING = 1e-4

_IMPORT = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")


class Functions(NamedTuple):
    """A policy and its critic, in the environment's units.

    act:        raw observations [B, D] -> actions [B, A].
    value:      (raw observations [B, D], actions [B, A]) -> [B] discounted return; None: no critic.
    provenance: None: that of a function, by what it does.
    """

    act: Callable[[Any], Any]
    value: Callable[[Any, Any], Any] | None = None
    provenance: Provenance | None = None


def is_import(text: str) -> bool:
    """Whether a text is `module:function`."""
    return _IMPORT.fullmatch(text) is not None


def imported(text: str) -> Callable[..., Any]:
    """The function that `module:function` names; the module may lie in the working folder.

    Raises:
        InvalidInputError: no such module, nothing of that name in it, or no function.
    """
    match = _IMPORT.fullmatch(text)
    assert match is not None
    module, name = match.groups()
    found: Any = load_module(module, f"teacher {text}")
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidInputError(f"teacher {text}: {module} has no {name}")
        found = getattr(found, part)
    if not callable(found) or isinstance(found, type):
        raise InvalidInputError(
            f"teacher {text} is {'a class' if isinstance(found, type) else type(found).__name__}; "
            "a function, or an object that can be called, is needed"
        )
    return found


def from_function(
    act: Callable[[Any], Any],
    data: OfflineData,
    value: Callable[[Any, Any], Any] | None = None,
    action_bounds: ActionBounds | None = None,
    provenance: Provenance | None = None,
) -> Teacher:
    """A function as a teacher.

    What JAX can trace is compiled; another function is called outside of `jit`, with batches of
    NumPy arrays.

    Args:
        act: raw observations [B, D] -> actions [B, A] within the bounds.
        data: that it is called with: a first look refuses wrong shapes and values.
        value: (raw observations [B, D], actions [B, A] within the bounds) -> [B] discounted return;
            None: no critic.
        action_bounds: None: those of the data, or [-1, 1].
        provenance: None: the function's name, and a hash of what it does on the first states.

    Raises:
        InvalidInputError: actions or values of another shape, out of bounds or not finite, or a
            call that fails.
    """
    bounds = data.action_bounds if action_bounds is None else action_bounds
    if bounds is not None and bounds.is_unit:
        bounds = None
    name = (
        getattr(act, "__qualname__", type(act).__name__)
        if provenance is None
        else (provenance.name)
    )

    def act_inside(observations):
        actions = _array(act(observations))
        return actions if bounds is None else bounds.normalize(actions)

    def value_inside(observations, actions):
        assert value is not None
        outside = actions if bounds is None else bounds.denormalize(actions)
        return _array(value(observations, outside))

    states = data.observations[:_PROBE]
    shown = _probe(name, act, states)
    expected = (len(states), data.action_size)
    if shown.shape != expected:
        raise InvalidInputError(
            f"teacher {name}: actions of shape {shown.shape} for {len(states)} states; the data "
            f"need {expected}"
        )
    actions = shown if bounds is None else bounds.normalize(shown)
    if not (np.isfinite(actions).all() and np.abs(actions).max() <= 1 + _ROUNDING):
        raise InvalidInputError(
            f"teacher {name}: actions must be finite and lie in {bounds or '[-1, 1]'}; they range "
            f"from {shown.min():.6g} to {shown.max():.6g}"
        )
    digest = hashlib.sha256(np.float32(actions).tobytes())
    if value is not None:
        values = _probe(name, value_inside, states, actions)
        if values.shape != (len(states),):
            raise InvalidInputError(
                f"teacher {name}: values of shape {values.shape} for {len(states)} states"
            )
        digest.update(np.float32(values).tobytes())
    if provenance is None:
        provenance = Provenance("function", name, digest.hexdigest(), data.provenance.environment)
    return Teacher(
        act_inside,
        None if value is None else value_inside,
        *(data.observation_size, data.action_size),
        provenance,
        action_bounds=bounds,
    )


def _probe(name: str, function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """What a function gives for arrays; whatever it raises is said in a line."""
    try:
        return np.asarray(_array(function(*arrays)))
    except Exception as error:  # Of the user's code.
        raise InvalidInputError(
            f"teacher {name} fails on observations of shape {arrays[0].shape}: {error!r}"
        ) from error


def _array(found: Any) -> Any:
    """What a function gives as an array: JAX's as they are, others as NumPy's."""
    if isinstance(found, jax.Array):
        return found
    if hasattr(found, "detach"):  # PyTorch's tensors.
        found = found.detach().cpu()
    return np.asarray(found)
