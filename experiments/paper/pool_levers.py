r"""What makes a set that many learners learn from: one change at a time to `--student=pool`.

    python experiments/paper/pool_levers.py --datasets=walker2d-medium-expert --levers=base,deep

Each lever's set is learned by networks, scikit-learn and the kernel student, in episodes and with
seeds that serve for no score of a table. A trial whose file is in --out is read, not made again.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import foreign
import jax
import jax.numpy as jnp
import numpy as np
import own_learners
from foreign import FOREIGN
from host_rollouts import host_scores
from own_learners import OWN

from obd_jax import artefacts, distill, environments, evaluation, runs
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
from obd_jax.reporting import CONSOLE, Clock
from obd_jax.settings import at_least, one_of, option, to_options, with_options
from obd_jax.students import LazyMLPRecipe
from obd_jax.types import SyntheticData, Targets

Json = dict[str, Any]
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
    "density weights": Lever({"temperature": 0.05}),
    "depths 1 to 4": Lever({"pool_depths": (1, 2, 3, 4), "pool_count": 4}),
    "age 2000": Lever({"pool_age": 2000}),
    "age 150": Lever({"pool_age": 150}),
    "widths 64 and 256": Lever(members=(PoolMember(2, 64), PoolMember(4, 64))),
    "tanh": Lever(members=(PoolMember(2, activation="tanh"),)),
    "batches": Lever(change={"batch_size": 64}),
    "own output": Lever(change={"output_weight": 1.0, "unroll": 5}),
    "own output 2": Lever(change={"output_weight": 1.0, "unroll": 2}),
    "own output 2, noise 0.15": Lever(
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
    "teacher's labels": Lever(labelled=True),
}


@dataclasses.dataclass(frozen=True)
class PoolLeverSettings:
    """Which levers, on which data sets."""

    datasets: tuple[str, ...] = option(("walker2d-medium-expert",), "Data sets.")
    rows: int = option(200_000, "Rows of each; 0: as many as D4RL has.")
    steps: int | None = option(None, "Outer steps; absent: the default's, or the lever's.")
    levers: tuple[str, ...] = option(tuple(LEVERS), "Levers.")
    judges: tuple[str, ...] = option(JUDGES, "Learners.")
    seeds: tuple[int, ...] = option((3, 4, 5), "Seeds of the sets.")
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
        at_least(1, tries=self.tries, episodes=self.episodes)


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


def distil(
    settings: Distillation, lever: Lever, prepared: Prepared, cache: Cache
) -> tuple[SyntheticData, Json]:
    """A lever's set, and what it took."""
    clock = Clock()
    objective = make_objective(settings, prepared, clock, cache)
    own_noise = lever.noises is not None or lever.toward is not None
    without = with_options(settings, state_noise=0.0) if own_noise else settings
    objective = reweight(without, prepared, objective, clock, CONSOLE, cache=cache)
    targets = _noisy(lever, prepared, objective) if own_noise else objective.targets
    (stage,) = stages(settings.students, settings.outer, prepared.data.action_size)
    constraint = distill.make_constraint(settings.outer.constraint)
    if lever.labelled:
        assert prepared.teacher is not None
        act, denormalize = prepared.teacher.act, prepared.normalizer.denormalize
        constraint = distill.labelled(lambda states: act(denormalize(states)), constraint)
    own = [dataclasses.replace(each, **lever.change) for each in stage.members]
    more = [(w, recipe.student(prepared.data.action_size)) for w, recipe in lever.students]
    distiller = distill.pool_distiller(
        [*own, *lever.members],
        settings.outer.transformation(stage.learning_rate),
        students=[*stage.students, *more],
        aggregate=make_aggregation(*lever.aggregate),
        constraint=constraint,
    )
    if (share := settings.outer.average) > 0:
        distiller = distill.averaged(distiller, round((1 - share) * stage.steps))
    progress = CONSOLE.progress("distil, step")

    def report(state: Any, record: Json) -> None:
        progress(record["step"], stage.steps, record["eta_seconds"], f"loss {record['loss']:.4f}")

    state, history = distill.train(
        prepared.keys["distil"],
        distiller,
        targets,
        initial_set(settings, prepared, objective),
        steps=stage.steps,
        batch_size=settings.outer.batch_size,
        anneal=ANNEALS[settings.outer.anneal],
        callback=report,
    )
    return state.synthetic, {name: history[-1][name] for name in ("loss", "seconds")}


