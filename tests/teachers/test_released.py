"""Cal-QL checkpoints as teachers."""

import hashlib
import json
import zipfile

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.data import load_file
from obd_jax.teachers import check_teacher, load_calql
from obd_jax.types import InvalidInputError
from tests.teachers.checkpoints import Checkpoint, write_stats

KEY = "task-medium-v2"


def network(layers, inputs):
    """ReLU network in double precision."""
    hidden = np.asarray(inputs, np.float64)
    for weight, bias in layers[:-1]:
        hidden = np.maximum(hidden @ weight.T.astype(np.float64) + bias, 0)
    weight, bias = layers[-1]
    return hidden @ weight.T.astype(np.float64) + bias


@pytest.fixture
def stats_path(tmp_path):
    return write_stats(tmp_path / "stats.json")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.pt"


@pytest.mark.parametrize("hidden_sizes", [(8, 6), (5,), (7, 6, 5, 4)])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_a_teacher_is_the_network_of_its_weights(path, stats_path, hidden_sizes, batch):
    checkpoint = Checkpoint(hidden_sizes=hidden_sizes)
    teacher = load_calql(checkpoint.write(path), stats_path, KEY)
    assert (teacher.observation_size, teacher.action_size) == (4, 2)
    rng = np.random.default_rng(2)
    observations = rng.normal(size=(*batch, 4)).astype(np.float32)
    actions = rng.uniform(-1, 1, (*batch, 2)).astype(np.float32)
    stats = json.loads(stats_path.read_text())["stats"][KEY]
    normalized = (observations - np.array(stats["mean"])) / (np.array(stats["std"]) + 1e-3)
    expected = np.tanh(network(checkpoint.actor_layers, normalized)[..., :2])
    np.testing.assert_allclose(teacher.act(observations), expected, rtol=1e-4, atol=1e-5)
    inputs = np.concatenate([normalized, actions], axis=-1)
    expected = network(checkpoint.critic_layers, inputs)[..., 0]
    np.testing.assert_allclose(teacher.value(observations, actions), expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_can_be_compiled_mapped_and_differentiated(path, stats_path):
    teacher = load_calql(Checkpoint().write(path), stats_path, KEY)
    observations = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    plain = teacher.act(observations)
    np.testing.assert_allclose(jax.jit(jax.vmap(teacher.act))(observations), plain, rtol=1e-5)
    gradient = jax.grad(lambda o: teacher.value(o, teacher.act(o)).sum())(observations)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_provenance_is_the_file(path, stats_path):
    teacher = load_calql(Checkpoint().write(path), stats_path, KEY)
    assert teacher.provenance.name == str(path)
    assert teacher.provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_file_is_refused(tmp_path, path, stats_path):
    with pytest.raises(InvalidInputError, match=r"absent\.pt: cannot be read"):
        load_calql(tmp_path / "absent.pt", stats_path, KEY)
    with pytest.raises(InvalidInputError, match=r"absent\.json: cannot be read"):
        load_calql(Checkpoint().write(path), tmp_path / "absent.json", KEY)


def test_a_damaged_file_is_refused_by_path(path, stats_path):
    Checkpoint().write(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidInputError, match=r"policy\.pt: not a PyTorch zip checkpoint"):
        load_calql(path, stats_path, KEY)


def without(name):
    def change(checkpoint, part):
        del getattr(checkpoint, part)[name]

    return change


def reshaped(name, shape):
    def change(checkpoint, part):
        getattr(checkpoint, part)[name] = checkpoint.store(np.zeros(shape))

    return change


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("actor", without("base_network.0.weight"), r"actor lacks base_network\.0\.weight; found"),
        ("actor", without("base_network.2.bias"), r"actor\.base_network\.2 .* bias None"),
        ("actor", reshaped("base_network.2.bias", (5,)), r"actor\.base_network\.2 .*do not fit"),
        ("actor", reshaped("base_network.2.weight", (6, 9)), r"base_network\.2 .*do not fit"),
        ("actor", reshaped("base_network.0.weight", (8,)), r"base_network\.0 .*do not fit"),
        ("actor", without("base_network.4.weight"), "critic1 maps 6 numbers to 1; the actor's 4"),
        ("critic1", reshaped("network.0.weight", (8, 7)), "critic1 maps 7 numbers to 1"),
        ("critic1", without("network.4.weight"), "critic1 maps 6 numbers to 6"),
    ],
)
def test_networks_that_do_not_fit_are_refused(path, stats_path, part, change, message):
    checkpoint = Checkpoint()
    change(checkpoint, part)
    with pytest.raises(InvalidInputError, match=rf"policy\.pt: .*{message}"):
        load_calql(checkpoint.write(path), stats_path, KEY)


def test_a_head_without_deviations_is_refused(path, stats_path):
    checkpoint = Checkpoint()
    checkpoint.actor["base_network.4.weight"] = checkpoint.store(np.zeros((3, 6)))
    checkpoint.actor["base_network.4.bias"] = checkpoint.store(np.zeros(3))
    with pytest.raises(InvalidInputError, match="actor has 3 outputs"):
        load_calql(checkpoint.write(path), stats_path, KEY)


