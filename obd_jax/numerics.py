"""Primitives that are safe and fast where the plain ones are not."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.types import Array

T = TypeVar("T")

SATURATION = 0.999

# Of float32 matrix products, as JAX names them; CPUs know one.
PRECISIONS = ("highest", "high", "default")

# Minimax polynomial of arccos(x) / sqrt(1 - x) on [0, 1], within 2e-8 (Abramowitz & Stegun
# 1964, 4.4.46), highest power first.
_ARCCOS = (
    -0.0012624911,
    0.0066700901,
    -0.0170881256,
    0.0308918810,
    -0.0501743046,
    0.0889789874,
    -0.2145988016,
    1.5707963050,
)


def arccos(cosine: Array) -> Array:
    """Angle in [0, pi] of a cosine within [-1, 1], by a polynomial in float32.

    XLA's own is many times slower on a CPU, and a ReLU kernel is made of little else.
    """
    if cosine.dtype != jnp.float32:
        return jnp.arccos(cosine)
    size = jnp.abs(cosine)
    acute = jnp.sqrt(1.0 - size) * jnp.polyval(jnp.array(_ARCCOS, jnp.float32), size)
    return jnp.where(cosine < 0.0, jnp.pi - acute, acute)


@jax.custom_jvp
def presquash(actions: Array) -> Array:
    """What tanh turns into these actions; those beyond 0.999 are treated as 0.999.

    Their derivative is also the one at 0.999. Their own derivative is zero, so a synthetic action
    beyond 0.999 would never move again.
    """
    return jnp.arctanh(jnp.clip(actions, -SATURATION, SATURATION))


@presquash.defjvp
def _presquash_jvp(primals, tangents):
    (actions,), (tangent,) = primals, tangents
    inside = jnp.clip(actions, -SATURATION, SATURATION)
    return jax.jvp(jnp.arctanh, (inside,), (tangent,))


def squared_distances(x: Array, y: Array) -> Array:
    """Squared Euclidean distances [B, N] of rows x [B, D] and y [N, D], never negative."""
    # One matrix product: accurate to rounding of the squared norms, not of the distance.
    squares = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :]
    return jnp.maximum(squares - 2.0 * jnp.matmul(x, y.T, precision="highest"), 0.0)


def with_derivatives(function):
    """An elementwise function of broadcastable arrays that computes derivatives with its value.

    The reverse pass is then one product per argument instead of a walk back through the whole
    function, all of whose intermediate arrays would have been stored. First derivatives in
    either mode; nothing is computed for arguments that are not differentiated.
    """
    wrapped = jax.custom_jvp(function)

    def jvp(primals, tangents):
        shape = jnp.broadcast_shapes(*(primal.shape for primal in primals))
        value, total = None, 0.0
        for index, tangent in enumerate(tangents):
            if isinstance(tangent, jax.custom_derivatives.SymbolicZero):
                continue

            def one(argument, index=index):
                return function(*primals[:index], argument, *primals[index + 1 :])

            primal = jnp.broadcast_to(primals[index], shape)
            value, partial = jax.jvp(one, (primal,), (jnp.ones_like(primal),))
            total = total + partial * tangent
        return value, total

    wrapped.defjvp(jvp, symbolic_zeros=True)
    return wrapped


def map_rows(function: Callable[[Array], Array], rows: Array, chunk_size: int) -> Array:
    """function(rows [M, ...]) -> [M, ...], in chunks one after another where M is larger."""
    count = rows.shape[0]
    if count <= chunk_size:
        return function(rows)
    chunks = -(-count // chunk_size)
    padding = [(0, chunks * chunk_size - count)] + [(0, 0)] * (rows.ndim - 1)
    padded = jnp.pad(rows, padding, mode="edge").reshape(chunks, chunk_size, *rows.shape[1:])
    outputs = jax.lax.map(function, padded)
    return outputs.reshape(chunks * chunk_size, *outputs.shape[2:])[:count]


def traceable(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether JAX can trace a function of these arguments, which functions in NumPy refuse."""
    try:
        jax.eval_shape(function, *arguments)
    except Exception:  # Other frameworks raise what they like; a fault shows again with arrays.
        return False
    return True


def map_in_chunks(
    function: Callable[..., Any], *arrays: np.ndarray, first: tuple = (), size: int = 16_384
) -> np.ndarray:
    """function(*first, rows of each array) -> [M, ...], in chunks, so that memory is bounded.

    It is compiled unless it is not JAX's to trace, such as a policy in NumPy. Parameters belong
    into `first`: what a function holds is a constant of its program, which no cache has.
    """
    length = len(arrays[0])
    size = min(size, length)
    if traceable(function, *first, *(array[:size] for array in arrays)):
        function = jax.jit(function)
    outputs = []
    for start in range(0, length, size):
        begin = min(start, length - size)  # The last chunk overlaps instead of shrinking.
        rows = (array[begin : begin + size] for array in arrays)
        chunk = np.asarray(function(*first, *rows))
        outputs.append(chunk[start - begin :])
    return np.concatenate(outputs)


def some_rows(count: int, most: int) -> np.ndarray:
    """Indices in ascending order: all, or as many as that at random."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def one_by_one_on_cpus(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which `vmap` calls for one after another on CPUs and for all at once elsewhere.

    For those that call LAPACK. A batch of its calls waits, in a thread of XLA's pool, for others of
    that pool; as many batches at the same time as there are threads wait for ever. Seen with jaxlib
    0.10.2 on two cores; no issue of JAX's has exactly this. That one pool runs batches
    of LAPACK's calls is in https://github.com/jax-ml/jax/pull/39383.

    Args:
        function: of arrays, positional.
    """
    in_turn = jax.custom_batching.sequential_vmap(function)
    single = jax.custom_batching.custom_vmap(function)

    @single.def_vmap
    def several(size: int, in_batched, *arguments):
        del size
        axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
        found = jax.lax.platform_dependent(
            *arguments, cpu=jax.vmap(in_turn, axes), default=jax.vmap(function, axes)
        )
        return found, jax.tree.map(lambda _: True, found)

    return single


def rarely(predicate: Array, rare: Callable[..., T], usual: Callable[..., T], *operands: Any) -> T:
    """`lax.cond` that under `vmap` computes `rare` only when it is taken by one of the batch.

    `vmap` makes a plain `cond` a selection, which computes both branches at every call. What
    `rare` is not differentiated through.

    Args:
        predicate: [] bool.
        rare: of the operands, where it holds.
        usual: of the operands, where it does not.
        *operands: arrays or pytrees of them.
    """

    @jax.custom_batching.custom_vmap
    def single(predicate: Array, operands: tuple[Any, ...]) -> T:
        return jax.lax.cond(predicate, rare, usual, *operands)

    @single.def_vmap
    def several(size: int, in_batched, predicate: Array, operands: tuple[Any, ...]):
        del size
        in_axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)

        def chosen(predicate: Array, operands: tuple[Any, ...]) -> T:
            return jax.tree.map(
                lambda one, other: jnp.where(predicate, one, other),
                rare(*operands),
                usual(*operands),
            )

        found = jax.lax.cond(
            predicate.any(),
            jax.vmap(chosen, in_axes),
            jax.vmap(lambda _, operands: usual(*operands), in_axes),
            predicate,
            operands,
        )
        return found, jax.tree.map(lambda _: True, found)

    return single(predicate, operands)


def cores() -> int:
    """Cores that this process may use, by which XLA splits its sums: another number rounds so."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
