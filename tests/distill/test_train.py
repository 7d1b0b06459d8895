"""The driver: budgets, annealing, batches, records, and stopping at numbers not finite."""

import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import distill
from obd_jax.types import InvalidInputError, Student, SyntheticData, Targets

pytestmark = pytest.mark.usefixtures("unoptimised")

M, D, A, N = 50, 3, 2, 4


def mean_student():
    """Acts everywhere by the mean synthetic action: distillation has a closed form."""
    return Student(
        fit=lambda key, pairs: pairs.actions.mean(axis=0),
        act=lambda mean, observations: jnp.broadcast_to(mean, (observations.shape[0], A)),
    )


def make_targets(value=0.5):
    observations = jax.random.normal(jax.random.key(0), (M, D))
    return Targets(observations, jnp.full((M, A), value), jnp.ones(M))


def make_synthetic():
    return SyntheticData(jnp.zeros((N, D)), jnp.zeros((N, A)))


def train(distiller=None, **options):
    if distiller is None:
        distiller = distill.distiller(mean_student(), optax.sgd(1.0))
    options = {"steps": 25, "batch_size": 8, "steps_per_call": 10, **options}
    key = options.pop("key", jax.random.key(7))
    targets = options.pop("targets", make_targets())
    return distill.train(key, distiller, targets, make_synthetic(), **options)


def test_training_finds_the_known_optimum():
    state, history = train(steps=100)
    np.testing.assert_allclose(state.synthetic.actions, 0.5, atol=1e-3)
    assert history[-1]["loss"] < 1e-5 < history[0]["loss"]


