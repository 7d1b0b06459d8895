"""A population equals its members alone, on one device, on several and over processes."""

import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import population_case as case
import pytest

from obd_jax import distill, students
from obd_jax.distill import mesh
from obd_jax.types import InvalidInputError

pytestmark = pytest.mark.usefixtures("unoptimised")

SCRIPT = pathlib.Path(case.__file__)


def members_alone():
    keys, rates, targets, synthetic = case.problem()
    found = []
    for i in range(case.P):
        state, history = distill.train(
            keys[i],
            case.make_distiller(rates[i]),
            targets._replace(weights=targets.weights[i]),
            jax.tree.map(lambda leaf, i=i: leaf[i], synthetic),
            steps=7,
            batch_size=16,
            steps_per_call=3,
        )
        found.append((state.synthetic, history[-1]["loss"]))
    return found


@pytest.fixture(scope="module")
def alone():
    return members_alone()


@pytest.mark.parametrize("one_by_one", [True, False])
def test_members_are_what_training_makes_of_them_alone(alone, one_by_one):
    sets, record = case.population(one_by_one=one_by_one)
    for i, (expected, loss) in enumerate(alone):
        np.testing.assert_allclose(sets.observations[i], expected.observations, atol=2e-5)
        np.testing.assert_allclose(sets.actions[i], expected.actions, atol=2e-5)
        assert record["loss"][i] == pytest.approx(loss, rel=1e-4)
    assert len(np.unique(record["loss"])) == case.P
    assert record["step"] == 7
    assert not record["skipped"].any()


def run(*arguments):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments], stderr=subprocess.PIPE, text=True
    )


def finish(process):
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def assert_same_as_alone(path, alone):
    found = np.load(path)
    for i, (expected, loss) in enumerate(alone):
        np.testing.assert_allclose(found["observations"][i], expected.observations, atol=2e-5)
        np.testing.assert_allclose(found["actions"][i], expected.actions, atol=2e-5)
        assert found["loss"][i] == pytest.approx(loss, rel=1e-4)


def test_eight_devices_find_what_one_finds(tmp_path, alone):
    finish(run(str(tmp_path / "found.npz"), "--devices=8"))
    assert_same_as_alone(tmp_path / "found.npz", alone)


def test_two_processes_find_what_one_finds(tmp_path, alone):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ("--devices=2", "--processes=2", f"--port={port}")
    processes = [run(str(tmp_path / "found.npz"), f"--process={i}", *shared) for i in range(2)]
    for process in processes:
        finish(process)
    assert_same_as_alone(tmp_path / "found.npz", alone)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_the_ridge_of_kernel_students_is_a_leaf(one_by_one):
    keys, _, targets, synthetic = case.problem()
    targets = targets._replace(weights=targets.weights[0])
    ridges = jnp.geomspace(1e-4, 1e-1, case.P)

    def make_distiller(ridge):
        student = students.kernel(students.ntk(), students.KernelSettings(2, 0.3, ridge, 1.0))
        return distill.distiller(student, case.optax.adam(0.02))

    options = {"steps": 4, "batch_size": 16}
    states, history = distill.train_population(
        keys, make_distiller, ridges, targets, synthetic, one_by_one=one_by_one, **options
    )
    for i in (0, case.P - 1):
        state, alone = distill.train(
            keys[i],
            make_distiller(ridges[i]),
            targets,
            jax.tree.map(lambda leaf, i=i: leaf[i], synthetic),
            **options,
        )
        np.testing.assert_allclose(
            states.synthetic.observations[i], state.synthetic.observations, atol=1e-4
        )
        assert history[-1]["loss"][i] == pytest.approx(alone[-1]["loss"], rel=1e-3)
    assert len(np.unique(history[-1]["loss"])) == case.P


KERNELS_ON_TWO_DEVICES = """
import jax, jax.numpy as jnp, optax
jax.config.update("jax_num_cpu_devices", 2)
from obd_jax import distill, students
from obd_jax.types import SyntheticData, Targets

states, actions = jax.random.normal(jax.random.key(0), (1000, 17)), jnp.zeros((1000, 6))
synthetic = SyntheticData(states[:4 * 128].reshape(4, 128, 17), jnp.zeros((4, 128, 6)))
student = students.kernel(students.ntk(), students.KernelSettings())
_, history = distill.train_population(
    jax.random.split(jax.random.key(1), 4),
    lambda _: distill.distiller(student, optax.adam(0.01)),
    (),
    Targets(states, actions, jnp.ones(1000)),
    synthetic,
    steps=100,
    batch_size=512,
    mesh=distill.device_mesh(),
    one_by_one=False,
)
assert history[-1]["step"] == 100
"""


