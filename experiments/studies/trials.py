"""Trials of settings: what identifies them, what they distil and how they are scored."""

from json_lines import Json, plain

from obd_jax import evaluation, runs
from obd_jax.evaluation import CURVE_SEED, TEACHER_EPISODES
from obd_jax.pipeline import Problem, RunSettings
from obd_jax.pipeline.preparation import Prepared
from obd_jax.pipeline.scores import score
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.pipeline.targets import Cache, Objective, make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock
from obd_jax.settings import defaults_of, to_options
from obd_jax.types import SyntheticData

# Students of a trial and episodes of each: networks differ with their initialisation.
TRIES = {"kernel": (1, 20), "mlp": (5, 4)}


def changed_from_defaults(settings: RunSettings) -> Json:
    """Options that hold for every trial and are not the kernel student's defaults."""
    defaults = plain(defaults_of(RunSettings))
    own = (*runs.MAY_DIFFER, "dataset", "seed")
    found = plain(to_options(settings))
    return {name: v for name, v in found.items() if name not in own and v != defaults[name]}


def objective_of(settings: RunSettings, prepared: Prepared, cache: Cache) -> Objective:
    """What a trial distils: the objective as configured."""
    distillation, clock = settings.distillation, Clock()
    objective = make_objective(distillation, prepared, clock, cache)
    return reweight(distillation, prepared, objective, clock, CONSOLE, cache=cache)


def trial_return(settings: RunSettings, prepared: Prepared, synthetic: SyntheticData) -> float:
    """Mean return of students of a trial's set, in episodes that serve for no other score."""
    tries = TRIES[to_options(settings)["student"]]
    return float(score(prepared, "trial", synthetic, *tries, CURVE_SEED, CONSOLE).mean())


@in_its_precision
def teacher_return(settings: RunSettings, problem: Problem, seed: int) -> float:
    """Mean return of a problem's teacher, in the episodes of a seed."""
    returns = evaluation.score_act(
        problem.teacher.act,
        problem.environment,
        episodes=TEACHER_EPISODES,
        seed=seed,
        progress=CONSOLE.progress("roll out teacher, steps"),
    )
    return float(returns.mean())
