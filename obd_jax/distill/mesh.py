"""A one-dimensional mesh of devices, over which sets are sharded."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


def device_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh of the devices; None: all devices, those of other processes too."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def devices_for(members: int, available: int) -> int:
    """Number of devices to shard a population over: the most that divide it equally.

    On a CPU, where small products gain less from a second core than a second set does, the number
    goes into JAX's `jax_num_cpu_devices`, before anything is computed.

    Args:
        members: P, sets.
        available: devices, or cores that this process may use.
    """
    return max(n for n in range(1, max(available, 1) + 1) if members % n == 0)


def shared_out(mesh: Mesh) -> NamedSharding:
    """Sharding of arrays over the devices by their leading axis."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def on_all(mesh: Mesh) -> NamedSharding:
    """Sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Arrays that every process has whole, as arrays over the sharding's devices."""

    def one(leaf: Any) -> jax.Array:
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            wrap = functools.partial(jax.random.wrap_key_data, impl=jax.random.key_impl(leaf))
            return jax.jit(wrap, out_shardings=sharding)(one(jax.random.key_data(leaf)))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(one, tree)
