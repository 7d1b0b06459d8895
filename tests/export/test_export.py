"""Exports of distilled sets, read back by the other side's own library."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import obd_jax
from obd_jax import artefacts, students
from obd_jax.data import load_file
from obd_jax.export import FORMATS
from obd_jax.export.pairs import name_of, pairs_of
from obd_jax.pipeline.export import ExportSettings, export
from obd_jax.students import (
    KERNELS,
    KernelRecipe,
    LazyMLPRecipe,
    MLPRecipe,
    RandomFeaturesRecipe,
)
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

ROOT = pathlib.Path(__file__).resolve().parents[2]


def distilled(recipe=None, pairs=20, name="runs/my data.hdf5"):
    rng = np.random.default_rng(0)
    synthetic = SyntheticData(
        jnp.asarray(rng.normal(size=(pairs, 5)), jnp.float32),
        jnp.asarray(rng.uniform(-1, 1, (pairs, 3)), jnp.float32),
    )
    normalizer = Normalizer(
        jnp.asarray(rng.normal(size=5), jnp.float32),
        jnp.asarray(rng.uniform(0.5, 2, 5), jnp.float32),
    )
    card = {
        "provenance": {"data": {"source": "npz", "name": name, "sha256": "ab"}, "seed": 3},
        "student": students.to_card(recipe or KernelRecipe()),
    }
    return artefacts.DistilledSet(synthetic, normalizer, card)


@pytest.fixture
def run(tmp_path):
    """A run folder with a set."""
    folder = tmp_path / "run"
    folder.mkdir()
    artefacts.save(folder, distilled())
    return folder


def written(run, name, out, **options):
    return export(str(run), ExportSettings(format=name, out=str(out), **options))


PAIRS = pairs_of(distilled())


def test_d4rl_is_read_by_h5py_and_by_our_own_reader(run, tmp_path):
    path = tmp_path / "set.hdf5"
    usage = written(run, "d4rl", path)
    assert str(path) in usage
    with h5py.File(path) as file:
        # What `d4rl.qlearning_dataset` and `get_dataset` take for granted.
        shapes = {key: (file[key].shape, file[key].dtype.kind) for key in file}
        assert shapes == {
            "observations": ((20, 5), "f"),
            "next_observations": ((20, 5), "f"),
            "actions": ((20, 3), "f"),
            "rewards": ((20,), "f"),
            "terminals": ((20,), "b"),
            "timeouts": ((20,), "b"),
        }
        np.testing.assert_array_equal(file["observations"], PAIRS.observations)
        np.testing.assert_array_equal(file["actions"], PAIRS.actions)
        assert file["terminals"][()].all()
        assert not file["timeouts"][()].any()
        assert json.loads(file.attrs["card"])["provenance"]["seed"] == 3
    data = load_file(path, note=lambda line: None)
    np.testing.assert_array_equal(data.observations, PAIRS.observations)
    np.testing.assert_array_equal(data.actions, PAIRS.actions)


def test_minari_reads_its_data_set(run, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "mine"))
    usage = written(run, "minari", tmp_path / "store")
    assert os.environ["MINARI_DATASETS_PATH"] == str(tmp_path / "mine")
    assert f"{tmp_path / 'store'} " in usage
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    assert [*minari.list_local_datasets()] == ["distilled/my-data-v0"]
    dataset = minari.load_dataset("distilled/my-data-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (20, 20)
    assert "20 synthetic pairs" in dataset.storage.metadata["description"]
    for number, episode in enumerate(dataset.iterate_episodes()):
        np.testing.assert_array_equal(episode.observations, PAIRS.observations[[number, number]])
        np.testing.assert_array_equal(episode.actions, PAIRS.actions[[number]])
        assert (episode.terminations.all(), episode.truncations.any()) == (True, False)
    data = obd_jax.data.load("distilled/my-data-v0")
    np.testing.assert_array_equal(data.observations, PAIRS.observations)


def test_the_hub_reads_the_card_and_arrow_the_table(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    hub = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "set"
    folder.mkdir()  # Empty, so that it may be there.
    written(run, "huggingface", folder)
    card = hub.DatasetCard.load(folder / "README.md", ignore_metadata_errors=False)
    about = card.data.to_dict()
    assert about["pretty_name"] == "my-data, distilled"
    assert about["task_categories"] == ["reinforcement-learning"]
    assert about["size_categories"] == ["n<1K"]
    ((config,),) = [about["configs"]]
    (files,) = config["data_files"]
    table = parquet.read_table(folder / files["path"])
    for name, array in zip(("observation", "action"), PAIRS[:2], strict=True):
        np.testing.assert_array_equal(table.column(name).to_pylist(), array)
    again = obd_jax.load_distilled(folder)
    np.testing.assert_array_equal(again.synthetic.actions, distilled().synthetic.actions)
    assert '"seed": 3' in card.text


RECIPES = {
    **{name: KernelRecipe(kernel=name, depth=2, length_scale=1.3) for name in KERNELS},
    "ntk without biases": KernelRecipe(bias_scale=0.0),
    "mlp": MLPRecipe(hidden_sizes=(16, 16), steps=20),
    "centred and residual": MLPRecipe(
        hidden_sizes=(16, 16, 8), steps=20, centred=True, residual=True
    ),
    "random features": RandomFeaturesRecipe(hidden_sizes=(16, 24)),
    "lazy": LazyMLPRecipe(depth=2, steps=20),
}

ACT = """
import sys
import numpy as np
from policy import act

