"""The fit loop: improves, keeps the best, reports, compiles once, refuses bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from obd_jax import density
from obd_jax.density.standardize import ColumnStatistics
from obd_jax.types import DensityEstimator, InvalidInputError


def states(rows=600, size=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, size)) @ rng.standard_normal((size, size))).astype("f4")


def location_model(traces=None):
    """Unit normal with a trained mean: one parameter vector, known optimum."""

    def log_prob(params, observations):
        if traces is not None:
            traces.append(observations.shape)
        squares = jnp.sum((observations - params[None, :]) ** 2, axis=1)
        return -0.5 * squares - 0.5 * observations.shape[1] * jnp.log(2 * jnp.pi)

    def init(key, observations):
        return jnp.full(observations.shape[1], 10.0)

    return DensityEstimator(init=init, log_prob=log_prob, trainable=True)


def test_training_reaches_the_maximum_likelihood():
    observations = states() + 2.0
    params, history = density.fit(
        jax.random.key(0),
        location_model(),
        observations,
        epochs=20,
        batch_size=50,
        optimizer=optax.adam(optax.cosine_decay_schedule(0.5, 200)),
        patience=20,
    )
    np.testing.assert_allclose(params, observations.mean(0), atol=0.2)
    assert [record["epoch"] for record in history] == list(range(21))
    assert history[-1]["held_out_log_likelihood"] > history[0]["held_out_log_likelihood"] + 10


@pytest.mark.parametrize("name", density.DENSITIES)
def test_history_reports_held_out_likelihood_for_every_estimator(name):
    seen = []
    estimator = density.make(name)
    params, history = density.fit(
        jax.random.key(0), estimator, states(), epochs=1, batch_size=50, callback=seen.append
    )
    assert seen == history
    assert len(history) == (2 if estimator.trainable else 1)
    for record in history:
        assert set(record) == {
            "epoch",
            "train_log_likelihood",
            "held_out_log_likelihood",
            "held_out_mean",
            "seconds",
        }
        assert all(np.isfinite(value) for value in record.values())
    assert estimator.log_prob(params, states()).shape == (600,)


def test_held_out_likelihood_is_measured_on_states_not_trained_on():
    # References that are scored on themselves would be far more likely than the held-out ones.
    _, history = density.fit(jax.random.key(0), density.kde(0.01), states())
    assert history[0]["train_log_likelihood"] > history[0]["held_out_log_likelihood"] + 10


def test_the_best_parameters_are_kept_and_a_hopeless_fit_stops_early():
    # Gradient ascent on the loss: every epoch is worse than the one before.
    with pytest.warns(RuntimeWarning, match="the untrained one: none of 3 epochs"):
        params, history = density.fit(
            jax.random.key(0),
            location_model(),
            states(),
            epochs=50,
            batch_size=100,
            patience=3,
            optimizer=optax.sgd(-0.01),
        )
    assert len(history) == 1 + 3
    assert density.chosen(history) is history[0]
    np.testing.assert_array_equal(params, 10.0)


def test_outliers_among_the_held_out_states_do_not_choose_the_epoch():
    clean, key, estimator = states(1000), jax.random.key(0), density.maf(2, (16,))
    expected, before = density.fit(key, estimator, clean, epochs=3, batch_size=100)
    # As `fit` shuffles them: the first tenth is held out, so that training is the same.
    shuffler = np.random.default_rng(np.asarray(jax.random.key_data(jax.random.split(key)[1])))
    held_out = shuffler.permutation(len(clean))[:100]
    for size, outliers in [(-20.0, 1), (1e6, 4), (1e15, 4)]:
        observations = clean.copy()
        observations[held_out[:outliers], 0] += size * clean[:, 0].std()
        params, history = density.fit(key, estimator, observations, epochs=3, batch_size=100)
        assert density.chosen(history)["epoch"] == density.chosen(before)["epoch"] > 0
        jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_the_robust_mean_is_the_winsorised_one():
    values = np.random.default_rng(0).normal(-5, 9, 201)
    expected = np.asarray(scipy.stats.mstats.winsorize(values, (0.05, 0.05))).mean()
    assert density.robust_mean(values) == pytest.approx(expected)
    assert density.robust_mean(values[::-1]) == density.robust_mean(values)
    extremes = np.concatenate([values, [-np.inf, -np.inf, np.inf, 1e300]])
    assert density.robust_mean(extremes) == pytest.approx(values.mean(), abs=0.5)
    assert np.isnan(density.robust_mean(np.append(values, np.nan)))
    assert density.robust_mean([2.0]) == 2.0
    assert density.robust_mean([2.0, 4.0]) == 3.0
    assert density.robust_mean([2.0, 4.0, 1e9]) == 4.0


def test_a_fit_that_nothing_can_be_learnt_from_is_no_matter_of_concern():
    density.fit(jax.random.key(0), density.maf(1, (4,)), np.ones((40, 2), "f4"), epochs=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_initial_likelihood_that_nothing_compares_with_is_refused(value):
    model = location_model()

    def log_prob(params, observations):
        untrained = jnp.all(params == 10.0)
        # Only where it is evaluated: the loss of training is finite.
        bad = untrained & (observations.shape[0] != 100)
        return jnp.where(bad, value, model.log_prob(params, observations))

    with pytest.raises(FloatingPointError, match=f"initial density's held-out .* is {value}"):
        density.fit(
            jax.random.key(0),
            DensityEstimator(model.init, log_prob, trainable=True),
            states(),
            epochs=3,
            batch_size=100,
        )


def test_a_likelihood_that_is_lost_on_the_way_leaves_the_best_epoch():
    model = location_model()

    def log_prob(params, observations):
        far = jnp.all(params < 9.0) & (observations.shape[0] != 100)
        return jnp.where(far, jnp.nan, model.log_prob(params, observations))

    with pytest.warns(RuntimeWarning, match="the untrained one"):
        params, history = density.fit(
            jax.random.key(0),
            DensityEstimator(model.init, log_prob, trainable=True),
            states(),
            epochs=3,
            batch_size=100,
            optimizer=optax.sgd(0.5),
        )
    assert density.chosen(history) is history[0]
    np.testing.assert_array_equal(params, 10.0)


def test_the_same_key_gives_the_same_fit():
    estimator = location_model()
    same, again, other = (
        density.fit(jax.random.key(k), estimator, states(), epochs=2, batch_size=100)[0]
        for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


def test_column_statistics_are_never_trained_even_with_weight_decay():
    statistics = ColumnStatistics(*3 * [jnp.ones(3)])
    model = location_model()

    def log_prob(params, observations):
        columns, location = params
        return model.log_prob(location, columns.standardize(observations)) - columns.log_volume

    estimator = DensityEstimator(
        init=lambda key, observations: (statistics, model.init(key, observations)),
        log_prob=log_prob,
        trainable=True,
    )
    (columns, location), _ = density.fit(
        jax.random.key(0),
        estimator,
        states(),
        epochs=2,
        batch_size=100,
        optimizer=optax.adamw(0.1, weight_decay=0.5),
    )
    jax.tree.map(np.testing.assert_array_equal, columns, statistics)
    assert np.all(location < 10.0)


def test_a_second_fit_and_evaluation_do_not_retrace():
    traces = []
    estimator = location_model(traces)
    for seed in (0, 1):
        observations = states(seed=seed)
        before = len(traces)
        params, _ = density.fit(
            jax.random.key(seed), estimator, observations, epochs=3, batch_size=100
        )
        density.log_prob_chunked(estimator, params, observations)
        density.log_prob_chunked(estimator, params, observations[:17])
    assert before > 0
    assert len(traces) == before


def test_batches_larger_than_the_data_are_one_batch():
    _, history = density.fit(
        jax.random.key(0), location_model(), states(20), epochs=1, batch_size=512
    )
    assert np.isfinite(history[-1]["train_log_likelihood"])


@pytest.mark.parametrize("rows", [1, 31, 32, 100])
def test_chunked_evaluation_equals_one_call(rows):
    estimator = density.gaussian()
    params = estimator.init(jax.random.key(0), states())
    actual = density.log_prob_chunked(estimator, params, states()[:rows], chunk_size=32)
    assert isinstance(actual, np.ndarray)
    np.testing.assert_allclose(actual, estimator.log_prob(params, states()[:rows]), rtol=1e-5)


def test_chunked_evaluation_of_no_states_is_empty():
    estimator = density.gaussian()
    params = estimator.init(jax.random.key(0), states())
    assert density.log_prob_chunked(estimator, params, states()[:0]).shape == (0,)


def test_a_diverging_fit_stops_with_the_epoch():
    with pytest.raises(FloatingPointError, match=r"epoch \d"):
        density.fit(
            jax.random.key(0),
            location_model(),
            states(),
            epochs=50,
            batch_size=50,
            patience=50,
            optimizer=optax.sgd(1e6),
        )


def with_value(value):
    observations = states()
    observations[7, 1] = value
    return observations


@pytest.mark.parametrize(
    ("observations", "options", "message"),
    [
        (np.zeros((0, 3), "f4"), {}, "got 0 in all"),
        (states(2), {}, "got 2 in all"),
        (states(10), {"validation_fraction": 0.95}, "got 10 in all"),
        (np.zeros(5, "f4"), {}, r"\[M, D\].*\[5\]"),
        (np.zeros((5, 0), "f4"), {}, r"D >= 1.*\[5, 0\]"),
        (with_value(np.nan), {}, "finite: 1 of 600 rows.*row 7"),
        (with_value(np.inf), {}, "finite: 1 of 600 rows.*row 7"),
        (states(), {"epochs": 0}, "epochs must be at least 1, got 0"),
        (states(), {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        (states(), {"patience": 0}, "patience must be at least 1, got 0"),
        (states(), {"validation_fraction": 0.0}, "validation_fraction.*0.0"),
        (states(), {"validation_fraction": 1.0}, "validation_fraction.*1.0"),
    ],
)
def test_bad_input_is_refused(observations, options, message):
    with pytest.raises(InvalidInputError, match=message):
        density.fit(jax.random.key(0), density.gaussian(), observations, **options)


def test_bad_chunks_are_refused():
    estimator = density.gaussian()
    params = estimator.init(jax.random.key(0), states())
    with pytest.raises(InvalidInputError, match=r"chunk_size.*0"):
        density.log_prob_chunked(estimator, params, states(), chunk_size=0)
    with pytest.raises(InvalidInputError, match=r"\[M, D\].*\[3\]"):
        density.log_prob_chunked(estimator, params, states()[0])
