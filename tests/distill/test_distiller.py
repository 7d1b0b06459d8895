"""The meta-gradient is that of the whole inner run, and a step does what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill, networks, optimizers, students
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

pytestmark = pytest.mark.usefixtures("unoptimised")

N, D, A, B = 6, 4, 2, 9

OPTIMIZERS = {
    "sgd": lambda: optax.sgd(0.3),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(0.01, eps_root=1e-8),
}


def make_student(optimizer, steps=7, trainer=None, cloning_error=students.action_error):
    return students.mlp(
        A,
        hidden_sizes=(8, 8),
        steps=steps,
        optimizer=optimizer,
        cloning_error=cloning_error,
        trainer=trainer,
    )


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


def outer_loss(student, batch):
    key = jax.random.key(2)

    def loss(synthetic):
        params = student.fit(key, synthetic)
        return distill.weighted_squared_error(student.act(params, batch.observations), batch)

    return loss


@pytest.mark.parametrize(
    ("name", "cloning"),
    [*((name, "action") for name in OPTIMIZERS), ("momentum", "presquash")],
)
def test_meta_gradient_equals_finite_differences_through_the_whole_run(name, cloning):
    with jax.enable_x64(True):
        synthetic, batch = make_problem(jnp.float64)
        error = students.CLONING_ERRORS[cloning]
        loss = outer_loss(make_student(OPTIMIZERS[name](), cloning_error=error), batch)
        flat, unravel = jax.flatten_util.ravel_pytree(synthetic)
        losses = jax.jit(lambda points: jax.lax.map(lambda x: loss(unravel(x)), points))
        offsets = 1e-5 * jnp.eye(flat.size)
        central = (losses(flat[None] + offsets) - losses(flat[None] - offsets)) / 2e-5

        gradient = jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(synthetic))[0]
        np.testing.assert_allclose(gradient, central, rtol=1e-5, atol=1e-9)
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_meta_gradient_equals_that_of_an_unrolled_python_loop(name):
    with jax.enable_x64(True):
        synthetic, batch = make_problem(jnp.float64)
        optimizer = OPTIMIZERS[name]()
        key = jax.random.key(2)
        network = networks.MLP((8, 8), A)

        def act(params, observations):
            return jnp.tanh(network.apply(params, observations))

        def unrolled(synthetic):
            params = network.init(key, synthetic.observations[0])
            params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
            state = optimizer.init(params)
            for _ in range(7):
                gradient = jax.grad(
                    lambda p: jnp.mean((act(p, synthetic.observations) - synthetic.actions) ** 2)
                )(params)
                updates, state = optimizer.update(gradient, state, params)
                params = optax.apply_updates(params, updates)
            error = (act(params, batch.observations) - batch.actions) ** 2
            return jnp.mean(batch.weights[:, None] * error)

        student = make_student(optimizer)
        scanned = jax.jit(jax.value_and_grad(outer_loss(student, batch)))(synthetic)
        looped = jax.jit(jax.value_and_grad(unrolled))(synthetic)
        for actual, expected in zip(*map(jax.tree.leaves, (scanned, looped)), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_rematerialisation_leaves_the_gradient_alone():
    synthetic, batch = make_problem()
    gradients = [
        jax.jit(
            jax.grad(
                outer_loss(
                    make_student(optax.sgd(0.1, momentum=0.9), trainer=students.reverse(remat)),
                    batch,
                )
            )
        )(synthetic)
        for remat in (True, False)
    ]
    for on, off in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(on, off, rtol=1e-5, atol=1e-7)


def test_rematerialisation_saves_memory():
    synthetic, batch = make_problem()

    def temporaries(remat):
        student = make_student(optax.sgd(0.1), steps=100, trainer=students.reverse(remat))
        compiled = jax.jit(jax.grad(outer_loss(student, batch))).lower(synthetic).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(True) < 0.7 * temporaries(False)


def test_a_population_equals_its_members_one_after_another():
    synthetic, batch = make_problem()
    distiller = distill.distiller(
        make_student(optax.sgd(0.1)), optax.adam(0.05), constraint=distill.clipped()
    )
    keys = jax.random.split(jax.random.key(3), 3)
    step = jax.jit(distiller.update)
    population_step = jax.jit(jax.vmap(distiller.update, in_axes=(0, None, None)))

    population = jax.vmap(distiller.init, in_axes=(0, None))(keys, synthetic)
    members = [distiller.init(key, synthetic) for key in keys]
    for _ in range(3):
        population, metrics = population_step(population, batch, 1.0)
        members, losses = zip(*(step(member, batch, 1.0) for member in members), strict=True)
    np.testing.assert_allclose(metrics["loss"], [member["loss"] for member in losses], rtol=1e-4)
    for index, member in enumerate(members):
        np.testing.assert_allclose(
            population.synthetic.observations[index], member.synthetic.observations, atol=1e-4
        )
    assert len({float(loss) for loss in metrics["loss"]}) == 3  # Each has its own students.


def test_the_second_step_does_not_retrace():
    synthetic, batch = make_problem()
    distiller = distill.distiller(make_student(optax.sgd(0.1)), optax.adam(0.05))
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return distiller.update(state, batch, 1.0)

    state = distiller.init(jax.random.key(0), synthetic)
    for _ in range(3):
        state, _ = step(state, batch)
    assert len(traces) == 1
    assert int(state.step) == 3


def test_updates_lower_the_objective():
    synthetic, batch = make_problem()
    batch = batch._replace(actions=jnp.tanh(batch.observations[:, :A]))
    student = make_student(optax.sgd(0.1, momentum=0.9), steps=20)
    distiller = distill.distiller(student, optax.adam(0.05))
    step = jax.jit(distiller.update)
    state = distiller.init(jax.random.key(0), synthetic)
    losses = []
    for _ in range(200):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


@pytest.mark.parametrize("bound", [0.25, 1.0])
def test_bounded_actions_stay_within_the_bound_from_the_start(bound):
    synthetic, batch = make_problem()
    synthetic = synthetic._replace(actions=3.0 * synthetic.actions)
    distiller = distill.distiller(
        make_student(optax.sgd(0.1)), optax.sgd(50.0), constraint=distill.clipped(bound)
    )
    state = distiller.init(jax.random.key(0), synthetic)
    assert np.abs(state.synthetic.actions).max() <= bound
    state, _ = jax.jit(distiller.update)(state, batch)
    assert np.abs(state.synthetic.actions).max() <= bound


def test_unbounded_actions_are_left_free():
    synthetic, _ = make_problem()
    synthetic = synthetic._replace(actions=3.0 * synthetic.actions)
    distiller = distill.distiller(make_student(optax.sgd(0.1)), optax.sgd(0.1))
    state = distiller.init(jax.random.key(0), synthetic)
    np.testing.assert_array_equal(state.synthetic.actions, synthetic.actions)


def test_step_scale_scales_the_step_and_zero_stands_still():
    synthetic, batch = make_problem()
    distiller = distill.distiller(make_student(optax.sgd(0.1)), optax.sgd(1.0))
    state = distiller.init(jax.random.key(0), synthetic)

    step = jax.jit(distiller.update)

    def moved(scale):
        after = step(state, batch, scale)[0].synthetic.observations
        return after - synthetic.observations

    np.testing.assert_array_equal(moved(0.0), 0.0)
    np.testing.assert_allclose(moved(0.5), 0.5 * moved(1.0), atol=1e-6)
    assert np.abs(moved(1.0)).max() > 1e-4


def test_own_loss_and_own_student_take_part():
    """A student that returns its pairs' mean action has a gradient in closed form."""
    synthetic, batch = make_problem()
    student = Student(
        fit=lambda key, pairs: pairs.actions.mean(axis=0),
        act=lambda mean, observations: jnp.broadcast_to(mean, (observations.shape[0], A)),
    )
    distiller = distill.distiller(
        student, optax.sgd(1.0), loss=lambda actions, batch: jnp.sum(actions) / actions.shape[0]
    )
    state = distiller.init(jax.random.key(0), synthetic)
    state, metrics = distiller.update(state, batch)
    np.testing.assert_allclose(metrics["loss"], synthetic.actions.mean(axis=0).sum(), rtol=1e-6)
    np.testing.assert_allclose(state.synthetic.actions, synthetic.actions - 1.0 / N, atol=1e-6)


