"""Summaries of returns."""

import math

import numpy as np
import pytest
import scipy.stats

from obd_jax.evaluation import (
    interquartile_mean,
    seeds_interval,
    statistics,
    stratified_bootstrap_interval,
    summarize,
    worst_episodes,
)
from obd_jax.types import InvalidInputError


@pytest.mark.parametrize("shape", [(8,), (4, 5), (2, 3, 4)])
def test_the_interquartile_mean_is_the_mean_of_the_middle_half(shape):
    scores = np.random.default_rng(0).normal(size=shape)
    quarter = scores.size // 4
    middle = np.sort(scores.ravel())[quarter : scores.size - quarter]
    assert interquartile_mean(scores) == pytest.approx(middle.mean())


def test_outliers_do_not_move_the_interquartile_mean():
    assert interquartile_mean(np.array([1.0, 2.0, 3.0, 1e9])) == 2.5


def test_of_ten_scores_the_interquartile_mean_drops_two_at_either_end():
    # As in rliable 1.2: a quarter of the number of scores, rounded down.
    assert interquartile_mean(np.array([0, 0, 1, 2, 3, 4, 5, 6, 9, 9])) == pytest.approx(21 / 6)


def test_the_interval_is_scipys_percentile_interval():
    scores = np.random.default_rng(0).gamma(2.0, 10.0, size=12)
    low, high = stratified_bootstrap_interval(scores[None])
    # scipy.stats.bootstrap of the version in requirements.txt, another random stream.
    expected = scipy.stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    tolerance = 0.05 * scipy.stats.sem(scores)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=tolerance)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_of_many_scores_the_interval_is_the_normal_one(confidence):
    scores = np.random.default_rng(0).normal(50.0, 10.0, size=(1, 400))
    low, high = stratified_bootstrap_interval(scores, confidence=confidence)
    half = scipy.stats.norm.ppf(0.5 + confidence / 2) * scores.std() / 20
    expected = (scores.mean() - half, scores.mean() + half)
    assert (low, high) == pytest.approx(expected, abs=0.03 * half + 0.01)


def test_the_interval_covers_the_truth_as_often_as_theory_says():
    size, trials = 20, 1_000
    scores = np.random.default_rng(0).normal(size=(trials, 1, size))
    intervals = [stratified_bootstrap_interval(s, resamples=500) for s in scores]
    covered = np.mean([low <= 0.0 <= high for low, high in intervals])
    # Closed form: mean +- 1.96 s sqrt((n - 1) / n) / sqrt(n), a t quantile with n - 1 degrees.
    quantile = scipy.stats.norm.ppf(0.975) * math.sqrt((size - 1) / size)
    expected = 1 - 2 * scipy.stats.t.sf(quantile, size - 1)
    assert covered == pytest.approx(expected, abs=3 * math.sqrt(0.07 * 0.93 / trials) + 0.01)


def test_strata_are_never_mixed():
    scores = np.array([[0.0] * 5, [10.0] * 5])
    assert stratified_bootstrap_interval(scores) == (5.0, 5.0)
    low, high = stratified_bootstrap_interval(scores.reshape(1, -1))
    assert low < 4.0 < 6.0 < high


def test_an_interval_depends_on_nothing_but_scores_and_seed():
    scores = np.random.default_rng(0).normal(size=(1, 10))
    first, again = (stratified_bootstrap_interval(scores) for _ in range(2))
    assert first == again != stratified_bootstrap_interval(scores, seed=1)


def test_students_are_the_units_of_a_summary():
    means = np.array([0.0, 10.0, 20.0, 90.0])
    episodes = means[:, None] + np.tile([-40.0, 40.0], 50)[None, :]
    row = summarize(episodes)
    assert row["per_student"] == pytest.approx(means.tolist())
    assert row["mean"] == pytest.approx(30.0)
    assert row["iqm"] == pytest.approx(15.0)
    assert row["ci95"] == list(stratified_bootstrap_interval(means[None]))
    assert row["episodes"] == 100


def test_episodes_are_the_units_of_a_single_policy():
    episodes = np.array([[1.0, 2.0, 3.0, 40.0]])
    row = summarize(episodes)
    assert row["per_student"] == [11.5]
    assert row["iqm"] == 2.5
    assert row["ci95"] == list(stratified_bootstrap_interval(episodes))


@pytest.mark.parametrize(
    "returns",
    [
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.zeros(3),
        np.array([[1.0, math.nan]]),
        np.array([[1.0, math.inf]]),
    ],
)
def test_returns_that_cannot_be_summarised_are_refused(returns):
    with pytest.raises(InvalidInputError, match="returns must be finite and of shape"):
        summarize(returns)


def test_the_interval_over_seeds_is_scipys_of_one_task():
    means = np.random.default_rng(0).gamma(2.0, 10.0, size=5)
    expected = scipy.stats.t.interval(0.95, 4, means.mean(), scipy.stats.sem(means))
    assert seeds_interval([means]) == pytest.approx(expected)


def test_the_interval_over_seeds_of_a_difference_is_welchs():
    """The mean of one task and another's, negated, is half of Welch's difference of means."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(1.0, 3.0, 4), rng.normal(0.0, 1.0, 7)
    test = scipy.stats.ttest_ind(first, second, equal_var=False)
    expected = np.array(test.confidence_interval(0.95)) / 2
    assert seeds_interval([first, -second]) == pytest.approx(expected)


def test_one_seed_has_no_interval_over_seeds():
    assert seeds_interval([np.array([48.3])]) is None
    assert seeds_interval([np.array([1.0, 2.0, 3.0]), np.array([5.0])]) is None


def test_equal_seeds_have_an_interval_of_no_width():
    assert seeds_interval([np.full(3, 10.0), np.full(5, 40.0)]) == (25.0, 25.0)


@pytest.mark.parametrize("spreads", [(5.0,), (1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 20.0, 20.0, 20.0)])
def test_the_interval_over_three_seeds_covers_the_truth(spreads):
    """Seeds that differ, students within them and their episodes; one data set, and nine."""
    rng, trials, seeds, students = np.random.default_rng(0), 2_000, 3, 10
    covered = 0
    for _ in range(trials):
        tasks = [
            (rng.normal(0, s, (seeds, 1)) + rng.normal(0, 2 * s, (seeds, students))).mean(axis=1)
            for s in spreads
        ]
        interval = seeds_interval(tasks)
        assert interval is not None
        covered += interval[0] <= 0.0 <= interval[1]
    assert covered / trials == pytest.approx(0.95, abs=0.02)


def test_blocks_of_draws_change_nothing(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(3, 70))
    expected = stratified_bootstrap_interval(scores, resamples=999)
    monkeypatch.setattr(statistics, "_DRAWN_AT_ONCE", 700)
    assert stratified_bootstrap_interval(scores, resamples=999) == expected


def test_the_worst_episodes_come_in_order_with_their_lengths():
    returns = np.array([[5.0, 1.0, 3.0], [2.0, 9.0, 0.5]])
    lengths = np.array([[50, 10, 30], [20, 90, 5]])
    found = worst_episodes(returns, lengths, count=3)
    assert [list(row.values()) for row in found] == [
        [1, 2, 0.5, 5],
        [0, 1, 1.0, 10],
        [1, 0, 2.0, 20],
    ]
    assert len(worst_episodes(returns, lengths)) == 6
    with pytest.raises(InvalidInputError, match=r"returns \(2, 3\) and lengths \(3, 2\) differ"):
        worst_episodes(returns, lengths.T)
