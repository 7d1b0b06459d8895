"""Student with a random hidden part and a ridge regression for its last layer."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from obd_jax import networks
from obd_jax.numerics import presquash
from obd_jax.settings import OptionError, not_negative, option
from obd_jax.students.ridge import solve_ridge
from obd_jax.types import Array, InvalidInputError, Key, Params, Student, SyntheticData


class RandomFeaturesParams(NamedTuple):
    """A fitted random-feature student.

    hidden: parameters of the random layers.
    output: [width, A].
    """

    hidden: Params
    output: Array


def random_features(*, hidden_sizes: Sequence[int] = (1024,), ridge: Array | float) -> Student:
    """Student whose hidden layers stay as drawn; only the last layer is fitted, in closed form.

    The limit of infinite width is the kernel student with the NNGP kernel and no biases.

    Args:
        hidden_sizes: widths of the ReLU layers.
        ridge: in units of the mean squared norm of the pairs' features.

    Raises:
        InvalidInputError: a width is not positive.
    """
    if not hidden_sizes or min(hidden_sizes) < 1:
        raise InvalidInputError(f"hidden sizes must be positive, got {tuple(hidden_sizes)}")
    network = networks.MLP(tuple(hidden_sizes[:-1]), hidden_sizes[-1])

    def features(hidden: Params, observations: Array) -> Array:
        return jax.nn.relu(jnp.asarray(network.apply(hidden, observations)))

    def fit(key: Key, synthetic: SyntheticData) -> RandomFeaturesParams:
        hidden = networks.init_parameters(network, key, synthetic.observations)
        phi = features(hidden, synthetic.observations)
        matrix = jnp.matmul(phi, phi.T, precision="highest")
        coefficients = solve_ridge(matrix, presquash(synthetic.actions), ridge)
        return RandomFeaturesParams(hidden, jnp.matmul(phi.T, coefficients, precision="highest"))

    def act(params: RandomFeaturesParams, observations: Array) -> Array:
        return jnp.tanh(features(params.hidden, observations) @ params.output)

    return Student(fit, act, f"lower the outer learning rate or raise the ridge, which is {ridge}")


@dataclasses.dataclass(frozen=True)
class RandomFeaturesRecipe:
    """A random-feature student in plain values: what a distilled set's card recommends.

    hidden_sizes: widths of the ReLU layers.
    ridge:        in units of the mean squared norm of the pairs' features.
    """

    hidden_sizes: tuple[int, ...] = option((256, 256, 256), "Widths of the ReLU layers.")
    ridge: float = option(1e-3, "Ridge, in units of the mean squared norm of the features.")

    def __post_init__(self) -> None:
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise OptionError(f"{{hidden_sizes}} must be positive, got {self.hidden_sizes}")
        not_negative(ridge=self.ridge)

    def student(self, action_size: int) -> Student:
        """The student that follows this recipe."""
        del action_size  # That of the pairs.
        return random_features(hidden_sizes=self.hidden_sizes, ridge=self.ridge)
