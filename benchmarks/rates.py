"""What a step's rate is measured against: the machine's own, for products of the same size."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.distill.train import one_blas_thread


def median_seconds(function: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call, after one that is not counted; LAPACK as it is in training."""
    times = []
    with one_blas_thread():
        jax.block_until_ready(function())
        for _ in range(repeats):
            start = time.perf_counter()
            jax.block_until_ready(function())
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def matmul_rate(repeats: int, size: int = 256, length: int = 500) -> float:
    """FLOP/s of square float32 products chained in a scan."""

    def chain(left, right):
        return jax.lax.scan(lambda x, _: (x @ right, None), left, length=length)[0]

    left = jax.random.normal(jax.random.key(0), (size, size))
    right = jnp.linalg.qr(left)[0]  # Orthogonal: products neither grow nor vanish.
    compiled = jax.jit(chain)
    return 2 * size**3 * length / median_seconds(lambda: compiled(left, right), repeats)


def useful_flops(inner_steps: int, pairs: int, sizes: Sequence[int]) -> float:
    """Work of an outer step, 10 T * 2 N * weights; recomputation does not count.

    It is that of a forward pass, its backward pass, and the backward pass of both.

    Args:
        inner_steps: T.
        pairs: N.
        sizes: of the network's inputs, hidden layers and outputs.
    """
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    return 10.0 * inner_steps * 2 * pairs * weights
