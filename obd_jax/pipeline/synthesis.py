"""One call: from a problem to a distilled set, a policy and its files."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from obd_jax import artefacts, evaluation, runs
from obd_jax.artefacts import DistilledSet
from obd_jax.environments import EnvironmentSpec
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline.distillation import distil, initial_set
from obd_jax.pipeline.offline import judge
from obd_jax.pipeline.preparation import Prepared, input_hashes, prepare, set_card
from obd_jax.pipeline.presets import default
from obd_jax.pipeline.problem import Problem, environment_named
from obd_jax.pipeline.report import write_report
from obd_jax.pipeline.scores import random_real, score
from obd_jax.pipeline.settings import Distillation
from obd_jax.pipeline.stages import total_steps
from obd_jax.pipeline.targets import Objective, make_objective, reweight
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import to_options, with_options
from obd_jax.types import InvalidInputError, Key, SyntheticData


@dataclasses.dataclass(frozen=True)
class Result:
    """A distilled set and everything that it was made from.

    distilled: the set, with normalisation and card.
    settings:  of the distillation.
    prepared:  inputs of the distillation.
    objective: what the students of the set are to do in every state, and its weight.
    history:   one record for every block of outer steps: "step", "seconds", "loss" ...
    seconds:   by phase.
    """

    distilled: DistilledSet
    settings: Distillation
    prepared: Prepared
    objective: Objective
    history: tuple[dict[str, Any], ...]
    seconds: Mapping[str, float]

    @property
    def synthetic(self) -> SyntheticData:
        """The pairs: normalised observations [N, D] and actions [N, A]."""
        return self.distilled.synthetic

    @functools.cached_property
    def policy(self) -> Callable[[Any], Any]:
        """A student trained on the set: raw observations [..., D] -> actions [..., A].

        Actions are in the environment's units.

        NumPy in gives NumPy out, JAX in gives JAX out.
        """
        with jax.default_matmul_precision(self.settings.precision):
            return self.distilled.policy(self.prepared.keys["students"])

    def score(
        self,
        environment: EnvironmentSpec | str | None = None,
        students: int = 10,
        episodes: int = 10,
        reporter: Reporter = CONSOLE,
    ) -> dict[str, Any]:
        """Train students on the set and roll them out.

        Args:
            environment: a record or a name; None: that of the problem.
            students: K; a student in closed form is one, with all episodes.
            episodes: E, of each student.
            reporter: for progress.

        Returns:
            A row as in `results.json`: "mean", "iqm", "ci95", "per_student" ...

        Raises:
            InvalidInputError: there is no environment, or it does not fit the set.
        """
        if isinstance(environment, str):
            environment = environment_named(environment)
        environment = environment or self.prepared.environment
        if environment is None:
            raise InvalidInputError("the problem has no environment; give one to score in")
        data = self.prepared.data
        evaluation.check_environment(environment, data.observation_size, data.action_size)
        prepared = self.prepared._replace(environment=environment)
        with jax.default_matmul_precision(self.settings.precision):
            returns = score(
                prepared, "synthetic", self.synthetic, students, episodes, FINAL_SEED, reporter
            )
        return evaluation.summarize(returns)

    def judge(
        self, students: int = 10, fqe_steps: int = 10_000, reporter: Reporter = CONSOLE
    ) -> dict[str, Any]:
        """Measures on the episodes that the problem holds out, without any environment.

        Args:
            students: K, trained on the set.
            fqe_steps: of fitted Q evaluation; 0: none.
            reporter: for progress.

        Returns:
            As "offline" in `results.json` (`pipeline.offline.judge`).

        Raises:
            InvalidInputError: the problem holds none out.
        """
        if self.prepared.held_out is None:
            raise InvalidInputError("the problem has no held_out episodes (data.hold_out)")
        sets = {
            "synthetic": self.synthetic,
            "random_real": random_real(len(self.synthetic.actions), self.prepared),
        }
        with jax.default_matmul_precision(self.settings.precision):
            return judge(self.prepared, sets, students, fqe_steps, reporter)

    def save(
        self,
        folder: str | os.PathLike,
        returns: Mapping[str, dict[str, Any]] | None = None,
        offline: Mapping[str, Any] | None = None,
    ) -> pathlib.Path:
        """Write the files that the main job writes, `report.html` too; returns the folder.

        Args:
            folder: new or empty.
            returns: rows of `score` by name, such as {"synthetic": result.score()}.
            offline: what `judge` returned.

        Raises:
            InvalidInputError: the folder holds other files, or cannot be written.
        """
        path, returns = pathlib.Path(folder).expanduser(), dict(returns or {})
        card, environment = self.distilled.card, self.prepared.environment
        unit = "return" if environment is None else environment.unit
        title = pathlib.Path(self.prepared.data.provenance.name).name
        with runs.RunFolder(path, card["config"], input_hashes(self.prepared)) as opened:
            for record in self.history:
                opened.add_metrics(record)
            artefacts.save(path, self.distilled)
            artefacts.draw_curve(
                path / "curve.png",
                title,
                self.history,
                [],
                {},
                unit,
            )
            last = self.history[-1]
            results = {
                "returns": returns,
                "unit": unit,
                **({} if offline is None else {"offline": dict(offline)}),
                "seconds": dict(self.seconds),
                "outer_steps": last["step"],
                "loss": last["loss"],
                "curve": None,
                **card,
            }
            write_report(
                path / "report.html",
                title,
                self.prepared,
                self.objective,
                self.synthetic,
                results,
                self.history,
            )
            opened.finish(results)
        return path


def synthesize(
    key: Key,
    problem: Problem,
    settings: Distillation | None = None,
    *,
    reporter: Reporter = CONSOLE,
    **options: Any,
) -> Result:
    """Distil a problem into a few synthetic pairs.

    Args:
        key: for all randomness.
        problem: data, teacher and, if there is one, environment.
        settings: of the distillation; None: the default of the student.
        reporter: for progress, by default on stderr; `reporting.SILENT` prints nothing.
        **options: of `Distillation` by name, which override the settings: `pairs=64`,
            `student="mlp"`, `temperature=0.1`, `outer_steps=500` ...

    Returns:
        The distilled set, with a policy. Call its `save` to write files.

    Raises:
        InvalidInputError: problem, settings or options cannot be used.
        distill.DivergedError: a loss, gradient or set was not finite; it carries the last good set.
    """
    if settings is None:
        settings = default(options.get("student", "kernel"))
    settings = with_options(settings, **options)
    with jax.default_matmul_precision(settings.precision):
        return _synthesize(key, problem, settings, reporter)


def _synthesize(key: Key, problem: Problem, settings: Distillation, reporter: Reporter) -> Result:
    clock = Clock()
    with clock("load"):
        prepared = prepare(key, problem, settings, reporter)
    objective = make_objective(settings, prepared, clock)
    objective = reweight(settings, prepared, objective, clock, reporter)
    progress = reporter.progress("distil, step")
    steps = total_steps(settings.students, settings.outer)
    history: list[dict[str, Any]] = []

    def report(_: Any, record: dict[str, Any]) -> None:
        history.append(record)
        progress(record["step"], steps, record["eta_seconds"], f"loss {record['loss']:.4f}")

    start = initial_set(settings, prepared, objective)
    state, last = distil(settings, prepared, objective, start, callback=report)
    clock.seconds["distil"] = last["seconds"]
    card = set_card(
        prepared,
        to_options(settings),
        objective.name,
        objective.density_card,
        key=np.asarray(jax.random.key_data(key)).tolist(),
    )
    distilled = DistilledSet(state.synthetic, prepared.normalizer, card)
    return Result(distilled, settings, prepared, objective, tuple(history), clock.seconds)
