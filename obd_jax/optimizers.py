"""Optimisers by name, for students (inner) and synthetic sets (outer)."""

import optax

from obd_jax.types import InvalidInputError


def _sgd(learning_rate: float, momentum: float) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=momentum or None)


def _nesterov(learning_rate: float, momentum: float) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=momentum, nesterov=True)


def _adam(learning_rate: float, momentum: float) -> optax.GradientTransformation:
    # Inside the root, epsilon keeps the meta-gradient finite where a gradient is zero. It must be
    # far below squared gradients: those of a synthetic set are 1e-9 and less for each number.
    return optax.adam(learning_rate, b1=momentum, eps_root=1e-16)


_MAKERS = {"sgd": _sgd, "nesterov": _nesterov, "adam": _adam}
OPTIMIZERS = tuple(_MAKERS)


def make(name: str, learning_rate: float, momentum: float) -> optax.GradientTransformation:
    """Optimiser by name.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: positive.
        momentum: in [0, 1); decay of the first moment, for Adam too.

    Returns:
        An optax transformation.

    Raises:
        InvalidInputError: an unknown name or a number out of range.
    """
    if name not in _MAKERS:
        raise InvalidInputError(f"unknown optimiser {name!r}; known: {', '.join(OPTIMIZERS)}")
    if not learning_rate > 0.0:
        raise InvalidInputError(f"learning rate must be positive, got {learning_rate}")
    if not 0.0 <= momentum < 1.0:
        raise InvalidInputError(f"momentum must be in [0, 1), got {momentum}")
    return _MAKERS[name](learning_rate, momentum)
