"""The closed-form student: kernel ridge regression on the synthetic pairs."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from obd_jax.numerics import map_rows, presquash
from obd_jax.settings import at_least, not_negative, option, positive
from obd_jax.students.kernels import KERNELS, Kernel, KernelSettings, gram, make_kernel
from obd_jax.students.ridge import solve_ridge
from obd_jax.types import Array, Key, Student, SyntheticData

# States whose kernels are held at once when a policy acts on many: 16 MB an array at N = 256.
CHUNK_SIZE = 16_384


class KernelParams(NamedTuple):
    """A fitted kernel student.

    observations: [N, D] the synthetic states.
    coefficients: [N, A].
    """

    observations: Array
    coefficients: Array


def act_by_kernel(
    function: Kernel, settings: KernelSettings, params: KernelParams, observations: Array
) -> Array:
    """Actions tanh(K(s, S) coefficients) [..., A] on observations [..., D] of any number."""

    def rows(observations: Array) -> Array:
        cross = function.cross(settings, observations, params.observations)
        return jnp.tanh(jnp.matmul(cross, params.coefficients, precision="highest"))

    flat = observations.reshape(-1, observations.shape[-1])
    actions = map_rows(rows, flat, CHUNK_SIZE)
    return actions.reshape(*observations.shape[:-1], -1)


def kernel(function: Kernel, settings: KernelSettings) -> Student:
    """Student that is tanh of kernel ridge regression on the pairs.

    f(s) = tanh(K(s, S) (K(S, S) + ridge * mean diagonal * I)^-1 arctanh(actions)), with NTK what
    gradient descent on an infinitely wide network converges to (Jacot et al. 2018). There is
    no initialisation to vary: the pairs are the policy. Settings may be traced, so that they
    can be swept with `vmap` over a function that makes the student.

    Args:
        function: the kernel.
        settings: its numbers.
    """

    def fit(key: Key, synthetic: SyntheticData) -> KernelParams:
        del key  # Nothing is random.
        matrix = gram(function, settings, synthetic.observations)
        coefficients = solve_ridge(matrix, presquash(synthetic.actions), settings.ridge)
        return KernelParams(synthetic.observations, coefficients)

    def act(params: KernelParams, observations: Array) -> Array:
        return act_by_kernel(function, settings, params, observations)

    advice = f"lower the outer learning rate or raise the ridge, which is {settings.ridge}"
    return Student(fit, act, advice, deterministic=True)


@dataclasses.dataclass(frozen=True)
class KernelRecipe:
    """A kernel student in plain values: what a distilled set's card recommends.

    kernel:       name, one of `kernels.KERNELS`.
    depth:        hidden layers of the network (ntk, nngp).
    bias_scale:   standard deviation of its biases (ntk, nngp).
    ridge:        in units of the kernel matrix's mean diagonal.
    length_scale: what normalised observations are divided by.
    """

    kernel: str = option("ntk", f"Kernel: one of {', '.join(KERNELS)}.")
    depth: int = option(3, "Hidden layers of the infinitely wide network that defines the kernel.")
    bias_scale: float = option(0.3, "Standard deviation of the biases of the kernel's network.")
    ridge: float = option(1e-3, "Ridge, in units of the mean diagonal of the kernel matrix.")
    length_scale: float = option(1.0, "Length scale, by which normalised observations are divided.")

    def __post_init__(self) -> None:
        make_kernel(self.kernel)  # Refuses an unknown one.
        at_least(1, depth=self.depth)
        not_negative(bias_scale=self.bias_scale, ridge=self.ridge)
        positive(length_scale=self.length_scale)

    def student(self, action_size: int) -> Student:
        """The student that follows this recipe."""
        del action_size  # That of the pairs.
        settings = KernelSettings(self.depth, self.bias_scale, self.ridge, self.length_scale)
        return kernel(make_kernel(self.kernel), settings)
