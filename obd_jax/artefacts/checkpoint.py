"""A pytree as a file, to go on from."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.types import InvalidInputError


def save_checkpoint(path: pathlib.Path, state: Any) -> None:
    """Write the leaves of a pytree of arrays and keys, whole or not at all."""
    leaves = [
        jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(state)
    ]
    arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)


def load_checkpoint(path: pathlib.Path, like: Any) -> Any:
    """Read a pytree with the structure, shapes and types of `like`.

    Raises:
        InvalidInputError: a file that cannot be read, or of a pytree of another shape.
    """
    leaves, structure = jax.tree.flatten(like)
    try:
        with path.open("rb") as content, np.load(content) as file:
            found = [file[f"leaf_{i}"] for i in range(len(file.files))]
    # Damage shows as many things: of the archive, of compression, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: not a checkpoint: {error}") from error
    raw = [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in leaves]
    if [(x.shape, x.dtype) for x in found] != [(x.shape, x.dtype) for x in raw]:
        raise InvalidInputError(f"{path}: the checkpoint is of another algorithm or data")
    return jax.tree.unflatten(
        structure,
        [
            jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array)
            for leaf, array in zip(leaves, found, strict=True)
        ],
    )


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