@pytest.mark.parametrize("steps", [1, 10, 25])
def test_exactly_the_steps_asked_for_are_done(steps):
    state, history = train(steps=steps)
    assert int(state.step) == history[-1]["step"] == steps
    assert len(history) == -(-steps // 10)


def test_the_driver_equals_a_plain_loop_over_updates():
    distiller = distill.distiller(mean_student(), optax.sgd(0.5, momentum=0.9))
    key = jax.random.key(7)
    driven, _ = train(distiller, steps=25, key=key)

    init_key, batch_key = jax.random.split(key)
    state = distiller.init(init_key, make_synthetic())
    for step in range(25):
        batch = distill.sample(jax.random.fold_in(batch_key, step), make_targets(), 8)
        state, _ = distiller.update(state, batch, distill.cosine_anneal(np.array(step / 25)))
    np.testing.assert_allclose(driven.synthetic.actions, state.synthetic.actions, rtol=1e-5)


def programs():
    """Names of the compiled blocks of steps that the cache of programs holds."""
    folder = pathlib.Path(jax.config.values["jax_compilation_cache_dir"])
    return {path.name for path in folder.glob("jit_block*-cache")}


def test_seeds_and_data_of_a_size_share_one_compiled_program():
    distiller = distill.distiller(mean_student(), optax.sgd(0.123))
    before = programs()
    train(distiller)
    first = programs() - before
    assert len(first) == 1
    train(distiller, key=jax.random.key(8))
    train(distiller, targets=make_targets(0.3))
    assert programs() - before == first


def test_the_same_key_gives_the_same_set_and_blocks_do_not_matter():
    reference, _ = train(steps=20, steps_per_call=10)
    again, _ = train(steps=20, steps_per_call=10)
    other_blocks, _ = train(steps=20, steps_per_call=7)
    np.testing.assert_array_equal(reference.synthetic.actions, again.synthetic.actions)
    np.testing.assert_allclose(
        reference.synthetic.actions, other_blocks.synthetic.actions, rtol=1e-6
    )


def test_a_run_that_resumes_equals_the_one_that_never_stopped():
    """From any block, and with keys, moments and annealing where they were."""
    student = mean_student()
    noisy = student._replace(
        fit=lambda key, pairs: student.fit(key, pairs) + 0.1 * jax.random.normal(key, (A,))
    )
    distiller = distill.distiller(noisy, optax.adam(0.1))
    stops = []
    state, history = train(distiller, steps=25, callback=lambda *stop: stops.append(stop))
    for number, (before, record) in enumerate(stops):
        again, rest = train(distiller, steps=25, state=before, seconds=record["seconds"])
        for found, expected in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
            assert jnp.array_equal(found, expected)
        clocks = ("seconds", "eta_seconds")
        for found, expected in zip(rest, history[number + 1 :], strict=True):
            assert {k: v for k, v in found.items() if k not in clocks} == {
                k: v for k, v in expected.items() if k not in clocks
            }
            assert found["seconds"] > record["seconds"]


def test_a_run_that_resumes_has_the_rest_of_its_budget():
    state, _ = train(steps=10)
    _, rest = train(steps=100, budget_seconds=1e4, state=state, seconds=9e3)
    assert rest[0]["progress"] == pytest.approx(0.9, abs=0.05)
    assert rest[0]["step_scale"] == pytest.approx(distill.cosine_anneal(np.array(0.9)), abs=0.01)
    assert rest[0]["seconds"] > 9e3
    spent, nothing = train(steps=100, budget_seconds=1e4, state=state, seconds=1e4)
    assert (int(spent.step), nothing) == (10, [])


def test_more_steps_done_than_asked_for_are_refused():
    state, _ = train(steps=20)
    assert train(steps=20, state=state)[1] == []
    with pytest.raises(InvalidInputError, match="20 steps are done already, 10 were asked for"):
        train(steps=10, state=state)


def slow_student(seconds):
    """The mean student, slowed down."""

    def sleep(actions):
        time.sleep(seconds)
        return actions

    @jax.custom_jvp
    def delayed(actions):
        return jax.pure_callback(sleep, jax.ShapeDtypeStruct((N, A), jnp.float32), actions)

    delayed.defjvp(lambda primals, tangents: (delayed(*primals), tangents[0]))
    student = mean_student()
    return student._replace(fit=lambda key, pairs: delayed(pairs.actions).mean(axis=0))


def test_a_budget_ends_the_run_annealed_and_in_time():
    distiller = distill.distiller(slow_student(0.02), optax.sgd(0.5))
    state, history = train(distiller, steps=10_000, budget_seconds=3.0, steps_per_call=5)
    assert 10 < int(state.step) < 160
    assert history[-1]["seconds"] <= 3.0
    assert history[0]["step_scale"] > 0.4
    assert history[-1]["step_scale"] < 0.1
    assert history[-1]["progress"] > 0.9


def test_time_spent_in_the_callback_is_not_charged_to_the_budget():
    def callback(state, record):
        time.sleep(0.2)

    state, history = train(steps=60, budget_seconds=30.0, callback=callback)
    assert int(state.step) == 60
    assert history[-1]["seconds"] < 6 * 0.2 + 5.0
    gaps = np.diff([record["seconds"] for record in history])
    assert gaps.max() < 0.2


def test_the_callback_sees_every_record():
    seen = []
    _, history = train(callback=lambda state, record: seen.append((int(state.step), record)))
    assert [record for _, record in seen] == history
    assert [step for step, _ in seen] == [record["step"] for record in history]
    assert set(history[0]) == {
        "step",
        "progress",
        "seconds",
        "loss",
        "gradient_norm",
        "step_scale",
        "eta_seconds",
    }


def test_the_step_is_traced_once():
    traces = []

    def loss(actions, batch):
        traces.append(1)
        return distill.weighted_squared_error(actions, batch)

    train(distill.distiller(mean_student(), optax.sgd(1.0), loss=loss), steps=45)
    assert len(traces) <= 2  # Once for the loss, once at most for its linearisation.


@pytest.mark.parametrize("steps_per_call", [1, 7])
def test_divergence_names_the_step_and_keeps_the_last_good_set(steps_per_call):
    def loss(actions, batch):
        # Turns infinite as soon as the mean action has passed 0.3.
        return distill.weighted_squared_error(actions, batch) / (actions[0, 0] < 0.3)

    distiller = distill.distiller(mean_student(), optax.sgd(0.5), loss=loss)
    with pytest.raises(distill.DivergedError, match=r"outer step \d+.*learning rate") as error:
        train(distiller, steps=100, anneal=np.ones_like, steps_per_call=steps_per_call)
    kept = error.value.synthetic.actions
    assert 0.1 < kept[0, 0] < 0.3


def test_a_step_to_a_set_that_is_not_finite_is_not_taken():
    distiller = distill.distiller(mean_student(), optax.sgd(3e38))
    with pytest.raises(distill.DivergedError, match=r"set not finite at outer step 1") as error:
        train(distiller, steps=3, anneal=lambda progress: np.full_like(progress, 1e6))
    assert all(np.isfinite(array).all() for array in error.value.synthetic)


def test_batches_are_rows_of_the_data():
    targets = make_targets()._replace(weights=jnp.arange(M, dtype=jnp.float32))
    batch = distill.sample(jax.random.key(0), targets, 1000)
    rows = np.asarray(batch.weights, int)
    np.testing.assert_array_equal(batch.observations, targets.observations[rows])
    assert set(rows) == set(range(M))


def test_cosine_annealing_starts_at_one_and_ends_at_its_final_value():
    np.testing.assert_allclose(
        distill.cosine_anneal(np.array([0.0, 0.5, 1.0, 1.5]), final=0.1), [1.0, 0.55, 0.1, 0.1]
    )


@pytest.mark.parametrize("name", ["steps", "batch_size", "steps_per_call", "budget_seconds"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(InvalidInputError, match=rf"{name} must be positive, got {value}"):
        train(**{name: value})
