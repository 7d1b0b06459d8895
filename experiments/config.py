"""The configuration of a run: one record, which is also the flags."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from obd_jax import artefacts, data, density, distill, environments, optimizers, students, teachers
from obd_jax.command_line import field
from obd_jax.numerics import PRECISIONS
from obd_jax.types import InvalidInputError, Student

INITIALIZERS = {
    "random": distill.uniform,
    "relabelled": distill.uniform,
    "kmeans++": distill.kmeans_plus_plus,
    "density": distill.by_weight,
}
ANNEALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": distill.cosine_anneal,
    "constant": np.ones_like,
}

BACKEND_HELP = (
    "What rolls policies out. gymnasium; mjx: Gymnasium's MuJoCo models in JAX (hopper, "
    "halfcheetah, walker2d); brax: Brax's own tasks of these names, whose returns are other "
    "things and stay raw."
)

PRESETS = ("default", "paper", "transfer")

# Teachers that need no file: those of the package, and those trained on the data.
BUNDLED, BEHAVIOR = "bundled", "behavior"
TEACHERS = (BUNDLED, BEHAVIOR, *teachers.ALGORITHMS)


# What may differ when a run goes on.
FREE = ("out", "checkpoint_minutes", "writers")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that defines a run; each field is a flag of the same name."""

    out: str | None = field(None, "Run folder, new or empty; absent: runs/ and the time.")
    dataset: str | None = field(
        None, "Data set by name: walker2d-medium-expert, mujoco/hopper/medium-v0 ..., or toy."
    )
    source: str = field("auto", f"Of --dataset: one of {', '.join(data.SOURCES)}.")
    data_rows: int | None = field(None, "Rows of embedded data; absent: as many as D4RL has.")
    dataset_path: str | None = field(None, "HDF5 (D4RL layout) or npz file, not with --dataset.")
    env: str | None = field(
        None, "Environment, by name or Gymnasium's id; absent: the one the data set names."
    )
    teacher: str | None = field(
        None,
        f"The near-expert. {BUNDLED}: the package's for these embedded data; {BEHAVIOR}: the "
        f"package's expert, without a critic; {', '.join(teachers.ALGORITHMS)}: trained on the "
        "data; or a file, .npz of train_teacher.py or .pt of a released Cal-QL. Absent: for "
        "embedded data the first of these that there is.",
    )
    teacher_stats: str | None = field(None, "JSON file with the teacher's state mean and std.")
    teacher_stats_key: str | None = field(None, "Entry of --teacher_stats.")
    seed: int = field(0, "Seed of everything random.")

    least_return: float = field(
        0.0,
        "Distils the episodes whose return is at least this share of the best one's; 0: all.",
    )
    objective: str | None = field(
        None,
        f"One of {', '.join(distill.OBJECTIVES)}; absent: av_pbc, or pbc where the teacher has no "
        "critic.",
    )
    value_scale: float | None = field(None, "Av-PBC weight per unit of q; absent: mean weight 1.")
    density: str = field("maf", f"State density: one of {', '.join(density.DENSITIES)}.")
    density_epochs: int = field(10, "Passes over the data when fitting the density.")
    density_states: int = field(
        200_000, "States that the density is fitted to at most, drawn at random; it weighs all."
    )
    temperature: float = field(0.05, "SDW weight = density to the minus temperature; 0: no SDW.")
    floor_quantile: float = field(0.01, "Log densities below this quantile are raised to it.")
    early_steps: float = field(
        0.0, "A state weighs 1 / (1 + t / this) at step t of its episode; 0: all steps alike."
    )
    state_noise: float = field(
        0.0, "Deviation of noise on a second copy of all states, with the teacher's actions there."
    )

    pairs: int = field(256, "N, synthetic pairs.")
    initializer: str = field("relabelled", f"Where pairs start: one of {', '.join(INITIALIZERS)}.")
    start: str | None = field(
        None, "Distilled set to start from, in place of --initializer and --pairs."
    )
    constraint: str = field(
        "squashed", f"On synthetic actions: one of {', '.join(distill.CONSTRAINTS)}."
    )

    student: str = field("kernel", f"One of {', '.join(students.RECIPES)}.")
    kernel: str = field("ntk", f"Kernel student: one of {', '.join(students.KERNELS)}.")
    depth: int = field(3, "Kernel and lazy MLP: hidden layers of the network behind the kernel.")
    bias_scale: float = field(0.3, "Kernel student: deviation of that network's biases.")
    length_scale: float = field(1.0, "Kernel student: divides normalised observations.")
    ridge: float = field(1e-3, "Kernel and random features: in units of the mean diagonal.")
    hidden_sizes: tuple[int, ...] = field(
        (256, 256, 256), "MLP student and random features: widths of the layers."
    )
    inner_steps: int = field(100, "MLP and lazy MLP: T, training steps.")
    inner_optimizer: str = field("sgd", f"MLP student: one of {', '.join(optimizers.OPTIMIZERS)}.")
    # On hopper 0.04 is past the edge of stability, where meta-gradients explode (docs/choices.md).
    inner_learning_rate: float = field(0.016, "MLP and lazy MLP: learning rate.")
    inner_momentum: float = field(0.95, "MLP and lazy MLP: momentum.")
    cloning: str = field(
        "presquash", f"MLP and lazy MLP: loss, one of {', '.join(students.CLONING_ERRORS)}."
    )

    centred: bool = field(
        False, "MLP student: its output is the network's less what it was at initialisation."
    )
    residual: bool = field(
        False, "MLP student: layers as wide as the one before add their activations to that one's."
    )
    also_depths: tuple[int, ...] = field(
        (), "MLP student: other numbers of hidden layers that the set has to serve as well."
    )
    also_steps: tuple[int, ...] = field(
        (), "MLP student: other numbers of training steps that the set has to serve as well."
    )
    meta_gradient: str = field(
        "reverse", f"MLP student: through its training, one of {', '.join(students.TRAINERS)}."
    )
    window: int = field(20, "Truncated meta-gradients: training steps that they go through.")
    lazy_weight: float = field(
        0.0, "MLP student trained by sgd: weight of its linear approximation in the objective."
    )
    narrow_widths: tuple[int, ...] = field(
        (),
        "MLP student: widths of narrow, centred networks that stand in for --hidden_sizes first.",
    )
    narrow_steps: tuple[int, ...] = field((), "Outer steps for each of --narrow_widths.")
    narrow_spread: float = field(
        0.4, "What the variance over initialisations counts for them; 1: all of it."
    )

    outer_optimizer: str = field("adam", f"The set's: one of {', '.join(optimizers.OPTIMIZERS)}.")
    outer_learning_rate: float = field(0.01, "The set's learning rate.")
    outer_momentum: float = field(0.9, "The set's momentum.")
    clip_norm: float = field(0.0, "Largest norm of the set's gradient; 0: not clipped.")
    anneal: str = field("cosine", f"Outer step size: one of {', '.join(ANNEALS)}.")
    outer_steps: int = field(4000, "Outer steps at most, those of --narrow_steps not counted.")
    batch_size: int = field(1024, "B, real states per outer step.")
    budget_minutes: float | None = field(
        None, "Wall-clock of distillation at most, compilation included."
    )

    precision: str = field(
        "highest",
        f"Of networks' matrix products, one of {', '.join(PRECISIONS)}: on GPUs and TPUs, float32 "
        "products are faster and coarser otherwise. Kernel students always use the highest.",
    )

    checkpoint_minutes: float = field(
        1.0, "Between two checkpoints of distillation; 0: one after every ten steps."
    )

    writers: str = field(
        "", f"Shown the metrics beside metrics.jsonl: any of {', '.join(artefacts.WRITERS)}."
    )

    students: int = field(10, "K, students trained for a score.")
    episodes: int = field(10, "E, episodes of each student.")
    curve_points: int = field(8, "Scores taken along distillation, for the curve.")
    eval_backend: str = field("gymnasium", BACKEND_HELP)


