"""The meta-gradient's ways through training: exact where they claim to be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from obd_jax import optimizers, students
from obd_jax.students import Training, mixed, reverse, truncated
from obd_jax.types import InvalidInputError, SyntheticData

pytestmark = pytest.mark.usefixtures("unoptimised")

T, N, D = 7, 6, 3
KEY = jax.random.key(5)
OPTIMIZERS = {
    "sgd": optax.sgd(0.3),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.05, eps_root=1e-8),
    "detached_adam": optimizers.make("detached_adam", 0.05, 0.9),
    # Its updates, and its initial state, depend on the parameters themselves.
    "drawn to the start": optax.chain(
        optax.GradientTransformation(
            lambda params: jax.tree.map(jnp.sin, params),
            lambda gradient, start, params: (
                jax.tree.map(lambda g, s, p: g + 0.2 * p * s, gradient, start, params),
                start,
            ),
        ),
        optax.sgd(0.1),
    ),
}


def loss(params, data):
    """Not quadratic, so that curvature changes along the way."""
    inputs, targets = data
    hidden = jnp.tanh(inputs @ params["w"])
    return jnp.mean((hidden @ params["v"] - targets) ** 2)


def problem():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "w": jax.random.normal(keys[0], (D, 5), jnp.float64),
        "v": jax.random.normal(keys[1], (5,), jnp.float64),
    }
    data = (
        jax.random.normal(keys[2], (N, D), jnp.float64),
        jax.random.normal(keys[3], (N,), jnp.float64),
    )
    return params, data


def end_loss(trainer, optimizer, steps=T, key=KEY):
    """(parameters, data) -> a number that depends on all trained parameters."""

    def value(params, data):
        trained = trainer(Training(loss, optimizer, steps), key, params, data)
        return sum(jnp.sum(jnp.sin(leaf + 0.3)) for leaf in jax.tree.leaves(trained))

    return value


def gradient(trainer, optimizer, argnums=(0, 1), **options):
    return jax.jit(jax.value_and_grad(end_loss(trainer, optimizer, **options), argnums))(*problem())


def assert_close(left, right, rtol=1e-9):
    for a, b in zip(*map(jax.tree.leaves, (left, right)), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "trainer", [reverse(remat=True), mixed()], ids=["reverse with remat", "mixed"]
)
def test_exact_ways_agree_in_parameters_and_data(trainer, name):
    with jax.enable_x64(True):
        assert_close(gradient(trainer, OPTIMIZERS[name]), gradient(reverse(), OPTIMIZERS[name]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_window_of_all_steps_is_exact_in_the_data(name):
    with jax.enable_x64(True):
        whole = gradient(truncated(T), OPTIMIZERS[name], argnums=1)
        assert_close(whole, gradient(reverse(), OPTIMIZERS[name], argnums=1))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize("trainer", [reverse(), mixed(), truncated(T)], ids=["r", "m", "t"])
def test_exact_ways_are_finite_differences_of_the_whole_run(trainer, name):
    with jax.enable_x64(True):
        params, data = problem()
        flat, unravel = jax.flatten_util.ravel_pytree(data)
        value = end_loss(trainer, OPTIMIZERS[name])
        ends = jax.jit(lambda points: jax.lax.map(lambda x: value(params, unravel(x)), points))
        offsets = 1e-5 * jnp.eye(flat.size)
        central = (ends(flat[None] + offsets) - ends(flat[None] - offsets)) / 2e-5
        found = gradient(trainer, OPTIMIZERS[name], argnums=1)[1]
        np.testing.assert_allclose(
            jax.flatten_util.ravel_pytree(found)[0], central, rtol=1e-5, atol=1e-8
        )
        assert np.abs(central).max() > 1e-2


@pytest.mark.parametrize("window", [1, 3, 6])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_window_is_the_gradient_with_what_came_before_as_given(name, window):
    optimizer = OPTIMIZERS[name]
    with jax.enable_x64(True):
        params, data = problem()

        def step(state, data):
            params, optimizer_state = state
            slope = jax.grad(loss)(params, data)
            updates, optimizer_state = optimizer.update(slope, optimizer_state, params)
            return optax.apply_updates(params, updates), optimizer_state

        state = (params, optimizer.init(params))
        for _ in range(T - window):
            state = step(state, data)

        def rest(data):
            last = state
            for _ in range(window):
                last = step(last, data)
            return sum(jnp.sum(jnp.sin(leaf + 0.3)) for leaf in jax.tree.leaves(last[0]))

        expected = jax.value_and_grad(rest)(data)
        assert_close(gradient(truncated(window), optimizer, argnums=1), expected)
        full = gradient(reverse(), optimizer, argnums=1)[1]
        assert np.abs(full[0] - expected[1][0]).max() > 1e-4


def test_a_random_end_is_a_shorter_run_and_all_lengths_occur():
    optimizer, window = OPTIMIZERS["momentum"], 3
    with jax.enable_x64(True):
        shorter = [
            gradient(truncated(window), optimizer, argnums=1, steps=steps)
            for steps in range(window, T + 1)
        ]
        run = jax.jit(
            lambda key, params, data: jax.value_and_grad(
                end_loss(truncated(window, random_end=True), optimizer, key=key), 1
            )(params, data)
        )
        met = set()
        for seed in range(40):
            found = run(jax.random.key(seed), *problem())
            place = int(np.argmin([abs(found[0] - other[0]) for other in shorter]))
            assert_close(found, shorter[place])
            met.add(place)
        assert met == set(range(len(shorter)))
        # 40 draws from 5 lengths miss one with a chance of 5 * 0.8**40 = 0.07%.


def test_the_denominator_of_detached_adam_has_no_meta_gradient():
    with jax.enable_x64(True):
        detached = gradient(reverse(), OPTIMIZERS["detached_adam"], argnums=1)
        whole = gradient(reverse(), optimizers.make("adam", 0.05, 0.9), argnums=1)
    assert detached[0] == pytest.approx(float(whole[0]), rel=1e-6)  # The run is the same.
    assert np.abs(detached[1][0] - whole[1][0]).max() > 1e-3  # Its gradient is not.


def test_mixed_keeps_far_less_than_plain_reverse_mode():
    student = {
        name: students.mlp(
            2, hidden_sizes=(64, 64), steps=400, optimizer=optax.sgd(0.1), trainer=trainer
        )
        for name, trainer in (("reverse", reverse()), ("mixed", mixed()))
    }
    data = students_data(64)

    def temporaries(student):
        def value(synthetic):
            params = student.fit(KEY, synthetic)
            return jnp.sum(student.act(params, synthetic.observations))

        compiled = jax.jit(jax.grad(value)).lower(data).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(student["mixed"]) * 3 < temporaries(student["reverse"])


def students_data(pairs):
    keys = jax.random.split(jax.random.key(0))
    return SyntheticData(
        jax.random.normal(keys[0], (pairs, 4)), jax.random.uniform(keys[1], (pairs, 2))
    )


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_population_of_students_goes_through_mixed_mode(centred, optimizer):
    keys = jax.random.split(jax.random.key(0), 3)
    found = []
    for trainer in (reverse(), mixed()):
        student = students.mlp(
            2,
            hidden_sizes=(8, 8),
            steps=5,
            optimizer=optimizers.make(optimizer, 0.05, 0.9),
            centred=centred,
            trainer=trainer,
        )

        def value(synthetic, key, student=student):
            return jnp.sum(student.act(student.fit(key, synthetic), synthetic.observations) ** 2)

        together = jax.jit(jax.vmap(jax.grad(value), in_axes=(None, 0)))
        found.append(together(students_data(6), keys))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_mixed_mode_goes_through_the_mean_of_many_students():
    keys = jax.random.split(jax.random.key(0), 3)
    found = []
    for trainer in (reverse(), mixed()):
        student = students.mlp(
            2, hidden_sizes=(8, 8), steps=5, optimizer=optax.sgd(0.1, momentum=0.9), trainer=trainer
        )

        def value(synthetic, student=student):
            act = lambda key: student.act(student.fit(key, synthetic), synthetic.observations)  # noqa: E731
            return jnp.sum(jnp.mean(jax.vmap(act)(keys), axis=0) ** 2)

        found.append(jax.jit(jax.grad(value))(students_data(6)))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
    assert np.abs(found[0].observations).max() > 1e-3


def test_windows_out_of_range_are_refused():
    with pytest.raises(InvalidInputError, match="the window must be positive, got 0"):
        truncated(0)
    with pytest.raises(InvalidInputError, match="at most the 7 training steps, got 8"):
        truncated(8)(Training(loss, optax.sgd(0.1), T), KEY, {}, ())


def test_trainers_by_name_are_those_trainers():
    optimizer = OPTIMIZERS["momentum"]
    with jax.enable_x64(True):
        for name, trainer in (
            ("reverse", reverse()),
            ("mixed", mixed()),
            ("truncated", truncated(2)),
            ("random_truncated", truncated(2, random_end=True)),
        ):
            windows = {"window": 2} if "truncated" in name else {}
            made = students.TRAINERS[name](**windows).trainer()
            assert_close(*(gradient(each, optimizer, argnums=1) for each in (made, trainer)))
            texts = [
                str(jax.make_jaxpr(end_loss(each, optimizer))(*problem()))
                for each in (made, trainer)
            ]
            assert ("custom_vjp" in texts[0]) == ("custom_vjp" in texts[1]) == (name == "mixed")
    assert [*students.TRAINERS] == ["reverse", "mixed", "truncated", "random_truncated"]
    with pytest.raises(InvalidInputError, match="window must be at least 1, got 0"):
        students.TRAINERS["random_truncated"](window=0)