def test_kernel_students_of_two_devices_do_not_wait_for_each_other():
    command = [sys.executable, "-c", KERNELS_ON_TWO_DEVICES]
    done = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_steps_that_are_not_finite_are_skipped_and_counted_for_their_member_alone(alone):
    keys, rates, targets, synthetic = case.problem()
    spoilt = targets._replace(weights=targets.weights.at[3].set(jnp.nan))
    states, history = distill.train_population(
        keys,
        case.make_distiller,
        rates,
        spoilt,
        synthetic,
        steps=7,
        batch_size=16,
        targets_axes=(None, None, 0),
    )
    assert history[-1]["skipped"].tolist() == [7 if i == 3 else 0 for i in range(case.P)]
    assert np.isnan(history[-1]["loss"]).tolist() == [i == 3 for i in range(case.P)]
    np.testing.assert_allclose(states.synthetic.observations[3], synthetic.observations[3])
    np.testing.assert_allclose(
        states.synthetic.observations[4], alone[4][0].observations, atol=2e-5
    )


def test_blocks_are_reported_and_not_traced_again():
    traces, records = [], []

    def make_distiller(rate):
        traces.append(1)
        return case.make_distiller(rate)

    keys, rates, targets, synthetic = case.problem()
    distill.train_population(
        keys,
        make_distiller,
        rates,
        targets._replace(weights=targets.weights[0]),
        synthetic,
        steps=9,
        batch_size=4,
        steps_per_call=2,
        callback=lambda states, record: records.append((record["step"], len(traces))),
    )
    assert [step for step, _ in records] == [2, 4, 6, 8, 9]
    assert len({count for _, count in records}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be positive, got 0"),
        ({"batch_size": -1}, "batch_size must be positive, got -1"),
        ({"mesh": "three"}, "8 sets cannot be sharded equally over 3 devices"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    if options.get("mesh") == "three":
        options = {"mesh": distill.device_mesh(jax.devices() * 3)}
    with pytest.raises(InvalidInputError, match=message):
        case.population(**options)


def test_a_population_of_unequal_parts_is_refused():
    keys, rates, targets, synthetic = case.problem()
    with pytest.raises(InvalidInputError, match=r"8 keys, but .* of shapes \[\(5,\)\]"):
        distill.train_population(
            keys, case.make_distiller, rates[:5], targets, synthetic, steps=1, batch_size=1
        )
    with pytest.raises(InvalidInputError, match=r"8 keys, but .* of shapes \[\(\)\]"):
        distill.train_population(
            keys, case.make_distiller, 0.02, targets, synthetic, steps=1, batch_size=1
        )
    with pytest.raises(InvalidInputError, match=r"weights of shape \(8, 60\) do not fit"):
        distill.train_population(
            keys, case.make_distiller, rates, targets, synthetic, steps=1, batch_size=1
        )
    with pytest.raises(InvalidInputError, match=r"must be None or 0 each, got \(None, None, 1\)"):
        distill.train_population(
            keys,
            case.make_distiller,
            rates,
            targets,
            synthetic,
            steps=1,
            batch_size=1,
            targets_axes=(None, None, 1),
        )


def test_keys_of_another_generator_keep_theirs():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 2)
    placed = mesh.place(keys, mesh.on_all(distill.device_mesh()))
    np.testing.assert_array_equal(jax.random.key_data(placed), jax.random.key_data(keys))
    assert jax.random.key_impl(placed) == jax.random.key_impl(keys)


@pytest.mark.parametrize(
    ("members", "cores", "devices"),
    [(8, 2, 2), (3, 2, 1), (6, 4, 3), (2, 16, 2), (1, 8, 1), (8, 1, 1), (7, 8, 7)],
)
def test_a_cpu_is_split_into_as_many_devices_as_share_the_sets_equally(members, cores, devices):
    assert mesh.devices_for(members, cores) == devices