# Where the outer settings of a student differ from the defaults, which are the kernel student's.
OUTER_SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {
        "outer_learning_rate": 0.02,
        "clip_norm": 1.0,
        "outer_steps": 600,
        "batch_size": 2560,
    }
}


# The papers' students: T = 100 steps of SGD on tanh actions, and synthetic actions without bounds.
PAPER_STUDENT: dict[str, Any] = {
    "student": "mlp",
    "constraint": "free",
    "inner_learning_rate": 0.1,
    "inner_momentum": 0.0,
    "cloning": "action",
}


def preset(name: str, student: str, objective: str | None, task: str) -> dict[str, Any]:
    """Settings of a named preset for a student, which flags override.

    "paper" is Lei et al. (2024) with its release, without density weights; the exponent of SDW's,
    a later paper's, is not published.
    "transfer" is for a set that serves the papers' students, wider ones and ensembles.
    """
    if name == "default":
        return {"student": student, **OUTER_SETTINGS.get(student, {})}
    if name == "transfer":
        return {
            **PAPER_STUDENT,
            "state_noise": 0.15,
            "lazy_weight": 1.0,
            "narrow_widths": (64, 128),
            "narrow_steps": (2000, 600),
            "outer_learning_rate": 0.015,
            "clip_norm": 1.0,
            "outer_steps": 200,
        }
    short, long = (20_000, 50_000) if objective in (None, "av_pbc") else (50_000, 200_000)
    return {
        **PAPER_STUDENT,
        "objective": objective or "av_pbc",
        "temperature": 0.0,
        "batch_size": 2560,
        "value_scale": 0.02,
        "initializer": "random",
        "outer_optimizer": "sgd",
        "outer_learning_rate": 0.1,
        "clip_norm": 2.0,
        "anneal": "constant",
        "outer_steps": short if "hopper" in task.lower() else long,
    }


