"""One step of distillation: the meta-gradient through a student's training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from obd_jax.distill.objectives import weighted_squared_error
from obd_jax.types import Array, Key, Student, SyntheticData, Targets

Loss = Callable[[Array, Targets], Array]


class DistillerState(NamedTuple):
    """Everything that a step of distillation changes.

    synthetic:       the distilled set so far.
    optimizer_state: of the outer optimiser.
    key:             consumed by the students' initialisations.
    step:            [] int32 outer steps done.
    """

    synthetic: SyntheticData
    optimizer_state: Any
    key: Key
    step: Array


class Distiller(NamedTuple):
    """Distillation as a pure function of state; jit, vmap over P, shard or scan at will.

    init:   (key, synthetic) -> state.
    update: (state, batch of targets, step_scale=1.0) -> (state, metrics): one outer step,
        its size multiplied by step_scale (the annealing factor). A step whose loss or gradient
        is not finite leaves the synthetic set and the optimiser alone and says so in
        `metrics["finite"]`.
    """

    init: Callable[[Key, SyntheticData], DistillerState]
    update: Callable[..., tuple[DistillerState, dict[str, Array]]]


def distiller(
    student: Student,
    optimizer: optax.GradientTransformation,
    loss: Loss = weighted_squared_error,
    action_bound: float | None = None,
) -> Distiller:
    """Distiller of synthetic sets for a student.

    Minimises E over initialisations of loss(student trained on the set, real states) by
    the exact gradient through the whole training run (Lei et al. 2024, equation 2).

    Args:
        student: trained afresh, from a new key, at every step.
        optimizer: of the synthetic set (the outer optimiser).
        loss: (student's actions [B, A], batch) -> scalar.
        action_bound: synthetic actions are projected into [-bound, bound]; None leaves
            them free.

    Returns:
        The distiller.
    """

    def init(key: Key, synthetic: SyntheticData) -> DistillerState:
        synthetic = project(synthetic)
        return DistillerState(synthetic, optimizer.init(synthetic), key, jnp.zeros((), jnp.int32))

    def project(synthetic: SyntheticData) -> SyntheticData:
        if action_bound is None:
            return synthetic
        return synthetic._replace(actions=jnp.clip(synthetic.actions, -action_bound, action_bound))

    def update(state: DistillerState, batch: Targets, step_scale: Array | float = 1.0):
        key, student_key = jax.random.split(state.key)

        def outer_loss(synthetic: SyntheticData) -> Array:
            params = student.fit(student_key, synthetic)
            return loss(student.act(params, batch.observations), batch)

        value, gradient = jax.value_and_grad(outer_loss)(state.synthetic)
        gradient_norm = optax.tree.norm(gradient)
        finite = jnp.isfinite(value) & jnp.isfinite(gradient_norm)

        updates, optimizer_state = optimizer.update(
            gradient, state.optimizer_state, state.synthetic
        )
        updates = jax.tree.map(lambda u: step_scale * u, updates)
        synthetic = project(optax.apply_updates(state.synthetic, updates))
        synthetic, optimizer_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (synthetic, optimizer_state),
            (state.synthetic, state.optimizer_state),
        )
        metrics = {"loss": value, "gradient_norm": gradient_norm, "finite": finite}
        return DistillerState(synthetic, optimizer_state, key, state.step + 1), metrics

    return Distiller(init, update)
