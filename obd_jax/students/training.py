"""Training of a student, and how the meta-gradient goes back through it.

Three ways, each a `Trainer`; what they return is the same, their gradients differ in cost or, for
`truncated`, in value:

    reverse    automatic differentiation of the whole run
    mixed      the same gradient by Hessian-vector products, which keeps only the path of parameters
               and optimiser state
    truncated  the gradient through the last steps only
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from obd_jax.settings import at_least, option
from obd_jax.types import Array, InvalidInputError, Key, Params


class Training(NamedTuple):
    """Full-batch training, `steps` of `optimizer` on `loss`.

    loss:      (parameters, data) -> []; data are whatever the meta-gradient is asked for.
    optimizer: of the parameters.
    steps:     T.
    """

    loss: Callable[[Params, Any], Array]
    optimizer: optax.GradientTransformation
    steps: int


# (training, key, initial parameters, data) -> trained parameters.
Trainer = Callable[[Training, Key, Params, Any], Params]


def _step(training: Training, data: Any, state: tuple[Params, Any]) -> tuple[Params, Any]:
    params, optimizer_state = state
    gradient = jax.grad(training.loss)(params, data)
    return _apply(training, gradient, optimizer_state, params)


def _apply(training: Training, gradient, optimizer_state, params) -> tuple[Params, Any]:
    updates, optimizer_state = training.optimizer.update(gradient, optimizer_state, params)
    return optax.apply_updates(params, updates), optimizer_state


def reverse(remat: bool = False) -> Trainer:
    """Reverse mode through all steps.

    Args:
        remat: compute each step again on the way back instead of keeping its activations; the
            gradient is the same, and needs less memory and more time. `mixed` needs as little
            memory and no more time, but cannot be differentiated again.
    """

    def train(training: Training, key: Key, initial: Params, data: Any) -> Params:
        del key

        def step(state, _):
            return _step(training, data, state), None

        if remat:
            step = jax.checkpoint(step)
        start = (initial, training.optimizer.init(initial))
        (params, _), _ = jax.lax.scan(step, start, length=training.steps)
        return params

    return train


def mixed() -> Trainer:
    """Forward over reverse mode at each step on the way back (Kemaev et al. 2025, MixFlow-MG).

    A step depends on parameters and data by the gradient of a loss, whose derivative is
    symmetric. So what reverse mode would compute is a derivative of that gradient along one
    direction, which forward mode gives without keeping anything of the step. Exact where the loss
    is twice differentiable, without `stop_gradient`, and the data are floating-point; it cannot be
    differentiated again.
    """

    def train(training: Training, key: Key, initial: Params, data: Any) -> Params:
        del key

        @jax.custom_vjp
        def run(initial: Params, data: Any) -> Params:
            return forward(initial, data)[0]

        def forward(initial: Params, data: Any):
            def step(state, _):
                return _step(training, data, state), state

            start = (initial, training.optimizer.init(initial))
            (params, last), path = jax.lax.scan(step, start, length=training.steps)
            return params, (path, last, data)

        def backward(kept, cotangent: Params):
            path, last, data = kept
            gradient_of = jax.grad(training.loss, argnums=(0, 1))

            def step(carry, state):
                cotangents, of_data = carry
                params, optimizer_state = state
                moving, fixed = _split(optimizer_state)

                def apply(gradient, moving, params):
                    following, state = _apply(training, gradient, _join(moving, fixed), params)
                    return following, _split(state)[0]

                gradient = jax.grad(training.loss)(params, data)
                _, pull = jax.vjp(apply, gradient, moving, params)
                direction, of_moving, of_params = pull(cotangents)
                _, (through_params, through_data) = jax.jvp(
                    lambda params: gradient_of(params, data), (params,), (direction,)
                )
                of_params = jax.tree.map(jnp.add, of_params, through_params)
                of_data = jax.tree.map(jnp.add, of_data, through_data)
                return ((of_params, of_moving), of_data), None

            zeros = jax.tree.map(jnp.zeros_like, (_split(last)[0], data))
            start = ((cotangent, zeros[0]), zeros[1])
            ((of_initial, of_moving), of_data), _ = jax.lax.scan(step, start, path, reverse=True)
            initial = jax.tree.map(lambda leaf: leaf[0], path[0])
            _, pull = jax.vjp(lambda params: _split(training.optimizer.init(params))[0], initial)
            return jax.tree.map(jnp.add, of_initial, pull(of_moving)[0]), of_data

        run.defvjp(forward, backward)
        return run(initial, data)

    return train


def truncated(window: int, random_end: bool = False, remat: bool = False) -> Trainer:
    """Reverse mode through the last `window` steps; earlier steps count as constant.

    Args:
        window: steps with a gradient; with all of them the gradient is exact.
        random_end: stop after a number of steps drawn uniformly from window to T, as random
            truncated backpropagation does (Feng et al. 2024, RaT-BPTT), instead of T.
        remat: as for `reverse`.

    Raises:
        InvalidInputError: a window that is not positive, or, on training, longer than it.
    """
    if window < 1:
        raise InvalidInputError(f"the window must be positive, got {window}")

    def train(training: Training, key: Key, initial: Params, data: Any) -> Params:
        before: Array | int = training.steps - window
        if training.steps < window:
            raise InvalidInputError(
                f"the window must be at most the {training.steps} training steps, got {window}"
            )
        if random_end:
            before = jax.random.randint(jax.random.fold_in(key, 0), (), 0, before + 1)
        given = jax.lax.stop_gradient(data)
        start = jax.lax.stop_gradient((initial, training.optimizer.init(initial)))
        start = jax.lax.fori_loop(0, before, lambda _, s: _step(training, given, s), start)

        def step(state, _):
            return _step(training, data, state), None

        if remat:
            step = jax.checkpoint(step)
        (params, _), _ = jax.lax.scan(step, start, length=window)
        return params

    return train


@dataclasses.dataclass(frozen=True)
class Reverse:
    """Settings of `reverse`."""

    def trainer(self) -> Trainer:
        """The trainer of these settings."""
        return reverse()


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Settings of `mixed`."""

    def trainer(self) -> Trainer:
        """The trainer of these settings."""
        return mixed()


@dataclasses.dataclass(frozen=True)
class Truncated:
    """Settings of `truncated`.

    window: training steps that the meta-gradient goes through.
    """

    window: int = option(20, "Number of training steps that the meta-gradient goes through.")

    def __post_init__(self) -> None:
        at_least(1, window=self.window)

    def trainer(self) -> Trainer:
        """The trainer of these settings."""
        return truncated(self.window)


@dataclasses.dataclass(frozen=True)
class RandomTruncated(Truncated):
    """Settings of `truncated` with a random end."""

    def trainer(self) -> Trainer:
        """The trainer of these settings."""
        return truncated(self.window, random_end=True)


TRAINERS: dict[str, type[Any]] = {
    "reverse": Reverse,
    "mixed": Mixed,
    "truncated": Truncated,
    "random_truncated": RandomTruncated,
}


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _split(tree: Any) -> tuple[Any, Any]:
    """The floating-point leaves of a tree and the others, None where the other has a leaf."""
    return (
        jax.tree.map(lambda leaf: leaf if _is_float(leaf) else None, tree),
        jax.tree.map(lambda leaf: None if _is_float(leaf) else leaf, tree),
    )


def _join(moving: Any, fixed: Any) -> Any:
    """The tree that was split."""
    return jax.tree.map(
        lambda a, b: b if a is None else a, moving, fixed, is_leaf=lambda leaf: leaf is None
    )
