"""Sets that learners are trained on: distilled ones, and real pairs of the same data."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from content import coreset
from own_learners import kernel_of

from obd_jax import artefacts, distill, evaluation, runs, teachers
from obd_jax.data import DataSettings
from obd_jax.data.cache import sha256
from obd_jax.environments import EnvironmentSpec
from obd_jax.pipeline import Problem, RunSettings, load_problem
from obd_jax.pipeline.preparation import Prepared, prepare, set_card
from obd_jax.pipeline.rescore import entry, environment_of_card, precision_of
from obd_jax.pipeline.scores import roll_out_teacher
from obd_jax.pipeline.settings import in_its_precision
from obd_jax.reporting import Reporter
from obd_jax.settings import OptionError, defaults_of, from_options, options_of, to_options
from obd_jax.teachers import TeacherSettings
from obd_jax.types import InvalidInputError, SyntheticData

# Data and teacher by their settings, loaded once.
Problems = dict[RunSettings, Problem]


REFERENCES = ("random", "coreset", "all")


class JudgedSet(NamedTuple):
    """A set and where its learners act.

    label:       of its column.
    path:        of `distilled.npz`.
    sha256:      of that file.
    distilled:   the set.
    environment: of its card.
    """

    label: str
    path: pathlib.Path
    sha256: str
    distilled: artefacts.DistilledSet
    environment: EnvironmentSpec

    @property
    def folder(self) -> str:
        """Name of the folder of its scores, another one for another content."""
        return f"{self.label.replace('/', '-')}-{self.sha256[:8]}"

    @property
    def data(self) -> str | None:
        """Name or file of its data, if the card says it."""
        config = entry(self.distilled.card, "config")
        return config.get("dataset") or config.get("dataset_path")

    @property
    def precision(self) -> str | None:
        """Of matrix products, as the set was made."""
        return precision_of(self.distilled.card)


def read_sets(paths: Sequence[str | pathlib.Path]) -> list[JudgedSet]:
    """Sets from run folders or their files.

    Raises:
        InvalidInputError: one is no distilled set, names no environment or one that does not fit,
            or is given twice.
    """
    files = []
    for given in paths:
        path = pathlib.Path(given).expanduser()
        files.append(path / "distilled.npz" if path.is_dir() else path)
    found = []
    for path, label in zip(files, _labels(files), strict=True):
        distilled = artefacts.load(path)
        if "name" not in entry(entry(distilled.card, "provenance"), "environment"):
            raise InvalidInputError(f"the card of {path} names no environment")
        environment = environment_of_card(distilled.card)
        sizes = [array.shape[1] for array in distilled.synthetic]
        evaluation.check_environment(environment, *sizes)
        found.append(JudgedSet(label, path, sha256(path), distilled, environment))
    return found


def _labels(files: Sequence[pathlib.Path]) -> list[str]:
    """As much of each set's path as tells it from the others."""
    places = []
    for path in files:
        whole = path.resolve()
        place = whole.parent if whole.name == "distilled.npz" else whole.with_suffix("")
        if place in places:
            raise OptionError(f"{{sets}} names {path} twice")
        places.append(place)
    for depth in range(1, max((len(place.parts) for place in places), default=0) + 1):
        labels = ["/".join(place.parts[-depth:]) for place in places]
        if len({*labels}) == len(labels):
            return labels
    return []


def settings_behind(card: Mapping[str, Any], pairs: int) -> RunSettings:
    """Data, teacher and seed of a card, for as many real pairs.

    Raises:
        InvalidInputError: the card names no data.
    """
    config = entry(card, "config")
    names = {**options_of(DataSettings), **options_of(TeacherSettings), "precision": None}
    options = {name: config[name] for name in names if name in config}
    options["data_rows"] = options.get("data_rows") or 0  # None before 0.2.
    if options.get("dataset") is None and options.get("dataset_path") is None:
        raise InvalidInputError("the card of the set names no data")
    seed = entry(card, "provenance").get("seed", 0)
    kept = from_options(RunSettings, {**options, "student": "kernel", "pairs": pairs, "seed": seed})
    distillation = dataclasses.replace(kept.distillation, students=kernel_of(card))
    return dataclasses.replace(kept, distillation=distillation)


