"""Summaries of returns: mean, interquartile mean and intervals over students and over seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from obd_jax.types import InvalidInputError

_DRAWN_AT_ONCE = 1_000_000


def interquartile_mean(scores: np.ndarray) -> float:
    """Mean of the middle half of all scores (Agarwal et al. 2021, section 4.3)."""
    from scipy.stats import trim_mean  # Takes a while, and most commands begin without it.

    return float(trim_mean(scores, 0.25, axis=None))


def stratified_bootstrap_interval(
    scores: np.ndarray, *, seed: int = 0, resamples: int = 10_000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean, resampling within each stratum (Agarwal et al. 2021).

    Args:
        scores: [strata, n] independent scores; strata are never mixed.
        seed: of the resampling.
        resamples: bootstrap samples.
        confidence: coverage of the interval.

    Returns:
        Lower and upper end.
    """
    strata, size = scores.shape
    generator = np.random.default_rng(seed)
    # Tens of thousands of short episodes are not drawn all at once.
    block = max(1, _DRAWN_AT_ONCE // size)
    total = np.zeros(resamples)
    for stratum in scores:
        for first in range(0, resamples, block):
            rows = total[first : first + block]
            rows += stratum[generator.integers(0, size, (len(rows), size))].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(total / strata, [tail, 1.0 - tail])
    return float(low), float(high)


def seeds_interval(
    means: Sequence[np.ndarray], *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the mean over tasks by Student's t, from the variation between seeds.

    A seed's mean includes all variation within the seed: the set, its students, their episodes.
    Tasks have equal weight and are never mixed; the degrees of freedom are those of Welch and
    Satterthwaite. Two or three seeds give a wide interval, as they should. The interval does not
    cover the variation of episodes that all seeds share, nor rare falls that no seed shows.

    Args:
        means: of each task [seeds], the mean score of every seed.
        confidence: coverage of the interval.

    Returns:
        Lower and upper end; None if a task has one seed, which gives no information on other seeds.
    """
    from scipy.stats import t  # Takes a while, and most commands begin without it.

    if min(len(task) for task in means) < 2:
        return None
    center = float(np.mean([task.mean() for task in means]))
    # Of each task's mean; the mean over tasks has their sum over the square of their number.
    variances = np.array([task.var(ddof=1) / len(task) for task in means])
    if not variances.any():
        return center, center
    freedom = variances.sum() ** 2 / np.sum(
        [v**2 / (len(task) - 1) for v, task in zip(variances, means, strict=True)]
    )
    half = float(t.ppf(0.5 + confidence / 2, freedom) * np.sqrt(variances.sum()) / len(means))
    return center - half, center + half


def worst_episodes(
    returns: np.ndarray, lengths: np.ndarray, count: int = 10
) -> list[dict[str, Any]]:
    """The episodes with the least returns, the worst first.

    Args:
        returns: [K, E] of K students in E episodes each.
        lengths: [K, E] their steps.
        count: how many at most.

    Returns:
        {"student", "episode", "return", "length"} of each, counted from 0.

    Raises:
        InvalidInputError: the shapes differ.
    """
    if returns.shape != lengths.shape:
        raise InvalidInputError(f"returns {returns.shape} and lengths {lengths.shape} differ")
    found = []
    for place in np.argsort(returns, axis=None, kind="stable")[:count]:
        student, episode = divmod(int(place), returns.shape[1])
        found.append(
            {
                "student": student,
                "episode": episode,
                "return": float(returns[student, episode]),
                "length": int(lengths[student, episode]),
            }
        )
    return found


def summarize(returns: np.ndarray) -> dict[str, Any]:
    """Summary of one row of results.

    The independent units of the interval and of the interquartile mean are the students
    (each scored by the mean of its episodes), or the episodes of a single policy: ten
    episodes of a student that falls are one piece of evidence, not ten.

    Args:
        returns: [K, E] normalised returns of K students in E episodes each.

    Returns:
        {"mean", "iqm", "ci95": [low, high], "per_student": [K means], "episodes": E}.

    Raises:
        InvalidInputError: there is no return, or one is not finite.
    """
    if returns.ndim != 2 or returns.size == 0 or not np.isfinite(returns).all():
        raise InvalidInputError(
            f"returns must be finite and of shape [students, episodes], got shape {returns.shape}"
        )
    per_student = returns.mean(axis=1)
    units = per_student if len(per_student) > 1 else returns[0]
    return {
        "mean": float(returns.mean()),
        "iqm": interquartile_mean(units),
        "ci95": list(stratified_bootstrap_interval(units[None, :])),
        "per_student": [float(value) for value in per_student],
        "episodes": returns.shape[1],
    }
