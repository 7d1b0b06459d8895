"""Ridge regression in its dual form."""

import jax
import jax.numpy as jnp

from obd_jax.numerics import one_by_one_on_cpus
from obd_jax.types import Array


@one_by_one_on_cpus
def _factor(matrix: Array) -> Array:
    """Lower Cholesky factor of a symmetric [N, N]."""
    return jnp.linalg.cholesky(matrix, symmetrize_input=False)


@one_by_one_on_cpus
def _solve(factor: Array, labels: Array) -> Array:
    """Solution for labels [N, A] by a lower Cholesky factor."""
    return jax.scipy.linalg.cho_solve((factor, True), labels)


def solve_ridge(matrix: Array, labels: Array, ridge: Array | float) -> Array:
    """(matrix + ridge * mean diagonal * I)^-1 labels.

    Args:
        matrix: [N, N] symmetric, positive semi-definite.
        labels: [N, A].
        ridge: in units of the mean of the diagonal.

    Returns:
        [N, A]; not a number where the sum is not positive definite in its precision.
    """
    size = len(matrix)
    regular = matrix + (ridge * jnp.trace(matrix) / size) * jnp.eye(size, dtype=matrix.dtype)
    # The transpose of a symmetric matrix is itself, in the memory layout that LAPACK takes; else
    # the layout spreads to all that the matrix is computed from, and the step takes twice as long.
    factor = _factor(jax.lax.stop_gradient(regular.T))
    # The derivative of a solution is a solution with the same factor, which is cheaper than the
    # derivative of the factorisation.
    return jax.lax.custom_linear_solve(
        lambda x: jnp.matmul(regular, x, precision="highest"),
        labels,
        lambda _, b: _solve(factor, b),
        symmetric=True,
    )
