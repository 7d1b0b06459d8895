r"""What makes a set that many learners learn from: one change at a time to `--student=pool`.

    python experiments/paper/pool_levers.py --datasets=walker2d-medium-expert --levers=base,deep

Each lever's set is learned by networks, scikit-learn and the kernel student, in episodes and with
seeds that serve for no score of a table. A trial whose file is in --out is read, not made again.
"""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import foreign_scores
import jax
import jax.numpy as jnp
import numpy as np
import own_learners
from foreign import FOREIGN
from own_learners import OWN

from obd_jax import artefacts, distill, environments, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.distill import ANNEALS, PoolMember
from obd_jax.distill.aggregations import make_aggregation
from obd_jax.evaluation import CURVE_SEED
from obd_jax.pipeline import Problem, RunSettings, load_problem, preset
from obd_jax.pipeline.distillation import initial_set
from obd_jax.pipeline.preparation import Prepared, prepare, set_card
from obd_jax.pipeline.settings import Distillation
from obd_jax.pipeline.stages import stages
from obd_jax.pipeline.targets import Cache, Objective, make_objective, reweight
from obd_jax.reporting import CONSOLE, SILENT, Clock
from obd_jax.settings import at_least, one_of, option, to_options, with_options
from obd_jax.students import LazyMLPRecipe, MLPRecipe
from obd_jax.types import SyntheticData, Targets

Json = dict[str, Any]
Problems = dict[str, Problem]
# What trials of a data set and seed have computed.
Caches = dict[tuple[str, int], Cache]
# Options that change the data and not the program.
OF_DATA = ("state_noise", "early_steps", "least_return", "temperature", "value_scale")
JUDGES = ("kernel", "mlp-2x256", "mlp-3x256", "mlp-5x256", "mlp-sgd", "papers", "sklearn-mlp-2x256")


class Lever(NamedTuple):
    """One change to the default for pools.

    options:   of the distillation.
    members:   more kinds of networks.
    change:    what differs of the kinds that the options give.
    students:  (weight, recipe) more that are trained afresh at every step.
    aggregate: of the losses, as `make_aggregation` takes it.
    labelled:  actions are the teacher's at the synthetic states.
    noises:    least and greatest standard deviation of the noise, drawn for every state.
    toward:    share of the way to another state, at most, in place of noise.
    """

    options: Mapping[str, Any] = {}
    members: tuple[PoolMember, ...] = ()
    change: Mapping[str, Any] = {}
    students: tuple[tuple[float, Any], ...] = ()
    aggregate: tuple[Any, ...] = ("sum",)
    labelled: bool = False
    noises: tuple[float, float] | None = None
    toward: float | None = None


