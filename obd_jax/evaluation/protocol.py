"""How policies are scored: students, episodes, and which seeds serve for what."""

import dataclasses

from obd_jax.environments import SIMULATORS
from obd_jax.settings import at_least, not_negative, one_of, option

# Seeds of episodes. Those of the curve choose and show; they never serve a final score.
CURVE_SEED, FINAL_SEED = 10_000, 20_000
CURVE_STUDENTS, CURVE_EPISODES = 5, 2
TEACHER_EPISODES = 20


@dataclasses.dataclass(frozen=True)
class RolloutSettings:
    """Students, their episodes, and what simulates them.

    students: K, trained for a score.
    episodes: E, of each student.
    backend:  what rolls policies out.
    """

    students: int = option(10, "K, students trained for a score.")
    episodes: int = option(10, "E, episodes of each student.")
    backend: str = option(
        "gymnasium",
        "Rolls policies out. gymnasium; mjx: Gymnasium's MuJoCo models in JAX (hopper, "
        "halfcheetah, walker2d); brax: Brax's own tasks of these names, whose returns are not "
        "comparable and stay raw.",
        "eval_backend",
    )

    def __post_init__(self) -> None:
        at_least(1, students=self.students, episodes=self.episodes)
        one_of("eval_backend", self.backend, SIMULATORS)


@dataclasses.dataclass(frozen=True)
class ScoreSettings(RolloutSettings):
    """The same, and scores along distillation.

    curve_points: how many; 0: none.
    """

    curve_points: int = option(8, "Scores along distillation, for the curve; 0: none.")

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(curve_points=self.curve_points)