assert not {"jax", "obd_jax", "scipy"} & {*sys.modules}
observations = np.load("observations.npy")
actions = act(observations)
assert actions.dtype == np.float32
np.testing.assert_array_equal(act(observations[0, 0]).shape, actions.shape[2:])
np.testing.assert_allclose(act(observations[0].tolist()), actions[0], atol=1e-6)
try:
    act(observations[..., :-1])
except ValueError as error:
    assert "[..., 5] is needed" in str(error)
else:
    raise AssertionError
np.save("actions.npy", actions)
"""


@pytest.mark.parametrize("name", RECIPES)
def test_the_numpy_policy_acts_like_the_student_without_the_package(tmp_path, name):
    made = distilled(RECIPES[name])
    (tmp_path / "run").mkdir()
    artefacts.save(tmp_path / "run", made)
    folder = tmp_path / "policy"
    written(tmp_path / "run", "numpy", folder, seed=1)
    assert sorted(path.name for path in folder.iterdir()) == ["policy.npz", "policy.py"]
    rng = np.random.default_rng(1)
    # States of the set itself too, where kernels of ReLU networks have a kink.
    near = 2 * rng.normal(size=(20, 5))
    observations = np.stack([PAIRS.observations, near.astype(np.float32)])
    np.save(folder / "observations.npy", observations)
    subprocess.run([sys.executable, "-c", ACT], cwd=folder, check=True, timeout=60)
    actions = np.load(folder / "actions.npy")
    expected = artefacts.load(tmp_path / "run").policy(jax.random.key(1))(observations)
    # At the kink, where states coincide, float32 loses half of its digits.
    np.testing.assert_allclose(actions[0], expected[0], atol=5e-4)
    np.testing.assert_allclose(actions[1], expected[1], atol=5e-5)
    assert np.abs(actions).max() > 0.1


def test_states_in_many_chunks(tmp_path, run):
    written(run, "numpy", tmp_path / "policy")
    observations = np.random.default_rng(0).normal(size=(5000, 5))
    code = "import numpy, policy; o = numpy.load('o.npy'); numpy.save('a.npy', policy.act(o))"
    np.save(tmp_path / "policy/o.npy", observations)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "policy", check=True, timeout=60)
    actions = np.load(tmp_path / "policy/a.npy")
    assert actions.shape == (5000, 3)
    expected = artefacts.load(run).policy()(observations[[0, 4095, 4096, 4999]])
    np.testing.assert_allclose(actions[[0, 4095, 4096, 4999]], expected, atol=5e-5)


def test_actions_beyond_the_bounds_are_clipped():
    made = distilled()
    wide = made.synthetic._replace(actions=2 * made.synthetic.actions)
    assert np.abs(pairs_of(dataclasses.replace(made, synthetic=wide)).actions).max() == 1


@pytest.fixture
def bounded(tmp_path):
    """A run folder with a set whose actions stand for others."""
    made, folder = distilled(), tmp_path / "bounded"
    folder.mkdir()
    bounds = {"low": [-2.0, 0.0, -1.0], "high": [2.0, 10.0, 1.0]}
    provenance = {**made.card["provenance"], "action_bounds": bounds}
    made = dataclasses.replace(made, card={**made.card, "provenance": provenance})
    artefacts.save(folder, made)
    return folder


CENTER, HALF = np.array([0.0, 5.0, 0.0]), np.array([2.0, 5.0, 1.0])


def test_pairs_are_in_the_units_of_the_environment(bounded, tmp_path, monkeypatch):
    expected = PAIRS.actions * HALF + CENTER
    found = pairs_of(artefacts.load(bounded))
    np.testing.assert_allclose(found.actions, expected, atol=1e-6)
    written(bounded, "d4rl", tmp_path / "pairs.hdf5")
    with h5py.File(tmp_path / "pairs.hdf5") as file:
        np.testing.assert_array_equal(file["actions"], found.actions)
    loaded = load_file(tmp_path / "pairs.hdf5", action_bounds=found.bounds, note=lambda _: None)
    np.testing.assert_allclose(loaded.actions, PAIRS.actions, atol=1e-6)
    written(bounded, "huggingface", tmp_path / "hub")
    card = (tmp_path / "hub/README.md").read_text()
    assert "3 numbers in [-2, 2] x [0, 10] x [-1, 1] |" in card
    written(bounded, "minari", tmp_path / "store")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    import minari

    space = minari.load_dataset("distilled/my-data-v0").spec.action_space
    np.testing.assert_array_equal(space.high, [2, 10, 1])


@pytest.mark.parametrize("recipe", [KernelRecipe(), MLPRecipe((8,), 3)])
def test_the_numpy_policy_acts_in_the_units_of_the_environment(bounded, tmp_path, recipe):
    made = artefacts.load(bounded)
    card = {**made.card, "student": students.to_card(recipe)}
    artefacts.save(bounded, dataclasses.replace(made, card=card))
    folder = tmp_path / "policy"
    written(bounded, "numpy", folder)
    observations = 2 * np.random.default_rng(1).normal(size=(2, 10, 5)).astype(np.float32)
    np.save(folder / "observations.npy", observations)
    subprocess.run([sys.executable, "-c", ACT], cwd=folder, check=True, timeout=60)
    actions = np.load(folder / "actions.npy")
    np.testing.assert_allclose(actions, artefacts.load(bounded).policy()(observations), atol=5e-4)
    assert actions[..., 1].min() >= 0
    assert actions[..., 1].max() > 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("runs/my data.hdf5", "my-data"),
        ("hopper-medium, 1000 rows, seed 0", "hopper-medium-1000-rows-seed-0"),
        ("mujoco/hopper/medium-v0", "medium-v0"),
        ("...", "data"),
        ("", "data"),
    ],
)
def test_a_set_is_called_as_its_data(name, expected):
    assert name_of(distilled(name=name)) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_there_is_not_overwritten(run, tmp_path, name):
    out = tmp_path / "out"
    if FORMATS[name].is_folder:
        out.mkdir()
        (out / "mine").write_text("kept")
    else:
        out.write_text("kept")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError, match=r"out .*out exists already; give a new"):
        written(run, name, out)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError, match=r"need pyarrow, .* 'obd-jax\[parquet\]'"):
        written(run, "huggingface", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(InvalidInputError, match=r"need minari, .* 'obd-jax\[minari\]'"):
        written(run, "minari", tmp_path / "out")
    with pytest.raises(InvalidInputError, match=r"out .*absent/out cannot be written"):
        written(run, "d4rl", tmp_path / "absent/out")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command(run, tmp_path):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "experiments/export_set.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )

    done = command(run / "distilled.npz", "--format=d4rl", f"--out={tmp_path / 'a.hdf5'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"written to {tmp_path / 'a.hdf5'}\n")
    assert (tmp_path / "a.hdf5").exists()
    for arguments, message in (
        ([run, "--out=b"], "--format and --out are required"),
        ([run, "--out=b", "--format=onnx"], "unknown format 'onnx'; known: minari, d4rl, "),
        (["--out=b", "--format=d4rl"], "one run folder or distilled.npz is needed, got 0"),
        (["/absent", "--out=b", "--format=d4rl"], "no distilled set at /absent"),
    ):
        done = command(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {message}")
        assert done.stderr.count("\n") == 1