_LAZY = LazyMLPRecipe(steps=100, learning_rate=0.1, momentum=0.0, cloning="action")
_PAPERS = MLPRecipe(steps=100, optimizer="sgd", learning_rate=0.1, momentum=0.0, cloning="action")
_NARROW = dataclasses.replace(_PAPERS, hidden_sizes=(64,) * 3, centred=True)
LEVERS: Mapping[str, Lever] = {
    "base": Lever(),
    "6000 steps": Lever({"outer_steps": 6000}),
    "rate 0.03": Lever({"outer_learning_rate": 0.03}),
    "noise 0.15": Lever({"state_noise": 0.15}),
    "noise 0.6": Lever({"state_noise": 0.6}),
    "noise 0.05 to 0.6": Lever(noises=(0.05, 0.6)),
    "all steps alike": Lever({"early_steps": 0.0}),
    "early 200": Lever({"early_steps": 200.0}),
    "all episodes": Lever({"least_return": 0.0}),
    "best episodes": Lever({"least_return": 0.67}),
    "density weights": Lever({"temperature": 0.05}),
    "depths 1 to 4": Lever({"pool_depths": (1, 2, 3, 4), "pool_count": 4}),
    "age 2000": Lever({"pool_age": 2000}),
    "age 150": Lever({"pool_age": 150}),
    "widths 64 and 256": Lever(members=(PoolMember(2, 64), PoolMember(4, 64))),
    "tanh": Lever(members=(PoolMember(2, activation="tanh"),)),
    "batches": Lever(change={"batch_size": 64}),
    "own output": Lever(change={"output_weight": 1.0, "unroll": 5}),
    "own output 2": Lever(change={"output_weight": 1.0, "unroll": 2}),
    "own output 2 noise 0.15": Lever(
        {"state_noise": 0.15}, change={"output_weight": 1.0, "unroll": 2}
    ),
    "own output alone": Lever(change={"output_weight": 1.0, "unroll": 5, "feature_weight": 0.0}),
    "narrow own output": Lever(change={"width": 128, "output_weight": 1.0, "unroll": 5}),
    "15 steps a turn": Lever(change={"steps_per_update": 15}),
    "6000 toward others": Lever({"outer_steps": 6000}, toward=0.4),
    "6000 own output 1": Lever({"outer_steps": 6000}, change={"output_weight": 1.0, "unroll": 1}),
    "6000 depths 1 to 4": Lever(
        {"outer_steps": 6000, "pool_depths": (1, 2, 3, 4), "pool_count": 4}
    ),
    "sgd": Lever(
        members=(PoolMember(3, optimizer="sgd", learning_rate=0.1, momentum=0.0, max_age=100),)
    ),
    "sgd output": Lever(
        members=(
            PoolMember(
                *(3,),
                optimizer="sgd",
                learning_rate=0.1,
                momentum=0.0,
                max_age=100,
                output_weight=1.0,
                unroll=10,
            ),
        )
    ),
    "lazy": Lever(students=((1.0, _LAZY),)),
    "log-sum-exp": Lever(aggregate=("log_sum_exp", 0.01)),
    "last set": Lever({"average": 0.0}),
    "papers": Lever({"outer_steps": 1000}, students=((1.0, _PAPERS),)),
    "narrow papers": Lever(students=((1.0, _NARROW),)),
    "narrow papers own output": Lever(
        change={"output_weight": 1.0, "unroll": 5}, students=((1.0, _NARROW),)
    ),
    "scikit-learn": Lever(members=(PoolMember(2, batch_size=200, max_age=400, ridge=1e-3),)),
    "kernel 5": Lever({"kernel_weight": 5.0}),
    "teacher's labels": Lever(labelled=True),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which levers, on which data sets."""

    datasets: tuple[str, ...] = option(("walker2d-medium-expert",), "Data sets.")
    rows: int = option(200_000, "Rows of each; 0: as many as D4RL has.")
    steps: int | None = option(None, "Outer steps; absent: the default's, or the lever's.")
    levers: tuple[str, ...] = option(tuple(LEVERS), "Levers.")
    judges: tuple[str, ...] = option(JUDGES, "Learners; none: sets are made and not judged.")
    seeds: tuple[int, ...] = option((3, 4, 5), "Seeds of the sets.")
    together: int = option(
        1,
        "Sets that one program distils, of one lever or of levers that change data only: on a "
        "GPU 50 take little longer than one.",
    )
    tries: int = option(4, "Learners of a kind, trained with other seeds.")
    episodes: int = option(3, "Episodes of each.")
    out: str = option("runs/pool_levers", "Folder of the trials.")

    def __post_init__(self) -> None:
        for lever in self.levers:
            one_of("levers", lever, LEVERS)
        for judge in self.judges:
            one_of("judges", judge, (*OWN, *FOREIGN))
        for dataset in self.datasets:
            environments.parse_dataset(dataset)
        at_least(1, tries=self.tries, episodes=self.episodes, together=self.together)


@functools.cache
def _sizes(dataset: str) -> tuple[int, int]:
    """Sizes of observations and actions."""
    task = environments.make(environments.parse_dataset(dataset)[0])
    shapes = task.observation_space.shape, task.action_space.shape
    task.close()
    return shapes[0][0], shapes[1][0]  # type: ignore[index]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A lever on a data set with a seed.

    steps: outer steps in place of the lever's.
    """

    name: str
    dataset: str
    seed: int
    steps: int | None

    @property
    def lever(self) -> Lever:
        """What is changed."""
        return LEVERS[self.name]

    @property
    def distillation(self) -> Distillation:
        """The default for pools with the lever's options."""
        options = {"kernel_weight": 1.0, **self.lever.options}  # 5 is the default since.
        settings = with_options(preset("default", "pool"), **options)
        return settings if self.steps is None else with_options(settings, outer_steps=self.steps)

    @property
    def program(self) -> Any:
        """Equal for trials that differ in data only, which one program can distil together."""
        lever, options = self.lever._replace(noises=None, toward=None), self.lever.options
        options = {name: value for name, value in options.items() if name not in OF_DATA}
        teacher = self.dataset if lever.labelled else None  # It is part of the program.
        return repr(lever._replace(options=options)), _sizes(self.dataset), teacher

    def folder(self, settings: Settings) -> pathlib.Path:
        """Folder of its set."""
        name = re.sub(r"\W+", "_", self.name)
        return pathlib.Path(settings.out) / self.dataset / name / str(self.seed)

    def path(self, settings: Settings) -> pathlib.Path:
        """File of its record, beside the set's folder."""
        return self.folder(settings).with_suffix(".json")

    def config(self, settings: Settings) -> Json:
        """What the record depends on."""
        return {
            **to_options(self.distillation),
            "dataset": self.dataset,
            "data_rows": settings.rows,
            "tries": settings.tries,
            "episodes": settings.episodes,
            "lever": repr(self.lever),
        }


class Started(NamedTuple):
    """What a trial's distillation starts from."""

    trial: Trial
    prepared: Prepared
    targets: Targets
    initial: SyntheticData


def _noisy(lever: Lever, prepared: Prepared, objective: Objective) -> Targets:
    """Targets with a copy of every state under noise of its own size."""
    key, plain = prepared.keys["noise"], objective.targets
    count, other = len(plain.weights), jax.random.fold_in(key, 1)
    if lever.noises is not None:
        low, high = np.log(lever.noises)
        sizes = jnp.exp(jax.random.uniform(key, (count, 1), float, low, high))
        noise = sizes * jax.random.normal(other, plain.observations.shape)
    else:
        assert lever.toward is not None
        shares = jax.random.uniform(key, (count, 1), float, 0.0, lever.toward)
        others = plain.observations[jax.random.permutation(other, count)]
        noise = shares * (others - plain.observations)
    observations = plain.observations + noise
    assert prepared.teacher is not None
    act, denormalize = prepared.teacher.act, prepared.normalizer.denormalize
    parts = jnp.array_split(observations, 20)
    actions = jnp.concatenate([jnp.asarray(act(denormalize(part))) for part in parts])
    noisy = plain._replace(observations=observations, actions=actions)
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), plain, noisy)


