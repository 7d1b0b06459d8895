"""Functions whose tracing takes seconds, traced once for all processes of a machine."""

import contextlib
import hashlib
import inspect
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
from jax import export

import obd_jax

# What a traced simulator depends on, beside the files that it is written in.
_PACKAGES = ("jax", "jaxlib", "brax", "mujoco", "mujoco-mjx", "gymnasium", "obd_jax", "playground")
_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision")
_HASH = hashlib.sha256().digest_size


def traced(
    function: Callable[..., Any], name: str, sources: Sequence[pathlib.Path], *forms: Any
) -> Callable[..., Any]:
    """The function for arguments of these forms, read from JAX's folder of compiled programs.

    What is not there, or damaged, is traced and written. Without such a folder
    (`jax_compilation_cache_dir`) the function is returned as it is.

    Args:
        function: of tuples, lists and dicts of arrays, to such.
        name: under which it is kept, with the forms, the platform and the packages' versions.
        sources: files whose change makes it another function, beside the one it is defined in.
        forms: shapes and types of the arguments.
    """
    folder = getattr(jax.config, "jax_compilation_cache_dir", None)
    if folder is None:
        return function
    versions = [f"{package} {_version(package)}" for package in _PACKAGES]
    settings = [jax.default_backend(), *(getattr(jax.config, setting) for setting in _SETTINGS)]
    words = repr((name, forms, versions, settings)).encode()
    files = (*sources, pathlib.Path(inspect.getfile(inspect.unwrap(function))))
    digests = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    key = hashlib.sha256(b"".join([words, *digests])).hexdigest()[:32]
    path = pathlib.Path(folder) / f"{name}-{key}.traced"
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if content[:_HASH] == hashlib.sha256(content[_HASH:]).digest():
        return export.deserialize(bytearray(content[_HASH:])).call
    made = export.export(jax.jit(function))(*forms)
    body = bytes(made.serialize())
    with contextlib.suppress(OSError):  # A folder that cannot be written costs time, nothing else.
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
            temporary.write(hashlib.sha256(body).digest() + body)
        pathlib.Path(temporary.name).replace(path)
    return made.call


def _version(package: str) -> str:
    """Of a package; this one need not be installed, and others may be absent."""
    if package == "obd_jax":
        return obd_jax.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
