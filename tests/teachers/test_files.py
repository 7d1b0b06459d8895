"""Trained teachers as files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.teachers import ALGORITHMS, load_teacher, save_teacher
from obd_jax.teachers.algorithm import act, value
from obd_jax.types import InvalidInputError, Normalizer

D, A = 3, 2
NORMALIZER = Normalizer(jnp.array([1.0, -2.0, 0.5]), jnp.array([2.0, 1.0, 4.0]))


def written(path, name="rebrac", **changes):
    algorithm = ALGORITHMS[name](D, A, hidden_sizes=(8, 6))
    state = algorithm.init(jax.random.key(0))
    arguments = {
        "actor": state.actor,
        "critic": state.critics[0],
        "normalizer": NORMALIZER,
        "action_size": A,
        "reward_scale": 4.0,
        "card": {"algorithm": name},
        **changes,
    }
    save_teacher(path, **arguments)
    return algorithm, state


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_teacher_acts_and_values_as_it_was_trained(tmp_path, name):
    algorithm, state = written(tmp_path / "teacher.npz", name)
    teacher = load_teacher(tmp_path / "teacher.npz")
    rng = np.random.default_rng(0)
    observations = jnp.asarray(rng.normal(size=(4, 5, D)), jnp.float32)
    actions = jnp.asarray(rng.uniform(-1, 1, (4, 5, A)), jnp.float32)
    normalized = NORMALIZER.normalize(observations)
    np.testing.assert_allclose(
        teacher.act(observations), act(algorithm.actor, state.actor, normalized, A), atol=1e-6
    )
    np.testing.assert_allclose(
        4.0 * teacher.value(observations, actions),
        value(algorithm.critic, state.critics[0], normalized, actions),
        rtol=1e-5,
        atol=1e-6,
    )
    assert (teacher.observation_size, teacher.action_size) == (D, A)
    assert teacher.provenance.source == f"teacher by {name}"
    assert len(teacher.provenance.sha256) == 64


@pytest.mark.parametrize("damage", ["absent", "empty", "text", "cut", "no critic", "no card"])
def test_what_is_no_teacher_is_refused(tmp_path, damage):
    path = tmp_path / "teacher.npz"
    written(path)
    if damage == "absent":
        path.unlink()
    elif damage in ("empty", "text", "cut"):
        content = {"empty": b"", "text": b"text", "cut": path.read_bytes()[:500]}[damage]
        path.write_bytes(content)
    else:
        with np.load(path) as file:
            arrays = {n: file[n] for n in file.files if not n.startswith(damage[3:])}
        np.savez(path, **arrays)
    with pytest.raises(InvalidInputError, match=r"teacher\.npz: (not a teacher|cannot be read)"):
        load_teacher(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"action_size": 3},
        {"normalizer": Normalizer(jnp.zeros(4), jnp.ones(4))},
    ],
)
def test_networks_of_other_sizes_are_refused(tmp_path, changes):
    written(tmp_path / "teacher.npz", **changes)
    with pytest.raises(InvalidInputError, match=r"which does not fit|not a teacher"):
        load_teacher(tmp_path / "teacher.npz")
