"""Records of learners on sets: each is made once and kept in a file."""

import dataclasses
import importlib.metadata
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import foreign
import foreign_scores
import jax
import numpy as np
import own_learners
from foreign import FOREIGN
from judged_sets import REFERENCES, JudgedSet, Problems, teacher_scores
from own_learners import OWN

from obd_jax import artefacts, runs
from obd_jax.reporting import Clock, Reporter
from obd_jax.settings import OptionError, at_least, one_of, option
from obd_jax.types import InvalidInputError

Json = dict[str, Any]
LEARNERS = (*OWN, *FOREIGN)
# For learners whose every step is over all pairs, or that take all pairs with all others.
MOST_PAIRS = 20_000


@dataclasses.dataclass(frozen=True)
class LearnersSettings:
    """Which learners are trained on which sets, and where their records are kept."""

    sets: tuple[str, ...] = option((), "Run folders, or their distilled.npz. Required.")
    references: tuple[str, ...] = option(
        (),
        "Real pairs to judge too, of the first set's data and seed. random: as many as the set, "
        "with the teacher's actions; coreset: as many, with the data's; all: every row of the "
        "data, for learners that train on parts of it.",
    )
    learners: tuple[str, ...] = option(LEARNERS, "Learners.")
    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds of the learners.")
    episodes: int = option(10, "Episodes of each.")
    out: str = option("runs/learners", "Folder of the records, the table and the summary.")

    def __post_init__(self) -> None:
        for each in self.learners:
            one_of("learners", each, LEARNERS)
        for kind in self.references:
            one_of("references", kind, REFERENCES)
        at_least(1, episodes=self.episodes)
        if not self.seeds:
            raise OptionError("{seeds} must be given, at least one")


class SkippedError(Exception):
    """There is no way to make a record here; the message says why."""


def records_of(
    learner: str, sets: Sequence[JudgedSet], settings: LearnersSettings, reporter: Reporter
) -> dict[str, Json]:
    """A learner on every set: returns [K, E], or why its training fails, or why it was skipped.

    Records that are missing are made for all sets of a task together.
    """
    configs = {each.label: _config(learner, each, settings) for each in sets}
    found, groups = dict[str, Json](), dict[Any, list[JudgedSet]]()
    for each in sets:
        record = runs.read_result(_path(learner, each, settings), configs[each.label], {})
        if record is not None:
            found[each.label] = record
            continue
        group = (
            each.environment.name,
            each.precision,
            each.distilled.synthetic.observations.shape,
            json.dumps(configs[each.label]["learner"]),
        )
        groups.setdefault(group, []).append(each)
    make = _own_scores if learner in OWN else _foreign_scores
    for alike in groups.values():
        clock = Clock()
        try:
            with jax.default_matmul_precision(alike[0].precision):
                all_made = make(learner, alike, settings, clock, reporter)
        except SkippedError as error:
            for each in alike:
                reporter.note(f"{learner} on {each.label} is skipped: {error}")
                found[each.label] = {"skipped": str(error)}
            continue
        seconds = {name: spent / len(alike) for name, spent in clock.seconds.items()}
        for each, made in zip(alike, all_made, strict=True):
            found[each.label] = _write(
                learner, each, settings, configs[each.label], made, seconds, reporter
            )
    return {each.label: found[each.label] for each in sets}


def _config(learner: str, judged: JudgedSet, settings: LearnersSettings) -> Json:
    own = learner in OWN
    about = OWN[learner].about(judged.distilled.card) if own else FOREIGN[learner].about
    return {"seeds": settings.seeds, "episodes": settings.episodes, "learner": about}


def teacher_record(
    judged: JudgedSet, settings: LearnersSettings, problems: Problems, reporter: Reporter
) -> Json:
    """The teacher of a set's card, in as many episodes as a learner's seeds have together."""
    episodes = settings.episodes * len(settings.seeds)
    config = {"episodes": episodes}
    record = runs.read_result(_path("teacher", judged, settings), config, {})
    if record is not None:
        return record
    clock = Clock()
    try:
        with clock("load, roll out"), jax.default_matmul_precision(judged.precision):
            made = {"returns": teacher_scores(judged, episodes, problems, reporter)}
    except InvalidInputError as error:  # A set may come without its data.
        reporter.note(f"teacher on {judged.label} is skipped: {error}")
        return {"skipped": str(error)}
    return _write("teacher", judged, settings, config, made, clock.seconds, reporter)


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


def _path(name: str, judged: JudgedSet, settings: LearnersSettings) -> pathlib.Path:
    return pathlib.Path(settings.out) / judged.folder / f"{name}.json"


def _write(
    name: str,
    judged: JudgedSet,
    settings: LearnersSettings,
    config: Json,
    made: Json,
    seconds: Mapping[str, float],
    reporter: Reporter,
) -> Json:
    """Write a record of what was made, with how and where it was made."""
    shown = f"fails, {made.get('failed')}"
    if "returns" in made:
        shown = f"{made['returns'].mean():.1f}"
        made = {**made, "returns": np.round(made["returns"], 3).tolist()}
    reporter.note(f"{name} on {judged.label}: {shown}, {sum(seconds.values()):.0f} s")
    record = {
        "set": judged.label,
        "learner": name,
        **made,
        "unit": judged.environment.unit,
        "seconds": seconds,
        "config": config,
        "provenance": artefacts.provenance(
            environment=judged.environment,
            set={"name": str(judged.path), "sha256": judged.sha256},
            libraries=library_versions([name]),
        ),
    }
    path = _path(name, judged, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, record, indent=None)
    return record


def _refuse_many(sets: Sequence[JudgedSet]) -> None:
    pairs = len(sets[0].distilled.synthetic.actions)
    if pairs > MOST_PAIRS:
        raise SkippedError(f"{pairs:,} pairs are too many for it")


def _own_scores(
    learner: str,
    sets: Sequence[JudgedSet],
    settings: LearnersSettings,
    clock: Clock,
    reporter: Reporter,
) -> list[Json]:
    _refuse_many(sets)
    distilled = [each.distilled for each in sets]
    with clock("train, roll out"):
        all_returns = own_learners.scores_together(
            OWN[learner],
            distilled,
            sets[0].environment,
            settings.seeds,
            settings.episodes,
            reporter.progress(f"roll out {learner}, steps"),
        )
    # That a set lets a learner diverge is a finding.
    advice = own_learners.advice(OWN[learner], distilled[0])
    failed = f"a student trained on this set is not finite; {advice}"
    return [{"failed": failed} if own is None else {"returns": own} for own in all_returns]


def _foreign_scores(
    learner: str,
    sets: Sequence[JudgedSet],
    settings: LearnersSettings,
    clock: Clock,
    reporter: Reporter,
) -> list[Json]:
    del reporter
    one = FOREIGN[learner]
    if not one.many:
        _refuse_many(sets)
    if (reason := foreign.missing(one)) is not None:
        raise SkippedError(reason)
    with clock("train, roll out"):
        scored = foreign_scores.scores_together(
            one,
            [each.path for each in sets],
            sets[0].environment,
            settings.seeds,
            settings.episodes,
        )
    return [
        {"failed": each.failed}
        if each.returns is None
        else {"returns": each.returns, "warnings": each.warnings}
        for each in scored
    ]