# Fields of students' recipes -> flags, where the names differ.
FLAG_OF = {
    "steps": "inner_steps",
    "optimizer": "inner_optimizer",
    "learning_rate": "inner_learning_rate",
    "momentum": "inner_momentum",
}


def recipe(config: Config) -> students.Recipe:
    """The student's recipe; an unknown student is refused with those known."""
    fields = students.fields_of(config.student)
    values = {name: getattr(config, FLAG_OF.get(name, name)) for name in fields}
    return students.make_recipe(config.student, values)


class Stage(NamedTuple):
    """A part of distillation, with the same students.

    students:      trained at every step, with their weights.
    spread:        what the student's variance counts.
    steps:         outer steps.
    learning_rate: of the set.
    """

    students: list[tuple[float, Student]]
    spread: float
    steps: int
    learning_rate: float


def stages(config: Config, action_size: int) -> list[Stage]:
    """Distillation for narrow networks, if any are given, and then for the student itself.

    Apart from their variance, which goes with the inverse width, networks of this initialisation
    learn nearly the same from a set at any width, and a step costs far less with a narrow one.
    So only a part of their variance counts. The set's learning rate goes with the inverse square
    root of the width.
    """
    own = recipe(config)
    trainer = students.make_trainer(config.meta_gradient, config.window)
    beside: list[tuple[float, Student]] = []
    if config.lazy_weight > 0:
        lazy = students.LazyMLPRecipe(
            depth=len(config.hidden_sizes),
            steps=config.inner_steps,
            learning_rate=config.inner_learning_rate,
            momentum=config.inner_momentum,
            cloning=config.cloning,
        )
        beside.append((config.lazy_weight, lazy.student(action_size)))
    if not isinstance(own, students.MLPRecipe):
        members = [(1.0, own.student(action_size)), *beside]
        return [Stage(members, 1.0, config.outer_steps, config.outer_learning_rate)]
    served = [
        own,
        *(replace(own, hidden_sizes=own.hidden_sizes[:1] * depth) for depth in config.also_depths),
        *(replace(own, steps=steps) for steps in config.also_steps),
    ]

    def trained(recipes: list[students.MLPRecipe]) -> list[tuple[float, Student]]:
        return [(1 / len(recipes), each.student(action_size, trainer)) for each in recipes]

    found = []
    for width, steps in zip(config.narrow_widths, config.narrow_steps, strict=True):
        narrow = [
            replace(each, hidden_sizes=(width,) * len(each.hidden_sizes), centred=True)
            for each in served
        ]
        learning_rate = config.outer_learning_rate * (max(own.hidden_sizes) / width) ** 0.5
        members = [*trained(narrow), *beside]
        found.append(Stage(members, config.narrow_spread, steps, learning_rate))
    members = [*trained(served), *beside]
    return [*found, Stage(members, 1.0, config.outer_steps, config.outer_learning_rate)]