def _started(trial: Trial, problem: Problem, cache: Cache) -> Started:
    """Targets and initial set of a trial."""
    lever, settings, clock = trial.lever, trial.distillation, Clock()
    prepared = prepare(jax.random.key(trial.seed), problem, settings, SILENT)
    objective = make_objective(settings, prepared, clock, cache)
    own_noise = lever.noises is not None or lever.toward is not None
    without = with_options(settings, state_noise=0.0) if own_noise else settings
    objective = reweight(without, prepared, objective, clock, SILENT, cache=cache)
    targets = _noisy(lever, prepared, objective) if own_noise else objective.targets
    return Started(trial, prepared, targets, initial_set(settings, prepared, objective))


def _distiller(first: Started) -> distill.Distiller:
    """One step of a program, which is that of all its trials."""
    (trial, prepared), settings = first[:2], first.trial.distillation
    (stage,) = stages(settings.students, settings.outer, prepared.data.action_size)
    constraint = distill.make_constraint(settings.outer.constraint)
    if trial.lever.labelled:
        assert prepared.teacher is not None
        act, denormalize = prepared.teacher.act, prepared.normalizer.denormalize
        constraint = distill.labelled(lambda states: act(denormalize(states)), constraint)
    own = [dataclasses.replace(each, **trial.lever.change) for each in stage.members]
    students = [(w, one.student(prepared.data.action_size)) for w, one in trial.lever.students]
    distiller = distill.pool_distiller(
        [*own, *trial.lever.members],
        settings.outer.transformation(stage.learning_rate),
        students=[*stage.students, *students],
        aggregate=make_aggregation(*trial.lever.aggregate),
        constraint=constraint,
    )
    share = settings.outer.average
    return distill.averaged(distiller, round((1 - share) * stage.steps)) if share else distiller


