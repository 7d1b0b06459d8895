"""Score a distilled set again: train students on it and roll them out.

python experiments/evaluate_synthetic.py --path=runs/hopper/distilled.npz --students=20
"""

import dataclasses
import os
import pathlib
from typing import Any

import jax
from config import BACKEND_HELP, FLAG_OF
from config import Config as RunConfig
from scoring import FINAL_SEED, table
from setup_run import split_seed

from obd_jax import artefacts, data, environments, evaluation, optimizers, students, toy
from obd_jax.command_line import Clock, Progress, config_from_flags, define_flags, field, run_main
from obd_jax.numerics import PRECISIONS
from obd_jax.types import InvalidInputError

ABSENT = "absent: the card's, or for another student than the card's the default."


@dataclasses.dataclass(frozen=True)
class Config:
    """What is scored and how; each field is a flag of the same name."""

    path: str | None = field(None, "The distilled set, distilled.npz of a run. Required.")
    out: str | None = field(None, "JSON file to write, new; absent: only the table is printed.")
    env: str | None = field(None, "Environment; absent: that of the set's card.")
    seed: int | None = field(None, "Seed of the students; absent: that of the run.")
    ensemble: int = field(1, "Students that act together, by their mean action.")
    student: str | None = field(
        None, f"One of {', '.join(students.RECIPES)}; absent: that of the set's card."
    )
    kernel: str | None = field(None, f"One of {', '.join(students.KERNELS)}; {ABSENT}")
    depth: int | None = field(None, f"Hidden layers of the kernel's network; {ABSENT}")
    bias_scale: float | None = field(None, f"Deviation of that network's biases; {ABSENT}")
    length_scale: float | None = field(None, f"Divides normalised observations; {ABSENT}")
    ridge: float | None = field(None, f"In units of the mean diagonal; {ABSENT}")
    hidden_sizes: tuple[int, ...] | None = field(None, f"Widths of layers; {ABSENT}")
    inner_steps: int | None = field(None, f"T, training steps; {ABSENT}")
    inner_optimizer: str | None = field(
        None, f"One of {', '.join(optimizers.OPTIMIZERS)}; {ABSENT}"
    )
    inner_learning_rate: float | None = field(None, f"Learning rate; {ABSENT}")
    inner_momentum: float | None = field(None, f"Momentum; {ABSENT}")
    cloning: str | None = field(
        None, f"Loss: one of {', '.join(students.CLONING_ERRORS)}; {ABSENT}"
    )
    centred: bool | None = field(
        None, f"The network's output less what it was at initialisation; {ABSENT}"
    )
    residual: bool | None = field(None, f"Layers as wide as the one before add to it; {ABSENT}")
    students: int = field(10, "K, students trained.")
    episodes: int = field(10, "E, episodes of each student.")
    eval_backend: str = field("gymnasium", BACKEND_HELP)


def precision_of(card: dict[str, Any]) -> str | None:
    """Of matrix products, as the set was made; None, JAX's own, for sets that do not say."""
    recorded = mapping(mapping(card, "provenance"), "software").get("matmul_precision")
    return recorded if recorded in PRECISIONS else None


def run(config: Config) -> dict[str, Any]:
    """Score the set; returns what is written to `--out`.

    With the card's own seed, environment, backend and recipe, and as many students and episodes,
    this repeats the score of the run that made the set.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
    """
    if not config.path:
        raise InvalidInputError("--path is required: the distilled set to score")
    for name in ("students", "episodes", "ensemble"):
        if getattr(config, name) < 1:
            raise InvalidInputError(f"--{name} must be at least 1, got {getattr(config, name)}")
    path, out = pathlib.Path(config.path), pathlib.Path(config.out) if config.out else None
    if out is not None:
        _refuse_unusable(out)
    distilled = artefacts.load(path)
    observation_size, action_size = (array.shape[1] for array in distilled.synthetic)
    provenance = mapping(distilled.card, "provenance")
    environment = environments.simulated_by(
        task_named(config.env or mapping(provenance, "environment").get("name")),
        config.eval_backend,
    )
    evaluation.check_environment(environment, observation_size, action_size)
    recipe = recipe_of(config, mapping(distilled.card, "student"))
    student = recipe.student(action_size)
    if config.ensemble > 1:
        student = students.ensemble(student, config.ensemble)
    seed = config.seed if config.seed is not None else provenance.get("seed", 0)

    precision = precision_of(distilled.card)
    clock = Clock()
    with clock("evaluate"), jax.default_matmul_precision(precision):
        returns = evaluation.score_students(
            split_seed(seed)["students"],
            student,
            distilled.synthetic,
            distilled.normalizer,
            environment,
            students=config.students,
            episodes=config.episodes,
            seed=FINAL_SEED,
            progress=Progress("roll out synthetic, steps"),
        )
    rows = {"synthetic": evaluation.summarize(returns)}
    results = {
        "returns": rows,
        "unit": environment.unit,
        "seconds": clock.seconds,
        "provenance": {
            "set": {"name": str(path), "sha256": data.sha256(path)},
            "environment": {"name": environment.name, "backend": environment.backend},
            "seed": seed,
            "software": {**artefacts.software(), "matmul_precision": precision or "default"},
        },
        "student": {**students.to_card(recipe), "ensemble": config.ensemble},
        "card": distilled.card,
    }
    print(table(rows, environment.unit))
    if out is not None:
        artefacts.write_json(out, results)
        print(f"written to {out}")
    return results


def _refuse_unusable(out: pathlib.Path) -> None:
    """Refuse to overwrite, and find out before the work that a file cannot be written."""
    if out.exists():
        raise InvalidInputError(f"--out {out} exists already; give a new file")
    folder = out.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InvalidInputError(f"--out {out} cannot be written: {folder} is no writable folder")


def mapping(card: dict[str, Any], name: str) -> dict[str, Any]:
    """An entry of the card that holds more entries; empty where there is none."""
    entry = card.get(name)
    return entry if isinstance(entry, dict) else {}


def task_named(name: str | None) -> environments.EnvironmentSpec:
    """The task of a card, or of --env."""
    if name is None:
        raise InvalidInputError("the set's card names no environment; give --env")
    return toy.SPEC if name == toy.SPEC.name else environments.get(name)


def recipe_of(config: Config, card: dict[str, Any]) -> students.Recipe:
    """From the flags given, then the card if it is for the same student, then the defaults."""
    recommended = card.get("name")
    name = config.student or recommended
    if name is None:
        raise InvalidInputError("the set's card names no student; give --student")
    values = {}
    for field_name in students.fields_of(name):
        flag = FLAG_OF.get(field_name, field_name)
        values[field_name] = getattr(config, flag)
        if values[field_name] is None and name == recommended:
            values[field_name] = card.get(field_name)
        if values[field_name] is None:
            values[field_name] = getattr(RunConfig, flag)
    return students.make_recipe(name, values)


def main() -> None:
    """Entry point."""
    run(config_from_flags(Config, {}))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
