"""Files: HDF5 in D4RL's layout and npz, and files that cannot be read."""

import hashlib
import sys

import h5py
import numpy as np
import pytest

from obd_jax import environments
from obd_jax.data import from_arrays, load_file
from obd_jax.environments import normalized_score
from obd_jax.types import InvalidInputError


def recording(rows=20):
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(rows, 4)),
        "actions": rng.uniform(-1, 1, (rows, 2)),
        "rewards": rng.normal(size=rows),
        "terminals": np.arange(rows) == 6,
        "timeouts": np.arange(rows) == 12,
    }


def write(path, fields):
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            file[name] = value
    return path


def assert_same_transitions(left, right):
    for name in (
        "observations",
        "actions",
        "rewards",
        "next_observations",
        "terminals",
        "episode_starts",
        "episode_returns",
    ):
        assert getattr(left, name).dtype == getattr(right, name).dtype
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_a_file_holds_the_transitions_of_its_arrays(tmp_path):
    fields = recording()
    path = write(tmp_path / "any name", fields)
    data = load_file(path)
    assert_same_transitions(data, from_arrays(**fields))
    assert len(data) == 18
    assert data.provenance.name == str(path)
    assert data.provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_columns_and_numeric_flags_read_like_rows_of_bool(tmp_path):
    fields = recording()
    columns = {
        **fields,
        "rewards": fields["rewards"][:, None],
        "terminals": fields["terminals"].astype(np.float32)[:, None],
        "timeouts": fields["timeouts"].astype(np.int8),
    }
    assert_same_transitions(
        load_file(write(tmp_path / "a", fields)), load_file(write(tmp_path / "b", columns))
    )


def loaders(tmp_path, fields):
    """The same arrays from memory, HDF5 and npz."""
    np.savez(tmp_path / "data.npz", **fields)
    write(tmp_path / "data.hdf5", fields)
    return (
        lambda note: from_arrays(**fields, note=note),
        lambda note: load_file(tmp_path / "data.hdf5", note=note),
        lambda note: load_file(tmp_path / "data.npz", note=note),
    )


@pytest.mark.parametrize("kind", ["in order", "shuffled", "none"])
def test_the_same_arrays_are_the_same_data_from_memory_and_files(tmp_path, kind):
    fields = recording(40)
    if kind != "none":
        following = np.concatenate([fields["observations"][1:], np.ones((1, 4))])
        following[[6, 12]] = 2.0
        fields["next_observations"] = following
    if kind == "shuffled":
        order = np.random.default_rng(1).permutation(40)
        fields = {name: array[order] for name, array in fields.items()}
    notes = []
    first, *others = (load(notes.append) for load in loaders(tmp_path, fields))
    for other in others:
        assert_same_transitions(other, first)
    if kind != "none":
        np.testing.assert_array_equal(
            first.next_observations, fields["next_observations"].astype(np.float32)
        )
    assert len(first) == (38 if kind == "none" else 40)
    assert len({note.split(": ", 1)[1] for note in notes}) == (kind == "shuffled")


def test_other_members_are_ignored(tmp_path):
    fields = recording()
    more = {**fields, "infos/qpos": np.zeros((20, 3)), "other": np.zeros(3)}
    assert_same_transitions(
        load_file(write(tmp_path / "a", fields)), load_file(write(tmp_path / "b", more))
    )


@pytest.mark.parametrize("suffix", ["hdf5", "npz"])
def test_next_observations_of_another_length_are_not_used_and_that_is_said(tmp_path, suffix):
    fields = recording()
    more = {**fields, "next_observations": fields["observations"][1:]}
    path, notes = tmp_path / f"data.{suffix}", []
    write(path, more) if suffix == "hdf5" else np.savez(path, **more)
    assert_same_transitions(load_file(path, note=notes.append), from_arrays(**fields))
    (note,) = notes
    assert "next_observations have shape (19, 4), observations (20, 4): not used" in note


def test_timeouts_may_be_missing(tmp_path):
    fields = recording()
    del fields["timeouts"]
    data = load_file(write(tmp_path / "a", fields))
    assert len(data) == 19
    np.testing.assert_array_equal(data.episode_starts, [0, 7])
    np.testing.assert_allclose(data.episode_returns, [fields["rewards"][:7].sum()])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"absent\.hdf5: cannot be read: No such file"):
        load_file(tmp_path / "absent.hdf5")