def writers_of(config: Config) -> list[str]:
    """Services that are shown the metrics."""
    return config.writers.split(",") if config.writers else []


def check(config: Config) -> None:
    """Refuse options out of range before anything is read, computed or written."""
    artefacts.check_writers(writers_of(config))
    for name in (
        *("inner_steps", "outer_steps", "batch_size", "pairs", "students", "episodes"),
        *("density_states", "density_epochs"),
    ):
        if getattr(config, name) < 1:
            raise InvalidInputError(f"--{name} must be at least 1, got {getattr(config, name)}")
    for name in (
        *("temperature", "clip_norm", "curve_points", "early_steps", "state_noise"),
        *("lazy_weight", "checkpoint_minutes"),
    ):
        if not 0 <= getattr(config, name) < np.inf:
            raise InvalidInputError(
                f"--{name} must be finite and not be negative, got {getattr(config, name)}"
            )
    for name in ("budget_minutes", "value_scale"):
        if getattr(config, name) is not None and not getattr(config, name) > 0:
            raise InvalidInputError(f"--{name} must be positive, got {getattr(config, name)}")
    if not 0 <= config.least_return <= 1:
        raise InvalidInputError(f"--least_return must be in [0, 1], got {config.least_return}")
    if not 0 <= config.floor_quantile < 1:
        raise InvalidInputError(f"--floor_quantile must be in [0, 1), got {config.floor_quantile}")
    if config.state_noise > 0 and config.objective == "dbc":
        raise InvalidInputError("--state_noise needs actions of the teacher: not --objective=dbc")
    plain = (config.student, config.inner_optimizer, config.residual) == ("mlp", "sgd", False)
    if config.lazy_weight > 0 and not plain:
        raise InvalidInputError(
            "--lazy_weight needs --student=mlp and --inner_optimizer=sgd, and no --residual"
        )
    students.make_trainer(config.meta_gradient, config.window)
    if config.student != "mlp" and config.meta_gradient != "reverse":
        raise InvalidInputError(f"--meta_gradient={config.meta_gradient} needs --student=mlp")
    shortest = min((config.inner_steps, *config.also_steps))
    if "truncated" in config.meta_gradient and config.window > shortest:
        raise InvalidInputError(
            f"--window must be at most the least of --inner_steps and --also_steps, {shortest}, "
            f"got {config.window}"
        )
    for name in ("also_depths", "also_steps"):
        given = getattr(config, name)
        if given and config.student != "mlp":
            raise InvalidInputError(f"--{name} needs --student=mlp")
        if min(given, default=1) < 1:
            raise InvalidInputError(f"--{name} must be positive numbers, got {given}")
    if config.also_depths and len({*config.hidden_sizes}) > 1:
        raise InvalidInputError(
            f"--also_depths needs --hidden_sizes of one width, got {config.hidden_sizes}"
        )
    if config.student != "mlp" and config.narrow_widths:
        raise InvalidInputError("--narrow_widths needs --student=mlp")
    if not 0 <= config.narrow_spread <= 1:
        raise InvalidInputError(f"--narrow_spread must be in [0, 1], got {config.narrow_spread}")
    widths, steps = config.narrow_widths, config.narrow_steps
    if len(widths) != len(steps) or min((*widths, *steps), default=1) < 1:
        raise InvalidInputError(
            "--narrow_widths and --narrow_steps must be as many positive numbers each, got "
            f"{widths} and {steps}"
        )
    if widths and max(widths) >= max(config.hidden_sizes):
        raise InvalidInputError(
            f"--narrow_widths must be below those of --hidden_sizes {config.hidden_sizes}, "
            f"got {widths}"
        )
    if config.initializer == "density" and config.temperature == 0:
        raise InvalidInputError("--initializer=density needs a --temperature above 0")
    for name, known in (
        ("initializer", INITIALIZERS),
        ("anneal", ANNEALS),
        ("constraint", distill.CONSTRAINTS),
        ("source", data.SOURCES),
        ("precision", PRECISIONS),
        ("objective", distill.OBJECTIVES),
        ("density", density.DENSITIES),
        ("eval_backend", environments.SIMULATORS),
    ):
        if getattr(config, name) is not None and getattr(config, name) not in known:
            raise InvalidInputError(
                f"unknown {name} {getattr(config, name)!r}; known: {', '.join(known)}"
            )
