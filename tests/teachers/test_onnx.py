"""Policies in ONNX files; skipped where ONNX and its runtime are not installed."""

import sys

import numpy as np
import pytest

from obd_jax import data, distill, teachers
from obd_jax.teachers import load_file
from obd_jax.types import InvalidInputError


def write(path, rows="batch", columns=3, kind="FLOAT"):
    """A policy that acts by tanh of the first two observations."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, proto = onnx.helper, onnx.TensorProto
    weights = np.eye(3, 2).astype(np.float32 if kind == "FLOAT" else np.float64)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["observations", "weights"], ["latent"]),
            helper.make_node("Tanh", ["latent"], ["actions"]),
        ],
        "policy",
        [helper.make_tensor_value_info("observations", getattr(proto, kind), [rows, columns])],
        [helper.make_tensor_value_info("actions", getattr(proto, kind), [rows, 2])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def recording():
    rng = np.random.default_rng(0)
    return data.from_arrays(rng.normal(size=(20, 3)), rng.uniform(-1, 1, (20, 2)))


@pytest.mark.parametrize(("rows", "kind"), [("batch", "FLOAT"), (1, "FLOAT"), ("batch", "DOUBLE")])
def test_a_policy_in_a_file_is_a_teacher(tmp_path, rows, kind):
    path, offline = write(tmp_path / "policy.onnx", rows=rows, kind=kind), recording()
    teacher = teachers.teacher_of(path, offline)
    assert (teacher.provenance.source, teacher.provenance.name) == ("onnx", str(path))
    targets = distill.pbc(offline, data.normalizer(offline.observations), teacher)
    np.testing.assert_allclose(targets.actions, np.tanh(offline.observations[:, :2]), atol=1e-6)


def test_unusable_files_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="takes batches of 8 only"):
        load_file(write(tmp_path / "eight.onnx", rows=8))
    (tmp_path / "text.onnx").write_text("no policy")
    with pytest.raises(InvalidInputError, match=r"text.onnx: not an ONNX file"):
        load_file(tmp_path / "text.onnx")
    with pytest.raises(InvalidInputError, match=r"absent.onnx: cannot be read"):
        load_file(tmp_path / "absent.onnx")


def test_without_the_runtime_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidInputError, match=r"ONNX policies need onnxruntime.*obd-jax\[onnx\]"):
        load_file("policy.onnx")
