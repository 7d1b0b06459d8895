"""Distillation for networks that are being trained: feature regression over a pool of them.

A pool of networks is trained on the synthetic set all the time, by the optimisers that its users
take. At every outer step one network of each kind gives the features of its last hidden layer;
ridge regression on them is a student in closed form, and the set's gradient goes through features
and solution, not through training. So a step costs little, and features are those of networks
trained for long, which a meta-gradient through training cannot reach.

Sources: FRePo (Zhou et al. 2022, arXiv 2206.00719), which has the pool; RCIG (Loo et al. 2023,
arXiv 2302.01015); both for classifiers of images.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from obd_jax.distill.aggregations import Aggregation
from obd_jax.distill.constraints import Constraint
from obd_jax.distill.distiller import Distiller, DistillerState, Loss, distiller
from obd_jax.distill.objectives import weighted_squared_error
from obd_jax.distill.pool_member import Kind, Networks, PoolMember, kind_of, one_of
from obd_jax.types import Array, InvalidInputError, Key, Student, SyntheticData, Targets


class PoolState(NamedTuple):
    """A `DistillerState` and the pool.

    networks: of every kind.
    """

    synthetic: SyntheticData
    coordinates: SyntheticData
    optimizer_state: Any
    key: Key
    step: Array
    networks: tuple[Networks, ...]


def pool_distiller(
    members: Sequence[PoolMember],
    optimizer: optax.GradientTransformation,
    *,
    students: Sequence[tuple[float, Student]] = (),
    aggregate: Aggregation = jnp.mean,
    loss: Loss = weighted_squared_error,
    constraint: Constraint | None = None,
) -> Distiller:
    """Distiller of synthetic sets for networks in training, and for students beside them.

    At every step one network of each kind takes part, in turn. It is then trained on the new set,
    and replaced by a new network when it is old. A new pool has staggered ages but untrained
    networks: training each to its age would take as long as hundreds of outer steps, on a set that
    soon changes. So the first networks are replaced after fewer training steps than their age.

    After a step that is not finite, the networks that took part are replaced, as one of them may be
    the cause. The state is a `PoolState`; its networks are deterministic functions of key and
    steps.

    Args:
        members: the kinds of networks.
        optimizer: of the synthetic set (the outer optimiser).
        students: (weight, student) each, trained from scratch at every step, usually in closed
            form.
        aggregate: weighted losses -> the loss that is minimised; first those of the students, then,
            for each kind of network, those of its features and of its own output.
        loss: (actions [B, A], batch) -> scalar.
        constraint: on the synthetic actions; None leaves them free.

    Returns:
        The distiller. Its `init` raises InvalidInputError if networks are trained on batches larger
        than the set.

    Raises:
        InvalidInputError: no members.
    """
    if not members:
        raise InvalidInputError(
            "a pool needs at least one member; without members, use `distiller`"
        )

    def kinds_for(synthetic: SyntheticData) -> list[Kind]:
        return [kind_of(member, synthetic) for member in members]

    def step_with(taking_part: Sequence[tuple[float, Student]]) -> Distiller:
        served = [*students, *taking_part]
        return distiller(served, optimizer, loss, constraint, aggregate=aggregate)

    def init(key: Key, synthetic: SyntheticData) -> PoolState:
        kinds = kinds_for(synthetic)
        key, *keys = jax.random.split(key, len(kinds) + 1)
        pool = tuple(kind.start_all(own, synthetic) for kind, own in zip(kinds, keys, strict=True))
        first = kinds[0].students(one_of(pool[0], 0))  # Whichever: the start is the same.
        return PoolState(*step_with(first).init(key, synthetic), pool)

    def update(state: PoolState, batch: Targets, step_scale: Array | float = 1.0):
        kinds = kinds_for(state.synthetic)
        key, *keys = jax.random.split(state.key, len(kinds) + 1)
        taking_part, turns = [], []
        for kind, own in zip(kinds, state.networks, strict=True):
            turns.append(state.step % kind.member.count)
            taking_part += kind.students(one_of(own, turns[-1]))
        before = DistillerState(*state[:-1])._replace(key=key)
        after, metrics = step_with(taking_part).update(before, batch, step_scale)
        pool = [
            kind.after_step(key, own, turn, after.synthetic, metrics["finite"])
            for kind, key, own, turn in zip(kinds, keys, state.networks, turns, strict=True)
        ]
        return PoolState(*after, tuple(pool)), metrics

    advice = ["lower the learning rates of the pool's networks or raise their ridges"]
    advice += [student.advice for _, student in students]
    # The state has a `DistillerState`'s fields and one more.
    return Distiller(init, update, ", or ".join(dict.fromkeys(advice)))  # type: ignore[arg-type]
