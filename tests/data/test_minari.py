"""Data sets written by Minari itself into a store of its own, both of its formats."""

import sys
import warnings

import gymnasium
import numpy as np
import pytest

from obd_jax import data, environments
from obd_jax.data.minari import minari_ids
from obd_jax.types import InvalidInputError

minari = pytest.importorskip("minari")

from minari.data_collector import EpisodeBuffer  # noqa: E402


def episodes(observation_size=11, action_size=3, count=3, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        steps = 10 + number
        ended = np.zeros(steps, bool)
        ended[-1] = number != 1  # The second one runs out of time, as Minari marks it.
        made.append(
            EpisodeBuffer(
                id=number,
                observations=rng.normal(size=(steps + 1, observation_size)),
                actions=rng.uniform(-1, 1, (steps, action_size)).astype(np.float32),
                rewards=rng.normal(size=steps).tolist(),
                terminations=ended.tolist(),
                truncations=[*[False] * (steps - 1), number == 1],
            )
        )
    return made


def create(dataset_id, buffers, data_format="hdf5", env="Hopper-v5", **others):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants an author, a description and more.
        made = gymnasium.make(env) if env else None
        minari.create_dataset_from_buffers(
            dataset_id, buffers, env=made, data_format=data_format, **others
        )
        if made:
            made.close()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    # Nothing is fetched, and a test that tries fails at once.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_every_row_of_every_episode_is_read(store, data_format):
    buffers = episodes()
    create("mujoco/hopper/medium-v0", buffers, data_format)
    loaded = data.load("mujoco/hopper/medium-v0")
    assert len(loaded) == 10 + 11 + 12
    observations = np.concatenate([buffer.observations[:-1] for buffer in buffers])
    following = np.concatenate([buffer.observations[1:] for buffer in buffers])
    np.testing.assert_array_equal(loaded.observations, observations.astype(np.float32))
    np.testing.assert_array_equal(loaded.next_observations, following.astype(np.float32))
    actions = np.concatenate([buffer.actions for buffer in buffers])
    np.testing.assert_array_equal(loaded.actions, actions)
    np.testing.assert_array_equal(np.flatnonzero(loaded.terminals), [9, 32])
    np.testing.assert_array_equal(loaded.episode_starts, [0, 10, 21])
    np.testing.assert_allclose(
        loaded.episode_returns, [np.sum(buffer.rewards) for buffer in buffers]
    )
    assert loaded.provenance.source == "minari"
    assert loaded.provenance.name == "mujoco/hopper/medium-v0"
    assert loaded.provenance.environment == "Hopper-v5"
    assert environments.get("Hopper-v5").gymnasium_id == "Hopper-v5"


def test_both_formats_hold_the_same_data(store):
    for data_format in ("hdf5", "arrow"):
        create(f"mine/{data_format}-v0", episodes(), data_format)
    first, second = data.load("mine/hdf5-v0"), data.load("mine/arrow-v0")
    np.testing.assert_array_equal(first.observations, second.observations)
    np.testing.assert_array_equal(first.rewards, second.rewards)


def test_medium_expert_is_composed_of_both(store):
    create("mujoco/hopper/medium-v0", episodes(seed=0))
    create("mujoco/hopper/expert-v0", episodes(seed=1))
    loaded = data.load("hopper-medium-expert", "minari")
    parts = [data.load(f"mujoco/hopper/{kind}-v0") for kind in ("medium", "expert")]
    np.testing.assert_array_equal(
        loaded.observations, np.concatenate([part.observations for part in parts])
    )
    assert loaded.provenance.name == "mujoco/hopper/medium-v0 + mujoco/hopper/expert-v0"
    assert len(loaded.episode_starts) == 6
    hashes = {part.provenance.sha256 for part in [loaded, *parts]}
    assert len(hashes) == 3


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_reference_scores_are_read_where_there_are_some(store, data_format):
    create("mine/plain-v0", episodes(), data_format)
    create("mine/scored-v0", episodes(), data_format, ref_min_score=-20.0, ref_max_score=300)
    notes = []
    assert data.load("mine/plain-v0", note=notes.append).reference_returns is None
    scored = data.load("mine/scored-v0", note=notes.append)
    assert scored.reference_returns == (-20.0, 300.0)
    assert notes == []
    # As Minari itself normalises.
    spec = environments.get("Hopper-v5", reference_returns=scored.reference_returns)
    expected = minari.get_normalized_score(minari.load_dataset("mine/scored-v0"), np.array([40.0]))
    np.testing.assert_allclose(environments.normalized_score(spec, [40.0]), 100 * expected)


@pytest.mark.parametrize(
    ("low", "high"), [(float("nan"), 1.0), (0.0, float("inf")), (2.0, 2.0), (3.0, 2.0)]
)
def test_reference_scores_that_cannot_be_used_are_said(store, low, high):
    create("mine/odd-v0", episodes(), ref_min_score=low, ref_max_score=high)
    notes = []
    assert data.load("mine/odd-v0", note=notes.append).reference_returns is None
    assert notes == [
        "mine/odd-v0: its reference scores must be two finite numbers, the lower first, but are "
        f"{low} and {high}: not used"
    ]


def test_reference_scores_of_two_data_sets_must_agree(store):
    for kind, high in (("simple", 300.0), ("medium", 300.0), ("expert", 400.0)):
        scores = {"ref_min_score": 0.0, "ref_max_score": high}
        create(f"mujoco/hopper/{kind}-v0", episodes(), **scores)
    assert data.load("mujoco/hopper/expert-v0").reference_returns == (0.0, 400.0)
    assert data.load("hopper-medium-expert", "minari").reference_returns is None


def test_an_episode_without_an_end_ends_all_the_same(store):
    (buffer, *_) = episodes()
    cut = EpisodeBuffer(
        id=0,
        observations=buffer.observations,
        actions=buffer.actions,
        rewards=buffer.rewards,
        terminations=[False] * 10,
        truncations=[False] * 10,
    )
    create("mine/cut-v0", [cut, *episodes()[1:]])
    loaded = data.load("mine/cut-v0")
    np.testing.assert_array_equal(loaded.episode_starts, [0, 10, 21])


def test_names_lead_to_minaris_ids():
    assert minari_ids("walker2d-medium") == ["mujoco/walker2d/medium-v0"]
    assert minari_ids("ant-simple") == ["mujoco/ant/simple-v0"]
    assert minari_ids("D4RL/door/human-v2") == ["D4RL/door/human-v2"]


@pytest.mark.parametrize("name", ["hopper-medium-replay", "hopper-random", "hopper"])
def test_names_that_minari_does_not_have_are_refused(name):
    with pytest.raises(InvalidInputError, match=r"Minari has no .* simple, medium, expert"):
        minari_ids(name)


def test_what_the_store_lacks_is_not_fetched_unasked(store):
    with pytest.raises(InvalidInputError, match=r"not in Minari's local store; source=minari"):
        data.load("mujoco/hopper/medium-v0")


def test_a_download_that_fails_is_an_error_in_one_line(store):
    notes = []
    with pytest.raises(InvalidInputError, match=r"hopper/medium-v0 cannot be downloaded") as caught:
        data.load("hopper-medium", "minari", note=notes.append)
    assert "\n" not in str(caught.value)
    assert notes == ["downloading mujoco/hopper/medium-v0 from Minari's server"]


def dict_buffer(rng, **parts):
    return EpisodeBuffer(
        id=0,
        observations=parts,
        actions=rng.uniform(-1, 1, (5, 3)).astype(np.float32),
        rewards=[0.0] * 5,
        terminations=[False] * 5,
        truncations=[False] * 5,
    )


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_observations_of_several_parts_are_flattened_and_images_skipped(store, data_format):
    spaces = {
        "velocity": gymnasium.spaces.Box(-9, 9, (3,)),
        "goal": gymnasium.spaces.Dict({"position": gymnasium.spaces.Box(-9, 9, (2,))}),
        "camera": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8),
    }
    rng = np.random.default_rng(0)
    velocity, position = (rng.normal(size=(6, n)).astype(np.float32) for n in (3, 2))
    images = np.zeros((6, 8, 8, 3), np.uint8)
    buffer = dict_buffer(rng, velocity=velocity, goal={"position": position}, camera=images)
    create("mine/dict-v0", [buffer], data_format, observation_space=gymnasium.spaces.Dict(spaces))
    notes = []
    loaded = data.load("mine/dict-v0", note=notes.append)
    flat = np.concatenate([position, velocity], axis=1)
    np.testing.assert_array_equal(loaded.observations, flat[:-1])
    np.testing.assert_array_equal(loaded.next_observations, flat[1:])
    assert notes == ["mine/dict-v0: skipped, as they are not vectors: camera (6, 8, 8, 3)"]


