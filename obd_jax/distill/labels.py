"""Sets whose actions are a policy's at their states."""

from collections.abc import Callable

from obd_jax.distill.constraints import Constraint, free
from obd_jax.types import Array, SyntheticData


def labelled(policy: Callable[[Array], Array], constraint: Constraint | None = None) -> Constraint:
    """Actions are a policy's actions at the synthetic states; only the states are optimised.

    Coordinates still hold actions, but the set does not use them: they have no gradient and do not
    change.

    Args:
        policy: normalised observations [N, D] -> actions [N, A]; the gradient goes through it.
        constraint: on the coordinates; None leaves them free.
    """
    encode, decode, project = free() if constraint is None else constraint

    def label(coordinates: SyntheticData) -> SyntheticData:
        synthetic = decode(coordinates)
        return synthetic._replace(actions=policy(synthetic.observations))

    return Constraint(encode, label, project)
