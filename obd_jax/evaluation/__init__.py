"""Evaluation: students from a synthetic set, rollouts, scores and their statistics."""

from obd_jax.evaluation.fitted_q import FittedQ, Transitions, fitted_q
from obd_jax.evaluation.functional import functional_returns
from obd_jax.evaluation.mjx import brax_environment, mjx_returns
from obd_jax.evaluation.offline import (
    DENSITY_PARTS,
    Preference,
    action_errors,
    by_density,
    estimate,
    preference,
)
from obd_jax.evaluation.protocol import (
    CURVE_EPISODES,
    CURVE_SEED,
    CURVE_STUDENTS,
    FINAL_SEED,
    FQE_BLOCK,
    TEACHER_EPISODES,
    OfflineSettings,
    RolloutSettings,
    ScoreSettings,
)
from obd_jax.evaluation.rollouts import gymnasium_returns, host_returns
from obd_jax.evaluation.score import (
    score_act,
    score_policies,
    score_students,
    score_untraced,
)
from obd_jax.evaluation.statistics import (
    interquartile_mean,
    seeds_interval,
    stratified_bootstrap_interval,
    summarize,
    worst_episodes,
)
from obd_jax.evaluation.students import NotFiniteError, fit_students, student_policy, trained_policy
from obd_jax.evaluation.validate import check_environment

__all__ = [
    "CURVE_EPISODES",
    "CURVE_SEED",
    "CURVE_STUDENTS",
    "DENSITY_PARTS",
    "FINAL_SEED",
    "FQE_BLOCK",
    "TEACHER_EPISODES",
    "FittedQ",
    "NotFiniteError",
    "OfflineSettings",
    "Preference",
    "RolloutSettings",
    "ScoreSettings",
    "Transitions",
    "action_errors",
    "brax_environment",
    "by_density",
    "check_environment",
    "estimate",
    "fit_students",
    "fitted_q",
    "functional_returns",
    "gymnasium_returns",
    "host_returns",
    "interquartile_mean",
    "mjx_returns",
    "preference",
    "score_act",
    "score_policies",
    "score_students",
    "score_untraced",
    "seeds_interval",
    "stratified_bootstrap_interval",
    "student_policy",
    "summarize",
    "trained_policy",
    "worst_episodes",
]
