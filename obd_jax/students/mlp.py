"""The papers' student: a small network trained by behavioural cloning."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import optax

from obd_jax import networks, optimizers
from obd_jax.numerics import presquash
from obd_jax.optimizers import OPTIMIZERS
from obd_jax.settings import OptionError, at_least, option
from obd_jax.students.training import Trainer, Training, reverse
from obd_jax.types import Array, InvalidInputError, Key, Params, Student, SyntheticData


def action_error(outputs: Array, actions: Array) -> Array:
    """Mean squared error of tanh(outputs) [N, A] over pairs and action dimensions (the papers')."""
    return jnp.mean(jnp.square(jnp.tanh(outputs) - actions))


def presquash_error(outputs: Array, actions: Array) -> Array:
    """Squared error of outputs [N, A] to arctanh(actions), summed over A, mean over pairs.

    Its gradient does not vanish where actions saturate; in the network's output it is linear
    regression. By the sum, its curvature and so the stable learning rate do not depend on A.
    """
    return jnp.mean(jnp.sum(jnp.square(outputs - presquash(actions)), axis=1))


CLONING_ERRORS: dict[str, Callable[[Array, Array], Array]] = {
    "action": action_error,
    "presquash": presquash_error,
}


def make_cloning_error(name: str) -> Callable[[Array, Array], Array]:
    """Loss by name; an unknown name raises InvalidInputError with the known ones."""
    if name not in CLONING_ERRORS:
        raise InvalidInputError(
            f"unknown cloning loss {name!r}; known: {', '.join(CLONING_ERRORS)}"
        )
    return CLONING_ERRORS[name]


class CentredParams(NamedTuple):
    """Of a centred MLP student: the network as trained and as initialised."""

    trained: Params
    initial: Params


def mlp(
    action_size: int,
    *,
    hidden_sizes: Sequence[int] = (256, 256, 256),
    steps: int = 100,
    optimizer: optax.GradientTransformation,
    cloning_error: Callable[[Array, Array], Array] = action_error,
    centred: bool = False,
    residual: bool = False,
    trainer: Trainer | None = None,
) -> Student:
    """Student trained by full-batch behavioural cloning (Lei et al. 2024, section 5).

    It acts by tanh of its output; neither training nor acting samples.

    Args:
        action_size: A.
        hidden_sizes: widths of the ReLU layers.
        steps: T, of training.
        optimizer: of the student (the inner optimiser).
        cloning_error: (outputs before tanh [N, A], actions [N, A]) -> loss [].
        centred: whether the output is the network's minus its output at initialisation (Chizat et
            al. 2019), so that all students start from zero and differ less.
        residual: whether layers as wide as the one before add to it.
        trainer: how the meta-gradient goes through training, one of `students.training`; None:
            `reverse()`.

    Returns:
        The student.

    Raises:
        InvalidInputError: a number is not positive.
    """
    if steps < 1 or action_size < 1 or not hidden_sizes or min(hidden_sizes) < 1:
        raise InvalidInputError(
            f"training steps, action size and hidden sizes must be positive, got {steps}, "
            f"{action_size} and {tuple(hidden_sizes)}"
        )
    network = networks.MLP(tuple(hidden_sizes), action_size, residual=residual)
    turned = network.copy(turned=True)  # What is trained, as its gradient is the faster one.

    def outputs(params: Params, observations: Array) -> Array:
        return jnp.asarray(network.apply(params, observations))

    def act(params: Params, observations: Array) -> Array:
        if centred:
            origin = outputs(params.initial, observations)
            return jnp.tanh(outputs(params.trained, observations) - origin)
        return jnp.tanh(outputs(params, observations))

    def fit(key: Key, synthetic: SyntheticData) -> Params:
        initial = networks.init_parameters(network, key, synthetic.observations)
        origin = outputs(initial, synthetic.observations) if centred else jnp.zeros(())

        def loss(params: Params, data: tuple[SyntheticData, Array]) -> Array:
            (observations, actions), origin = data
            predicted = jnp.asarray(turned.apply(params, observations))
            return cloning_error(predicted - origin, actions)

        training = Training(loss, optimizer, steps)
        start = network.turn(initial)
        trained = (trainer or reverse())(training, key, start, (synthetic, origin))
        params = network.turn(trained)
        return CentredParams(params, initial) if centred else params

    return Student(fit, act, advice="lower the outer or the inner learning rate")


@dataclasses.dataclass(frozen=True)
class MLPRecipe:
    """How to train an MLP student, in plain values: what a distilled set's card recommends.

    hidden_sizes:  widths of the ReLU layers.
    steps:         T, full-batch training steps.
    optimizer:     name, one of `optimizers.OPTIMIZERS`.
    learning_rate: of the optimiser.
    momentum:      of the optimiser.
    cloning:       name of the loss, one of `CLONING_ERRORS`.
    centred:       whether the output is the network's minus its output at initialisation.
    residual:      whether layers as wide as the one before add to it.
    """

    hidden_sizes: tuple[int, ...] = option((256, 256, 256), "Widths of the ReLU layers.")
    steps: int = option(100, "Training steps of the student.", "inner_steps")
    optimizer: str = option(
        "sgd", f"Optimiser of the student: one of {', '.join(OPTIMIZERS)}.", "inner_optimizer"
    )
    # On hopper 0.04 is past the edge of stability, where meta-gradients explode (docs/choices.md).
    learning_rate: float = option(0.016, "Learning rate of the student.", "inner_learning_rate")
    momentum: float = option(0.95, "Momentum of the student's optimiser.", "inner_momentum")
    cloning: str = option(
        "presquash",
        f"Loss of the student: one of {', '.join(CLONING_ERRORS)}; the error of the action, or of "
        "the action before the tanh.",
    )
    centred: bool = option(
        False, "Subtract the network's output at initialisation from its output."
    )
    residual: bool = option(False, "Residual connections between layers of equal width.")

    def __post_init__(self) -> None:
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise OptionError(f"{{hidden_sizes}} must be positive, got {self.hidden_sizes}")
        at_least(1, inner_steps=self.steps)
        optimizers.make(self.optimizer, self.learning_rate, self.momentum)  # Refuses bad values.
        make_cloning_error(self.cloning)

    def student(self, action_size: int, trainer: Trainer | None = None) -> Student:
        """The student that follows this recipe."""
        optimizer = optimizers.make(self.optimizer, self.learning_rate, self.momentum)
        return mlp(
            action_size,
            hidden_sizes=self.hidden_sizes,
            steps=self.steps,
            optimizer=optimizer,
            cloning_error=make_cloning_error(self.cloning),
            centred=self.centred,
            residual=self.residual,
            trainer=trainer,
        )
