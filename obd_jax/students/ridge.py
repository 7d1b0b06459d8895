"""Ridge regression in its dual form."""

import jax
import jax.numpy as jnp

from obd_jax.types import Array


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
    factor = jnp.linalg.cholesky(jax.lax.stop_gradient(regular.T), symmetrize_input=False)
    # The derivative of a solution is a solution with the same factor, which is cheaper than the
    # derivative of the factorisation.
    return jax.lax.custom_linear_solve(
        lambda x: jnp.matmul(regular, x, precision="highest"),
        labels,
        lambda _, b: jax.scipy.linalg.cho_solve((factor, True), b),
        symmetric=True,
    )
