"""The driver that owns the outer loop: compiled once, reported through a callback."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from obd_jax import types
from obd_jax.distill.distiller import Distiller, DistillerState
from obd_jax.types import Array, InvalidInputError, Key, SyntheticData, Targets

# Called after every compiled block of steps with the state and a record of plain numbers.
Callback = Callable[[DistillerState, dict[str, Any]], None]


class DivergedError(types.DivergedError):
    """A loss, gradient or set was not finite; `synthetic` is the last set that a step led on from.

    If no step was taken since `train` was called, it is the one that it began with.
    """

    def __init__(self, message: str, synthetic: SyntheticData):
        super().__init__(message)
        self.synthetic = synthetic


def sample(key: Key, targets: Targets, size: int) -> Targets:
    """Batch of `size` states drawn uniformly with replacement."""
    rows = jax.random.randint(key, (size,), 0, targets.weights.shape[0])
    return jax.tree.map(lambda array: array[rows], targets)


def cosine_anneal(progress: np.ndarray, final: float = 0.02) -> np.ndarray:
    """Factor of the outer step size at a progress in [0, 1]: cosine from 1 to `final`."""
    return final + (1.0 - final) * 0.5 * (1.0 + np.cos(np.pi * np.clip(progress, 0.0, 1.0)))


def one_blas_thread() -> threadpool_limits:
    """Context in which LAPACK keeps to one thread on CPUs, for calls of compiled steps.

    It solves the kernel students and initialises networks. Its own threads and those of the
    compiled program would wait for each other.
    """
    return threadpool_limits(1, user_api="blas")


def train(
    key: Key,
    distiller: Distiller,
    targets: Targets,
    synthetic: SyntheticData,
    *,
    steps: int,
    batch_size: int,
    budget_seconds: float | None = None,
    state: DistillerState | None = None,
    seconds: float = 0.0,
    steps_per_call: int = 10,
    anneal: Callable[[np.ndarray], np.ndarray] = cosine_anneal,
    callback: Callback | None = None,
) -> tuple[DistillerState, list[dict[str, Any]]]:
    """Distil a synthetic set.

    Args:
        key: consumed by batches and students.
        distiller: one step.
        targets: the objective on all states [M].
        synthetic: where to start.
        steps: outer steps at most.
        batch_size: real states per step.
        budget_seconds: wall-clock at most, compilation included and the callback's own
            time excluded. The annealing follows whichever of steps and budget is nearer its
            end, so a run that the budget stops is annealed too.
        state: where to resume, as the callback was given it; None: from `synthetic`. Without a
            budget the remaining steps are those of a run that was never stopped, bit for bit.
        seconds: time that `state` has taken, from the record that came with it.
        steps_per_call: steps per compiled call, which is also the callback's interval.
        anneal: progress in [0, 1] -> factor of the outer step size.
        callback: called with the state and {"step", "progress", "seconds", "loss",
            "gradient_norm", "step_scale", "eta_seconds"} after every call.

    Returns:
        The last state and the records of the steps done here: none, if `state` has them all.

    Raises:
        InvalidInputError: steps, batch_size or budget_seconds not positive, or more steps done
            than asked for.
        DivergedError: a loss, gradient or set was not finite.
    """
    for name, value in (
        ("steps", steps),
        ("batch_size", batch_size),
        ("steps_per_call", steps_per_call),
        ("budget_seconds", 1.0 if budget_seconds is None else budget_seconds),
    ):
        if not value > 0:
            raise InvalidInputError(f"{name} must be positive, got {value}")
    start = time.perf_counter() - seconds
    in_callback = 0.0
    init_key, batch_key = jax.random.split(key)
    if state is None:
        state = distiller.init(init_key, synthetic)
    done = int(state.step)
    if done > steps:
        raise InvalidInputError(f"{done} steps are done already, {steps} were asked for")
    if done == steps:
        return state, []
    good = state.synthetic

    # All that differs between runs is an argument: their program is one, which the cache keeps.
    def block(
        batch_key: Key,
        state,
        good: SyntheticData,
        targets: Targets,
        step_scales: Array,
        count: Array,
    ):
        """At most `count` steps, fewer when one is not finite; metrics [steps_per_call]."""

        def unfinished(carry):
            done, _, _, metrics = carry
            return (done < count) & metrics["finite"].all()

        def step(carry):
            done, state, good, metrics = carry
            before = state.synthetic
            batch = sample(jax.random.fold_in(batch_key, state.step), targets, batch_size)
            state, latest = distiller.update(state, batch, step_scales[done])
            good = jax.tree.map(
                lambda new, old: jnp.where(latest["finite"], new, old), before, good
            )
            metrics = jax.tree.map(lambda row, value: row.at[done].set(value), metrics, latest)
            return done + 1, state, good, metrics

        metrics = {
            "loss": jnp.zeros(steps_per_call),
            "gradient_norm": jnp.zeros(steps_per_call),
            "finite": jnp.ones(steps_per_call, bool),
        }
        return jax.lax.while_loop(
            unfinished, step, (jnp.zeros((), jnp.int32), state, good, metrics)
        )

    zeros = np.zeros(steps_per_call, np.float32)
    compiled = jax.jit(block).lower(batch_key, state, good, targets, zeros, 1).compile()

    history: list[dict[str, Any]] = []
    block_seconds = 0.0
    while done < steps:
        elapsed = time.perf_counter() - start - in_callback
        if budget_seconds is not None and done and elapsed + block_seconds > budget_seconds:
            break
        count = min(steps_per_call, steps - done)
        progress = (done + np.arange(count)) / steps
        if budget_seconds is not None:
            spent = elapsed + block_seconds * np.arange(count) / count
            progress = np.maximum(progress, spent / budget_seconds)
        step_scales = np.zeros(steps_per_call, np.float32)
        step_scales[:count] = anneal(progress)
        with one_blas_thread():
            ran, state, good, metrics = jax.block_until_ready(
                compiled(batch_key, state, good, targets, step_scales, count)
            )
        done += int(ran)
        if not metrics["finite"].all():
            raise DivergedError(
                f"loss, gradient or set not finite at outer step {done}, with "
                f"{len(state.synthetic.actions)} pairs; {distiller.advice}",
                good,
            )
        now = time.perf_counter() - start - in_callback
        block_seconds = now - elapsed
        remaining = (steps - done) * (now / done)
        if budget_seconds is not None:
            remaining = min(remaining, max(budget_seconds - now, 0.0))
        finished = done / steps
        if budget_seconds is not None:
            finished = max(finished, min(now / budget_seconds, 1.0))
        record = {
            "step": done,
            "progress": finished,
            "seconds": now,
            "loss": float(metrics["loss"][:count].mean()),
            "gradient_norm": float(metrics["gradient_norm"][:count].mean()),
            "step_scale": float(step_scales[count - 1]),
            "eta_seconds": remaining,
        }
        history.append(record)
        if callback is not None:
            called = time.perf_counter()
            callback(state, record)
            in_callback += time.perf_counter() - called
    return state, history
