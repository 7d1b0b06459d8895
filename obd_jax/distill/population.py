"""The outer loop for many synthetic sets in one program, over all devices."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from obd_jax.distill.distiller import Distiller, DistillerState
from obd_jax.distill.mesh import device_mesh, on_all, place, shared_out
from obd_jax.distill.train import cosine_anneal, one_blas_thread, sample
from obd_jax.types import Array, InvalidInputError, Key, SyntheticData, Targets

# Called after every compiled block of steps with the members' states and a record.
PopulationCallback = Callable[[DistillerState, dict[str, Any]], None]


def train_population(
    keys: Key,
    make_distiller: Callable[[Any], Distiller],
    settings: Any,
    targets: Targets,
    synthetic: SyntheticData,
    *,
    steps: int,
    batch_size: int,
    targets_axes: tuple[int | None, int | None, int | None] = (None, None, None),
    states: DistillerState | None = None,
    record: dict[str, Any] | None = None,
    mesh: Mesh | None = None,
    one_by_one: bool | None = None,
    steps_per_call: int = 10,
    anneal: Callable[[np.ndarray], np.ndarray] = cosine_anneal,
    callback: PopulationCallback | None = None,
) -> tuple[DistillerState, list[dict[str, Any]]]:
    """Distil P synthetic sets at once; a member equals what `train` makes of its key.

    Args:
        keys: [P], of batches and students.
        make_distiller: (a member's settings) -> its distiller; the settings are traced numbers, so
            they can be what optax and `KernelSettings` take, and no sizes or depths.
        settings: pytree of what differs between members, leaves [P, ...]: learning rates, ridges;
            () for none.
        targets: the objective on all states.
        synthetic: where to start, leaves [P, N, ...].
        steps: outer steps.
        batch_size: real states per step and member.
        targets_axes: of observations, actions and weights, 0 where `targets` has a leading [P],
            such as weights by other temperatures; None for what members share.
        states: where to resume, as `gather` made them of the callback's; None: from
            `synthetic`. The remaining steps are those of a run that was never stopped, bit for bit.
        record: that came with `states`.
        mesh: devices that the members are sharded over, from `device_mesh`; P must be a multiple of
            their number. None: the first device of this process.
        one_by_one: distil the members of a device one after another, instead of batched in every
            operation; None: on CPUs, where kernel students of many sets exceed the cache.
        steps_per_call: steps per compiled call, which is also the callback's interval.
        anneal: progress in [0, 1] -> factor of the outer step size.
        callback: called with the states and {"step", "seconds", "loss" [P],
            "gradient_norm" [P], "skipped" [P], "step_scale", "eta_seconds"} after every call.
            Over several processes every process calls its own.

    Returns:
        States with leaves [P, ...] and the records of the steps done here. Steps of a member whose
        loss or gradient is not finite are skipped and counted in "skipped"; other members continue.
        If all steps of a block are skipped, its loss is NaN.

    Raises:
        InvalidInputError: numbers not positive, arguments for populations of different sizes, or P
            not a multiple of the number of devices.
    """
    for name, value in (
        ("steps", steps),
        ("batch_size", batch_size),
        ("steps_per_call", steps_per_call),
    ):
        if value < 1:
            raise InvalidInputError(f"{name} must be positive, got {value}")
    members = keys.shape[0]
    if set(targets_axes) - {None, 0}:
        raise InvalidInputError(f"targets_axes must be None or 0 each, got {targets_axes}")
    theirs = [x for x, axis in zip(targets, targets_axes, strict=True) if axis == 0]
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves((settings, synthetic, theirs))]
    if unequal := [shape for shape in shapes if shape[:1] != (members,)]:
        raise InvalidInputError(
            f"{members} keys, but settings, sets or targets of shapes {unequal}"
        )
    if targets.weights.ndim != (1 if targets_axes[2] is None else 2):
        raise InvalidInputError(
            f"weights of shape {targets.weights.shape} do not fit targets_axes {targets_axes}"
        )
    mesh = device_mesh(jax.local_devices()[:1]) if mesh is None else mesh
    if members % mesh.size:
        raise InvalidInputError(
            f"{members} sets cannot be sharded equally over {mesh.size} devices"
        )
    if one_by_one is None:
        one_by_one = mesh.devices.flat[0].platform == "cpu"

    split, whole = shared_out(mesh), on_all(mesh)
    target_shardings = tuple(whole if axis is None else split for axis in targets_axes)
    keys, settings, synthetic = place((keys, settings, synthetic), split)
    record = {"step": 0, "seconds": 0.0, "skipped": [0] * members} if record is None else record
    targets = Targets._make(map(place, targets, target_shardings))

    def start(key: Key, setting: Any, synthetic: SyntheticData):
        return make_distiller(setting).init(jax.random.split(key)[0], synthetic)

    def block(member, targets: Targets, step_scales: Array, count: Array):
        setting, state, batch_key = member
        update = make_distiller(setting).update

        def step(i, carry):
            state, total, norms, skipped = carry
            batch = sample(jax.random.fold_in(batch_key, state.step), targets, batch_size)
            state, metrics = update(state, batch, step_scales[i])
            finite = metrics["finite"]
            return (
                state,
                total + jnp.where(finite, metrics["loss"], 0.0),
                norms + jnp.where(finite, metrics["gradient_norm"], 0.0),
                skipped + ~finite,
            )

        zero = jnp.zeros(())
        first = (state, zero, zero, jnp.zeros((), jnp.int32))
        state, total, norms, skipped = jax.lax.fori_loop(0, count, step, first)
        done = count - skipped  # Without any step, 0 / 0: no loss is known.
        return state, {"loss": total / done, "gradient_norm": norms / done, "skipped": skipped}

    def blocks(members, targets: Targets, step_scales: Array, count: Array):
        if not one_by_one:
            return jax.vmap(block, in_axes=(0, Targets._make(targets_axes), None, None))(
                members, targets, step_scales, count
            )
        own = [None if axis is None else x for axis, x in zip(targets_axes, targets, strict=True)]

        def one(each):
            member, own = each
            parts = [x if mine is None else mine for x, mine in zip(targets, own, strict=True)]
            return block(member, Targets._make(parts), step_scales, count)

        return jax.lax.map(one, (members, own))

    target_specs = Targets._make(sharding.spec for sharding in target_shardings)
    shared = jax.shard_map(
        blocks,
        mesh=mesh,
        in_specs=(split.spec, target_specs, whole.spec, whole.spec),
        out_specs=split.spec,
        check_vma=False,
    )
    start_time = time.perf_counter() - record["seconds"]
    in_callback = 0.0
    if states is None:
        states = jax.jit(jax.vmap(start), out_shardings=split)(keys, settings, synthetic)
    else:
        states = place(states, split)
    split_keys = jax.vmap(lambda key: jax.random.split(key)[1])
    batch_keys = jax.jit(split_keys, out_shardings=split)(keys)
    compiled = (
        jax.jit(shared)
        .lower(
            (settings, states, batch_keys),
            targets,
            *place((np.zeros(steps_per_call, np.float32), 1), whole),
        )
        .compile()
    )

    history: list[dict[str, Any]] = []
    skipped = np.array(record["skipped"])
    for done in range(record["step"], steps, steps_per_call):
        count = min(steps_per_call, steps - done)
        scales = np.zeros(steps_per_call, np.float32)
        scales[:count] = anneal((done + np.arange(count)) / steps)
        with one_blas_thread():
            states, metrics = compiled(
                (settings, states, batch_keys), targets, *place((scales, count), whole)
            )
            found = {name: gather(metric) for name, metric in metrics.items()}
        skipped = skipped + found["skipped"]
        now = time.perf_counter() - start_time - in_callback
        record = {
            "step": done + count,
            "seconds": now,
            **found,
            "skipped": skipped,
            "step_scale": float(scales[count - 1]),
            "eta_seconds": (steps - done - count) * now / (done + count),
        }
        history.append(record)
        if callback is not None:
            called = time.perf_counter()
            callback(states, record)
            in_callback += time.perf_counter() - called
    return states, history


def gather(tree: Any) -> Any:
    """Arrays of a population as NumPy arrays [P, ...], from all processes on every process.

    Keys stay JAX's.
    """

    def one(leaf: jax.Array) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raw = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(jnp.asarray(raw), impl=jax.random.key_impl(leaf))
        if leaf.is_fully_addressable:
            return np.asarray(leaf)
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(one, tree)


def from_first_process(tree: Any) -> Any:
    """Arrays and keys as the first process gives them, on every process: all in one form."""
    if jax.process_count() == 1:
        return tree

    def one(leaf: Any) -> Any:
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            raw = one(np.asarray(jax.random.key_data(leaf)))
            return jax.random.wrap_key_data(jnp.asarray(raw), impl=jax.random.key_impl(leaf))
        return np.asarray(multihost_utils.broadcast_one_to_all(leaf))

    return jax.tree.map(one, tree)


def sum_over_processes(array: np.ndarray) -> np.ndarray:
    """Sum of the arrays, of one shape, that all processes give; the same on every process."""
    if jax.process_count() == 1:
        return array
    return np.asarray(multihost_utils.process_allgather(array)).sum(axis=0)
