"""Policies in ONNX files as teachers."""

import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from obd_jax.extras import require
from obd_jax.teachers.functions import Functions
from obd_jax.types import InvalidInputError, Provenance

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def load_onnx(path: str | os.PathLike) -> Functions:
    """A policy from an ONNX file: its one input are raw observations, its first output actions.

    Files that were exported for a single observation are run for one after another.

    Raises:
        InvalidInputError: ONNX Runtime is not installed, no such file, not a policy.
    """
    runtime: Any = require("onnxruntime", "onnx", "ONNX policies")
    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its errors have no class of their own.
        raise InvalidInputError(f"{path}: not an ONNX file: {error}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].type not in _TYPES:
        shown = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise InvalidInputError(
            f"{path}: takes {shown}; one input of observations [batch, D], float or double, is "
            "needed"
        )
    (observations,), output = inputs, session.get_outputs()[0].name
    rows = observations.shape[0]
    if isinstance(rows, int) and rows != 1:
        raise InvalidInputError(f"{path}: takes batches of {rows} only; export it with a free size")

    def act(states: Any) -> np.ndarray:
        batch = np.asarray(states, _TYPES[observations.type])
        parts = np.split(batch, len(batch)) if rows == 1 else [batch]
        found = [session.run([output], {observations.name: part})[0] for part in parts]
        return np.concatenate(found)

    digest = hashlib.sha256(content).hexdigest()
    return Functions(act, provenance=Provenance("onnx", str(path), digest))