def test_a_step_that_is_not_finite_keeps_the_last_good_set():
    synthetic, batch = make_problem()
    distiller = distill.distiller(make_student(optax.sgd(0.1)), optax.adam(0.1))
    step = jax.jit(distiller.update)
    state, _ = step(distiller.init(jax.random.key(0), synthetic), batch)
    after, metrics = step(state, batch._replace(weights=jnp.full(B, jnp.nan)))
    assert not metrics["finite"]
    np.testing.assert_array_equal(after.synthetic.observations, state.synthetic.observations)
    for kept, old in zip(
        *map(jax.tree.leaves, (after.optimizer_state, state.optimizer_state)), strict=True
    ):
        np.testing.assert_array_equal(kept, old)


def one_step(student, synthetic, batch, **options):
    distiller = distill.distiller(student, optax.sgd(1.0), **options)
    return jax.jit(distiller.update)(distiller.init(jax.random.key(0), synthetic), batch)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_a_step_for_two_students_is_that_of_their_common_error_and_a_share_of_their_variance(
    spread,
):
    synthetic, batch = make_problem()
    student = make_student(optax.sgd(0.1, momentum=0.9))
    after, metrics = one_step(student, synthetic, batch, spread=spread)
    keys = jax.random.split(jax.random.split(jax.random.key(0))[1])

    def loss(synthetic):
        first, second = (
            student.act(student.fit(key, synthetic), batch.observations) - batch.actions
            for key in keys
        )
        # The product of two independent errors is on average the square of the common one.
        each = first * second + spread * jnp.square(first - second) / 2
        return jnp.mean(batch.weights[:, None] * each)

    value, gradient = jax.value_and_grad(loss)(synthetic)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-4)
    expected = jax.tree.map(lambda array, slope: array - slope, synthetic, gradient)
    for found, wanted in zip(after.synthetic, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_without_spread_the_loss_is_on_average_that_of_many_students_mean():
    synthetic, batch = make_problem()
    # Students that clone nothing but their own noise around the pairs' mean action.
    student = Student(
        fit=lambda key, pairs: pairs.actions.mean(axis=0) + jax.random.normal(key, (A,)),
        act=lambda params, observations: jnp.broadcast_to(params, (len(observations), A)),
    )
    distiller = distill.distiller(student, optax.sgd(0.0), spread=0.0)

    def loss(key):
        return distiller.update(distiller.init(key, synthetic), batch)[1]["loss"]

    losses = jax.jit(jax.vmap(loss))(jax.random.split(jax.random.key(0), 20_000))
    error = synthetic.actions.mean(axis=0)[None, :] - batch.actions
    expected = float(jnp.mean(batch.weights[:, None] * jnp.square(error)))
    assert float(losses.mean()) == pytest.approx(
        expected, abs=5 * float(losses.std()) / 20_000**0.5
    )


@pytest.mark.parametrize("spread", [-0.1, 1.1, np.nan])
def test_a_spread_out_of_range_is_refused(spread):
    with pytest.raises(InvalidInputError, match=r"spread must be in \[0, 1\]"):
        distill.distiller(make_student(optax.sgd(0.1)), optax.sgd(1.0), spread=spread)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_numbers_of_a_distiller_can_be_traced(name):
    synthetic, batch = make_problem()

    def step(rate, momentum, spread):
        student = make_student(optimizers.make("sgd", rate, momentum), steps=2)
        distiller = distill.distiller(
            student,
            optimizers.make(name, rate, momentum),
            constraint=distill.squashed(),
            spread=spread,
        )
        state, _ = distiller.update(distiller.init(jax.random.key(0), synthetic), batch)
        return state.synthetic.actions

    numbers = jnp.array([0.01, 0.02]), jnp.array([0.5, 0.9]), jnp.array([0.3, 0.6])
    together = jax.jit(jax.vmap(step))(*numbers)
    for i, found in enumerate(together):
        alone = step(*(float(column[i]) for column in numbers))
        np.testing.assert_allclose(found, alone, atol=1e-5)


def test_several_students_share_the_weighted_sum_of_their_losses():
    synthetic, batch = make_problem()
    members = [
        students.kernel(students.ntk(), students.KernelSettings(depth=1)),
        students.lazy_mlp(depth=1, steps=3, learning_rate=0.1),
    ]
    steps = []
    for student in (*members, [(0.5, members[0]), (2.0, members[1])]):
        # Students in closed form have no variance, and so no spread.
        distiller = distill.distiller(student, optax.sgd(1.0), spread=0.3)
        state = distiller.init(jax.random.key(0), synthetic)
        after, metrics = jax.jit(distiller.update)(state, batch)
        step = jax.tree.map(lambda new, old: new - old, after.synthetic, state.synthetic)
        steps.append((metrics["loss"], step))
    expected = jax.tree.map(lambda a, b: 0.5 * a + 2.0 * b, steps[0], steps[1])
    for actual, wanted in zip(*map(jax.tree.leaves, (steps[2], expected)), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-6)
    assert "raise the ridge" in distiller.advice
    assert "inner learning rate" in distiller.advice


def test_no_student_is_refused():
    with pytest.raises(InvalidInputError, match="at least one student"):
        distill.distiller([], optax.sgd(1.0))
