"""From a problem to targets: the objective on every state, reweighted and with noise."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import density, distill, runs
from obd_jax.pipeline.densities import fit_or_read
from obd_jax.pipeline.preparation import Prepared
from obd_jax.pipeline.settings import Distillation
from obd_jax.reporting import Clock, Reporter
from obd_jax.types import Array, Targets

# What calls with the same data and teacher have computed: used and added to.
Cache = dict[Any, Any]
# As `runs.phase`.
Phase = Callable[..., tuple[Any, Any]]


class Objective(NamedTuple):
    """What a set is distilled for.

    name:         one of `distill.OBJECTIVES`.
    targets:      as configured.
    unweighted:   on every state distilled, before weights and noise.
    weights:      [M] of the state density; None without SDW.
    density_card: what to record of the density.
    """

    name: str
    targets: Targets
    unweighted: Targets
    weights: Array | None
    density_card: dict[str, Any] | None


def make_objective(
    settings: Distillation, prepared: Prepared, clock: Clock, cache: Cache | None = None
) -> Objective:
    """The objective on every state, before density weights, early steps and noise."""
    cache = {} if cache is None else cache
    chosen = settings.objective
    name = chosen.chosen(prepared.teacher)
    entry = ("targets", name, chosen.value_scale, chosen.least_return)
    with clock("targets"):
        if entry not in cache:
            cache[entry] = distill.make_objective(
                name,
                prepared.kept,
                prepared.normalizer,
                prepared.teacher,
                chosen.value_scale,
                prepared.own,
            )
    return Objective(name, cache[entry], cache[entry], None, None)


def reweight(
    settings: Distillation,
    prepared: Prepared,
    objective: Objective,
    clock: Clock,
    reporter: Reporter,
    folder: pathlib.Path | None = None,
    cache: Cache | None = None,
    place: str | None = None,
    phase: Phase = runs.phase,
) -> Objective:
    """The objective with density weights, early steps and noise on states, as configured.

    Args:
        settings: of the distillation.
        prepared: what it starts from.
        objective: of `make_objective`.
        clock: counts the seconds.
        reporter: for progress.
        folder: of the run, where the weights are kept for a process that resumes; None: nowhere.
        cache: as for `make_objective`.
        place: as for `runs.phase`.
        phase: `runs.phase`, or one that all processes of a job share.
    """
    if settings.density.temperature > 0:
        observations = objective.targets.observations
        weights, card = phase(
            folder,
            "density",
            clock,
            reporter,
            jax.ShapeDtypeStruct(observations.shape[:1], observations.dtype),
            lambda: density_weights(settings, prepared, reporter, cache),
            place,
        )
        objective = objective._replace(
            targets=distill.sdw(objective.targets, weights), weights=weights, density_card=card
        )
    if settings.objective.early_steps > 0:
        targets = distill.early(
            objective.targets, prepared.kept.episode_steps, settings.objective.early_steps
        )
        objective = objective._replace(targets=targets)
    if settings.objective.state_noise > 0:
        assert prepared.teacher is not None  # `ObjectiveSettings` refuses noise for DBC.
        with clock("targets"):
            targets = distill.with_state_noise(
                prepared.keys["noise"],
                objective.targets,
                prepared.normalizer,
                prepared.teacher,
                settings.objective.state_noise,
            )
        objective = objective._replace(targets=targets)
    return objective


def density_weights(
    settings: Distillation, prepared: Prepared, reporter: Reporter, cache: Cache | None = None
) -> tuple[Array, dict[str, Any]]:
    """SDW weights [M], and what to record of them."""
    log_density, fitted = log_densities(settings, prepared, reporter, cache)
    weights = density.reciprocal_weights(
        jnp.asarray(log_density), settings.density.temperature, settings.density.floor_quantile
    )
    card = {
        **fitted,
        "effective_sample_fraction": float(weights.effective_sample_fraction),
        "invalid_densities": int(weights.num_invalid),
    }
    reporter.note(described(card))
    return weights.weights, card


def described(card: Mapping[str, Any]) -> str:
    """What is recorded of a density and its weights, in a line."""
    epoch, invalid = card.get("epoch"), card["invalid_densities"]
    trained = {None: "", 0: ", untrained"}.get(epoch, f" of epoch {epoch}")
    parts = [
        f"density: {card['estimator']}{trained}, fitted to {card['fitted_states']:,} states",
        # The plain mean; epochs are compared by one that outliers move little.
        f"held-out log likelihood {card['held_out_log_likelihood']:.3f}, outliers included",
        f"effective sample size {card['effective_sample_fraction']:.1%} of the states",
        *([f"states without a density, which weigh 0: {invalid:,}"] if invalid else []),
    ]
    return "; ".join(parts)


def log_densities(
    settings: Distillation, prepared: Prepared, reporter: Reporter, cache: Cache | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Log densities [M] of the states, and what to record of the fit, unless `cache` has them."""
    cache = {} if cache is None else cache
    key, chosen = prepared.keys["density"], settings.density
    entry = (
        "density",
        settings.objective.least_return,
        *(chosen.estimator, chosen.states),
        np.asarray(jax.random.key_data(key)).tobytes(),
    )
    if entry not in cache:
        states = np.asarray(prepared.own.observations, np.float32)
        cache[entry] = fit_or_read(key, chosen, states, reporter)
    return cache[entry]