def _of_one_length(targets: Sequence[Targets]) -> Targets:
    """Targets with leaves [P, M, ...], M the most of all.

    Rows of a shorter one repeat in random order, so none is drawn more than twice as often as
    another.
    """
    length = max(len(one.weights) for one in targets)
    random = np.random.default_rng(0)

    def repeated(one: Targets) -> Targets:
        count = len(one.weights)
        rows = np.arange(count) if count == length else random.permutation(count)
        return jax.tree.map(lambda array: np.asarray(array)[np.resize(rows, length)], one)

    return jax.tree.map(lambda *arrays: np.stack(arrays), *map(repeated, targets))


def distil(starts: Sequence[Started]) -> tuple[SyntheticData, Json]:
    """The sets of trials of one program, leaves [P, ...], and what they took."""
    settings = starts[0].trial.distillation
    distiller, total = _distiller(starts[0]), settings.outer.steps
    progress = CONSOLE.progress(f"distil {len(starts)} sets, step")

    def report(_: Any, record: Json) -> None:
        note = f"mean loss {np.mean(record['loss']):.4f}"
        progress(record["step"], total, record["eta_seconds"], note)

    states, history = distill.train_population(
        jnp.stack([start.prepared.keys["distil"] for start in starts]),
        lambda _: distiller,
        (),
        _of_one_length([start.targets for start in starts]),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *(start.initial for start in starts)),
        steps=total,
        batch_size=settings.outer.batch_size,
        targets_axes=(0, 0, 0),
        anneal=ANNEALS[settings.outer.anneal],
        callback=report,
    )
    last = history[-1]
    return jax.device_get(states.synthetic), {name: last[name] for name in ("loss", "seconds")}


def judged(
    paths: Sequence[pathlib.Path], environment: environments.EnvironmentSpec, settings: Settings
) -> list[dict[str, Any]]:
    """Returns of the judges that have learned from each set, in episodes of no table."""
    sets = [artefacts.load(path) for path in paths]
    found: list[dict[str, Any]] = [{} for _ in paths]
    seeds = [100 + i for i in range(settings.tries)]
    for judge in settings.judges:
        if judge in OWN:
            all_returns = own_learners.scores_together(
                *(OWN[judge], sets, environment, seeds, settings.episodes),
                first_episode=CURVE_SEED,
            )
        else:
            scored = foreign_scores.scores_together(
                *(FOREIGN[judge], paths, environment, seeds, settings.episodes),
                first_episode=CURVE_SEED,
            )
            all_returns = [each.returns for each in scored]
        for one, returns in zip(found, all_returns, strict=True):
            # One that diverges has learned nothing.
            one[judge] = [[0.0]] if returns is None else np.round(returns, 2).tolist()
    return found


def has_set(trial: Trial, settings: Settings) -> bool:
    """Whether its set was distilled before, with the same settings."""
    path = trial.folder(settings) / "distilled.npz"
    config = json.loads(json.dumps(trial.config(settings)))
    return path.exists() and artefacts.load(path).card["config"] == config


