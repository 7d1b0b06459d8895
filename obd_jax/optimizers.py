"""Optimisers by name, for students (inner) and synthetic sets (outer)."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from obd_jax.types import InvalidInputError

# A number; may be traced.
Rate = Any


def _sgd(learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    without = not isinstance(momentum, Tracer) and momentum == 0.0
    return optax.sgd(learning_rate, momentum=None if without else momentum)


def _nesterov(learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=momentum, nesterov=True)


def _adam(learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    # Inside the root, epsilon keeps the meta-gradient finite where a gradient is zero. It must be
    # far below squared gradients: those of a synthetic set are 1e-9 and less for each number.
    return optax.adam(learning_rate, b1=momentum, eps_root=1e-16)


def _adamw(learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    # The decay of PyTorch's AdamW.
    return optax.adamw(learning_rate, b1=momentum, eps_root=1e-16, weight_decay=0.01)


def _detached_adam(learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    return optax.chain(
        _scale_by_detached_adam(momentum), optax.scale_by_learning_rate(learning_rate)
    )


def _scale_by_detached_adam(
    b1: float, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam whose denominator is a constant of the step: no meta-gradient goes through it."""
    adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _, following = adam.update(gradient, state, params)
        following = following._replace(nu=jax.lax.stop_gradient(following.nu))
        mean = optax.tree.bias_correction(following.mu, b1, following.count)
        square = optax.tree.bias_correction(following.nu, b2, following.count)
        scaled = jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + eps), mean, square)
        return scaled, following

    return optax.GradientTransformation(adam.init, update)


_MAKERS = {
    "sgd": _sgd,
    "nesterov": _nesterov,
    "adam": _adam,
    "adamw": _adamw,
    "detached_adam": _detached_adam,
}
OPTIMIZERS = tuple(_MAKERS)


def make(name: str, learning_rate: Rate, momentum: Rate) -> optax.GradientTransformation:
    """Optimiser by name.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: positive; may be traced, then it is not checked.
        momentum: in [0, 1); decay of the first moment, for Adam too; may be traced.

    Returns:
        An optax transformation.

    Raises:
        InvalidInputError: an unknown name or a number out of range.
    """
    if name not in _MAKERS:
        raise InvalidInputError(f"unknown optimiser {name!r}; known: {', '.join(OPTIMIZERS)}")
    if not isinstance(learning_rate, Tracer) and not learning_rate > 0.0:
        raise InvalidInputError(f"learning rate must be positive, got {learning_rate}")
    if not isinstance(momentum, Tracer) and not 0.0 <= momentum < 1.0:
        raise InvalidInputError(f"momentum must be in [0, 1), got {momentum}")
    return _MAKERS[name](learning_rate, momentum)
