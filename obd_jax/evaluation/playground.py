"""Tasks of the control suite of MuJoCo Playground, which has Brax's form.

Zakka et al. 2025, arXiv 2502.08844.
"""

from typing import Any

from obd_jax.environments import MAX_EPISODE_STEPS
from obd_jax.extras import require
from obd_jax.types import InvalidInputError


def load(name: str) -> Any:
    """A task by its name there, `CartpoleBalance`, simulated by MJX in JAX.

    The package itself has all that the control suite needs. Its robots, which are other suites,
    download their models and are not known here.

    Raises:
        InvalidInputError: MuJoCo Playground is not installed, there is no such task, or its
            episodes are longer than others here.
    """
    suite: Any = require(
        "mujoco_playground", "playground", "tasks of MuJoCo Playground"
    ).dm_control_suite
    if name not in suite.ALL_ENVS:
        raise InvalidInputError(
            f"the control suite of MuJoCo Playground has no task {name!r}; it has "
            f"{', '.join(suite.ALL_ENVS)}"
        )
    steps = suite.get_default_config(name).episode_length
    if steps != MAX_EPISODE_STEPS:
        raise InvalidInputError(
            f"playground:{name} has episodes of {steps} steps; here they have {MAX_EPISODE_STEPS}"
        )
    # Its default implementation, Warp, needs a GPU of NVIDIA's.
    return suite.load(name, config_overrides={"impl": "jax"})
