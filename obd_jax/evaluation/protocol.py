"""How policies are scored: students, episodes, and which seeds serve for what."""

import dataclasses

from obd_jax.environments import SIMULATORS
from obd_jax.settings import OptionError, at_least, not_negative, one_of, option

# Seeds of episodes. Those of the curve choose and show; they never serve a final score.
CURVE_SEED, FINAL_SEED = 10_000, 20_000
CURVE_STUDENTS, CURVE_EPISODES = 5, 2
TEACHER_EPISODES = 20

# Share of the episodes that policies are judged on where there is no environment, and steps of
# fitted Q evaluation in one compiled call.
HOLDOUT, FQE_BLOCK = 0.1, 100


@dataclasses.dataclass(frozen=True)
class RolloutSettings:
    """Students, their episodes, and what simulates them.

    students: K, trained for a score.
    episodes: E, of each student.
    backend:  simulator of the rollouts.
    """

    students: int = option(10, "Number of students trained for a score.")
    episodes: int = option(10, "Number of episodes of each student.")
    backend: str = option(
        "gymnasium",
        "Simulator of rollouts. gymnasium; mjx: Gymnasium's MuJoCo models in JAX (hopper, "
        "halfcheetah, walker2d); brax: Brax's own tasks of these names, whose returns are not "
        "comparable and stay raw.",
        "eval_backend",
    )

    def __post_init__(self) -> None:
        at_least(1, students=self.students, episodes=self.episodes)
        one_of("eval_backend", self.backend, SIMULATORS)


@dataclasses.dataclass(frozen=True)
class ScoreSettings(RolloutSettings):
    """The same, and scores during distillation.

    curve_points: how many; 0: none.
    """

    curve_points: int = option(
        8, "Number of scores during distillation, for the learning curve; 0: none."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(curve_points=self.curve_points)


@dataclasses.dataclass(frozen=True)
class OfflineSettings:
    """How policies are judged without an environment.

    holdout:   share of the episodes that nothing is trained on; None: HOLDOUT where there is no
               environment, else none are held out, and nothing is judged.
    fqe_steps: of fitted Q evaluation.
    """

    holdout: float | None = option(
        None,
        "Share of the episodes to hold out, for measures without an environment; 0: none. Absent: "
        f"{HOLDOUT} if env is none, else 0.",
    )
    fqe_steps: int = option(
        10_000, f"Steps of fitted Q evaluation, a multiple of {FQE_BLOCK}; 0: none."
    )

    def __post_init__(self) -> None:
        if self.holdout is not None and not 0 <= self.holdout < 1:
            raise OptionError(f"{{holdout}} must be in [0, 1), got {self.holdout}")
        if self.fqe_steps < 0 or self.fqe_steps % FQE_BLOCK:
            raise OptionError(
                f"{{fqe_steps}} must be 0 or a multiple of {FQE_BLOCK}, got {self.fqe_steps}"
            )

    def share(self, has_environment: bool) -> float:
        """Share of the episodes that are held out."""
        if self.holdout is None:
            return 0.0 if has_environment else HOLDOUT
        return self.holdout