def judged(path: pathlib.Path, settings: PoolLeverSettings, prepared: Prepared) -> Json:
    """Returns of the judges that have learned from a set, in episodes of no table."""
    distilled, found, environment = artefacts.load(path), {}, prepared.environment
    assert environment is not None
    seeds = [100 + i for i in range(settings.tries)]
    for judge in settings.judges:
        if judge in OWN:
            try:
                returns = own_learners.scores(
                    *(OWN[judge], distilled, environment, seeds, settings.episodes),
                    first_episode=CURVE_SEED,
                )
            except evaluation.NotFiniteError:  # One that diverges has learned nothing.
                returns = np.zeros((1, 1))
        else:
            policies, _ = foreign.train(FOREIGN[judge], foreign.read(path), seeds)
            episodes = settings.episodes * (settings.tries // len(policies))
            returns = host_scores(policies, environment, episodes=episodes, seed=CURVE_SEED)
        found[judge] = np.round(returns, 2).tolist()
    return found


def trial(
    name: str,
    dataset: str,
    seed: int,
    settings: PoolLeverSettings,
    load: Callable[[], Problem],
    cache: Cache,
) -> Json:
    """A lever on a data set with a seed, from its file or made now."""
    lever, folder = LEVERS[name], pathlib.Path(settings.out) / dataset / re.sub(r"\W+", "_", name)
    path = folder / f"{seed}.json"
    distillation = with_options(preset("default", "pool"), **lever.options)
    if settings.steps is not None:
        distillation = with_options(distillation, outer_steps=settings.steps)
    config = {
        **to_options(distillation),
        "rows": settings.rows,
        "tries": settings.tries,
        "episodes": settings.episodes,
        "lever": repr(lever),
    }
    if (record := runs.read_result(path, config, {})) is not None:
        return record
    with jax.default_matmul_precision(distillation.precision):
        prepared = prepare(jax.random.key(seed), load(), distillation, CONSOLE)
        synthetic, last = distil(distillation, lever, prepared, cache)
        card = set_card(prepared, config, "av_pbc", None, seed=seed)
        distilled = artefacts.DistilledSet(synthetic, prepared.normalizer, card)
        (folder / str(seed)).mkdir(parents=True, exist_ok=True)
        artefacts.save(folder / str(seed), distilled)
        returns = judged(folder / str(seed) / "distilled.npz", settings, prepared)
    record = {**last, "returns": returns, "config": config, "provenance": card["provenance"]}
    runs.write_json(path, record, indent=None)
    shown = "  ".join(f"{judge} {np.mean(values):.0f}" for judge, values in returns.items())
    CONSOLE.note(f"{dataset}, {name}, seed {seed}: loss {last['loss']:.4f}, {shown}")
    return record


def table_of(found: Mapping[tuple[str, str], list[Json]], judges: tuple[str, ...]) -> str:
    """Rows: levers on data sets; columns: mean returns of the judges, of every seed's set."""
    lines = [
        f"| lever | data | s | {' | '.join(judges)} | mean |",
        "|---" * (len(judges) + 4) + "|",
    ]
    for (name, dataset), records in found.items():
        each = [[np.mean(record["returns"][judge]) for record in records] for judge in judges]
        cells = [f"{np.mean(row):.0f} ({' '.join(f'{v:.0f}' for v in row)})" for row in each]
        seconds = np.mean([record["seconds"] for record in records])
        lines.append(
            f"| {name} | {dataset} | {seconds:.0f} | {' | '.join(cells)} | {np.mean(each):.1f} |"
        )
    return "\n".join(lines)


def run(settings: PoolLeverSettings) -> dict[tuple[str, str], list[Json]]:
    """All trials: of every lever and data set, by seed."""
    found: dict[tuple[str, str], list[Json]] = {}
    for dataset in settings.datasets:
        problems: list[Problem] = []
        caches: dict[int, Cache] = {}

        def load(dataset: str = dataset, problems: list[Problem] = problems) -> Problem:
            if not problems:
                own = with_options(RunSettings(), dataset=dataset, data_rows=settings.rows)
                problems.append(load_problem(own, CONSOLE))
            return problems[0]

        for seed in settings.seeds:
            for name in settings.levers:
                cache = caches.setdefault(seed, {})
                record = trial(name, dataset, seed, settings, load, cache)
                found.setdefault((name, dataset), []).append(record)
    return found


def main() -> None:
    """Entry point."""
    settings = settings_from_flags(PoolLeverSettings)
    print(table_of(run(settings), settings.judges))


if __name__ == "__main__":
    define_flags(PoolLeverSettings)
    run_main(main)
