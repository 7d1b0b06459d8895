"""Data sets by name: which source serves which name, and what is said about it."""

import h5py
import numpy as np
import pytest

from obd_jax import data
from obd_jax.data import d4rl
from obd_jax.data.cache import sha256
from obd_jax.types import InvalidInputError


def recording(rows=40, observation_size=11, action_size=3):
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(rows, observation_size)),
        "actions": rng.uniform(-1, 1, (rows, action_size)),
        "rewards": rng.normal(size=rows),
        "terminals": np.arange(rows) % 20 == 19,
        "timeouts": np.zeros(rows, bool),
    }


def write(path, fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in fields.items():
            file[name] = array
    return path


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """D4RL's folder, the cache and a server, all of them empty and on this machine."""
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "server" / "gym_mujoco_v2").mkdir(parents=True)
    return tmp_path


FILE = "hopper_medium_expert-v2.hdf5"


@pytest.mark.parametrize("name", ["hopper-medium-expert", "hopper-medium-expert-v2"])
@pytest.mark.parametrize("source", ["auto", "d4rl"])
def test_d4rls_own_file_is_used_where_it_is(folders, name, source):
    path = write(folders / "d4rl" / FILE, recording())
    notes = []
    loaded = data.load(name, source, note=notes.append)
    assert loaded.provenance.source == "d4rl"
    assert loaded.provenance.name == str(path)
    assert loaded.provenance.sha256 == sha256(path)
    assert loaded.provenance.environment == "Hopper-v2"
    assert len(loaded) == 39
    assert notes == ([f"data: D4RL's own file {path}"] if source == "auto" else [])


def test_d4rls_own_file_is_read_by_d4rls_own_rule(folders):
    fields = recording()
    fields["timeouts"] = np.arange(40) == 30
    more = {
        **fields,
        "next_observations": np.zeros((40, 11)),
        "dones": np.arange(40) == 3,
        "infos/qpos": np.zeros((40, 3)),
    }
    write(folders / "d4rl" / FILE, more)
    loaded = data.load("hopper-medium-expert-v2")
    kept = np.setdiff1d(np.arange(39), [30])
    observations = fields["observations"].astype(np.float32)
    np.testing.assert_array_equal(loaded.observations, observations[kept])
    np.testing.assert_array_equal(loaded.next_observations, observations[kept + 1])
    np.testing.assert_array_equal(loaded.terminals, fields["terminals"][kept])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 20, 30])


def test_without_it_the_data_are_embedded_and_that_is_said(folders):
    notes = []
    loaded = data.load("hopper-medium", rows=800, note=notes.append)
    assert loaded.provenance.source == "embedded"
    assert notes[0].startswith("data: embedded, by policies of this package (no ")
    assert "source=d4rl downloads it" in notes[0]
    assert not (folders / "d4rl").exists()


@pytest.mark.parametrize("source", ["auto", "embedded", "minari"])
def test_the_name_of_d4rls_file_is_never_another_data_set(folders, source):
    notes = []
    expected = (
        rf"hopper-medium-expert-v2 .* {folders / 'd4rl' / FILE}.*source=d4rl downloads"
        ".*hopper-medium-expert.*embedded"
    )
    with pytest.raises(InvalidInputError, match=expected):
        data.load("hopper-medium-expert-v2", source, note=notes.append)
    assert notes == []
    assert not (folders / "cache").exists()


def test_the_name_of_d4rls_file_that_cannot_be_recorded_offers_no_recording(folders):
    with pytest.raises(InvalidInputError, match=r"source=d4rl downloads it$"):
        data.load("ant-medium-v2")


@pytest.mark.parametrize("source", ["embedded", "minari"])
def test_d4rls_file_is_not_read_as_another_source(folders, source):
    write(folders / "d4rl" / FILE, recording())
    with pytest.raises(InvalidInputError, match="hopper-medium-expert-v2 is D4RL's own file"):
        data.load("hopper-medium-expert-v2", source)


@pytest.mark.parametrize("name", ["ant-medium", "hopper-full-replay"])
def test_what_cannot_be_had_without_a_download_says_how_it_can(folders, name):
    with pytest.raises(
        InvalidInputError, match=r"is missing \(source=d4rl downloads it\), and data set .* cannot"
    ):
        data.load(name)


def test_a_missing_file_is_downloaded_when_asked_for(folders, monkeypatch, server_of):
    written = write(folders / "server" / "gym_mujoco_v2" / FILE, recording())
    monkeypatch.setenv("OBD_JAX_D4RL_URL", server_of(folders / "server"))
    notes, seen = [], []
    loaded = data.load(
        "hopper-medium-expert",
        "d4rl",
        note=notes.append,
        progress=lambda label: lambda *args: seen.append((label, *args)),
    )
    path = folders / "d4rl" / FILE
    assert path.read_bytes() == written.read_bytes()
    assert loaded.provenance.name == str(path)
    assert notes == [f"downloading {d4rl.url_of('hopper-medium-expert')} to {path}"]
    size = written.stat().st_size
    assert seen[-1] == (f"{FILE}, bytes", size, size)
    data.load("hopper-medium-expert", note=notes.append)
    assert len(notes) == 2
    assert notes[1].startswith("data: D4RL's own file")


