"""One step of distillation: the meta-gradient through a student's training."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from obd_jax.distill.aggregations import Aggregation
from obd_jax.distill.constraints import Constraint, free
from obd_jax.distill.objectives import weighted_squared_error, weighted_variance
from obd_jax.types import Array, InvalidInputError, Key, Student, SyntheticData, Targets

Loss = Callable[[Array, Targets], Array]


class DistillerState(NamedTuple):
    """Everything that a step of distillation changes.

    synthetic:       the distilled set so far.
    coordinates:     the same set as the constraint's coordinates, which the optimiser moves.
    optimizer_state: of the outer optimiser.
    key:             consumed by the students' initialisations.
    step:            [] int32 outer steps done.
    """

    synthetic: SyntheticData
    coordinates: SyntheticData
    optimizer_state: Any
    key: Key
    step: Array


class Distiller(NamedTuple):
    """Distillation as a pure function of state; jit, vmap over P, shard or scan at will.

    init:   (key, synthetic) -> state.
    update: (state, batch of targets, step_scale=1.0) -> (state, metrics): one outer step, its size
        multiplied by step_scale (the annealing factor). A step whose loss, gradient or next set is
        not finite leaves the synthetic set and the optimiser unchanged; `metrics["finite"]` is then
        False.
    advice: what to change when a step is not finite.
    """

    init: Callable[[Key, SyntheticData], DistillerState]
    update: Callable[..., tuple[DistillerState, dict[str, Array]]]
    advice: str


def distiller(
    student: Student | Sequence[tuple[float, Student]],
    optimizer: optax.GradientTransformation,
    loss: Loss = weighted_squared_error,
    constraint: Constraint | None = None,
    spread: Array | float = 1.0,
    aggregate: Aggregation = jnp.sum,
) -> Distiller:
    """Distiller of synthetic sets for a student.

    Minimises E over initialisations of loss(student trained on the set, real states) by
    the exact gradient through the whole training run (Lei et al. 2024, equation 2).

    With a spread s below 1, two students are trained at every step, and 1 - s times their variance
    is subtracted from the mean of their losses. The objective is then the error of the students'
    mean plus s times their variance. s = 1 / k is for ensembles of k students. The variance of a
    network is inversely proportional to its width, so narrow students can replace wide ones.

    Args:
        student: trained from scratch, with a new key, at every step. For several (weight, student)
            their weighted losses are aggregated, so that one set is made for all of them.
        optimizer: of the synthetic set (the outer optimiser).
        loss: (student's actions [B, A], batch) -> scalar; a squared error unless spread is 1.
        constraint: on the synthetic actions; None leaves them free.
        spread: in [0, 1], weight of the variance over initialisations, which is zero for students
            in closed form. If it is traced, it is not checked.
        aggregate: weighted losses of the students [K] -> the loss that is minimised.

    Returns:
        The distiller.

    Raises:
        InvalidInputError: no student, or spread out of range.
    """
    whole = not isinstance(spread, Tracer) and spread == 1
    if not isinstance(spread, Tracer) and not 0 <= spread <= 1:
        raise InvalidInputError(f"spread must be in [0, 1], got {spread}")
    members = [(1.0, student)] if isinstance(student, Student) else list(student)
    if not members:
        raise InvalidInputError("a distiller needs at least one student")
    encode, decode, project = free() if constraint is None else constraint

    def init(key: Key, synthetic: SyntheticData) -> DistillerState:
        coordinates = encode(synthetic)
        return DistillerState(
            synthetic=decode(coordinates),
            coordinates=coordinates,
            optimizer_state=optimizer.init(coordinates),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: DistillerState, batch: Targets, step_scale: Array | float = 1.0):
        key, *student_keys = jax.random.split(state.key, len(members) + 1)

        def loss_of(student: Student, key: Key, synthetic: SyntheticData) -> Array:
            def act(key: Key) -> Array:
                return student.act(student.fit(key, synthetic), batch.observations)

            if whole or student.deterministic:
                return loss(act(key), batch)
            predicted = jax.vmap(act)(jax.random.split(key))
            mean_loss = jnp.mean(jax.vmap(loss, in_axes=(0, None))(predicted, batch))
            return mean_loss - (1 - spread) * weighted_variance(predicted, batch)

        def outer_loss(coordinates: SyntheticData) -> Array:
            synthetic = decode(coordinates)
            losses = [
                weight * loss_of(member, key, synthetic)
                for (weight, member), key in zip(members, student_keys, strict=True)
            ]
            return aggregate(jnp.stack(losses))

        value, gradient = jax.value_and_grad(outer_loss)(state.coordinates)
        gradient_norm = optax.tree.norm(gradient)

        updates, optimizer_state = optimizer.update(
            gradient, state.optimizer_state, state.coordinates
        )
        updates = jax.tree.map(lambda u: step_scale * u, updates)
        coordinates = project(optax.apply_updates(state.coordinates, updates))
        finite = jnp.isfinite(value) & jnp.isfinite(gradient_norm)
        for array in coordinates:
            finite &= jnp.isfinite(array).all()
        coordinates, optimizer_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (coordinates, optimizer_state),
            (state.coordinates, state.optimizer_state),
        )
        metrics = {"loss": value, "gradient_norm": gradient_norm, "finite": finite}
        state = DistillerState(
            decode(coordinates), coordinates, optimizer_state, key, state.step + 1
        )
        return state, metrics

    advice = ", or ".join(dict.fromkeys(member.advice for _, member in members))
    return Distiller(init, update, advice)
