"""The MLP student made linear: gradient descent on the kernel of its initialisation."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from obd_jax import optimizers
from obd_jax.settings import at_least, option
from obd_jax.students.kernel import KernelParams, act_by_kernel
from obd_jax.students.kernels import KernelSettings, gram, standard_ntk
from obd_jax.students.mlp import CLONING_ERRORS, action_error, make_cloning_error
from obd_jax.types import Array, InvalidInputError, Key, Student, SyntheticData


def lazy_mlp(
    *,
    depth: int = 3,
    steps: int = 100,
    learning_rate: Array | float,
    momentum: Array | float = 0.0,
    cloning_error: Callable[[Array, Array], Array] = action_error,
) -> Student:
    """The `mlp` student trained by SGD, were it linear in its parameters.

    Training is gradient descent with momentum in the space of functions, from the function zero,
    with the NTK of the network at its initialisation, averaged over initialisations (Jacot et al.
    2018; lazy training, Chizat et al. 2019). It takes a small part of the network's time and has
    no initialisation to vary. The network itself is not lazy at any width, because its
    activations are small, so this is an approximation and not its limit.

    Args:
        depth: ReLU layers.
        steps: T, of training.
        learning_rate: of SGD.
        momentum: of SGD.
        cloning_error: (outputs before tanh [N, A], actions [N, A]) -> loss [].

    Raises:
        InvalidInputError: depth or steps not positive.
    """
    if steps < 1 or depth < 1:
        raise InvalidInputError(f"training steps and depth must be positive, got {steps}, {depth}")
    function = standard_ntk()

    def settings(observations: Array) -> KernelSettings:
        return KernelSettings(depth, 1.0, 0.0, (2.0 / observations.shape[-1]) ** 0.5)

    def fit(key: Key, synthetic: SyntheticData) -> KernelParams:
        del key  # Nothing is random.
        observations, actions = synthetic
        matrix = gram(function, settings(observations), observations)

        def step(carry, _):
            coefficients, velocity = carry
            outputs = jnp.matmul(matrix, coefficients, precision="highest")
            velocity = momentum * velocity + jax.grad(cloning_error)(outputs, actions)
            return (coefficients - learning_rate * velocity, velocity), None

        start = (jnp.zeros_like(actions), jnp.zeros_like(actions))
        (coefficients, _), _ = jax.lax.scan(step, start, length=steps)
        return KernelParams(observations, coefficients)

    def act(params: KernelParams, observations: Array) -> Array:
        return act_by_kernel(function, settings(observations), params, observations)

    return Student(fit, act, "lower the outer or the inner learning rate", deterministic=True)


@dataclasses.dataclass(frozen=True)
class LazyMLPRecipe:
    """A lazy MLP student in plain values: what a distilled set's card recommends.

    depth:         ReLU layers.
    steps:         T, full-batch training steps.
    learning_rate: of SGD.
    momentum:      of SGD.
    cloning:       name of the loss, one of `CLONING_ERRORS`.
    """

    depth: int = option(3, "Number of ReLU layers.")
    steps: int = option(100, "Training steps of the student.", "inner_steps")
    learning_rate: float = option(0.016, "Learning rate of the student.", "inner_learning_rate")
    momentum: float = option(0.95, "Momentum of the student's optimiser.", "inner_momentum")
    cloning: str = option(
        "presquash",
        f"Loss of the student: one of {', '.join(CLONING_ERRORS)}; the error of the action, or of "
        "the action before the tanh.",
    )

    def __post_init__(self) -> None:
        at_least(1, depth=self.depth, inner_steps=self.steps)
        optimizers.make("sgd", self.learning_rate, self.momentum)  # Refuses bad values.
        make_cloning_error(self.cloning)

    def student(self, action_size: int) -> Student:
        """The student that follows this recipe."""
        del action_size  # That of the pairs.
        return lazy_mlp(
            depth=self.depth,
            steps=self.steps,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            cloning_error=make_cloning_error(self.cloning),
        )
