"""Feature regression over a pool: the gradient is right, and the pool ages as it says."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill, networks, runs, students
from obd_jax.distill import PoolMember
from obd_jax.types import InvalidInputError, SyntheticData, Targets

pytestmark = pytest.mark.usefixtures("unoptimised")

N, D, A, B, P = 6, 4, 2, 9, 3

MEMBER = PoolMember(depth=2, width=8, max_age=6, steps_per_update=2, count=2, ridge=0.01)
KERNEL = (1.0, students.kernel(students.ntk(), students.KernelSettings(depth=1, ridge=0.01)))


def make_problem(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(1), 4)
    synthetic = SyntheticData(
        jax.random.normal(keys[0], (N, D), dtype),
        jax.random.uniform(keys[1], (N, A), dtype, -0.9, 0.9),
    )
    batch = Targets(
        jax.random.normal(keys[2], (B, D), dtype),
        jax.random.uniform(keys[3], (B, A), dtype, -0.9, 0.9),
        jnp.linspace(0.1, 1.9, B, dtype=dtype),
    )
    return synthetic, batch


def plain(tree):
    """Leaves as NumPy arrays, keys as their data."""
    return [
        np.asarray(
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        )
        for leaf in jax.tree.leaves(tree)
    ]


def assert_same(found, expected):
    for one, other in zip(plain(found), plain(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_array_equal(one, other)


def changed(**changes):
    return dataclasses.replace(MEMBER, **changes)


@pytest.mark.parametrize(
    ("members", "aggregate", "constraint"),
    [
        ([MEMBER], jnp.mean, None),
        ([changed(activation="tanh", depth=1)], jnp.sum, distill.squashed()),
        (
            [changed(feature_weight=0.0, output_weight=1.0, unroll=3)],
            jnp.mean,
            distill.labelled(lambda states: 0.9 * jnp.sin(states[:, :A])),
        ),
        (
            [
                changed(output_weight=0.5, unroll=2, optimizer="sgd", learning_rate=0.3),
                changed(depth=1, batch_size=4, output_weight=0.5, unroll=2),
            ],
            distill.log_sum_exp(0.1),
            None,
        ),
    ],
)
def test_gradient_equals_finite_differences_with_the_networks_as_they_are(
    members, aggregate, constraint
):
    with jax.enable_x64(True):
        synthetic, batch = make_problem(jnp.float64)
        distiller = distill.pool_distiller(
            members,
            optax.sgd(1.0),
            students=[KERNEL],
            aggregate=aggregate,
            constraint=constraint and constraint._replace(project=lambda coordinates: coordinates),
        )
        update = jax.jit(distiller.update)
        state = distiller.init(jax.random.key(2), synthetic)
        for _ in range(3):  # So that networks are trained ones.
            state, _ = update(state, batch, 0.01)
        flat, unravel = jax.flatten_util.ravel_pytree(state.coordinates)

        @jax.jit
        def losses(points):
            def loss(point):
                there = state._replace(coordinates=unravel(point))
                return distiller.update(there, batch)[1]["loss"]

            return jax.lax.map(loss, points)

        offsets = 1e-6 * jnp.eye(flat.size)
        central = (losses(flat[None] + offsets) - losses(flat[None] - offsets)) / 2e-6
        after, metrics = update(state, batch, 1.0)
        gradient = flat - jax.flatten_util.ravel_pytree(after.coordinates)[0]
        np.testing.assert_allclose(gradient, central, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(central), rtol=1e-5)
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("depth", [1, 3])
def test_a_frozen_network_is_the_random_feature_student_of_its_features(monkeypatch, depth):
    synthetic, batch = make_problem()
    member = changed(depth=depth, steps_per_update=0, count=1)
    distiller = distill.pool_distiller([member], optax.sgd(1.0))
    state = distiller.init(jax.random.key(0), synthetic)
    after, metrics = jax.jit(distiller.update)(state, batch)
    assert_same(after.networks, state.networks)

    layers = jax.tree.map(lambda leaf: leaf[0], state.networks[0].params)["params"]
    hidden = {name: layers[name] for name in sorted(layers)[:-1]}
    last = hidden[f"Dense_{depth - 1}"]
    # The constant is one more unit of the last layer.
    hidden[f"Dense_{depth - 1}"] = {
        "kernel": jnp.pad(last["kernel"], ((0, 0), (0, 1))),
        "bias": jnp.pad(last["bias"], (0, 1), constant_values=1.0),
    }
    monkeypatch.setattr(networks, "init_parameters", lambda *_: {"params": hidden})
    student = students.random_features(hidden_sizes=(8,) * (depth - 1) + (9,), ridge=member.ridge)
    other = distill.distiller(student, optax.sgd(1.0))
    expected, wanted = jax.jit(other.update)(other.init(jax.random.key(0), synthetic), batch)
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], wanted[name], rtol=1e-4)
    for found, array in zip(after.synthetic, expected.synthetic, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)


def test_networks_are_trained_in_turn_and_start_anew_when_old():
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller([MEMBER, changed(count=1, max_age=4)], optax.sgd(0.1))
    update = jax.jit(distiller.update)
    state = distiller.init(jax.random.key(0), synthetic)
    ages = [[[0, 3], [0]]]
    for step in range(5):
        before, (state, _) = state, update(state, batch)
        ages.append([own.age.tolist() for own in state.networks])
        resting = 1 - step % 2
        for old, new in zip(*(plain(s.networks[0][:2]) for s in (before, state)), strict=True):
            np.testing.assert_array_equal(new[resting], old[resting])
    assert ages[1:] == [[[2, 3], [2]], [[2, 5], [0]], [[4, 5], [2]], [[4, 0], [0]], [[0, 0], [2]]]


def test_a_network_that_starts_anew_is_drawn_anew():
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller([changed(count=1, max_age=2)], optax.sgd(0.1))
    update = jax.jit(distiller.update)
    states = [distiller.init(jax.random.key(0), synthetic)]
    for _ in range(2):
        states.append(update(states[-1], batch)[0])
    kernels = []
    for state in states:
        params, (moments, *_), _ = state.networks[0]
        assert not moments.count.any()
        for name in ("Dense_0", "Dense_1", "Dense_2"):
            kernel = params["params"][name].pop("kernel")[0]
            assert kernel.shape == {"Dense_0": (D, 8), "Dense_1": (8, 8), "Dense_2": (A, 8)}[name]
            short = kernel if len(kernel) < 8 or name == "Dense_1" else kernel.T
            np.testing.assert_allclose(short @ short.T, 2 * np.eye(len(short)), atol=1e-5)
        assert not any(bias.any() for bias in jax.tree.leaves(params))
        kernels.append(kernel)
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.pairwise(kernels))


@pytest.mark.parametrize(
    ("optimizer", "learning_rate", "batch_size"),
    [("sgd", 0.1, None), ("adam", 1e-2, None), ("adamw", 1e-2, N)],
)
def test_training_is_that_of_an_mlp_student(monkeypatch, optimizer, learning_rate, batch_size):
    synthetic, batch = make_problem()
    member = changed(
        count=1,
        max_age=9,
        steps_per_update=4,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_size=batch_size,  # Of all pairs, in another order.
    )
    distiller = distill.pool_distiller([member], optax.sgd(0.0))
    state = distiller.init(jax.random.key(0), synthetic)
    network = networks.MLP((8, 8), A)
    initial = network.turn(jax.tree.map(lambda leaf: leaf[0], state.networks[0].params))
    update = jax.jit(distiller.update)
    for _ in range(2):
        state, _ = update(state, batch)
    found = network.turn(jax.tree.map(lambda leaf: leaf[0], state.networks[0].params))

    monkeypatch.setattr(networks, "init_parameters", lambda *_: initial)
    recipe = students.MLPRecipe((8, 8), 8, optimizer, learning_rate, member.momentum, "action")
    expected = recipe.student(A).fit(jax.random.key(0), synthetic)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(plain(found), plain(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert np.abs(plain(found)[1] - plain(initial)[1]).max() > 1e-3


def test_own_training_in_batches_takes_a_few_pairs_at_a_time():
    synthetic, batch = make_problem()
    synthetic = synthetic._replace(actions=jnp.diag(jnp.arange(1.0, 1 + N))[:, :A] / (2 * N))
    distiller = distill.pool_distiller(
        [changed(count=1, steps_per_update=1, max_age=9, batch_size=3, optimizer="sgd")],
        optax.sgd(0.0),
    )
    update = jax.jit(distiller.update)
    states = [distiller.init(jax.random.key(seed), synthetic) for seed in range(2)]
    # From the same networks, other keys take other pairs.
    states[1] = states[1]._replace(networks=states[0].networks)
    found = [plain(update(state, batch)[0].networks[0].params) for state in states]
    assert any(np.abs(one - other).max() > 1e-5 for one, other in zip(*found, strict=True))


def test_the_second_step_does_not_retrace():
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller([MEMBER], optax.adam(0.05), students=[KERNEL])
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return distiller.update(state, batch, 1.0)

    state = distiller.init(jax.random.key(0), synthetic)
    for _ in range(3):
        state, metrics = step(state, batch)
    assert len(traces) == 1
    assert int(state.step) == 3
    assert {*metrics} == {"loss", "gradient_norm", "finite"}


def test_a_step_that_is_not_finite_keeps_the_set_and_draws_its_networks_anew():
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller([MEMBER], optax.adam(0.1))
    step = jax.jit(distiller.update)
    state, _ = step(distiller.init(jax.random.key(0), synthetic), batch)
    broken = state._replace(
        networks=jax.tree.map(
            lambda leaf: leaf.at[1].set(jnp.nan) if leaf.dtype == jnp.float32 else leaf,
            state.networks,
        )
    )
    after, metrics = step(broken, batch)
    assert not metrics["finite"]
    assert_same(after[:3], state[:3])
    assert int(after.step) == 2
    assert after.networks[0].age.tolist() == [2, 0]
    assert all(np.isfinite(leaf).all() for leaf in plain(after.networks))
    for _ in range(2):
        after, metrics = step(after, batch)
        assert metrics["finite"]


def test_a_population_equals_its_members_one_after_another():
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller(
        [MEMBER, changed(depth=1, count=1, max_age=2)],
        optax.adam(0.05),
        students=[KERNEL],
        constraint=distill.squashed(),
    )
    keys = jax.random.split(jax.random.key(3), P)
    step = jax.jit(distiller.update)
    population_step = jax.jit(jax.vmap(distiller.update, in_axes=(0, None, None)))
    population = jax.jit(jax.vmap(distiller.init, in_axes=(0, None)))(keys, synthetic)
    members = [distiller.init(key, synthetic) for key in keys]
    for _ in range(4):  # Past the first that start anew.
        population, metrics = population_step(population, batch, 1.0)
        members, losses = zip(*(step(member, batch, 1.0) for member in members), strict=True)
    np.testing.assert_allclose(metrics["loss"], [member["loss"] for member in losses], rtol=1e-4)
    assert len({float(loss) for loss in metrics["loss"]}) == P
    for index, member in enumerate(members):
        for found, expected in zip(plain(population), plain(member), strict=True):
            np.testing.assert_allclose(found[index], expected, rtol=1e-3, atol=1e-4)


def test_a_run_resumes_from_a_checkpoint_bit_for_bit(tmp_path):
    synthetic, batch = make_problem()
    distiller = distill.pool_distiller([MEMBER], optax.adam(0.05), students=[KERNEL])
    options = {"steps": 9, "batch_size": 5, "steps_per_call": 3}
    with runs.Checkpoints(tmp_path / "saved", pytest.fail) as checkpoints:

        def save(state, record):
            if record["step"] == 3:
                checkpoints.save(3, state, {})

        whole, records = distill.train(
            jax.random.key(4), distiller, batch, synthetic, callback=save, **options
        )
        checkpoints.wait()
        found = checkpoints.restore_latest(jax.eval_shape(lambda: whole))
    assert [record["step"] for record in records] == [3, 6, 9]
    assert int(found.state.step) == 3
    rest, _ = distill.train(
        jax.random.key(4), distiller, batch, synthetic, state=found.state, **options
    )
    assert isinstance(rest, distill.PoolState)
    assert_same(rest, whole)


def test_the_driver_of_populations_makes_what_that_of_one_makes():
    synthetic, batch = make_problem()

    def make_distiller(rate):
        return distill.pool_distiller([MEMBER], optax.adam(rate), students=[KERNEL])

    keys, rates = jax.random.split(jax.random.key(5), 2), jnp.array([0.01, 0.05])
    options = {"steps": 5, "batch_size": 4}
    sets = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), synthetic)
    states, _ = distill.train_population(keys, make_distiller, rates, batch, sets, **options)
    for index, (key, rate) in enumerate(zip(keys, rates, strict=True)):
        alone, _ = distill.train(key, make_distiller(rate), batch, synthetic, **options)
        for found, expected in zip(plain(states), plain(alone), strict=True):
            np.testing.assert_allclose(found[index], expected, rtol=1e-3, atol=1e-4)


def test_updates_lower_the_error_of_networks_that_were_not_in_the_pool():
    synthetic, batch = make_problem()
    batch = batch._replace(actions=jnp.tanh(batch.observations[:, :A]))
    distiller = distill.pool_distiller(
        [changed(width=32, max_age=60, steps_per_update=3, learning_rate=1e-2)],
        optax.adam(0.02),
        constraint=distill.squashed(),
    )
    student = students.MLPRecipe((32,) * 3, 100, "adam", 1e-2, 0.9, "action").student(A)

    @jax.jit
    def error(synthetic):
        def one(key):
            predicted = student.act(student.fit(key, synthetic), batch.observations)
            return distill.weighted_squared_error(predicted, batch)

        return jnp.mean(jax.lax.map(one, jax.random.split(jax.random.key(7), 4)))

    update = jax.jit(distiller.update)
    state = distiller.init(jax.random.key(0), synthetic)
    before = error(state.synthetic)
    for _ in range(200):
        state, _ = update(state, batch)
    assert error(state.synthetic) < 0.5 * before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"max_age": 0}, "max_age must be at least 1, got 0"),
        ({"steps_per_update": -1}, "steps_per_update must not be negative, got -1"),
        ({"steps_per_update": 7}, "at most max_age, which is 6, got 7"),
        ({"activation": "gelu"}, "unknown activation 'gelu'; known: relu, tanh"),
        ({"optimizer": "lion"}, "unknown optimiser 'lion'; known: sgd"),
        ({"learning_rate": 0.0}, "learning rate must be positive, got 0.0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, or None for all pairs, got 0"),
        ({"ridge": -1.0}, "ridge must not be negative, got -1.0"),
        ({"ridge": np.nan}, "ridge must not be negative, got nan"),
        ({"feature_weight": 0.0}, "feature_weight or output_weight must be positive"),
        ({"output_weight": 1.0}, "output_weight and unroll must be positive both or neither"),
        ({"unroll": 2}, "output_weight and unroll must be positive both or neither"),
    ],
)
def test_recipes_out_of_range_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        changed(**changes)


def test_pools_that_cannot_be_are_refused():
    synthetic, _ = make_problem()
    with pytest.raises(InvalidInputError, match="at least one member"):
        distill.pool_distiller([], optax.sgd(1.0), students=[KERNEL])
    distiller = distill.pool_distiller([changed(batch_size=N + 1)], optax.sgd(1.0))
    with pytest.raises(InvalidInputError, match="at most the 6 pairs, got 7"):
        distiller.init(jax.random.key(0), synthetic)
