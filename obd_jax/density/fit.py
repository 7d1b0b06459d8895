"""The one loop that fits any density, and the one that evaluates it on many states."""

import functools
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from obd_jax.density.standardize import ColumnStatistics
from obd_jax.types import Array, DensityEstimator, InvalidInputError, Key, Params

# One record per epoch: "epoch" (0 is the initial model), "train_log_likelihood" (mean nats per
# state), "held_out_log_likelihood" (the same, of `robust_mean`), "held_out_mean" (the plain mean),
# "seconds" since the fit began.
FitRecord = dict[str, Any]

# Part of the held-out states at either end that count as no farther out than the rest.
_TAIL = 0.05


@functools.cache
def _default_optimizer(steps: int) -> optax.GradientTransformation:
    """Clipped Adam at 5e-3 decayed along a cosine; cached so that a second fit is not retraced."""
    return optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(5e-3, steps))
    )


def fit(
    key: Key,
    estimator: DensityEstimator,
    observations: np.ndarray | Array,
    *,
    epochs: int = 30,
    batch_size: int = 512,
    optimizer: optax.GradientTransformation | None = None,
    validation_fraction: float = 0.1,
    patience: int = 10,
    callback: Callable[[FitRecord], None] | None = None,
) -> tuple[Params, list[FitRecord]]:
    """Fits a density to observations [M, D] and measures it on held-out ones.

    Closed-form estimators are complete after `init`; trainable ones maximise the likelihood by
    minibatch steps and keep the parameters of the epoch with the best held-out likelihood, a
    `robust_mean`: a few outliers among the held-out states decide nothing. A RuntimeWarning says
    so where that is the initial model although training changed it.

    Args:
        key: random key: split, initial parameters, batches.
        estimator: the density model. Pass the same record again to reuse compiled code.
        observations: [M, D] raw or normalised, finite.
        epochs: passes over the training part, at most.
        batch_size: states per step; the remainder of a pass is left out of it.
        optimizer: optax transformation; None is Adam at 5e-3 with cosine decay over all steps.
        validation_fraction: part of the states that is held out, in (0, 1).
        patience: stop after this many epochs without a better held-out likelihood.
        callback: receives each record of the history as it is made.

    Returns:
        Parameters, and one record per epoch from 0 (the initial model): "epoch",
        "train_log_likelihood" (mean nats over the epoch's batches; at epoch 0 over as many
        training states as are held out), "held_out_log_likelihood" (of `robust_mean`),
        "held_out_mean", "seconds". `chosen` finds the one of the parameters returned.

    Raises:
        InvalidInputError: observations are not finite [M, D] with at least two training and
            one held-out state, or an option is out of range.
        FloatingPointError: the training likelihood is not finite; names the epoch. Or the initial
            model's held-out likelihood is none to compare with: not a number, or infinite.
    """
    start = time.perf_counter()
    _check_options(epochs, batch_size, validation_fraction, patience)
    observations = np.asarray(observations)
    _check_observations(observations, validation_fraction)

    init_key, shuffle_key = jax.random.split(key)
    # Shuffled on the host: a sort of all rows on the device costs more, to compile and to run.
    shuffler = np.random.default_rng(np.asarray(jax.random.key_data(shuffle_key)))
    order = shuffler.permutation(observations.shape[0])
    num_held_out = max(1, round(validation_fraction * observations.shape[0]))
    held_out = observations[order[:num_held_out]]
    train = jnp.asarray(observations[order[num_held_out:]])

    history: list[FitRecord] = []

    def record(epoch: int, params: Params, train_log_likelihood: float) -> float:
        log_density = log_prob_chunked(estimator, params, held_out)
        held_out_log_likelihood = robust_mean(log_density)
        history.append(
            {
                "epoch": epoch,
                "train_log_likelihood": train_log_likelihood,
                "held_out_log_likelihood": held_out_log_likelihood,
                "held_out_mean": float(log_density.mean(dtype=np.float64)),
                "seconds": time.perf_counter() - start,
            }
        )
        if callback is not None:
            callback(history[-1])
        return held_out_log_likelihood

    params = _init(estimator.init, init_key, train)
    initial = log_prob_chunked(estimator, params, np.asarray(train[:num_held_out]))
    best_likelihood = record(0, params, float(initial.mean(dtype=np.float64)))
    if not estimator.trainable:
        return params, history
    if math.isnan(best_likelihood) or best_likelihood == math.inf:
        raise FloatingPointError(
            f"the initial density's held-out log likelihood is {best_likelihood}, which no epoch "
            "would better"
        )

    batch_size = min(batch_size, train.shape[0])
    steps = train.shape[0] // batch_size
    if optimizer is None:
        optimizer = _default_optimizer(epochs * steps)
    best_params, best_epoch = params, 0
    opt_state = _freeze_statistics(optimizer).init(params)
    for epoch in range(1, epochs + 1):
        rows = shuffler.permutation(train.shape[0])[: steps * batch_size]
        params, opt_state, train_log_likelihood = _train_epoch(
            estimator.log_prob,
            optimizer,
            params,
            opt_state,
            train,
            rows.reshape(steps, batch_size).astype(np.int32),
        )
        train_log_likelihood = float(train_log_likelihood)
        if not math.isfinite(train_log_likelihood):
            raise FloatingPointError(
                f"density training diverged: the log likelihood of epoch {epoch} is "
                f"{train_log_likelihood}; lower the learning rate"
            )
        held_out_log_likelihood = record(epoch, params, train_log_likelihood)
        if held_out_log_likelihood > best_likelihood:
            best_params, best_epoch = params, epoch
            best_likelihood = held_out_log_likelihood
        elif epoch - best_epoch >= patience:
            break
    changed = any(record["held_out_log_likelihood"] != best_likelihood for record in history)
    if best_epoch == 0 and changed:
        warnings.warn(
            f"the density is the untrained one: none of {len(history) - 1} epochs made the "
            f"held-out states more likely than {best_likelihood:.4g} nats on average; give more "
            "epochs, more states or a lower learning rate",
            RuntimeWarning,
            stacklevel=2,
        )
    return best_params, history


