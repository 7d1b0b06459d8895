"""From a configuration to what a run starts from, all of it checked."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import train_teacher
from config import (
    ANNEALS,
    BUNDLED,
    INITIALIZERS,
    TEACHERS,
    Config,
    Stage,
    check,
    recipe,
    stages,
)
from inputs import load_data, task_of
from resume import Saver, once

import obd_jax
from obd_jax import (
    artefacts,
    data,
    density,
    distill,
    environments,
    evaluation,
    optimizers,
    students,
    teachers,
    toy,
)
from obd_jax.command_line import Clock, Progress, note
from obd_jax.types import (
    Array,
    InvalidInputError,
    Key,
    Normalizer,
    OfflineData,
    Student,
    SyntheticData,
    Targets,
    Teacher,
)


class Setup(NamedTuple):
    """What a run starts from, all of it checked.

    data:       all of them, as the normalizer is.
    best:       the part that is distilled.
    """

    environment: environments.EnvironmentSpec
    data: OfflineData
    best: OfflineData
    teacher: Teacher
    normalizer: Normalizer
    recipe: students.Recipe
    student: Student
    keys: dict[str, Key]
    start: SyntheticData | None


class Goal(NamedTuple):
    """What a set is distilled for.

    objective:    its name.
    targets:      the objective, as configured.
    base:         the objective on every state distilled, before weights and noise.
    weights:      [M] of the state density; None without SDW.
    density_card: what to record of the density.
    """

    objective: str
    targets: Targets
    base: Targets
    weights: Array | None
    density_card: dict[str, Any] | None


Loaded = tuple[environments.EnvironmentSpec, OfflineData, Teacher]


def load(config: Config) -> Loaded:
    """Read data and teacher."""
    # A file is read before the data, which may take minutes to be recorded.
    teacher = None if config.teacher in (None, *TEACHERS) else load_file(config)
    offline = load_data(config)
    recorded = task_of(config, offline)
    environment = environments.simulated_by(recorded, config.eval_backend)
    if teacher is not None:
        teachers.check_teacher(teacher, offline)
    evaluation.check_environment(environment, offline.observation_size, offline.action_size)
    if teacher is None:
        teacher = make_teacher(config, recorded, offline)
    return environment, offline, teacher


def load_file(config: Config) -> Teacher:
    """A teacher from the file given."""
    assert config.teacher is not None
    suffix = pathlib.Path(config.teacher).suffix
    if suffix == ".npz":
        return teachers.load_teacher(config.teacher)
    if suffix != ".pt":
        raise InvalidInputError(
            f"unknown teacher {config.teacher!r}; known: {', '.join(TEACHERS)}, an .npz file of "
            "train_teacher.py, a .pt file of Cal-QL"
        )
    if not (config.teacher_stats and config.teacher_stats_key):
        raise InvalidInputError(
            "a released teacher needs --teacher_stats and --teacher_stats_key with --teacher"
        )
    return teachers.load_calql(config.teacher, config.teacher_stats, config.teacher_stats_key)


def make_teacher(
    config: Config, environment: environments.EnvironmentSpec, offline: OfflineData
) -> Teacher:
    """A teacher of the package, or trained on the data unless the cache has it."""
    if config.teacher is None and config.dataset == "toy":
        return toy.teacher()
    if config.teacher is not None and config.teacher in teachers.ALGORITHMS:
        return trained_teacher(config.teacher, environment, offline)
    embedded = offline.provenance.source == "embedded"
    name = (config.dataset or "").removesuffix("-v2")
    if config.teacher is None and not embedded:
        raise InvalidInputError(
            "a near-expert policy is needed: --teacher takes "
            f"{', '.join(teachers.ALGORITHMS)}, which are trained on the data, or a file"
        )
    if config.teacher == BUNDLED or (config.teacher is None and name in teachers.bundled_names()):
        if not embedded:
            raise InvalidInputError(f"--teacher={BUNDLED} is for embedded data")
        teacher = teachers.bundled_teacher(name)
    else:
        teacher = teachers.behavior_teacher(environment.name)
    note(f"teacher: {teacher.provenance.source}, {teacher.provenance.name}")
    return teacher


def trained_teacher(
    algorithm: str, environment: environments.EnvironmentSpec, offline: OfflineData
) -> Teacher:
    """A teacher trained on these very data, kept in the cache; trained now if it lacks it."""
    settings = train_teacher.Config(algorithm=algorithm)
    lasting = {k: v for k, v in dataclasses.asdict(settings).items() if k != "checkpoint_minutes"}
    identity = json.dumps([obd_jax.__version__, lasting, offline.provenance.sha256])
    folder = (
        data.default_cache()
        / "teachers"
        / f"{algorithm}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    )
    with data.locked(folder, note):
        if not (folder / "results.json").exists():
            note(f"training {algorithm}, kept in {folder}; stopped, it goes on from there")
            settings = dataclasses.replace(settings, out=str(folder))
            train_teacher.fit(settings, environment, offline)
    note(f"teacher: {algorithm}, in {folder}")
    return teachers.load_teacher(folder / "teacher.npz")


def prepare(config: Config, loaded: Loaded | None = None) -> Setup:
    """Check and load (unless given) everything that a run needs, before anything is written."""
    check(config)
    student_recipe = recipe(config)
    outer_optimizer(config, config.outer_learning_rate)  # Refuses what it cannot take.
    environment, offline, teacher = load(config) if loaded is None else loaded
    normalizer = data.normalizer(offline.observations)
    best = offline
    if config.least_return > 0:
        best = data.best_episodes(offline, config.least_return)
        note(f"distils {len(best):,} of {len(offline):,} states, those of good episodes")
    if config.pairs > len(best):
        raise InvalidInputError(
            f"--pairs must be between 1 and the {len(best)} states distilled, got {config.pairs}"
        )
    return Setup(
        environment,
        offline,
        best,
        teacher,
        normalizer,
        student_recipe,
        make_student(student_recipe, offline.action_size),
        split_seed(config.seed),
        load_start(config.start, offline, normalizer) if config.start is not None else None,
    )


def inputs_of(setup: Setup) -> dict[str, str]:
    """What a set depends on beside its configuration."""
    return {
        "SHA-256 of the data": setup.data.provenance.sha256,
        "SHA-256 of the teacher": setup.teacher.provenance.sha256,
    }


@functools.cache
def make_student(student_recipe: students.Recipe, action_size: int) -> Student:
    """The recipe's student, the same one every time, so that it is compiled once."""
    return student_recipe.student(action_size)


