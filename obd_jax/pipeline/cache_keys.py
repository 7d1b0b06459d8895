"""Paths in the cache that name results by a hash of all that they depend on."""

import functools
import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np

import obd_jax
from obd_jax.data.cache import default_cache
from obd_jax.types import Key


def cache_path(folder: str, name: str, identity: dict[str, Any], suffix: str) -> pathlib.Path:
    """Where a result is kept.

    Args:
        folder: of the kind of result, in the cache.
        name: before the hash, for readers of the folder.
        identity: all that the result depends on, in plain values.
        suffix: of the file.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return default_cache() / folder / f"{name}-{digest}{suffix}"


@functools.cache
def code_hash() -> str:
    """Hash of the package's code, of which any may change a result."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(obd_jax.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key_numbers(key: Key) -> list[int]:
    """A random key in plain values."""
    return np.asarray(jax.random.key_data(key)).tolist()