def references(
    first: JudgedSet, kinds: Sequence[str], out: pathlib.Path, reporter: Reporter
) -> list[pathlib.Path]:
    """Folders of real pairs of a set's data, teacher and seed.

    "random" has as many random states with the teacher's actions, "coreset" as many of the coreset
    with the data's, "all" every row of the data. What is in `out` is not made again.

    Raises:
        InvalidInputError: the set's card names no data, the data or the teacher cannot be used, or
            `out` has references of other settings.
    """
    settings = settings_behind(first.distilled.card, len(first.distilled.synthetic.actions))
    pairs, seed, data = settings.distillation.start.pairs, settings.run.seed, settings.data
    name = data.dataset or pathlib.Path(str(data.dataset_path)).stem
    name = f"{name.replace('/', '-')}-{pairs}-{seed}"
    places = {kind: out / f"{kind}-{name}" for kind in kinds}
    config, defaults = to_options(settings), defaults_of(RunSettings)
    absent = {
        kind: place
        for kind, place in places.items()
        if runs.read_result(place / "card.json", config, defaults) is None
    }
    if absent:
        _make_references(settings, absent, reporter)
    return list(places.values())


@in_its_precision
def _make_references(
    settings: RunSettings, places: Mapping[str, pathlib.Path], reporter: Reporter
) -> None:
    problem = load_problem(settings, reporter)
    prepared = prepare(jax.random.key(settings.run.seed), problem, settings.distillation, reporter)
    for kind, place in places.items():
        if kind == "all":
            chosen = _all_rows(prepared)
        elif kind == "random":
            chosen = _relabelled(prepared, settings.distillation.start.pairs)
        else:
            chosen = coreset(settings.distillation, prepared, {}, reporter)
        reporter.note(f"{place.name}: {len(chosen.actions):,} real pairs")
        card = set_card(prepared, to_options(settings), kind, None, seed=settings.run.seed)
        place.mkdir(parents=True, exist_ok=True)
        artefacts.save(place, artefacts.DistilledSet(chosen, prepared.normalizer, card))


def _all_rows(prepared: Prepared) -> SyntheticData:
    """Every row that is distilled, with the data's actions."""
    return SyntheticData(prepared.own.observations, prepared.own.actions)


def _relabelled(prepared: Prepared, pairs: int) -> SyntheticData:
    """Random states, those of the row "random" of the papers' table, with the teacher's actions."""
    rows = distill.uniform(prepared.keys["random_real"], prepared.own, pairs)
    if prepared.teacher is None:
        raise OptionError("{references}=random has the teacher's actions, and there is no teacher")
    actions = prepared.teacher.act(prepared.data.observations[np.asarray(rows)])
    return SyntheticData(prepared.own.observations[rows], jax.numpy.asarray(actions))


def teacher_scores(
    judged: JudgedSet, episodes: int, problems: Problems, reporter: Reporter
) -> np.ndarray:
    """Returns [1, E] of the teacher of a set's card.

    Raises:
        InvalidInputError: the card names no data or no teacher, or these cannot be used.
    """
    settings = settings_behind(judged.distilled.card, len(judged.distilled.synthetic.actions))
    # What the teacher and its data depend on.
    plain = RunSettings(data=settings.data, teacher=settings.teacher)
    if plain not in problems:
        problems[plain] = load_problem(plain, reporter)
    teacher = problems[plain].teacher
    if teacher in (None, teachers.NONE):
        raise InvalidInputError("the set was made without a teacher")
    returns = roll_out_teacher(
        teacher, judged.environment, reporter, episodes, evaluation.FINAL_SEED
    )
    if returns is None:
        raise InvalidInputError("JAX cannot trace the teacher")
    return returns