def make_sets(
    trials: Sequence[Trial], settings: Settings, problems: Problems, caches: Caches
) -> None:
    """Distil the sets of trials of one program together and save them."""
    starts = []
    for trial in trials:
        if trial.dataset not in problems:
            own = with_options(RunSettings(), dataset=trial.dataset, data_rows=settings.rows)
            problems[trial.dataset] = load_problem(own, CONSOLE)
        cache = caches.setdefault((trial.dataset, trial.seed), {})
        starts.append(_started(trial, problems[trial.dataset], cache))
    synthetic, last = distil(starts)
    for i, (trial, start) in enumerate(zip(trials, starts, strict=True)):
        own = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), synthetic)
        card = set_card(
            *(start.prepared, trial.config(settings), "av_pbc", None),
            seed=trial.seed,
            loss=float(last["loss"][i]),
            seconds=last["seconds"],
            together=len(trials),
        )
        trial.folder(settings).mkdir(parents=True, exist_ok=True)
        distilled = artefacts.DistilledSet(own, start.prepared.normalizer, card)
        artefacts.save(trial.folder(settings), distilled)


def judge(trials: Sequence[Trial], settings: Settings) -> None:
    """Train the judges on the sets of trials of one task, and write the records."""
    environment = environments.parse_dataset(trials[0].dataset)[0]
    paths = [trial.folder(settings) / "distilled.npz" for trial in trials]
    all_returns = judged(paths, environment, settings)
    for trial, path, returns in zip(trials, paths, all_returns, strict=True):
        provenance = artefacts.load(path).card["provenance"]
        record = {
            "returns": returns,
            "config": trial.config(settings),
            "provenance": provenance,
        }
        runs.write_json(trial.path(settings), record, indent=None)
        shown = "  ".join(f"{name} {np.mean(values):.0f}" for name, values in returns.items())
        CONSOLE.note(f"{trial.dataset}, {trial.name}, seed {trial.seed}: {shown}")


def table_of(found: Mapping[tuple[str, str], list[Json]], judges: tuple[str, ...]) -> str:
    """Rows: levers on data sets; columns: mean returns of the judges, of every seed's set."""
    lines = [
        f"| lever | data | {' | '.join(judges)} | mean |",
        "|---" * (len(judges) + 3) + "|",
    ]
    for (name, dataset), records in found.items():
        each = [[np.mean(record["returns"][judge]) for record in records] for judge in judges]
        cells = [f"{np.mean(row):.0f} ({' '.join(f'{v:.0f}' for v in row)})" for row in each]
        lines.append(f"| {name} | {dataset} | {' | '.join(cells)} | {np.mean(each):.1f} |")
    return "\n".join(lines)


def run(settings: Settings) -> dict[tuple[str, str], list[Json]]:
    """All trials: of every lever and data set, by seed."""
    trials = [
        Trial(name, dataset, seed, settings.steps)
        for name in settings.levers
        for dataset in settings.datasets
        for seed in settings.seeds
    ]
    problems: Problems = {}
    caches: Caches = {}

    def groups(chosen: list[Trial], by: Callable[[Trial], Any]) -> Iterator[list[Trial]]:
        for key in dict.fromkeys(map(by, chosen)):
            same = [trial for trial in chosen if by(trial) == key]
            yield from (
                same[i : i + settings.together] for i in range(0, len(same), settings.together)
            )

    missing = [
        t for t in trials if runs.read_result(t.path(settings), t.config(settings), {}) is None
    ]
    for same in groups(missing, lambda trial: trial.program):
        with jax.default_matmul_precision(same[0].distillation.precision):
            if unmade := [trial for trial in same if not has_set(trial, settings)]:
                make_sets(unmade, settings, problems, caches)
            if settings.judges:
                for of_task in groups(
                    same, lambda trial: environments.parse_dataset(trial.dataset)[0].name
                ):
                    judge(of_task, settings)
    if not settings.judges:
        return {}
    found: dict[tuple[str, str], list[Json]] = {}
    for trial in trials:
        record = runs.read_result(trial.path(settings), trial.config(settings), {})
        assert record is not None
        found.setdefault((trial.name, trial.dataset), []).append(record)
    return found


def main() -> None:
    """Entry point."""
    settings = settings_from_flags(Settings)
    found = run(settings)
    print(table_of(found, settings.judges) if found else f"written to {settings.out}")


if __name__ == "__main__":
    define_flags(Settings)
    run_main(main)