def test_a_folder_of_no_known_layout_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInputError, match=r"no known layout; found notes\.txt; known: "):
        load_file(tmp_path)


def test_a_file_of_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "data.pkl").write_bytes(b"\x80\x04 something")
    with pytest.raises(InvalidInputError, match=r"data\.pkl: neither HDF5, npz nor Parquet"):
        load_file(tmp_path / "data.pkl")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = write(tmp_path / "data.hdf5", recording())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInputError, match=r"data\.hdf5: not an HDF5 file, or truncated") as e:
        load_file(path)
    assert "\n" not in str(e.value)


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        for name, value in recording(2000).items():
            file.create_dataset(name, data=value, compression="gzip", chunks=True)
        at = file["observations"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at : at + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="not an HDF5 file, or truncated"):
        load_file(path)


def test_a_missing_key_is_refused_with_those_found_and_needed(tmp_path):
    fields = recording()
    del fields["rewards"], fields["timeouts"]
    fields["infos/qpos"] = np.zeros(3)
    path = write(tmp_path / "data.hdf5", fields)
    expected = (
        "lacks rewards; needed: observations, actions, rewards, terminals; "
        "found actions, infos, observations, terminals; other known layouts: robomimic"
    )
    with pytest.raises(InvalidInputError, match=expected):
        load_file(path)


def test_a_virtual_data_set_without_its_source_is_refused(tmp_path):
    """HDF5 reads it as zeros."""
    fields = recording()
    shape = fields["observations"].shape
    write(tmp_path / "source.hdf5", {"observations": fields.pop("observations")})
    layout = h5py.VirtualLayout(shape=shape, dtype="f8")
    layout[:] = h5py.VirtualSource("source.hdf5", "observations", shape=shape)
    path = write(tmp_path / "data.hdf5", fields)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("observations", layout)
    loaded = load_file(path)
    assert np.abs(loaded.observations).max() > 0
    (tmp_path / "source.hdf5").unlink()
    with pytest.raises(InvalidInputError, match=r"virtual data set whose source source\.hdf5"):
        load_file(path)


def test_a_compression_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    fields = recording()
    observations = fields.pop("observations")
    path = write(tmp_path / "data.hdf5", fields)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(observations.shape)
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    with h5py.File(path, "a") as file:
        space = h5py.h5s.create_simple(observations.shape)
        h5py.h5d.create(file.id, b"observations", h5py.h5t.NATIVE_FLOAT, space, creation)
    with pytest.raises(InvalidInputError, match=r"filter 32015 .*`pip install hdf5plugin`"):
        load_file(path)


def test_unusable_contents_are_refused_by_path(tmp_path):
    fields = recording()
    fields["observations"][3, 2] = np.nan
    path = write(tmp_path / "data.hdf5", fields)
    with pytest.raises(InvalidInputError, match=r"data\.hdf5: observations are NaN .* row 3"):
        load_file(path)


@pytest.mark.parametrize("value", ["text", 3.0, h5py.Empty("f4")])
def test_members_that_are_not_arrays_are_refused(tmp_path, value):
    path = write(tmp_path / "data.hdf5", {**recording(), "rewards": value})
    with pytest.raises(InvalidInputError, match="rewards have"):
        load_file(path)


# Episodes, rows, mean and standard deviation of the scores: README of the shared data.
@pytest.mark.parametrize(
    ("name", "transitions", "episodes", "mean", "std"),
    [
        ("hopper-medium", 100_000 - 10, 210, 47.1, 12.1),
        ("walker2d-medium-expert", 100_000 - 100, 101, 105.5, 9.5),
        ("halfcheetah-medium", 100_000 - 100, 100, 45.1, 0.9),
    ],
)
def test_real_files_have_their_published_episodes_and_scores(
    shared_data, name, transitions, episodes, mean, std
):
    data = load_file(shared_data / "calql_rollouts" / f"{name}.hdf5")
    assert len(data) == transitions
    assert len(data.episode_starts) == len(data.episode_returns) == episodes
    scores = normalized_score(environments.parse_dataset(name)[0], data.episode_returns)
    np.testing.assert_allclose([scores.mean(), scores.std()], [mean, std], atol=0.05)
    # Within an episode each row's next observation is the next row's observation.
    inside = np.setdiff1d(np.arange(len(data) - 1), data.episode_starts - 1)
    np.testing.assert_array_equal(data.next_observations[inside], data.observations[inside + 1])