def test_observations_without_vectors_are_refused(store):
    rng = np.random.default_rng(0)
    space = gymnasium.spaces.Dict({"camera": gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)})
    buffer = dict_buffer(rng, camera=np.zeros((6, 8, 8, 3), np.uint8))
    create("mine/dict-v0", [buffer], observation_space=space)
    with pytest.raises(InvalidInputError, match=r"observations holds no vectors; found camera"):
        data.load("mine/dict-v0")


def test_a_damaged_store_is_refused(store):
    create("mine/hdf5-v0", episodes())
    for path in store.rglob("main_data.hdf5"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidInputError, match=r"mine/hdf5-v0"):
        data.load("mine/hdf5-v0")


def test_a_store_without_its_data_says_what_to_remove(store):
    create("mine/hdf5-v0", episodes())
    (path,) = store.rglob("main_data.hdf5")
    path.unlink()
    with pytest.raises(InvalidInputError, match=r"remove .*mine/hdf5-v0; then source=minari"):
        data.load("mine/hdf5-v0", "minari")


def test_episodes_that_minaris_reader_cuts_are_refused(store, monkeypatch):
    create("mine/hdf5-v0", episodes())
    whole = minari.MinariDataset.iterate_episodes
    monkeypatch.setattr(
        minari.MinariDataset, "iterate_episodes", lambda self: list(whole(self))[:-1]
    )
    with pytest.raises(InvalidInputError, match=r"gives 21 of the 33 steps"):
        data.load("mine/hdf5-v0")


def test_without_minari_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    for name, source in (("hopper-medium", "minari"), ("mujoco/hopper/medium-v0", "auto")):
        with pytest.raises(InvalidInputError, match=r"need minari, .* 'obd-jax\[minari\]'"):
            data.load(name, source)
