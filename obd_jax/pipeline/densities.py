"""Log densities of states: fitted once, then read from the cache."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from obd_jax import artefacts, density
from obd_jax.data.cache import UnwritableError, cached
from obd_jax.data.transitions import sha256_of
from obd_jax.density import DensitySettings
from obd_jax.pipeline.cache_keys import cache_path, code_hash, key_numbers
from obd_jax.reporting import Reporter
from obd_jax.types import InvalidInputError, Key

# Log densities [M] and what to record of the fit.
Fitted = tuple[np.ndarray, dict[str, Any]]


def fit_or_read(
    key: Key, settings: DensitySettings, states: np.ndarray, reporter: Reporter
) -> Fitted:
    """Log densities of states [M, D], from the cache if the same were fitted before.

    They are named by the states themselves, which data, normaliser and the choice of episodes
    come down to, and by everything else that they depend on. A density that is registered from
    outside the package is fitted every time: its code is not known.
    """
    if not _is_own(settings.name):
        return _fit(key, settings, states, reporter)
    path = cache_path("densities", settings.name, _identity(key, settings, states), ".npz")
    made: list[Fitted] = []

    def make(path: pathlib.Path) -> None:
        made.append(_fit(key, settings, states, reporter))
        _write(path, *made[0])

    try:
        found = cached(path, make, lambda path: _read(path, len(states)), reporter.note)
    except UnwritableError as error:
        reporter.note(f"density: log densities are not kept: {error}")
        return made[0] if made else _fit(key, settings, states, reporter)
    if not made:
        reporter.note(f"density: log densities read from {path}")
    return found


def _is_own(name: str) -> bool:
    """Whether the package itself has the density of that name, so that its hash covers it."""
    made_in = getattr(density.DENSITIES[name], "__module__", None) or ""
    return made_in.startswith(f"{density.__name__}.")


def _identity(key: Key, settings: DensitySettings, states: np.ndarray) -> dict[str, Any]:
    """All that log densities depend on."""
    return {
        "states": sha256_of({"states": states}),
        "estimator": [settings.name, dataclasses.asdict(settings.estimator)],
        "fitted_states": min(settings.states, len(states)),
        "key": key_numbers(key),
        "software": artefacts.software(),
        # These change the last digits.
        "compiler": [
            getattr(jax.config, "jax_enable_x64", None),
            getattr(jax.config, "jax_disable_most_optimizations", None),
            os.environ.get("XLA_FLAGS"),
        ],
        "code": code_hash(),
    }


def _write(path: pathlib.Path, log_density: np.ndarray, card: dict[str, Any]) -> None:
    with path.open("wb") as file:  # NumPy adds a suffix to a path.
        np.savez(file, log_density=log_density, card=np.array(json.dumps(card)))


def _read(path: pathlib.Path, count: int) -> Fitted:
    """What `_write` wrote of so many states.

    Raises:
        InvalidInputError: the file is damaged.
    """
    try:
        # Opened here: NumPy does not close a file that it finds damaged.
        with path.open("rb") as content, np.load(content) as file:
            log_density, card = file["log_density"], json.loads(str(file["card"]))
    # Damage shows as many things: of the archive, of the header of an array.
    except Exception as error:
        raise InvalidInputError(f"{path}: {error}") from error
    if log_density.shape != (count,):
        raise InvalidInputError(f"{path}: {log_density.shape} log densities of {count} states")
    return log_density, card


def _fit(key: Key, settings: DensitySettings, states: np.ndarray, reporter: Reporter) -> Fitted:
    """Fit a density to some of the states and evaluate it on all."""
    estimator = density.make(settings.name)
    epochs = getattr(settings.estimator, "epochs", 1)
    progress = reporter.progress("fit density, epoch")
    fitted = states
    if len(states) > settings.states:
        order = jax.random.permutation(jax.random.fold_in(key, 0), len(states))
        fitted = states[np.asarray(order[: settings.states])]
    params, history = density.fit(
        key,
        estimator,
        fitted,
        epochs=epochs,
        callback=lambda record: progress(
            record["epoch"],
            epochs,
            note=f"held-out log likelihood {record['held_out_log_likelihood']:.3f}",
        ),
    )
    best = density.chosen(history)
    card = {
        "estimator": settings.name,
        "fitted_states": len(fitted),
        "held_out_log_likelihood": best["held_out_mean"],
        **({"epoch": best["epoch"]} if estimator.trainable else {}),
    }
    return np.asarray(density.log_prob_chunked(estimator, params, states)), card
