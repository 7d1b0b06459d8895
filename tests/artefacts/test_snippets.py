"""Code to copy acts from a set."""

import numpy as np
import pytest

from obd_jax import artefacts, students
from obd_jax.artefacts import snippets
from obd_jax.artefacts.snippets import EXPORT, JAX, NUMPY, PYTORCH
from obd_jax.types import Normalizer, SyntheticData
from tests.docs.pages import DOCS, python_blocks, run

STATES = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(16, 3)).astype(np.float32)
    pairs = SyntheticData(states, np.tanh(states[:, :2]).astype(np.float32))
    normalizer = Normalizer(np.full(3, 0.5, np.float32), np.full(3, 2.0, np.float32))
    card = {"student": students.to_card(students.KernelRecipe("ntk", 3, 0.3, 1e-3, 1.0))}
    artefacts.save(tmp_path, artefacts.DistilledSet(pairs, normalizer, card))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numpy_and_jax_are_the_student_of_the_set(folder):
    expected = artefacts.load(folder).policy()(STATES)
    for code in (NUMPY, JAX):
        np.testing.assert_allclose(run(code, "snippet")["policy"](STATES), expected, atol=2e-4)


def test_pytorch_fits_the_pairs(folder):
    pytest.importorskip("torch", reason="PyTorch is not among the requirements")
    with np.load("distilled.npz") as file:
        states, actions = file["observations"], file["actions"]
    assert np.abs(run(PYTORCH, "snippet")["policy"](states) - actions).mean() < 0.1


def test_they_are_those_of_the_documentation():
    blocks = python_blocks(DOCS / "use_a_set.md")
    assert NUMPY in blocks
    assert PYTORCH in blocks
    compile(PYTORCH, "snippet", "exec")


@pytest.mark.parametrize(
    ("student", "numpy"),
    [
        ({"name": "kernel", "kernel": "ntk"}, NUMPY),
        ({"name": "kernel", "kernel": "rbf"}, EXPORT),
        ({"name": "mlp"}, EXPORT),
    ],
)
def test_the_code_for_numpy_is_that_of_the_student(student, numpy):
    found = snippets({"student": student})
    assert [snippet.code for snippet in found] == [numpy, PYTORCH, JAX]
    assert ("another student" in found[1].note) == (student["name"] != "mlp")