def test_an_unknown_statistics_key_is_refused_with_those_known(path, stats_path):
    with pytest.raises(InvalidInputError, match=f"for 'task-v2'; known are {KEY}, other"):
        load_calql(Checkpoint().write(path), stats_path, "task-v2")


def test_statistics_of_other_observations_are_refused(path, tmp_path):
    stats_path = write_stats(tmp_path / "stats.json", observation_size=5)
    with pytest.raises(InvalidInputError, match=r"has 5 observations; .*policy\.pt takes 4"):
        load_calql(Checkpoint().write(path), stats_path, KEY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": [1.0, 1.0]}, r"mean \(4,\) and std \(2,\)"),
        ({"std": [1.0, 1.0, 1.0, -1.0]}, "not finite or negative"),
        ({"mean": [1.0, 1.0, 1.0, float("nan")]}, "not finite or negative"),
        ({"mean": [[1.0], [1.0, 2.0]]}, "not a JSON file of statistics"),
        ({"mean": "text"}, "not a JSON file of statistics"),
        ({"mean": None}, "mean"),
    ],
)
def test_unusable_statistics_are_refused(path, tmp_path, changes, message):
    stats_path = write_stats(tmp_path / "stats.json", **changes)
    with pytest.raises(InvalidInputError, match=rf"stats\.json: .*{message}"):
        load_calql(Checkpoint().write(path), stats_path, KEY)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"stats": 3}', '{"stats": {"k": 3}}'])
def test_other_files_are_refused_as_statistics(path, stats_path, content):
    stats_path.write_text(content)
    with pytest.raises(InvalidInputError, match=r"stats\.json: not a JSON file of statistics"):
        load_calql(Checkpoint().write(path), stats_path, "k")


RELEASED = {"hopper": (11, 3), "halfcheetah": (17, 6), "walker2d": (17, 6)}


def released(shared_data, name):
    return load_calql(
        shared_data / "obd_calql" / f"Cal-QL-{name}-v2.pt",
        shared_data / "d4rl_stats.json",
        f"{name}-v2",
    )


@pytest.mark.parametrize("environment", RELEASED)
@pytest.mark.parametrize("kind", ["medium-replay", "medium", "medium-expert"])
def test_released_checkpoints_are_read(shared_data, environment, kind):
    teacher = released(shared_data, f"{environment}-{kind}")
    observation_size, action_size = RELEASED[environment]
    assert (teacher.observation_size, teacher.action_size) == (observation_size, action_size)
    # The weights lie in the archive in the order of the layers: an independent way to read them.
    with zipfile.ZipFile(shared_data / "obd_calql" / f"Cal-QL-{environment}-{kind}-v2.pt") as file:
        records = [np.frombuffer(file.read(f"archive/data/{i}"), "<f4") for i in range(16)]
    pairs = list(zip(records[0::2], records[1::2], strict=True))
    layers = [(weight.reshape(len(bias), -1), bias) for weight, bias in pairs]
    stats = json.loads((shared_data / "d4rl_stats.json").read_text())["stats"]
    stats = stats[f"{environment}-{kind}-v2"]
    rng = np.random.default_rng(0)
    states = rng.normal(size=(10, observation_size))
    actions = rng.uniform(-1, 1, (10, action_size))
    raw = states * (np.array(stats["std"]) + 1e-3) + np.array(stats["mean"])
    np.testing.assert_allclose(
        teacher.act(raw), np.tanh(network(layers[:4], states)[:, :action_size]), atol=1e-3
    )
    # Records 8 and 9 are the two scalars of the actor.
    expected = network(layers[5:], np.concatenate([states, actions], 1))[:, 0]
    np.testing.assert_allclose(teacher.value(raw, actions), expected, rtol=1e-3, atol=0.1)


def test_the_released_policy_and_critic_explain_their_own_rollouts(shared_data):
    path = shared_data / "calql_rollouts" / "hopper-medium.hdf5"
    data, teacher = load_file(path), released(shared_data, "hopper-medium")
    check_teacher(teacher, data)
    # The rollouts sample around the policy's mean.
    actions = data.actions[:20_000]
    residual = np.abs(teacher.act(data.observations[:20_000]) - actions).mean()
    assert residual < 0.25 * np.abs(actions - actions[::-1]).mean()
    with h5py.File(path) as file:
        rewards, final = file["rewards"][:], file["terminals"][:] | file["timeouts"][:]
        kept = np.flatnonzero(~file["timeouts"][:-1])
    to_go, total = np.zeros(len(rewards)), 0.0
    for row in reversed(range(len(rewards))):
        total = rewards[row] + 0.99 * total * (not final[row])
        to_go[row] = total
    to_go = to_go[kept][:20_000]
    value = np.asarray(teacher.value(data.observations[:20_000], actions))
    assert np.corrcoef(value, to_go)[0, 1] > 0.9
    assert abs(value.mean() / to_go.mean() - 1) < 0.1
