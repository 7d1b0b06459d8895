"""Many sets of one data set in one program, over many devices, each of them scored."""

import contextlib
import dataclasses
import itertools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import artefacts, distill, evaluation, runs
from obd_jax.distill.mesh import devices_for
from obd_jax.distill.population import sum_over_processes
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline.preparation import Prepared, input_hashes, prepare, set_card, split_key
from obd_jax.pipeline.problem import load_problem
from obd_jax.pipeline.scores import score, score_teacher
from obd_jax.pipeline.settings import RunSettings, in_its_precision
from obd_jax.pipeline.stages import total_steps
from obd_jax.pipeline.targets import Cache, Objective, make_objective, reweight
from obd_jax.pipeline.together import distil_together, phase_together
from obd_jax.reporting import CONSOLE, Clock, Reporter
from obd_jax.settings import OptionError, option, to_options, with_options
from obd_jax.types import InvalidInputError, SyntheticData


@dataclasses.dataclass(frozen=True)
class MemberSettings:
    """What the members of a population differ in: every seed with every temperature.

    seeds:        of the members.
    temperatures: of SDW; None: that of the run.
    """

    seeds: tuple[int, ...] = option((0, 1, 2), "Seeds of the sets, in place of one seed.")
    temperatures: tuple[float, ...] | None = option(
        None, "Temperatures of the density weights. Absent: one, that of a run."
    )

    def __post_init__(self) -> None:
        for name in ("seeds", "temperatures"):
            values = getattr(self, name)
            if values is None:
                continue
            if not values:
                raise OptionError(f"{{{name}}} needs at least one number")
            if len({*values}) < len(values):
                raise OptionError(f"{{{name}}} must differ from each other, got {values}")


def members_of(settings: RunSettings, differ: MemberSettings) -> list[RunSettings]:
    """Settings of all members: every seed with every temperature."""
    if settings.distillation.outer.budget_minutes is not None:
        raise OptionError("a population has no {budget_minutes}; give {outer_steps}")
    if settings.distillation.start.start is not None:
        raise OptionError("a population has no {start}")
    temperatures = differ.temperatures or (settings.distillation.density.temperature,)
    return [
        with_options(settings, seed=seed, temperature=temperature)
        for seed, temperature in itertools.product(differ.seeds, temperatures)
    ]


def member_name(member: RunSettings) -> str:
    """The member's folder."""
    temperature = member.distillation.density.temperature
    return f"seed-{member.run.seed}-temperature-{temperature:g}"


@in_its_precision
def run_population(
    settings: RunSettings, differ: MemberSettings, reporter: Reporter = CONSOLE
) -> dict[str, Any]:
    """Distil and score all members; process 0 writes. Returns the content of `results.json`.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
    """
    members = members_of(settings, differ)
    if settings.run.out is None:
        raise OptionError("{out} is required: the folder of the sets")
    out, writes = pathlib.Path(settings.run.out), jax.process_index() == 0
    config = {
        **to_options(members[0]),
        # In their order, which is that of the states in checkpoints.
        "seeds": [*dict.fromkeys(member.run.seed for member in members)],
        "temperatures": [
            *dict.fromkeys(member.distillation.density.temperature for member in members)
        ],
    }
    if writes:
        runs.refuse_unusable(out, config, runs.MAY_DIFFER)
    mesh = _mesh(len(members), reporter)
    clock = Clock()
    with clock("load"):
        problem = load_problem(settings, reporter)
        if problem.environment is None:
            raise OptionError("a population is scored in an environment: {env}=none is for a run")
        if problem.held_out is not None:
            raise OptionError("a population has no {holdout}; a run has")
        key = jax.random.key(members[0].run.seed)
        first = prepare(key, problem, settings.distillation, reporter)
    prepared = [
        first._replace(keys=split_key(jax.random.key(member.run.seed))) for member in members
    ]
    with contextlib.ExitStack() as stack:
        folder: runs.RunFolder | None = None
        if writes:
            names = settings.run.writer_names
            opened = runs.RunFolder(out, config, input_hashes(first), runs.MAY_DIFFER, names)
            folder = stack.enter_context(opened)
        objectives = _objectives(
            members, first, clock, reporter, None if folder is None else folder.path
        )
        total = total_steps(settings.distillation.students, settings.distillation.outer)
        progress = reporter.progress("distil, step")

        def report(record: dict[str, Any]) -> None:
            if folder is not None:
                folder.add_metrics(record)
                known = [loss for loss in record["loss"] if loss is not None]
                losses = f"losses {min(known):.4f} to {max(known):.4f}" if known else "no loss"
                progress(record["step"], total, note=losses)

        states, last = distil_together(
            members,
            prepared,
            objectives,
            mesh,
            None if folder is None else folder.path,
            reporter,
            report,
            lambda: None if folder is None else folder.sync_metrics(),
            lambda step: None if folder is None else folder.cut_metrics(step),
        )
        clock.seconds["distil"] = last["seconds"]
        cards = [
            set_card(own, to_options(member), each.name, each.density_card, seed=member.run.seed)
            for member, own, each in zip(members, prepared, objectives, strict=True)
        ]
        if folder is not None:
            _save(members, first, cards, states.synthetic, out / "sets")
        with clock("evaluate"):
            returns = _score(members, prepared, states.synthetic, reporter)
            teacher = score_teacher(first, reporter)
        assert first.environment is not None
        results = {
            "returns": {} if teacher is None else {"teacher": evaluation.summarize(teacher)},
            "members": [
                {
                    "name": member_name(member),
                    "seed": member.run.seed,
                    "temperature": member.distillation.density.temperature,
                    "loss": last["loss"][i],
                    "skipped": last["skipped"][i],
                    "returns": {"synthetic": None if own is None else evaluation.summarize(own)},
                }
                for i, (member, own) in enumerate(zip(members, returns, strict=True))
            ],
            "unit": first.environment.unit,
            "seconds": clock.seconds,
            "outer_steps": last["step"],
            "devices": mesh.size,
            "processes": jax.process_count(),
            **cards[0],
        }
        if folder is not None:
            folder.finish(results)
    return results


