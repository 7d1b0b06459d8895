"""Tensors from PyTorch zip checkpoints, without PyTorch and without running the pickle's code."""

import io
import math
import pickle
import pickletools
import zipfile
from typing import Any, NamedTuple

import numpy as np

from obd_jax.types import InvalidInputError


class _Inert:
    """Stand-in for what a pickle names: keeps the arguments of the call and does nothing.

    Pickles can set attributes of whatever they can name, functions and classes included.
    `__setstate__` takes that road away: on an instance it does nothing, on a class it fails.
    """

    __slots__ = ("arguments",)

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        pass


class _Tensor(_Inert):
    """Stand-in for a tensor: arguments (storage, offset, size, stride, ...)."""

    __slots__ = ()


class _FloatStorage(_Inert):
    """Stand-in for the type of float32 storages."""

    __slots__ = ()


class _Mapping(dict):
    """Stand-in for an ordered dictionary."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class _Storage(NamedTuple):
    """A record of the archive: its key and its number of float32 values."""

    key: str
    length: int


_ALLOWED = {
    ("collections", "OrderedDict"): _Mapping,
    ("torch", "FloatStorage"): _FloatStorage,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    # In the parts of a checkpoint that are not read.
    ("torch._utils", "_rebuild_parameter"): _Inert,
    ("__main__", "Scalar"): _Inert,
    ("__builtin__", "set"): _Inert,
    ("builtins", "set"): _Inert,
}


class _Unpickler(pickle.Unpickler):
    """Resolves the names of an allow-list to inert stand-ins and refuses all others."""

    def find_class(self, module_name, global_name, /):
        stand_in = _ALLOWED.get((module_name, global_name))
        if stand_in is None:
            allowed = ", ".join(".".join(names) for names in _ALLOWED)
            refused = f"{module_name}.{global_name}"
            raise InvalidInputError(f"refused: the pickle names {refused!r}; allowed are {allowed}")
        return stand_in

    def persistent_load(self, pid, /):
        match pid:
            case ("storage", kind, str(key), str(), int(length)) if kind is _FloatStorage:
                return _Storage(key, length)
        raise InvalidInputError("the pickle refers to something other than a float32 storage")


def load_state_dicts(content: bytes, names: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Reads the named state dictionaries of a PyTorch zip checkpoint.

    Nothing in the pickle is executed: it can name the few things that such checkpoints consist
    of, each replaced by a stand-in without effect, and anything else is refused by name.

    Args:
        content: the bytes of the file.
        names: keys of the checkpoint whose values are state dictionaries.

    Returns:
        For each name, its tensors by key: float32, finite, of the shape recorded.

    Raises:
        InvalidInputError: not such a file, truncated or corrupt; a name refused; a key missing; a
            tensor that is not contiguous, does not fit its storage or is not finite.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            root = _root(archive)
            checkpoint = _unpickle(archive.read(f"{root}data.pkl"))
            missing = [name for name in names if not isinstance(checkpoint.get(name), dict)]
            if missing:
                found = ", ".join(str(key) for key in checkpoint) or "nothing"
                raise InvalidInputError(f"lacks {', '.join(missing)}; found {found}")
            return {
                name: {
                    str(key): _read_tensor(archive, root, f"{name}.{key}", value)
                    for key, value in checkpoint[name].items()
                }
                for name in names
            }
    except InvalidInputError:
        raise
    except Exception as error:  # What a damaged archive raises is not bounded.
        raise InvalidInputError(
            f"not a PyTorch zip checkpoint, or truncated or corrupt: {error}"
        ) from error


def _root(archive):
    """The folder of the archive that everything lies in, with its slash."""
    roots = [name.removesuffix("data.pkl") for name in archive.namelist() if _is_pickle(name)]
    if len(roots) != 1:
        raise InvalidInputError("not a PyTorch zip checkpoint: it does not hold one data.pkl")
    return roots[0]


def _is_pickle(name):
    return name.count("/") == 1 and name.endswith("/data.pkl")


def _unpickle(content):
    """The checkpoint's dictionary, made of stand-ins and plain values."""
    try:
        # A damaged pickle can make Python allocate gigabytes before it fails; so parse it first.
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("PUT", "LONG_BINPUT") and (argument or 0) > len(content):
                raise InvalidInputError(f"the pickle is corrupt: {opcode.name} of {argument}")
        checkpoint = _Unpickler(io.BytesIO(content)).load()
    except InvalidInputError:
        raise
    except Exception as error:  # What a corrupt pickle raises is not bounded.
        raise InvalidInputError(f"the pickle is corrupt: {error}") from error
    if not isinstance(checkpoint, dict):
        raise InvalidInputError("the checkpoint is not a dictionary")
    return checkpoint


def _read_tensor(archive, root, name, tensor: Any) -> np.ndarray:
    """The values of a tensor, after checking every claim that the pickle makes about them."""
    match tensor:
        case _Tensor(
            arguments=(_Storage(key, length), int(offset), tuple(size), tuple(stride), *_)
        ) if all(isinstance(n, int) and n >= 0 for n in (length, offset, *size, *stride)):
            pass
        case _:
            raise InvalidInputError(f"{name} is not a tensor")
    steps = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    if len(stride) != len(size) or any(
        n > 1 and given != step for n, given, step in zip(size, stride, steps, strict=True)
    ):
        raise InvalidInputError(f"{name} is not contiguous: size {size}, stride {stride}")
    record = f"{root}data/{key}"
    if record not in archive.namelist():
        raise InvalidInputError(f"{name}: the archive lacks {record}")
    count, stored = math.prod(size), archive.getinfo(record).file_size
    if stored != 4 * length or offset + count > length:
        raise InvalidInputError(
            f"{name} claims {count} values from {offset} on of {length}; "
            f"{record} holds {stored} bytes"
        )
    values = np.frombuffer(archive.read(record), "<f4")[offset : offset + count].reshape(size)
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{name} holds NaN or infinity")
    return values
