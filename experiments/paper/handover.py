r"""Where falls are decided: the teacher acts for some steps and a learner for the others.

    python experiments/paper/handover.py --sets=runs/walks,runs/falls --learners=kernel

A learner that falls from where the teacher brought it lacks what comes next. The second table has
the learner's difference to the teacher along the teacher's episodes, which shows where it is worst.
Episodes serve for no table of scores.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import own_learners
from judged_sets import JudgedSet, read_sets, settings_behind
from own_learners import OWN

from obd_jax import artefacts, environments, evaluation, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.evaluation import CURVE_SEED
from obd_jax.evaluation.rollouts import host_returns
from obd_jax.pipeline import load_problem
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, at_least, one_of, option, to_options

Json = dict[str, Any]
# Raw observations [E, D] of all episodes at one step -> actions [E, A].
Act = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which learners of which sets share episodes with the teacher."""

    sets: tuple[str, ...] = option((), "Run folders, or their distilled.npz. Required.")
    learners: tuple[str, ...] = option(("kernel",), "Learners of the package.")
    steps: tuple[int, ...] = option((0, 10, 50, 200), "Steps of the one who acts first.")
    tries: int = option(2, "Learners of a kind, trained with other seeds.")
    episodes: int = option(20, "Episodes of each.")
    out: str = option("runs/handover", "Folder of the record.")

    def __post_init__(self) -> None:
        for learner in self.learners:
            one_of("learners", learner, OWN)
        at_least(1, tries=self.tries, episodes=self.episodes)
        if not self.steps or sorted({0, *self.steps}) != [*self.steps]:
            raise OptionError(f"{{steps}} must rise from 0, not {self.steps}")


def handed_over(first: Act, then: Act, steps: int) -> Act:
    """Acts as `first` in its first calls, as many as `steps`, and as `then` after."""
    calls = itertools.count()
    return lambda observations: (first if next(calls) < steps else then)(observations)


def outcome(act: Act, judged: JudgedSet, episodes: int) -> Json:
    """Scores and lengths [E] of a policy's episodes."""
    lengths: list[np.ndarray] = []
    returns = host_returns(
        act, judged.environment, episodes=episodes, seed=CURVE_SEED, lengths=lengths.append
    )
    scores = environments.score(judged.environment, returns)
    return {"returns": np.round(scores, 2).tolist(), "steps": lengths[0].tolist()}


def differences(
    learner: Act, teacher: Act, judged: JudgedSet, edges: Sequence[int], episodes: int
) -> list[float]:
    """Mean squared difference of actions in the teacher's episodes, from each step to the next."""
    squares: list[np.ndarray] = []

    def act(observations: np.ndarray) -> np.ndarray:
        actions = teacher(observations)
        squares.append(np.square(learner(observations) - actions).mean(axis=1))
        return actions

    lengths = np.array(outcome(act, judged, episodes)["steps"])
    running = np.arange(len(squares))[:, None] < lengths
    ends = [*edges[1:], len(squares)]
    return [
        float(np.array(squares[start:end])[running[start:end]].mean())
        for start, end in zip(edges, ends, strict=True)
        if start < end
    ]


def learner_acts(name: str, judged: JudgedSet, tries: int) -> list[Act]:
    """Policies of a learner, trained on the set with as many seeds."""
    student = own_learners.student_of(OWN[name], judged.distilled)
    policy = jax.jit(evaluation.student_policy(student))
    normalizer = judged.distilled.normalizer

    def act_of(seed: int) -> Act:
        trained = jax.jit(student.fit)(jax.random.key(seed), judged.distilled.synthetic)
        return lambda observations: np.asarray(policy((trained, normalizer), observations))

    return [act_of(seed) for seed in range(1 if student.deterministic else tries)]


def run(settings: Settings, reporter: Reporter = CONSOLE) -> list[Json]:
    """Write the record and print a table.

    Returns:
        Of every set, learner and try: outcomes by steps, "teacher first" and "learner first", and
        "differences".

    Raises:
        InvalidInputError: no sets, or one that cannot be read or whose task Gymnasium does not run.
    """
    if not settings.sets:
        raise OptionError("{sets} is required: run folders, or their distilled.npz")
    found: list[Json] = []
    sets = read_sets(settings.sets)
    for judged in sets:
        if judged.environment.simulator != "gymnasium" or judged.environment.functional is not None:
            raise OptionError(f"{{sets}}: {judged.environment.name} does not run in Gymnasium")
        behind = settings_behind(judged.distilled.card, len(judged.distilled.synthetic.actions))
        teacher = jax.jit(load_problem(behind, reporter).teacher.act)
        for name in settings.learners:
            for i, learner in enumerate(learner_acts(name, judged, settings.tries)):
                orders: Mapping[str, tuple[Act, Act]] = {
                    "teacher first": (_on_host(teacher), learner),
                    "learner first": (learner, _on_host(teacher)),
                }
                own: Json = {"set": judged.label, "learner": name, "seed": i}
                for order, (first, then) in orders.items():
                    own[order] = {
                        str(steps): outcome(
                            handed_over(first, then, steps), judged, settings.episodes
                        )
                        for steps in settings.steps
                    }
                own["differences"] = differences(
                    learner, _on_host(teacher), judged, settings.steps, settings.episodes
                )
                found.append(own)
                reporter.note(f"{judged.label}, {name} {i}: {_means(own['teacher first'])}")
    out = pathlib.Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "records": found,
        "sets": {each.label: each.sha256 for each in sets},
        "config": to_options(settings),
        "provenance": artefacts.provenance(),
    }
    runs.write_json(out / "handover.json", record, indent=None)
    print(f"{table_of(found)}\n\n{differences_table(found)}\n\nwritten to {out / 'handover.json'}")
    return found


def _on_host(act: Callable[[Any], Any]) -> Act:
    return lambda observations: np.asarray(act(observations))


def _means(outcomes: Mapping[str, Json]) -> str:
    return " ".join(f"{np.mean(each['returns']):.0f}" for each in outcomes.values())


def table_of(records: list[Json]) -> str:
    """Mean returns: the first steps by the teacher, or by the learner."""
    orders, steps = ("teacher first", "learner first"), list(records[0]["teacher first"])
    return _table(
        [f"{order}, {count}" for order in orders for count in steps],
        records,
        lambda own: [
            f"{np.mean(each['returns']):.0f}" for order in orders for each in own[order].values()
        ],
    )


def differences_table(records: list[Json]) -> str:
    """Mean squared differences to the teacher, by step of its episodes."""
    return _table(
        [f"from step {count}" for count in records[0]["teacher first"]],
        records,
        lambda own: [f"{each:.3f}" for each in own["differences"]],
    )


def _table(titles: list[str], records: list[Json], cells: Callable[[Json], list[str]]) -> str:
    lines = [f"| set | learner | {' | '.join(titles)} |", f"|{'---|' * (2 + len(titles))}"]
    lines += [
        f"| {own['set']} | {own['learner']} {own['seed']} | {' | '.join(cells(own))} |"
        for own in records
    ]
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Settings))


if __name__ == "__main__":
    define_flags(Settings)
    run_main(main)