def test_a_file_without_what_is_needed_is_not_kept(folders, monkeypatch, server_of):
    fields = recording()
    del fields["rewards"]
    write(folders / "server" / "gym_mujoco_v2" / FILE, fields)
    monkeypatch.setenv("OBD_JAX_D4RL_URL", server_of(folders / "server"))
    with pytest.raises(InvalidInputError, match=r"not the file expected: .*lacks rewards"):
        data.load("hopper-medium-expert", "d4rl")
    assert not list((folders / "d4rl").rglob("*.hdf5"))


def test_addresses_are_d4rls_unless_a_mirror_is_given(monkeypatch):
    monkeypatch.delenv("OBD_JAX_D4RL_URL", raising=False)
    assert d4rl.url_of("walker2d-medium-replay") == (
        "http://rail.eecs.berkeley.edu/datasets/offline_rl/gym_mujoco_v2/"
        "walker2d_medium_replay-v2.hdf5"
    )
    monkeypatch.setenv("OBD_JAX_D4RL_URL", "https://mirror.example/d4rl/")
    assert d4rl.url_of("ant-medium-v2") == (
        "https://mirror.example/d4rl/gym_mujoco_v2/ant_medium-v2.hdf5"
    )


def test_d4rls_folder_is_the_one_of_d4rl(monkeypatch):
    monkeypatch.delenv("D4RL_DATASET_DIR", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert str(d4rl.default_folder()) == "/home/me/.d4rl/datasets"
    # What D4RL's own code says of the variable: the folder that holds the files.
    monkeypatch.setenv("D4RL_DATASET_DIR", "/data/d4rl")
    assert str(d4rl.default_folder()) == "/data/d4rl"
    monkeypatch.setenv("D4RL_DATASET_DIR", "~/d4rl")
    assert str(d4rl.default_folder()) == "/home/me/d4rl"


@pytest.mark.parametrize("suffix", [".hdf5", ".h5"])
def test_an_hdf5_file_by_its_path(tmp_path, suffix):
    path = write(tmp_path / f"mine{suffix}", recording(observation_size=5, action_size=2))
    loaded = data.load(str(path))
    assert (loaded.observation_size, loaded.action_size) == (5, 2)
    assert loaded.provenance.environment is None


def test_an_npz_file_of_observations_and_actions_alone(tmp_path):
    fields = recording(observation_size=27, action_size=8)
    np.savez(tmp_path / "ant.npz", observations=fields["observations"], actions=fields["actions"])
    loaded = data.load(str(tmp_path / "ant.npz"))
    np.testing.assert_array_equal(loaded.actions, fields["actions"][:-1].astype(np.float32))
    assert len(loaded.episode_returns) == 0
    assert loaded.provenance.source == "npz"
    assert loaded.provenance.sha256 == sha256(tmp_path / "ant.npz")


def test_an_npz_file_of_everything_keeps_its_rows(tmp_path):
    fields = recording()
    following = np.roll(fields["observations"], -1, axis=0)
    np.savez(tmp_path / "data.npz", next_observations=following, other=np.zeros(3), **fields)
    loaded = data.load_file(tmp_path / "data.npz")
    assert len(loaded) == 40
    np.testing.assert_array_equal(loaded.next_observations, following.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"no archive", "not an npz file"),
        (b"", "not an npz file"),
        ({"observations": np.zeros((4, 2))}, "lacks actions; known: .*; found observations"),
        (
            {"observations": np.full((4, 2), np.nan), "actions": np.zeros((4, 1))},
            "observations are NaN",
        ),
        (
            {"observations": np.array([{}, {}], object), "actions": np.zeros((2, 1))},
            "not an npz file: Object arrays",
        ),
    ],
)
def test_an_npz_file_that_cannot_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "data.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(InvalidInputError, match=rf"data\.npz: .*{message}|data\.npz: {message}"):
        data.load(str(path))


def test_an_npz_file_damaged_anywhere_is_refused_or_read(tmp_path):
    fields = recording()
    np.savez_compressed(tmp_path / "whole.npz", **fields)
    whole = (tmp_path / "whole.npz").read_bytes()
    generator, refused = np.random.default_rng(0), 0
    for _ in range(60):
        content = bytearray(whole)
        for place in generator.integers(len(content), size=20):
            content[place] = generator.integers(256)
        (tmp_path / "data.npz").write_bytes(content)
        try:
            data.load(str(tmp_path / "data.npz"))
        except InvalidInputError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hopper-medium", {"source": "hub"}, "unknown source 'hub'; known: auto, d4rl, embedded"),
        ("hopper", {}, "unknown data set 'hopper'; known are"),
        ("mine.npz", {"source": "d4rl"}, "mine.npz is a file and not a data set of d4rl"),
        ("a/b-v0", {"source": "embedded"}, "a/b-v0 is an id of Minari's"),
        ("hopper-medium", {"source": "d4rl", "rows": 5}, "can be chosen for embedded data"),
        ("mine.npz", {"rows": 5}, "can be chosen for embedded data, not for mine.npz"),
    ],
)
def test_what_does_not_fit_together_is_refused(folders, name, options, message):
    with pytest.raises(InvalidInputError, match=message):
        data.load(name, **options)