def load_start(path: str, offline: OfflineData, normalizer: Normalizer) -> SyntheticData:
    """A distilled set to go on from, in the normalisation of the data at hand."""
    found = artefacts.load(pathlib.Path(path))
    sizes = tuple(array.shape[1] for array in found.synthetic)
    if sizes != (offline.observation_size, offline.action_size):
        raise InvalidInputError(
            f"--start {path} has {sizes[0]} observations and {sizes[1]} actions; the data has "
            f"{offline.observation_size} and {offline.action_size}"
        )
    raw = found.normalizer.denormalize(found.synthetic.observations)
    return found.synthetic._replace(observations=normalizer.normalize(raw))


def split_seed(seed: int) -> dict[str, Key]:
    """One key for each thing that is random in a run."""
    names = ("density", "initial", "random_real", "distil", "students", "noise")
    return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))


def outer_optimizer(config: Config, learning_rate: float) -> optax.GradientTransformation:
    """The set's optimiser; an unknown name or a number out of range is refused."""
    optimizer = optimizers.make(config.outer_optimizer, learning_rate, config.outer_momentum)
    if not config.clip_norm:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def make_goal(
    config: Config, setup: Setup, clock: Clock, known: dict[Any, Any] | None = None
) -> Goal:
    """The objective on every state, of equal weight as far as density goes.

    Args:
        config: of the run.
        setup: what it starts from.
        clock: counts the seconds.
        known: what earlier calls with the same data and teacher computed; it is used and added to.
    """
    known = {} if known is None else known
    objective = config.objective or ("pbc" if setup.teacher.value is None else "av_pbc")
    name = ("targets", objective, config.value_scale, config.least_return)
    with clock("targets"):
        if name not in known:
            known[name] = distill.make_objective(
                objective, setup.best, setup.normalizer, setup.teacher, config.value_scale
            )
    return Goal(objective, known[name], known[name], None, None)


