"""Records of learners on sets: each is made once and kept in a file."""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import foreign
import jax
import numpy as np
import own_learners
from foreign import FOREIGN
from host_rollouts import host_scores
from judged_sets import JudgedSet, Problems, teacher_scores
from own_learners import OWN

from obd_jax import artefacts, evaluation, runs
from obd_jax.evaluation import FINAL_SEED
from obd_jax.reporting import Clock, Reporter
from obd_jax.settings import OptionError, at_least, one_of, option
from obd_jax.types import InvalidInputError

Json = dict[str, Any]
LEARNERS = (*OWN, *FOREIGN)


@dataclasses.dataclass(frozen=True)
class LearnersSettings:
    """Which learners are trained on which sets, and where their records are kept."""

    sets: tuple[str, ...] = option((), "Run folders, or their distilled.npz. Required.")
    references: bool = option(
        False,
        "Also judges as many real pairs, of the first set's data and seed: random ones with the "
        "teacher's actions, and the coreset.",
    )
    learners: tuple[str, ...] = option(LEARNERS, "Learners.")
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds of the learners.")
    episodes: int = option(10, "Episodes of each.")
    out: str = option("runs/learners", "Folder of the records, the table and the summary.")

    def __post_init__(self) -> None:
        for each in self.learners:
            one_of("learners", each, LEARNERS)
        at_least(1, episodes=self.episodes)
        if not self.seeds:
            raise OptionError("{seeds} must be given, at least one")


class SkippedError(Exception):
    """There is no way to make a record here; the message says why."""


def record_of(
    learner: str, judged: JudgedSet, settings: LearnersSettings, reporter: Reporter
) -> Json:
    """A learner on a set: returns [K, E], or why its training fails, or why it was skipped."""
    config: Json = {"seeds": settings.seeds, "episodes": settings.episodes}
    if learner in OWN:
        config["learner"] = OWN[learner].about(judged.distilled.card)

        def make(clock: Clock) -> Json:
            return _own_scores(learner, judged, settings, clock, reporter)
    else:
        config["learner"] = FOREIGN[learner].about

        def make(clock: Clock) -> Json:
            return _foreign_scores(learner, judged, settings, clock, reporter)

    return _once(learner, judged, settings, config, make, reporter)


def teacher_record(
    judged: JudgedSet, settings: LearnersSettings, problems: Problems, reporter: Reporter
) -> Json:
    """The teacher of a set's card, in as many episodes as a learner's seeds have together."""
    episodes = settings.episodes * len(settings.seeds)

    def make(clock: Clock) -> Json:
        try:
            with clock("load, roll out"):
                return {"returns": teacher_scores(judged, episodes, problems, reporter)}
        except InvalidInputError as error:  # A set may come without its data.
            raise SkippedError(str(error)) from error

    return _once("teacher", judged, settings, {"episodes": episodes}, make, reporter)


def library_versions(learners: Iterable[str]) -> dict[str, str]:
    """Versions of the other libraries that learners need, of those that are installed."""
    needed = {library for name in learners if name in FOREIGN for library in FOREIGN[name].needs}
    found = {}
    for library in sorted(needed):
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _once(
    name: str,
    judged: JudgedSet,
    settings: LearnersSettings,
    config: Json,
    make: Callable[[Clock], Json],
    reporter: Reporter,
) -> Json:
    """A record from its file, or else made now; one that is skipped is not kept.

    Raises:
        OptionError: the file was made with another configuration.
    """
    path = pathlib.Path(settings.out) / judged.folder / f"{name}.json"
    if (found := runs.read_result(path, config, {})) is not None:
        return found
    clock = Clock()
    try:
        with jax.default_matmul_precision(judged.precision):
            made = make(clock)
            provenance = artefacts.provenance(
                environment=judged.environment,
                set={"name": str(judged.path), "sha256": judged.sha256},
                libraries=library_versions([name]),
            )
    except SkippedError as error:
        reporter.note(f"{name} on {judged.label} is skipped: {error}")
        return {"skipped": str(error)}
    shown = f"fails, {made.get('failed')}"
    if "returns" in made:
        shown = f"{made['returns'].mean():.1f}"
        made["returns"] = np.round(made["returns"], 3).tolist()
    reporter.note(f"{name} on {judged.label}: {shown}, {sum(clock.seconds.values()):.0f} s")
    record = {
        "set": judged.label,
        "learner": name,
        **made,
        "unit": judged.environment.unit,
        "seconds": clock.seconds,
        "config": config,
        "provenance": provenance,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, record, indent=None)
    return record


def _own_scores(
    learner: str, judged: JudgedSet, settings: LearnersSettings, clock: Clock, reporter: Reporter
) -> Json:
    try:
        with clock("train, roll out"):
            returns = own_learners.scores(
                OWN[learner],
                judged.distilled,
                judged.environment,
                settings.seeds,
                settings.episodes,
                reporter.progress(f"roll out {learner}, steps"),
            )
    except evaluation.NotFiniteError as error:  # That a set lets a learner diverge is a finding.
        return {"failed": str(error)}
    return {"returns": returns}


def _foreign_scores(
    learner: str, judged: JudgedSet, settings: LearnersSettings, clock: Clock, reporter: Reporter
) -> Json:
    """One that is not random is trained once and has the episodes of all seeds."""
    one = FOREIGN[learner]
    if (reason := foreign.missing(one)) is not None:
        raise SkippedError(reason)
    seeds = settings.seeds if one.random else settings.seeds[:1]
    try:
        with clock("train"):
            policies, warned = foreign.train(one, foreign.read(judged.path), seeds)
        with clock("roll out"):
            returns = host_scores(
                policies,
                judged.environment,
                episodes=settings.episodes * len(settings.seeds) // len(seeds),
                seed=FINAL_SEED,
                progress=reporter.progress(f"roll out {learner}, steps"),
            )
    except (FloatingPointError, ValueError) as error:  # As each library says it.
        return {"failed": str(error)}
    return {"returns": returns, "warnings": warned}
