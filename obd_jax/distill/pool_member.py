"""Kinds of networks in a pool: what they are, how they are trained, how they are students."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from obd_jax import networks, optimizers
from obd_jax.numerics import presquash, rarely
from obd_jax.students.mlp import action_error
from obd_jax.students.ridge import solve_ridge
from obd_jax.types import Array, InvalidInputError, Key, Params, Student, SyntheticData

# A network in training: parameters and state of its optimiser.
Trained = tuple[Params, Any]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": nn.tanh}


@dataclasses.dataclass(frozen=True)
class PoolMember:
    """A kind of network in plain values: architecture, training and weight in the loss.

    depth:            hidden layers.
    width:            of each.
    activation:       one of `ACTIVATIONS`.
    optimizer:        of their own training, one of `optimizers.OPTIMIZERS`.
    learning_rate:    of the optimiser.
    momentum:         of the optimiser.
    batch_size:       pairs per step of their training, drawn without replacement; None: all.
    max_age:          training steps after which a network is replaced by a new one.
    steps_per_update: training steps of the network whose turn it is, after every outer step; 0:
                      networks keep their initialisation.
    count:            networks of this kind, of different ages.
    ridge:            of the regression, in units of the mean squared norm of the pairs' features.
    feature_weight:   of the loss of ridge regression on the features; 0: none.
    output_weight:    of the loss of the network's own output; 0: none.
    unroll:           further training steps, before that output, that its gradient goes through.
    """

    depth: int
    width: int = 256
    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    batch_size: int | None = None
    max_age: int = 600
    steps_per_update: int = 3
    count: int = 8
    ridge: float = 1e-3
    feature_weight: float = 1.0
    output_weight: float = 0.0
    unroll: int = 0

    def __post_init__(self):
        for name in ("depth", "width", "max_age", "count"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("steps_per_update", "unroll", "ridge", "feature_weight", "output_weight"):
            if not getattr(self, name) >= 0:
                raise InvalidInputError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.activation not in ACTIVATIONS:
            raise InvalidInputError(
                f"unknown activation {self.activation!r}; known: {', '.join(ACTIVATIONS)}"
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise InvalidInputError(
                f"batch_size must be at least 1, or None for all pairs, got {self.batch_size}"
            )
        if self.steps_per_update > self.max_age:
            raise InvalidInputError(
                f"steps_per_update must be at most max_age, which is {self.max_age}, "
                f"got {self.steps_per_update}"
            )
        if not self.feature_weight + self.output_weight > 0:
            raise InvalidInputError(
                "feature_weight or output_weight must be positive, got 0 for both"
            )
        if (self.output_weight > 0) != (self.unroll > 0):
            raise InvalidInputError(
                "output_weight and unroll must be positive both or neither, as an output has a "
                f"gradient only through unrolled steps; got {self.output_weight} and {self.unroll}"
            )
        optimizers.make(self.optimizer, self.learning_rate, self.momentum)


class Networks(NamedTuple):
    """The networks of one kind.

    params:          leaves [count, ...].
    optimizer_state: leaves [count, ...].
    age:             [count] int32 training steps since the start; when the pool is new, staggered.
    """

    params: Params
    optimizer_state: Any
    age: Array


class Network(nn.Module):
    """Observations [B, D] -> last hidden layer [B, width] and output before tanh [B, A].

    Initialised as `networks.MLP` is, with parameters of the names of a turned one.
    """

    member: PoolMember
    action_size: int

    @nn.compact
    def __call__(self, observations: Array) -> tuple[Array, Array]:
        """Apply the network."""
        hidden = observations
        init = networks.MLP.kernel_init
        for _ in range(self.member.depth):
            layer = nn.Dense(self.member.width, kernel_init=init)
            hidden = ACTIVATIONS[self.member.activation](layer(hidden))
        shape, name = (self.action_size, self.member.width), f"Dense_{self.member.depth}"
        return hidden, nn.Einsum(shape, "...i,oi->...o", kernel_init=init, name=name)(hidden)


class Kind(NamedTuple):
    """What is done with networks of one kind; one of them is (parameters, optimiser's state).

    member:    the recipe.
    network:   its module.
    optimizer: of its networks' training.
    """

    member: PoolMember
    network: Network
    optimizer: optax.GradientTransformation

    def start(self, key: Key, synthetic: SyntheticData) -> Trained:
        """An untrained network."""
        params = networks.init_parameters(self.network, key, synthetic.observations)
        return params, self.optimizer.init(params)

    def start_all(self, key: Key, synthetic: SyntheticData) -> Networks:
        """All of them, untrained and of staggered ages."""
        count = self.member.count
        found = jax.vmap(lambda key: self.start(key, synthetic))(jax.random.split(key, count))
        return Networks(*found, jnp.arange(count, dtype=jnp.int32) * self.member.max_age // count)

    def train(self, key: Key, network: Trained, synthetic: SyntheticData, steps: int) -> Trained:
        """The network after so many steps of behavioural cloning."""

        def cloning_error(params: Params, pairs: SyntheticData) -> Array:
            _, outputs = self.network.apply(params, pairs.observations)
            return action_error(jnp.asarray(outputs), pairs.actions)

        def step(network: Trained, key: Key):
            params, optimizer_state = network
            pairs, size = synthetic, len(synthetic.actions)
            if self.member.batch_size is not None:
                rows = jax.random.permutation(key, size)[: self.member.batch_size]
                pairs = jax.tree.map(lambda array: array[rows], synthetic)
            gradient = jax.grad(cloning_error)(params, pairs)
            updates, optimizer_state = self.optimizer.update(gradient, optimizer_state, params)
            return (optax.apply_updates(params, updates), optimizer_state), None

        return jax.lax.scan(step, network, jax.random.split(key, steps))[0]

    def after_step(
        self, key: Key, pool: Networks, turn: Array, synthetic: SyntheticData, finite: Array
    ) -> Networks:
        """The pool after the outer step in which the network of index `turn` took part.

        This network is trained on the set, or replaced if it is old or the step was not finite.
        """
        steps = self.member.steps_per_update
        train_key, start_key = jax.random.split(key)
        age = pool.age[turn] + steps
        network = rarely(
            (age >= self.member.max_age) | ~finite,
            lambda _, key, age, pairs: Networks(*self.start(key[1], pairs), jnp.zeros_like(age)),
            lambda old, key, age, pairs: Networks(*self.train(key[0], old, pairs, steps), age),
            *(one_of(pool, turn), jnp.stack([train_key, start_key]), age, synthetic),
        )
        return jax.tree.map(
            lambda leaves, leaf: jax.lax.dynamic_update_index_in_dim(leaves, leaf, turn, 0),
            pool,
            network,
        )

    def students(self, network: Trained) -> list[tuple[float, Student]]:
        """What the network has in the loss, with its weights."""
        weighted = [
            (self.member.feature_weight, self.regression(network[0])),
            (self.member.output_weight, self.output(network)),
        ]
        return [(weight, student) for weight, student in weighted if weight > 0]

    def regression(self, params: Params) -> Student:
        """Ridge regression on the features of a network, and on a constant 1."""

        def features(observations: Array) -> Array:
            hidden, _ = self.network.apply(params, observations)
            return jnp.concatenate([hidden, jnp.ones_like(hidden[:, :1])], axis=1)

        def fit(key: Key, synthetic: SyntheticData) -> Array:
            del key  # Nothing is random.
            phi = features(synthetic.observations)
            matrix = jnp.matmul(phi, phi.T, precision="highest")
            labels = presquash(synthetic.actions)
            coefficients = solve_ridge(matrix, labels, self.member.ridge)
            return jnp.matmul(phi.T, coefficients, precision="highest")

        def act(output: Array, observations: Array) -> Array:
            return jnp.tanh(features(observations) @ output)

        return Student(fit, act, deterministic=True)

    def output(self, network: Trained) -> Student:
        """The network itself, after its unrolled steps."""

        def fit(key: Key, synthetic: SyntheticData) -> Params:
            return self.train(key, network, synthetic, self.member.unroll)[0]

        def act(params: Params, observations: Array) -> Array:
            _, outputs = self.network.apply(params, observations)
            return jnp.tanh(jnp.asarray(outputs))

        return Student(fit, act)


def kind_of(member: PoolMember, synthetic: SyntheticData) -> Kind:
    """The member for sets like this one; refuses one whose batches are larger."""
    size, action_size = synthetic.actions.shape
    if member.batch_size is not None and member.batch_size > size:
        raise InvalidInputError(
            f"batch_size must be at most the {size} pairs, got {member.batch_size}"
        )
    return Kind(
        member,
        Network(member, action_size),
        optimizers.make(member.optimizer, member.learning_rate, member.momentum),
    )


def one_of(pool: Networks, turn: Array | int) -> Trained:
    """The network of this index."""
    return jax.tree.map(
        lambda leaves: jax.lax.dynamic_index_in_dim(leaves, turn, keepdims=False), pool[:2]
    )