def _mesh(members: int, reporter: Reporter) -> Any:
    """The devices that share the members equally."""
    devices = jax.devices()
    if jax.process_count() == 1:
        used = devices_for(members, len(devices))
        if used < len(devices):
            reporter.note(f"the {members} sets are sharded over {used} of {len(devices)} devices")
        devices = devices[:used]
    mesh = distill.device_mesh(devices)
    if members % mesh.size:
        raise InvalidInputError(
            f"{members} sets cannot be sharded equally over {mesh.size} devices"
        )
    return mesh


def _objectives(
    members: list[RunSettings],
    first: Prepared,
    clock: Clock,
    reporter: Reporter,
    folder: pathlib.Path | None,
) -> list[Objective]:
    """Every member's objective; the density is fitted once, by the first member's seed.

    The weights of each temperature are kept in the folder, which the first process has.
    """
    cache: Cache = {}
    settings = members[0].distillation
    objective = make_objective(settings, first, clock, cache)
    by_temperature = {
        temperature: reweight(
            with_options(settings, temperature=temperature),
            first,
            objective,
            clock,
            reporter,
            folder,
            cache,
            f"density-{temperature:g}",
            phase_together,
        )
        for temperature in dict.fromkeys(m.distillation.density.temperature for m in members)
    }
    return [by_temperature[member.distillation.density.temperature] for member in members]


def _save(
    members: list[RunSettings],
    first: Prepared,
    cards: list[dict[str, Any]],
    sets: SyntheticData,
    folder: pathlib.Path,
) -> None:
    """Write every member's set into a folder of its own."""
    for i, (member, card) in enumerate(zip(members, cards, strict=True)):
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        place = folder / member_name(member)
        place.mkdir(parents=True, exist_ok=True)
        artefacts.save(place, artefacts.DistilledSet(synthetic, first.normalizer, card))


def _score(
    members: list[RunSettings], prepared: list[Prepared], sets: SyntheticData, reporter: Reporter
) -> list[np.ndarray | None]:
    """Returns [K, E] of each member, None where its student diverges.

    Every process scores its share of the members.
    """
    scores = members[0].scores
    shape = (scores.students, scores.episodes)
    if prepared[0].student.deterministic:
        shape = (1, scores.students * scores.episodes)
    found = np.zeros((len(members), *shape))
    for i in range(jax.process_index(), len(members), jax.process_count()):
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        name = member_name(members[i])
        try:
            found[i] = score(
                prepared[i],
                name,
                synthetic,
                *(scores.students, scores.episodes),
                FINAL_SEED,
                reporter,
            )
        except evaluation.NotFiniteError as error:
            reporter.note(f"{name}: {error}")
            found[i] = np.nan
    return [None if np.isnan(own).any() else own for own in sum_over_processes(found)]


def population_summary(results: dict[str, Any], out: pathlib.Path | str) -> str:
    """What ends a population: a line for each member, and where everything went."""
    lines = [f"{'member':<28}{'return':>8}{'95% interval':>20}{'loss':>10}"]
    for member in results["members"]:
        row, loss = member["returns"]["synthetic"], member["loss"]
        mean = "diverged" if row is None else f"{row['mean']:.1f}"
        interval = "" if row is None else "[{:.1f}, {:.1f}]".format(*row["ci95"])
        shown_loss = "" if loss is None else f"{loss:.4f}"
        lines.append(f"{member['name']:<28}{mean:>8}{interval:>20}{shown_loss:>10}")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in results["seconds"].items())
    lines += [
        *(f"{name:<28}{row['mean']:>8.1f}" for name, row in results["returns"].items()),
        f"devices: {results['devices']}, processes: {results['processes']}; seconds: {seconds}",
        f"written to {out}",
    ]
    return "\n".join(lines)