def chosen(history: list[FitRecord]) -> FitRecord:
    """The record of the epoch whose parameters `fit` returned."""
    return max(history, key=lambda record: record["held_out_log_likelihood"])


def robust_mean(values: np.ndarray) -> float:
    """Mean of [n] in which a twentieth at either end count as no farther out than the others.

    That is a winsorised mean (Tukey 1962): one value of any size, an infinite one too, moves it by
    no more than the range of the others over n.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    cut = min(math.ceil(_TAIL * (len(ordered) - 1)), (len(ordered) - 1) // 2)
    return float(np.clip(ordered, ordered[cut], ordered[len(ordered) - 1 - cut]).mean())


def log_prob_chunked(
    estimator: DensityEstimator,
    params: Params,
    observations: np.ndarray,
    *,
    chunk_size: int = 4096,
) -> np.ndarray:
    """Log density of any number of states in bounded memory.

    Args:
        estimator: the density model.
        params: its parameters.
        observations: [M, D] on the host; only one chunk at a time goes to the device.
        chunk_size: states per compiled call; the last chunk is padded to it.

    Returns:
        [M] log density in nats, on the host.

    Raises:
        InvalidInputError: observations are not [M, D], or chunk_size < 1.
    """
    if np.ndim(observations) != 2:
        raise InvalidInputError(
            f"observations must be [M, D], got shape {list(np.shape(observations))}"
        )
    if chunk_size < 1:
        raise InvalidInputError(f"chunk_size must be at least 1, got {chunk_size}")
    num_rows = observations.shape[0]
    log_density = np.empty(num_rows, jax.dtypes.canonicalize_dtype(np.float64))
    for start in range(0, num_rows, chunk_size):
        chunk = np.asarray(observations[start : start + chunk_size])
        rows = chunk.shape[0]
        if rows < chunk_size:
            chunk = np.pad(chunk, ((0, chunk_size - rows), (0, 0)), mode="edge")
        log_density[start : start + rows] = _log_prob(estimator.log_prob, params, chunk)[:rows]
    return log_density


@functools.partial(jax.jit, static_argnums=0)
def _init(init, key: Key, observations: Array) -> Params:
    return init(key, observations)


@functools.partial(jax.jit, static_argnums=0)
def _log_prob(log_prob, params: Params, observations: Array) -> Array:
    return log_prob(params, observations)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _train_epoch(log_prob, optimizer, params, opt_state, observations, batches):
    """One step per row of batches [steps, batch_size] -> params, state, mean log likelihood."""
    optimizer = _freeze_statistics(optimizer)

    def loss(params, batch):
        return -jnp.mean(log_prob(params, batch))

    def step(carry, batch):
        params, opt_state = carry
        value, grads = jax.value_and_grad(loss)(params, observations[batch])
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    carry, losses = jax.lax.scan(step, (params, opt_state), batches)
    return *carry, -jnp.mean(losses)


def _freeze_statistics(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Applies an optimiser to all parameters but column statistics, which are data."""

    def is_statistics(node) -> bool:
        return isinstance(node, ColumnStatistics)

    def labels(params):
        return jax.tree.map(
            lambda node: "fixed" if is_statistics(node) else "trained",
            params,
            is_leaf=is_statistics,
        )

    return optax.partition({"trained": optimizer, "fixed": optax.set_to_zero()}, labels)


def _check_options(epochs, batch_size, validation_fraction, patience) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if value < 1:
            raise InvalidInputError(f"{name} must be at least 1, got {value}")
    if not 0.0 < validation_fraction < 1.0:
        raise InvalidInputError(f"validation_fraction must be in (0, 1), got {validation_fraction}")


def _check_observations(observations: np.ndarray, validation_fraction: float) -> None:
    if observations.ndim != 2 or observations.shape[1] < 1:
        raise InvalidInputError(
            f"observations must be [M, D] with D >= 1, got shape {list(observations.shape)}"
        )
    rows = observations.shape[0]
    if rows - max(1, round(validation_fraction * rows)) < 2:
        raise InvalidInputError(
            f"a density needs at least 2 training and 1 held-out states, got {rows} in all"
        )
    finite = np.isfinite(observations).all(axis=1)
    if not finite.all():
        raise InvalidInputError(
            f"observations must be finite: {rows - int(finite.sum())} of {rows} rows are not, "
            f"the first is row {int(np.argmin(finite))}"
        )