def surround(
    config: Config,
    setup: Setup,
    goal: Goal,
    clock: Clock,
    folder: pathlib.Path | None = None,
    known: dict[Any, Any] | None = None,
) -> Goal:
    """The goal weighted by density and step and surrounded by noise, as configured.

    Args:
        config: of the run.
        setup: what it starts from.
        goal: of `make_goal`.
        clock: counts the seconds.
        folder: of the run, where the weights are kept for a process that goes on; None: nowhere.
        known: as for `make_goal`.
    """
    if config.temperature > 0:
        observations = goal.targets.observations
        weights, card = once(
            folder,
            "density",
            clock,
            jax.ShapeDtypeStruct(observations.shape[:1], observations.dtype),
            lambda: weigh_by_density(config, setup, {} if known is None else known),
        )
        goal = goal._replace(
            targets=distill.sdw(goal.targets, weights), weights=weights, density_card=card
        )
    if config.early_steps > 0:
        targets = distill.early(goal.targets, setup.best.episode_steps, config.early_steps)
        goal = goal._replace(targets=targets)
    if config.state_noise > 0:
        with clock("targets"):
            targets = distill.with_state_noise(
                setup.keys["noise"],
                goal.targets,
                setup.normalizer,
                setup.teacher,
                config.state_noise,
            )
        goal = goal._replace(targets=targets)
    return goal


def weigh_by_density(
    config: Config, setup: Setup, known: dict[Any, Any]
) -> tuple[Array, dict[str, Any]]:
    """SDW weights [M], and what to record of them."""
    log_density, fitted = log_densities(config, setup, known)
    weights = density.reciprocal_weights(
        jnp.asarray(log_density), config.temperature, config.floor_quantile
    )
    card = {
        **fitted,
        "effective_sample_fraction": float(weights.effective_sample_fraction),
        "invalid_densities": int(weights.num_invalid),
    }
    note(f"density: {card}")
    return weights.weights, card


