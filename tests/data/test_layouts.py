"""One tiny file for each layout, and its transitions bit for bit."""

import csv
import json
import re
import sys
import warnings
from typing import NamedTuple

import gymnasium
import h5py
import numpy as np
import pytest

from obd_jax.data import from_arrays, load_file
from obd_jax.data.files import provenance_of
from obd_jax.data.layouts import read_recording
from obd_jax.data.layouts.tables import parse_columns
from obd_jax.types import InvalidInputError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


class Episode(NamedTuple):
    """T + 1 observations, T actions and rewards, and whether the environment ended it."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ended: bool


def recorded(lengths=(5, 4, 6), ended=(True, False, True)):
    rng = np.random.default_rng(0)
    return [
        Episode(
            rng.normal(size=(steps + 1, 4)).astype(np.float32),
            rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
            rng.normal(size=steps).astype(np.float32),
            end,
        )
        for steps, end in zip(lengths, ended, strict=True)
    ]


EPISODES = recorded()


def last(episode, value=True):
    """[T] bool, true in the last row, or nowhere."""
    flags = np.zeros(len(episode.actions), bool)
    flags[-1] = value
    return flags


def whole(part, episodes=EPISODES):
    """Rows of all episodes: of observations, those before an action."""
    if part == "observations":
        return np.concatenate([e.observations[:-1] for e in episodes])
    if part == "terminals":
        return np.concatenate([last(e, e.ended) for e in episodes])
    if part == "ends":
        return np.concatenate([last(e) for e in episodes])
    if part == "episode":
        return np.repeat(np.arange(len(episodes)), [len(e.actions) for e in episodes])
    return np.concatenate([getattr(e, part) for e in episodes])


def parts_of(observations):
    """Observations as a tree whose flat form is themselves, and with an image and a text."""
    return {
        "arm": {"b": observations[:, 1:3], "a": observations[:, 0]},
        "image": np.zeros((len(observations), 8, 8, 3), np.uint8),
        "tool": observations[:, 3:],
    }


def put(group, tree):
    """A tree into an HDF5 group."""
    for name, value in tree.items():
        if isinstance(value, dict):
            put(group.create_group(name), value)
        else:
            group[name] = value


def hdf5(path, tree):
    with h5py.File(path, "w") as file:
        put(file, tree)
    return path


def d4rl(folder, **more):
    terminals, ends = whole("terminals"), whole("ends")
    return hdf5(
        folder / "data.hdf5",
        {
            "observations": whole("observations"),
            "actions": whole("actions"),
            "rewards": whole("rewards"),
            "terminals": terminals,
            "timeouts": ends & ~terminals,
            **more,
        },
    )


def antmaze(folder):
    rows = len(whole("actions"))
    return d4rl(
        folder,
        infos={"goal": np.ones((rows, 2)), "qpos": np.ones((rows, 3)), "qvel": np.ones((rows, 3))},
    )


def kitchen(folder):
    return d4rl(folder, metadata={"algorithm": "human"})


def ogbench(folder):
    """Every trajectory has one row more, whose action is a dummy."""
    path = folder / "pointmaze.npz"
    rows = [len(e.observations) for e in EPISODES]
    np.savez(
        path,
        observations=np.concatenate([e.observations for e in EPISODES]),
        actions=np.concatenate([np.append(e.actions, [[0, 0]], 0) for e in EPISODES]),
        terminals=np.concatenate([np.arange(n) == n - 1 for n in rows]),
        qpos=np.zeros((sum(rows), 2)),
        qvel=np.zeros((sum(rows), 2)),
    )
    return path


def spelled(folder):
    path = folder / "data.npz"
    np.savez(
        path,
        obs=whole("observations"),
        next_obs=np.concatenate([e.observations[1:] for e in EPISODES]),
        act=whole("actions"),
        rew=whole("rewards"),
        terminated=whole("terminals"),
        truncated=whole("ends") & ~whole("terminals"),
    )
    return path


def done(folder):
    path = folder / "data.npz"
    np.savez(
        path,
        state=whole("observations"),
        action=whole("actions"),
        reward=whole("rewards"),
        done=whole("ends"),
        timeout=whole("ends") & ~whole("terminals"),
    )
    return path


def robomimic(folder, following=True):
    def demo(episode):
        parts = {
            "actions": episode.actions,
            "rewards": episode.rewards,
            "dones": last(episode, episode.ended).astype(np.int64),
            "states": np.zeros((len(episode.actions), 9)),
            "obs": parts_of(episode.observations[:-1]),
        }
        return parts | ({"next_obs": parts_of(episode.observations[1:])} if following else {})

    # Twelve, so that 10 and 11 come after 9 by number and not by name.
    demos = {f"demo_{n}": demo(e) for n, e in enumerate(TWELVE)}
    return hdf5(folder / "low_dim.hdf5", {"data": demos, "mask": {"train": np.zeros(2)}})


TWELVE = recorded(range(3, 15), [True, False] * 6)


def maniskill(folder):
    trajectories = {
        f"traj_{n}": {
            "obs": e.observations,
            "actions": e.actions,
            "rewards": e.rewards,
            "terminated": last(e, e.ended),
            "truncated": last(e, not e.ended),
            "success": last(e),
            "env_states": {"actors": np.zeros((len(e.observations), 13))},
        }
        for n, e in enumerate(EPISODES)
    }
    (folder / "trajectory.json").write_text(json.dumps({"env_info": {"env_id": "PickCube-v1"}}))
    return hdf5(folder / "trajectory.h5", trajectories)


def minari_file(folder, monkeypatch, space=None, **others):
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=e.observations if space is None else space_of(e.observations),
            actions=e.actions,
            rewards=e.rewards.tolist(),
            terminations=last(e, e.ended).tolist(),
            truncations=last(e, not e.ended).tolist(),
        )
        for number, e in enumerate(EPISODES)
    ]
    boxes = {
        "observation_space": space or gymnasium.spaces.Box(-9, 9, (4,)),
        "action_space": gymnasium.spaces.Box(-1, 1, (2,)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants an author, a description and more.
        minari.create_dataset_from_buffers(
            "mine/walk-v0", buffers, env="Reacher-v5", **boxes, **others
        )
    return folder / "mine/walk-v0"


GOAL = gymnasium.spaces.Dict(
    {
        "observation": gymnasium.spaces.Box(-9, 9, (1,)),
        "achieved_goal": gymnasium.spaces.Box(-9, 9, (2,)),
        "desired_goal": gymnasium.spaces.Box(-9, 9, (1,)),
    }
)


def space_of(observations):
    return {
        "observation": observations[:, 3:],
        "achieved_goal": observations[:, :2],
        "desired_goal": observations[:, 2:3],
    }


def d3rlpy(folder, tuples=False):
    tree = {"columns": np.array([b"observations"]), "num_episodes": 3, "version": "2.1"}
    for n, e in enumerate(EPISODES):
        tree |= {f"actions_{n}": e.actions, f"rewards_{n}": e.rewards[:, None]}
        tree |= {f"terminated_{n}": e.ended}
        rows = e.observations[:-1]
        if tuples:
            tree |= {f"observations_{n}_0": rows[:, :1], f"observations_{n}_1": rows[:, 1:]}
        else:
            tree[f"observations_{n}"] = rows
    return hdf5(folder / "buffer.h5", tree)


def d3rlpy_1(folder):
    tree = {
        "observations": whole("observations"),
        "actions": whole("actions"),
        "rewards": whole("rewards"),
        "terminals": whole("terminals").astype(np.float32),
        "episode_terminals": whole("ends").astype(np.float32),
        "discrete_action": False,
        "version": "1.0",
    }
    return hdf5(folder / "v1.h5", tree)


def lerobot(folder, version):
    columns = {
        "observation.state": list(whole("observations")[:, 1:]),
        "observation.environment_state": list(whole("observations")[:, :1]),
        "action": list(whole("actions")),
        "next.reward": whole("rewards"),
        "next.done": whole("terminals"),
        "episode_index": whole("episode"),
        "index": np.arange(len(whole("actions"))),
    }
    info = {"codebase_version": version, "features": {name: {} for name in columns}}
    info["features"]["observation.images.top"] = {"dtype": "video"}
    (folder / "meta").mkdir()
    (folder / "meta/info.json").write_text(json.dumps(info))
    (folder / "data/chunk-000").mkdir(parents=True)
    table = pyarrow.table(columns)
    if version == "v3.0":
        parquet.write_table(table, folder / "data/chunk-000/file-000.parquet")
        return folder
    for number in range(len(EPISODES)):
        part = table.filter(pyarrow.array(columns["episode_index"] == number))
        parquet.write_table(part, folder / f"data/chunk-000/episode_{number:06d}.parquet")
    return folder


def named_columns():
    names = {"x": 0, "y": 1, "v_x": 2, "v_y": 3}
    return {
        "time": np.arange(len(whole("actions"))),
        **{name: whole("observations")[:, place] for name, place in names.items()},
        **{f"u{place}": whole("actions")[:, place] for place in range(2)},
        "r": whole("rewards"),
        "fell": whole("terminals"),
        "run": whole("episode"),
    }


COLUMNS = "observations:x, y, v_*; actions:u0,u1; rewards:r; terminals:fell; episodes:run"


def table_csv(folder, delimiter=","):
    columns = named_columns()
    path = folder / ("log.csv" if delimiter != "\t" else "log.tsv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([repr(float(cell)) if cell.dtype.kind == "f" else cell for cell in row])
    return path


def table_parquet(folder):
    parquet.write_table(pyarrow.table(named_columns()), folder / "log.parquet")
    return folder / "log.parquet"


def lists_parquet(folder):
    """Columns of lists by names in use, one file for each episode."""
    for number, e in enumerate(EPISODES):
        lists = pyarrow.FixedSizeListArray.from_arrays(e.observations[:-1].ravel(), 4)
        table = {"obs": lists, "act": list(e.actions), "rew": e.rewards, "done": last(e, e.ended)}
        parquet.write_table(pyarrow.table(table), folder / f"part-{number}.parquet")
    return folder


class Layout(NamedTuple):
    """A row of the table.

    write:       (folder, monkeypatch) -> path.
    source:      of the provenance.
    following:   whether next observations are known, so that no row is lost.
    ends:        whether the last row of the file is known to be an end, so that it is kept.
    columns:     as of `load_file`.
    says:        what is said of how it is read.
    episodes:    what is in it.
    rewards:     whether it has any.
    environment: that the file names.
    """

    write: object
    source: str
    following: bool = False
    ends: bool = False
    columns: str | None = None
    says: tuple[str, ...] = ()
    episodes: object = EPISODES
    rewards: bool = True
    environment: str | None = None


IMAGE = r"skipped, as they are not vectors: image \(\d+, 8, 8, 3\)"
LAYOUTS = {
    "D4RL": Layout(lambda f, m: d4rl(f), "d4rl-layout hdf5"),
    "D4RL antmaze, maze2d, adroit": Layout(lambda f, m: antmaze(f), "d4rl-layout hdf5"),
    "D4RL kitchen": Layout(lambda f, m: kitchen(f), "d4rl-layout hdf5"),
    "d3rlpy 1": Layout(lambda f, m: d3rlpy_1(f), "d4rl-layout hdf5"),
    "d3rlpy 2": Layout(lambda f, m: d3rlpy(f), "d3rlpy hdf5", ends=True),
    "d3rlpy 2, tuples": Layout(lambda f, m: d3rlpy(f, True), "d3rlpy hdf5", ends=True),
    "npz": Layout(lambda f, m: spelled(f), "npz", following=True),
    "npz, dones": Layout(lambda f, m: done(f), "npz"),
    "robomimic": Layout(
        lambda f, m: robomimic(f), "robomimic hdf5", True, says=(IMAGE,), episodes=TWELVE
    ),
    "robomimic without next_obs": Layout(
        lambda f, m: robomimic(f, False),
        "robomimic hdf5",
        ends=True,
        says=(IMAGE,),
        episodes=TWELVE,
    ),
    "ManiSkill": Layout(
        lambda f, m: maniskill(f), "ManiSkill hdf5", True, environment="PickCube-v1"
    ),
    "Minari's folder": Layout(minari_file, "Minari hdf5", True, environment="Reacher-v5"),
    "Minari's folder, goals": Layout(
        lambda f, m: minari_file(f, m, GOAL), "Minari hdf5", True, environment="Reacher-v5"
    ),
    "Minari's file": Layout(
        lambda f, m: minari_file(f, m) / "data/main_data.hdf5",
        "Minari hdf5",
        following=True,
        environment="Reacher-v5",
    ),
    "LeRobot 2.1": Layout(
        lambda f, m: lerobot(f, "v2.1"), "LeRobot", ends=True, says=("observation.images.top",)
    ),
    "LeRobot 3": Layout(
        lambda f, m: lerobot(f, "v3.0"), "LeRobot", ends=True, says=("observation.images.top",)
    ),
    "CSV": Layout(lambda f, m: table_csv(f), "CSV", ends=True, columns=COLUMNS),
    "CSV, semicolons": Layout(lambda f, m: table_csv(f, ";"), "CSV", ends=True, columns=COLUMNS),
    "TSV": Layout(lambda f, m: table_csv(f, "\t"), "CSV", ends=True, columns=COLUMNS),
    "Parquet": Layout(lambda f, m: table_parquet(f), "Parquet", ends=True, columns=COLUMNS),
    "Parquet, lists": Layout(lambda f, m: lists_parquet(f), "Parquet", ends=True),
}


def expected(layout):
    """One row at a time, as `docs/data.md` says."""
    rows, starts, returns = [], [], []
    episodes = list(layout.episodes)
    for number, e in enumerate(episodes):
        starts.append(len(rows))
        is_last = number == len(episodes) - 1
        for step in range(len(e.actions)):
            at_end = step == len(e.actions) - 1
            following, ended = e.observations[step + 1], at_end and e.ended
            if not layout.following and at_end:
                if not e.ended or (is_last and not layout.ends):
                    continue
                # A terminal's next observation is never used: the row that follows in the file.
                row_after = (e if is_last else episodes[number + 1]).observations
                following = row_after[-2 if is_last else 0]
            rows.append((e.observations[step], e.actions[step], e.rewards[step], following, ended))
        returns.append(e.rewards.sum(dtype=np.float64))
    return *(np.array(column) for column in zip(*rows, strict=True)), starts, returns


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_read_bit_for_bit(tmp_path, monkeypatch, name):
    layout = LAYOUTS[name]
    path = layout.write(tmp_path, monkeypatch)
    notes = []
    data = load_file(path, columns=layout.columns, note=notes.append)
    observations, actions, rewards, following, terminals, starts, returns = expected(layout)
    np.testing.assert_array_equal(data.observations, observations)
    np.testing.assert_array_equal(data.actions, actions)
    np.testing.assert_array_equal(data.rewards, rewards)
    np.testing.assert_array_equal(data.next_observations, following)
    np.testing.assert_array_equal(data.terminals, terminals)
    np.testing.assert_array_equal(data.episode_starts, starts)
    np.testing.assert_allclose(data.episode_returns, returns, rtol=1e-6)
    assert (data.provenance.source, data.provenance.name) == (layout.source, str(path))
    assert data.provenance.environment == layout.environment
    assert len(notes) == len(layout.says), notes
    for note, pattern in zip(notes, layout.says, strict=True):
        assert note.startswith(f"{path}: ")
        assert re.search(pattern, note)
    recording = read_recording(path, layout.columns)
    assert recording.fields.keys() == recording.sources.keys()


def test_ogbench_trajectories_end_with_a_row_that_is_no_transition(tmp_path):
    notes = []
    data = load_file(ogbench(tmp_path), note=notes.append)
    np.testing.assert_array_equal(data.observations, whole("observations"))
    np.testing.assert_array_equal(data.actions, whole("actions"))
    following = np.concatenate([e.observations[1:] for e in EPISODES])
    np.testing.assert_array_equal(data.next_observations, following)
    assert not data.terminals.any()
    np.testing.assert_array_equal(data.episode_starts, [0, 5, 9])
    (note,) = notes
    assert "as in OGBench" in note


def test_parts_are_flattened_in_the_order_of_gymnasium(tmp_path, monkeypatch):
    data = load_file(minari_file(tmp_path, monkeypatch, GOAL))
    parts = space_of(whole("observations"))
    for row in range(len(data)):
        flat = gymnasium.spaces.flatten(GOAL, {key: part[row] for key, part in parts.items()})
        np.testing.assert_array_equal(data.observations[row], flat)


def test_reference_scores_of_minaris_folder_are_read(tmp_path, monkeypatch):
    scores = {"ref_min_score": -50.0, "ref_max_score": -5.0}
    folder = minari_file(tmp_path, monkeypatch, **scores)
    for path in (folder, folder / "data/main_data.hdf5"):
        assert load_file(path).reference_returns == (-50.0, -5.0)
    metadata = folder / "data/metadata.json"
    metadata.write_text(metadata.read_text().replace("-5.0", "NaN"))
    notes = []
    assert load_file(folder, note=notes.append).reference_returns is None
    assert [("but are -50.0 and nan: not used" in note) for note in notes] == [True]
    metadata.write_text("[]")  # Whatever is there, the arrays are readable.
    assert load_file(folder).reference_returns is None


def test_words_and_empty_cells_of_csv(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("obs,act,done\n0.5,0,true\n1,-1,False\n2,1,0\n")
    data = load_file(path)
    np.testing.assert_array_equal(data.observations[:, 0], [0.5, 1])
    np.testing.assert_array_equal(data.terminals, [True, False])
    path.write_text("obs,act\n0.5,0\n,-1\n2,1\n")
    with pytest.raises(InvalidInputError, match=r"observations are NaN .* first in row 1"):
        load_file(path)
    path.write_text("obs,act\n0.5,0\nhigh,-1\n2,1\n")
    with pytest.raises(InvalidInputError, match=r"log\.csv: .*high"):
        load_file(path)


def test_the_same_table_from_memory_csv_and_parquet(tmp_path):
    columns = "observations:x,y,v_x,v_y; actions:u*; rewards:r; terminals:fell"
    fields = {
        "observations": whole("observations"),
        "actions": whole("actions"),
        "rewards": whole("rewards"),
        "terminals": whole("terminals"),
    }
    plain = from_arrays(**fields)
    for path in (table_csv(tmp_path), table_parquet(tmp_path)):
        data = load_file(path, columns=columns)
        for name in ("observations", "actions", "rewards", "next_observations", "terminals"):
            np.testing.assert_array_equal(getattr(data, name), getattr(plain, name))


def test_the_name_of_a_table_may_be_in_capitals_and_that_of_parquet_any(tmp_path):
    small = load_file(table_csv(tmp_path), columns=COLUMNS)
    capital = (tmp_path / "log.csv").rename(tmp_path / "LOG.CSV")
    parquet_file = table_parquet(tmp_path).rename(tmp_path / "log.csv")
    for path in (capital, parquet_file):
        np.testing.assert_array_equal(load_file(path, columns=COLUMNS).actions, small.actions)


def test_the_hash_of_a_folder_depends_on_every_file(tmp_path):
    lists_parquet(tmp_path)

    def hashed():
        return provenance_of(tmp_path, read_recording(tmp_path)).sha256

    first = hashed()
    assert first == hashed()
    file = tmp_path / "part-1.parquet"
    table = parquet.read_table(file)
    parquet.write_table(table.set_column(2, "rew", pyarrow.array(np.zeros(4))), file)
    assert hashed() != first


REFUSED = {
    "robomimic without obs": (
        lambda f: hdf5(f / "a.hdf5", {"data": {"demo_0": {"actions": np.zeros((3, 2))}}}),
        r"data/demo_0, as of robomimic hdf5, has no obs; found actions; .*dataset_states_to_obs",
    ),
    "ManiSkill without obs": (
        lambda f: hdf5(f / "a.h5", {"traj_0": {"actions": np.zeros((3, 2)), "obs": {}}}),
        r"traj_0, as of ManiSkill hdf5, has no obs; found actions, obs; .*--obs-mode state",
    ),
    "images alone": (
        lambda f: hdf5(
            f / "a.hdf5",
            {"data": {"demo_0": {"actions": np.zeros((3, 2)), "obs": {"i": np.zeros((3, 8, 8))}}}},
        ),
        r"data/demo_0/obs holds no vectors; found i \(3, 8, 8\)",
    ),
    "episodes that differ": (
        lambda f: hdf5(
            f / "a.h5",
            {
                f"traj_{n}": {"actions": np.zeros((3, 2)), "obs": np.zeros((4, 2 + n))}
                for n in range(2)
            },
        ),
        r"traj_1 has observations \[rows, 3\].* but .*traj_0 has observations \[rows, 2\]",
    ),
    "lengths that differ": (
        lambda f: hdf5(
            f / "a.h5", {"traj_0": {"actions": np.zeros((3, 2)), "obs": np.zeros((5, 2))}}
        ),
        r"traj_0: arrays differ in length: observations \(5, 2\), actions \(3, 2\)",
    ),
    "no last observation": (
        lambda f: hdf5(
            f / "a.h5",
            {"episode_0": {"actions": np.zeros((3, 2)), "observations": np.ones((3, 2))}},
        ),
        r"episode_0 has 3 observations and as many actions; in Minari hdf5 there is one",
    ),
    "actions that are no array": (
        lambda f: hdf5(
            f / "a.h5", {"episode_0": {"actions": 1.0, "observations": np.ones((2, 3))}}
        ),
        r"episode_0: arrays differ in length: observations \(2, 3\), actions \(\)",
    ),
    "d3rlpy without its end": (
        lambda f: hdf5(f / "a.h5", {"observations_0": np.zeros((3, 2))}),
        r"a dump by d3rlpy without terminated_0",
    ),
    "d3rlpy without actions": (
        lambda f: hdf5(f / "a.h5", {"observations_0": np.zeros((3, 2)), "terminated_0": True}),
        r"episode 0 of a dump by d3rlpy lacks actions_0",
    ),
    "unknown HDF5": (
        lambda f: hdf5(f / "a.h5", {f"sensor{n}": np.zeros(3) for n in range(300)}),
        r"lacks observations, .*found sensor0, .* and 288 more; other known layouts: robomimic",
    ),
    "no HDF5": (lambda f: (f / "a.h5").write_text("nothing") and f / "a.h5", "not an HDF5 file"),
    "unknown npz": (
        lambda f: np.savez(f / "a.npz", x=np.zeros(3)) or f / "a.npz",
        r"lacks observations; known: observations, observation, obs, .*; found x$",
    ),
    "table without names": (
        lambda f: table_csv(f),
        r"a table with columns time, x, y, .*: map them to fields by columns, as in 'observ",
    ),
    "empty table": (lambda f: (f / "a.csv").touch() or f / "a.csv", "columns nothing: map them"),
    "columns of one name": (
        lambda f: (f / "a.csv").write_text("x,x\n1,2\n") and f / "a.csv",
        "columns of the same name: x, x",
    ),
    "no Parquet": (
        lambda f: (f / "a.parquet").write_text("nothing") and f / "a.parquet",
        "not a Parquet file",
    ),
    "lists of several lengths": (
        lambda f: (
            parquet.write_table(
                pyarrow.table({"obs": [[1.0], [1.0, 2.0]], "act": [[0.0], [0.0]]}), f / "a.parquet"
            )
            or f / "a.parquet"
        ),
        "column obs holds lists of several lengths",
    ),
    "LeRobot without data": (
        lambda f: (f / "meta").mkdir() or ((f / "meta/info.json").write_text("{}") and f),
        r"has meta/info\.json, but no data/\*/\*\.parquet",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_was_found(tmp_path, case):
    write, pattern = REFUSED[case]
    path = write(tmp_path)
    with pytest.raises(InvalidInputError, match=pattern) as refused:
        load_file(path)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


COLUMNS_REFUSED = {
    "form": ("observations=x", "is written like"),
    "nothing": ("", "lacks observations and actions"),
    "twice": ("observations:x; observations:y; actions:u0", "is written like"),
    "no field": ("observations:x; actions:u0; speed:v_x", "has no 'speed'; known: observations,"),
    "no column": ("observations:x,z; actions:u0", r"no column 'z'; found time, x, y, v_x"),
    "no match": ("observations:w_*; actions:u0", r"no column 'w_\*'"),
    "two rewards": ("observations:x; actions:u0; rewards:r,time", "rewards is one column, got"),
}


@pytest.mark.parametrize("case", COLUMNS_REFUSED)
def test_columns_that_cannot_be_used_are_refused(tmp_path, case):
    columns, pattern = COLUMNS_REFUSED[case]
    with pytest.raises(InvalidInputError, match=pattern):
        load_file(table_csv(tmp_path), columns=columns)


def test_columns_are_for_tables(tmp_path):
    for path in (d4rl(tmp_path), tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InvalidInputError, match="columns is for CSV and Parquet"):
            load_file(path, columns=COLUMNS)


def test_columns_may_hold_spaces_and_stars():
    assert parse_columns(" observations : x y , v_* ;actions:u;") == {
        "observations": ["x y", "v_*"],
        "actions": ["u"],
    }


def test_without_pyarrow_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    path = table_parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInputError, match=r"need pyarrow, .* 'obd-jax\[parquet\]'"):
        load_file(path)
