"""Scores of a distilled set on its own: students are trained on it and rolled out."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from obd_jax import artefacts, environments, evaluation, runs, students, toy
from obd_jax.data.cache import sha256
from obd_jax.environments import EnvironmentSettings, EnvironmentSpec
from obd_jax.evaluation import FINAL_SEED, RolloutSettings
from obd_jax.numerics import PRECISIONS
from obd_jax.pipeline.preparation import split_key
from obd_jax.pipeline.problem import environment_named
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import OptionError, at_least, option, part, with_options
from obd_jax.students import Recipe, StudentSettings


@dataclasses.dataclass(frozen=True)
class RescoreSettings:
    """What is scored and where.

    path:        of the distilled set.
    out:         JSON file to write; None: nothing is written.
    environment: where; that of the set's card unless one is named.
    seed:        of the students; None: that of the run; not for those in closed form.
    ensemble:    students that act together, by their mean action; the same.
    rollouts:    students, episodes and simulator.
    """

    path: str | None = option(
        None, "The distilled set: distilled.npz of a run, or its folder. Required."
    )
    out: str | None = option(None, "New JSON file for the scores; absent: they are only printed.")
    environment: EnvironmentSettings = part(EnvironmentSettings)
    seed: int | None = option(None, "Seed of the students; absent: the run's.")
    ensemble: int = option(1, "Students in an ensemble, which acts by their mean action.")
    rollouts: RolloutSettings = part(RolloutSettings, "scores")

    def __post_init__(self) -> None:
        at_least(1, ensemble=self.ensemble)


def precision_of(card: Mapping[str, Any]) -> str | None:
    """Of matrix products, as the set was made; None, JAX's own, for sets that do not say."""
    recorded = entry(entry(card, "provenance"), "software").get("matmul_precision")
    return recorded if recorded in PRECISIONS else None


def entry(card: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An entry of the card that holds more entries; empty where there is none."""
    found = card.get(name)
    return found if isinstance(found, dict) else {}


def environment_of_card(
    card: Mapping[str, Any], given: EnvironmentSettings | None = None
) -> EnvironmentSpec:
    """The environment given, else that of a card."""
    found = None if given is None else environment_named(given)
    recorded = entry(entry(card, "provenance"), "environment")
    if found is None and recorded.get("name") == toy.SPEC.name:
        return toy.SPEC
    if found is None and recorded.get("name") is not None:
        found = environments.from_card(recorded)
    if found is None:
        advice = "" if given is None else "; give {env}"
        raise OptionError(f"the set's card names no environment{advice}")
    return found


def recipe_of_card(card: Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """The student that a card recommends, with some of its options changed.

    Args:
        card: of a distilled set.
        changes: options of `StudentSettings`; of another student than the card's, options not
            given have their defaults.

    Raises:
        InvalidInputError: the card names no student and none is given, or a bad value.
    """
    recommended = entry(card, "student")
    base = StudentSettings()
    if recommended.get("name") is not None:
        base = StudentSettings(students.from_card(recommended))
    elif "student" not in changes:
        raise OptionError("the set's card names no student; give {student}")
    return with_options(base, **changes).recipe


def rescore(
    settings: RescoreSettings,
    changes: Mapping[str, Any] | None = None,
    reporter: Reporter = CONSOLE,
) -> dict[str, Any]:
    """Score a set; returns what is written to `out`.

    With the card's own seed, environment, backend and recipe, and as many students and episodes,
    this repeats the score of the run that made the set.

    Args:
        settings: what is scored and where.
        changes: options of the student that differ from the card's.
        reporter: for progress.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
    """
    if not settings.path:
        raise OptionError("{path} is required: the distilled set to score")
    out = pathlib.Path(settings.out) if settings.out else None
    if out is not None:
        _refuse_unusable(out)
    path = artefacts.file_of(settings.path)
    distilled = artefacts.load(path)
    card, rollouts = distilled.card, settings.rollouts
    observation_size, action_size = (array.shape[1] for array in distilled.synthetic)
    environment = environments.simulated_by(
        environment_of_card(card, settings.environment), rollouts.backend
    )
    evaluation.check_environment(environment, observation_size, action_size)
    recipe = recipe_of_card(card, changes or {})
    student = recipe.student(action_size)
    if student.deterministic:
        _refuse_of_no_effect(settings, students.to_card(recipe)["name"])
    if settings.ensemble > 1:
        student = students.ensemble(student, settings.ensemble)
    recorded = entry(card, "provenance")
    seed = settings.seed if settings.seed is not None else recorded.get("seed", 0)
    key = jax.random.key(seed)
    if settings.seed is None and "key" in recorded:  # Of a set that `synthesize` made.
        key = jax.random.wrap_key_data(jnp.array(recorded["key"], jnp.uint32))

    precision = precision_of(card)
    clock = Clock()
    with clock("evaluate"), jax.default_matmul_precision(precision):
        returns = evaluation.score_students(
            split_key(key)["students"],
            student,
            distilled.synthetic,
            distilled.normalizer,
            environment,
            students=rollouts.students,
            episodes=rollouts.episodes,
            seed=FINAL_SEED,
            progress=reporter.progress("roll out synthetic, steps"),
        )
        provenance = artefacts.provenance(
            environment=environment, seed=seed, set={"name": str(path), "sha256": sha256(path)}
        )
    provenance["software"]["matmul_precision"] = precision or "default"
    results = {
        "returns": {"synthetic": evaluation.summarize(returns)},
        "unit": environment.unit,
        "seconds": clock.seconds,
        "provenance": provenance,
        "student": {**students.to_card(recipe), "ensemble": settings.ensemble},
        "card": card,
    }
    if out is not None:
        runs.write_json(out, results)
    return results


def _refuse_of_no_effect(settings: RescoreSettings, student: str) -> None:
    """Refuse what would repeat one score under another name."""
    given = {"seed": settings.seed is not None, "ensemble": settings.ensemble > 1}
    for name in (name for name, is_given in given.items() if is_given):
        raise OptionError(
            f"{{{name}}} changes nothing for {{student}}={student}: it has no initialisation, and "
            "episodes are the same for every set; {episodes} asks for more of them"
        )


def _refuse_unusable(out: pathlib.Path) -> None:
    """Refuse to overwrite, and find out before the work that a file cannot be written."""
    if out.exists():
        raise OptionError(f"{{out}} {out} exists already; give a new file")
    folder = out.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise OptionError(f"{{out}} {out} cannot be written: {folder} is not a writable folder")