def log_densities(
    config: Config, setup: Setup, known: dict[Any, Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Log densities [M] of the states, and what to record of the fit, unless `known` has them."""
    settings = (
        *(config.least_return, config.density, config.density_epochs, config.density_states),
        config.seed,
    )
    if ("density", *settings) in known:
        return known["density", *settings]
    key = setup.keys["density"]
    estimator = density.make(config.density)
    states = np.asarray(setup.normalizer.normalize(setup.best.observations), np.float32)
    progress = Progress("fit density, epoch")
    fitted = states
    if len(states) > config.density_states:
        order = jax.random.permutation(jax.random.fold_in(key, 0), len(states))
        fitted = states[np.asarray(order[: config.density_states])]
    params, history = density.fit(
        key,
        estimator,
        fitted,
        epochs=config.density_epochs,
        callback=lambda record: progress(
            record["epoch"],
            config.density_epochs,
            note=f"held-out log likelihood {record['held_out_log_likelihood']:.3f}",
        ),
    )
    log_density = density.log_prob_chunked(estimator, params, states)
    card = {
        "estimator": config.density,
        "fitted_states": len(fitted),
        "held_out_log_likelihood": max(r["held_out_log_likelihood"] for r in history),
    }
    known["density", *settings] = np.asarray(log_density), card
    return known["density", *settings]


def initial_set(config: Config, setup: Setup, goal: Goal) -> SyntheticData:
    """What distillation starts from: the set given, or N real pairs."""
    if setup.start is not None:
        return setup.start
    if config.initializer == "relabelled":
        pool = goal.base
    else:
        pool = distill.dbc(setup.best, setup.normalizer)
        if config.initializer == "density":
            assert goal.weights is not None
            pool = pool._replace(weights=goal.weights)
    return distill.choose(
        setup.keys["initial"], INITIALIZERS[config.initializer], pool, config.pairs
    )


def make_distiller(config: Config, stage: Stage) -> distill.Distiller:
    """One step of a stage."""
    return distill.distiller(
        stage.students,
        outer_optimizer(config, stage.learning_rate),
        constraint=distill.make_constraint(config.constraint),
        spread=stage.spread,
    )


def form_of_state(config: Config, setup: Setup, synthetic: SyntheticData) -> Any:
    """Shapes and types of the state of distillation, the same in all stages."""
    distiller = make_distiller(config, stages(config, setup.data.action_size)[-1])
    return jax.eval_shape(distiller.init, setup.keys["distil"], synthetic)


def distil(
    config: Config,
    setup: Setup,
    goal: Goal,
    synthetic: SyntheticData,
    saver: Saver | None = None,
    callback: distill.Callback | None = None,
) -> tuple[distill.DistillerState, dict[str, Any]]:
    """Distil the set as configured: the last state and the record of the last steps.

    Every stage is annealed on its own and has the same share of the budget. With a saver it goes
    on where that has been, and is saved from time to time.

    Raises:
        KeyboardInterrupt: a signal has come, and the state is saved.
    """
    parts = stages(config, setup.data.action_size)
    start = {"step": 0, "seconds": 0.0}
    # The stage, the last record before it and the last of all.
    place: dict[str, Any] = {"stage": 0, "before": start, "last": start}
    state = None
    if saver is not None and saver.found is not None:
        state, place = saver.found.state, saver.found.notes

    def report(state: distill.DistillerState, record: dict[str, Any]) -> None:
        before = place["before"]
        steps_to_come = sum(later.steps for later in parts[place["stage"] + 1 :])
        seconds_to_come = steps_to_come * record["seconds"] / record["step"]
        place["last"] = {
            **record,
            "step": before["step"] + record["step"],
            "seconds": before["seconds"] + record["seconds"],
            "progress": (place["stage"] + record["progress"]) / len(parts),
            "eta_seconds": record["eta_seconds"] + seconds_to_come,
        }
        if callback is not None:
            callback(state, place["last"])
        if saver is not None:
            saver(place["last"]["step"], state, place)

    while True:
        number = place["stage"]
        part, is_last = parts[number], number == len(parts) - 1
        state, _ = distill.train(
            setup.keys["distil"] if is_last else jax.random.fold_in(setup.keys["distil"], number),
            make_distiller(config, part),
            goal.targets,
            synthetic,
            steps=part.steps,
            batch_size=config.batch_size,
            budget_seconds=config.budget_minutes and 60 * config.budget_minutes / len(parts),
            state=state,
            seconds=place["last"]["seconds"] - place["before"]["seconds"],
            anneal=ANNEALS[config.anneal],
            callback=report,
        )
        if saver is not None:
            saver(place["last"]["step"], state, place, now=True)
        if is_last:
            return state, place["last"]
        synthetic, state = state.synthetic, None
        place.update(stage=number + 1, before=place["last"])


def place_of_end(config: Config, setup: Setup, last: dict[str, Any]) -> dict[str, Any]:
    """What a saver keeps for `distil` beside a last state that was reached in another way.

    Args:
        config: of the run.
        setup: what it started from.
        last: the last record: "step", "seconds" and "loss".
    """
    return {
        "stage": len(stages(config, setup.data.action_size)) - 1,
        "before": last,
        "last": last,
    }
