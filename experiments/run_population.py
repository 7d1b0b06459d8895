"""Distil many sets of one data set in one program, over many devices, and score each of them.

    python experiments/run_population.py --dataset=walker2d-medium-expert --seeds=0,1,2,3 \
        --temperatures=0,0.05 --out=runs/population

A CPU is split into devices, one for each of its cores as far as they share the sets equally, unless
$JAX_NUM_CPU_DEVICES says how many. With --distributed, all processes of a job run this same
command; see `docs/jobs.md`. All flags of `run_sdw.py` hold for every member, but for those that the
lists replace.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import joblib
import numpy as np
from absl import flags
from config import ANNEALS, FREE, PRESETS, Config, check, preset, stages, writers_of
from resume import says_how_to_go_on
from scoring import FINAL_SEED, score, score_teacher
from setup_run import (
    Goal,
    Setup,
    initial_set,
    make_distiller,
    make_goal,
    prepare,
    split_seed,
    surround,
)

from obd_jax import artefacts, distill, evaluation, students
from obd_jax.command_line import (
    STOPPED,
    Clock,
    Progress,
    Stopped,
    config_from_flags,
    define_flags,
    note,
    run_main,
    signals_wait,
)
from obd_jax.types import InvalidInputError, SyntheticData

# What JAX's errors say then.
CONNECTION = re.compile(r"Gloo|NCCL|coordination|Connection|UNAVAILABLE|DEADLINE_EXCEEDED")


def members_of(config: Config, seeds: list[int], temperatures: list[float]) -> list[Config]:
    """Configurations of all members: every seed with every temperature."""
    if not seeds or not temperatures:
        raise InvalidInputError("--seeds and --temperatures need at least one number each")
    if config.budget_minutes is not None:
        raise InvalidInputError("a population has no --budget_minutes; give --outer_steps")
    if config.start is not None:
        raise InvalidInputError("a population has no --start")
    for name, values in (("seeds", seeds), ("temperatures", temperatures)):
        if len({*values}) < len(values):
            raise InvalidInputError(f"--{name} must differ from each other, got {values}")
    members = [
        dataclasses.replace(config, seed=seed, temperature=temperature)
        for seed, temperature in itertools.product(seeds, temperatures)
    ]
    for member in members:
        check(member)
    return members


def name_of(member: Config) -> str:
    """The member's folder."""
    return f"seed-{member.seed}-temperature-{member.temperature:g}"


def run(config: Config, seeds: list[int], temperatures: list[float]) -> dict[str, Any]:
    """Distil and score all members; process 0 writes. Returns the content of `results.json`.

    Raises:
        InvalidInputError: the input cannot be used; nothing has been written.
    """
    members = members_of(config, seeds, temperatures)
    with jax.default_matmul_precision(config.precision):
        return run_precisely(members)


def run_precisely(members: list[Config]) -> dict[str, Any]:
    """The run, in the precision that is set."""
    first = members[0]
    if first.out is None:
        raise InvalidInputError("--out is required: the folder of the sets")
    out = pathlib.Path(first.out)
    writes = jax.process_index() == 0
    settings = {
        **dataclasses.asdict(first),
        # In their order, which is that of the states in checkpoints.
        "seeds": [*dict.fromkeys(member.seed for member in members)],
        "temperatures": [*dict.fromkeys(member.temperature for member in members)],
    }
    if writes:
        artefacts.refuse_unusable(out, settings, FREE)
    devices = jax.devices()
    if jax.process_count() == 1:
        used = distill.devices_for(len(members), len(devices))
        if used < len(devices):
            note(f"{used} of {len(devices)} devices share the {len(members)} sets equally")
        devices = devices[:used]
    mesh = distill.device_mesh(devices)
    if len(members) % mesh.size:
        raise InvalidInputError(
            f"{len(members)} sets cannot be shared equally by {mesh.size} devices"
        )
    clock = Clock()
    with clock("load"):
        setup = prepare(first)
    inputs = {
        "SHA-256 of the data": setup.data.provenance.sha256,
        "SHA-256 of the teacher": setup.teacher.provenance.sha256,
    }
    with contextlib.ExitStack() as stack:
        folder = None
        if writes:
            folder = stack.enter_context(
                artefacts.RunFolder(out, settings, inputs, FREE, writers_of(first))
            )
            stack.enter_context(says_how_to_go_on(out))
        goals = make_goals(members, setup, clock)
        states, last = distil(members, setup, goals, mesh, folder)
        clock.seconds["distil"] = last["seconds"]
        if folder is not None:
            save_members(members, setup, goals, states.synthetic, out / "sets")
        with clock("evaluate"):
            returns = score_members(members, setup, states.synthetic)
        results = {
            "returns": {"teacher": evaluation.summarize(score_teacher(setup))},
            "members": [
                {
                    "name": name_of(member),
                    "seed": member.seed,
                    "temperature": member.temperature,
                    "loss": last["loss"][i],
                    "skipped": last["skipped"][i],
                    "returns": {"synthetic": None if own is None else evaluation.summarize(own)},
                }
                for i, (member, own) in enumerate(zip(members, returns, strict=True))
            ],
            "unit": setup.environment.unit,
            "seconds": clock.seconds,
            "outer_steps": last["step"],
            "devices": mesh.size,
            "processes": jax.process_count(),
            **card_of(first, setup, goals[0]),
        }
        if folder is not None:
            folder.finish(results)
            print(summary(results, out))
    return results


def make_goals(members: list[Config], setup: Setup, clock: Clock) -> list[Goal]:
    """Every member's objective; the density is fitted once, by the first member's seed."""
    known: dict[Any, Any] = {}
    goal = make_goal(members[0], setup, clock, known)
    by_temperature = {
        temperature: surround(
            dataclasses.replace(members[0], temperature=temperature),
            setup,
            goal,
            clock,
            known=known,
        )
        for temperature in dict.fromkeys(member.temperature for member in members)
    }
    return [by_temperature[member.temperature] for member in members]


def distil(
    members: list[Config],
    setup: Setup,
    goals: list[Goal],
    mesh: Any,
    folder: artefacts.RunFolder | None,
) -> tuple[distill.DistillerState, dict[str, Any]]:
    """States of all members, leaves [P, ...], and the last record, in plain values.

    Args:
        members: their configurations.
        setup: what they start from.
        goals: what each is distilled for.
        mesh: the devices.
        folder: of the first process, where the states are saved; None on the others.
    """
    first = members[0]
    keys = [split_seed(member.seed) for member in members]
    starts = [
        initial_set(member, setup._replace(keys=own), goal)
        for member, own, goal in zip(members, keys, goals, strict=True)
    ]
    sets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    weights = jnp.stack([goal.targets.weights for goal in goals])
    targets = goals[0].targets._replace(weights=weights)
    parts = stages(first, setup.data.action_size)
    total = sum(part.steps for part in parts)
    progress = Progress("distil, step")
    # The stage, the last record of those before it and of its own.
    place: dict[str, Any] = {"stage": 0, "before": {"step": 0, "seconds": 0.0}, "own": None}
    own_keys = jnp.stack([each["distil"] for each in keys])
    form = jax.eval_shape(jax.vmap(make_distiller(first, parts[-1]).init), own_keys, sets)
    with keeping(folder, form, first.checkpoint_minutes) as keeper:
        states, found = keeper.found()
        place = found or place
        if folder is not None:
            folder.cut_metrics(place["before"]["step"] + place["own"]["step"] if found else -1)

        def report(states: distill.DistillerState, record: dict[str, Any]) -> None:
            place["own"] = {name: plain(value) for name, value in record.items()}
            shown = total_record(place)
            if folder is not None:
                folder.add_metrics(shown)
                known = [loss for loss in shown["loss"] if loss is not None]
                note_losses = f"losses {min(known):.4f} to {max(known):.4f}" if known else "no loss"
                progress(shown["step"], total, note=note_losses)
            keeper(shown["step"], states, place)

        while True:
            number = place["stage"]
            part, is_last = parts[number], number == len(parts) - 1
            one = make_distiller(first, part)
            fold = functools.partial(jax.random.fold_in, data=number)
            states, _ = distill.train_population(
                own_keys if is_last else jax.vmap(fold)(own_keys),
                functools.partial(_same, one),
                (),
                targets,
                sets,
                steps=part.steps,
                batch_size=first.batch_size,
                targets_axes=(None, None, 0),
                states=states,
                record=place["own"],
                mesh=mesh,
                anneal=ANNEALS[first.anneal],
                callback=report,
            )
            states = distill.gather(states)
            if is_last:
                return states, total_record(place)
            sets, states = states.synthetic, None
            place.update(stage=number + 1, before=total_record(place), own=None)


def plain(value: Any) -> Any:
    """Numbers as JSON has them; None for the loss of a member all of whose steps were skipped."""
    if not isinstance(value, np.ndarray):
        return value
    return [number if np.isfinite(number) else None for number in value.tolist()]


def save_members(
    members: list[Config], setup: Setup, goals: list[Goal], sets: SyntheticData, folder: Any
) -> None:
    """Write every member's set into a folder of its own."""
    for i, (member, goal) in enumerate(zip(members, goals, strict=True)):
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        place = folder / name_of(member)
        place.mkdir(parents=True, exist_ok=True)
        card = card_of(member, setup, goal)
        artefacts.save(place, artefacts.DistilledSet(synthetic, setup.normalizer, card))


def total_record(place: dict[str, Any]) -> dict[str, Any]:
    """The last record, with steps and seconds of all stages."""
    own, before = place["own"], place["before"]
    return {
        **own,
        "step": before["step"] + own["step"],
        "seconds": before["seconds"] + own["seconds"],
    }


class Keeper:
    """Saves the states of all members, at moments that all processes agree on.

    The first process writes and reads, the others are sent what it reads.
    """

    def __init__(
        self,
        checkpoints: artefacts.Checkpoints | None,
        form: distill.DistillerState,
        minutes: float,
        signalled: Callable[[], KeyboardInterrupt | None],
    ):
        self._checkpoints, self._form, self._signalled = checkpoints, form, signalled
        self._seconds, self._last = 60 * minutes, time.monotonic()

    def found(self) -> tuple[distill.DistillerState | None, dict[str, Any] | None]:
        """Where to go on: states and place; None each at the beginning."""
        raw = jax.tree.map(_raw_form, self._form)
        found = None
        if self._checkpoints is not None:
            found = self._checkpoints.restore_latest(raw)
        text = json.dumps(found.notes).encode() if found is not None else b""
        length = int(distill.from_first_process(np.array(len(text))))
        if not length:
            return None, None
        characters = np.frombuffer(text or bytes(length), np.uint8)
        place = json.loads(bytes(distill.from_first_process(characters)))
        if found is not None:
            note(f"goes on from step {found.step}")
            arrays = jax.tree.map(np.asarray, found.state)
        else:
            arrays = jax.tree.map(lambda form: np.zeros(form.shape, form.dtype), raw)
        arrays = distill.from_first_process(arrays)
        return jax.tree.map(_cooked, arrays, self._form), place

    def __call__(self, step: int, states: distill.DistillerState, place: dict[str, Any]) -> None:
        """Save if it is time.

        Raises:
            KeyboardInterrupt: a signal has come to one of the processes, and all is saved.
        """
        signal = self._signalled()
        due = self._checkpoints is not None and time.monotonic() - self._last >= self._seconds
        asked = [isinstance(signal, Stopped), signal is not None, due]
        stopped, signals, saves = distill.sum_over_processes(np.array(asked, np.int32))
        if not (signals or saves):
            return
        whole = jax.tree.map(_raw, distill.gather(states))
        if self._checkpoints is not None:
            self._checkpoints.save(step, whole, place)
        self._last = time.monotonic()
        if signals:
            raise Stopped if stopped else KeyboardInterrupt


@contextlib.contextmanager
def keeping(
    folder: artefacts.RunFolder | None, form: distill.DistillerState, minutes: float
) -> Iterator[Keeper]:
    """Inside, signals wait for the end of blocks of steps."""
    with contextlib.ExitStack() as stack:
        signalled = stack.enter_context(signals_wait())
        checkpoints = None
        if folder is not None:
            place = folder.path / artefacts.CHECKPOINTS / "distil"
            checkpoints = stack.enter_context(artefacts.Checkpoints(place, note))
        yield Keeper(checkpoints, form, minutes, signalled)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> np.ndarray:
    """A key as numbers: only arrays of the host can be saved by one process of several."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _raw_form(form: Any) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key_data, form) if _is_key(form) else form


def _cooked(raw: np.ndarray, form: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(raw)) if _is_key(form) else raw


def _same(made: distill.Distiller, _: Any) -> distill.Distiller:
    """The distiller of every member."""
    return made


def score_members(
    members: list[Config], setup: Setup, sets: SyntheticData
) -> list[np.ndarray | None]:
    """Returns [K, E] of each member, None where its student diverges.

    Every process scores its share of the members.
    """
    first = members[0]
    shape = (first.students, first.episodes)
    if setup.student.deterministic:
        shape = (1, first.students * first.episodes)
    found = np.zeros((len(members), *shape))
    for i in range(jax.process_index(), len(members), jax.process_count()):
        own = setup._replace(keys=split_seed(members[i].seed))
        synthetic = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), sets)
        try:
            found[i] = score(
                own, name_of(members[i]), synthetic, first.students, first.episodes, FINAL_SEED
            )
        except evaluation.NotFiniteError as error:
            note(f"{name_of(members[i])}: {error}")
            found[i] = np.nan
    return [None if np.isnan(own).any() else own for own in distill.sum_over_processes(found)]


def card_of(member: Config, setup: Setup, goal: Goal) -> dict[str, Any]:
    """What is recorded of a member, beside its returns."""
    return {
        "provenance": {
            "data": dataclasses.asdict(setup.data.provenance),
            "teacher": dataclasses.asdict(setup.teacher.provenance),
            "environment": {"name": setup.environment.name, "backend": setup.environment.backend},
            "seed": member.seed,
            "software": artefacts.software(),
        },
        "config": dataclasses.asdict(member),
        "objective": goal.objective,
        "density": goal.density_card,
        "student": students.to_card(setup.recipe),
    }


def summary(results: dict[str, Any], out: pathlib.Path) -> str:
    """What ends a run: a line for each member, and where everything went."""
    lines = [f"{'member':<28}{'return':>8}{'95% interval':>20}{'loss':>10}"]
    for member in results["members"]:
        row, loss = member["returns"]["synthetic"], member["loss"]
        mean = "diverged" if row is None else f"{row['mean']:.1f}"
        interval = "" if row is None else "[{:.1f}, {:.1f}]".format(*row["ci95"])
        shown_loss = "" if loss is None else f"{loss:.4f}"
        lines.append(f"{member['name']:<28}{mean:>8}{interval:>20}{shown_loss:>10}")
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in results["seconds"].items())
    lines += [
        f"teacher: {results['returns']['teacher']['mean']:.1f}",
        f"{results['devices']} devices of {results['processes']} processes; seconds: {seconds}",
        f"written to {out}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    if flags.FLAGS.distributed:
        jax.distributed.initialize()
    given = config_from_flags(Config, {})
    task = given.env or given.dataset or ""
    settings = preset(flags.FLAGS.config, given.student, given.objective, task)
    config = config_from_flags(Config, settings)
    for name in ("seed", "temperature"):
        if flags.FLAGS[name].present and (name == "seed" or flags.FLAGS.temperatures is not None):
            raise InvalidInputError(f"a population takes --{name}s, not --{name}")
    try:
        seeds = [int(seed) for seed in flags.FLAGS.seeds]
        temperatures = [float(value) for value in flags.FLAGS.temperatures or ()]
    except ValueError as error:
        raise InvalidInputError(f"--seeds and --temperatures take numbers: {error}") from error
    if flags.FLAGS.temperatures is None:
        temperatures = [config.temperature]
    if not flags.FLAGS.distributed and jax.config.values["jax_num_cpu_devices"] < 0:
        devices = distill.devices_for(len(seeds) * len(temperatures), joblib.cpu_count())
        jax.config.update("jax_num_cpu_devices", devices)
    try:
        run(config, seeds, temperatures)
    except InvalidInputError:  # Whatever it says of connections, it is no loss of a process.
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not (flags.FLAGS.distributed and CONNECTION.search(str(error))):
            raise
        note(str(error).splitlines()[0])
        note("error: another process of this job has ended, or cannot be reached")
        sys.exit(STOPPED)


if __name__ == "__main__":
    define_flags(Config)
    flags.DEFINE_enum("config", "default", PRESETS, "Settings that flags then override.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the members, in place of --seed.")
    flags.DEFINE_list("temperatures", None, "Of SDW, in place of a single --temperature.")
    flags.DEFINE_bool("distributed", False, "One of several processes, which find each other.")
    for flag in ("config", "seeds", "temperatures", "distributed"):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag])
    try:
        run_main(main)
    except BaseException as error:
        well = isinstance(error, SystemExit) and not error.code
        if well or not flags.FLAGS.distributed:
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        # An orderly end would wait for the other processes, which this one may have lost.
        code = getattr(error, "code", 1)
        os._exit(code if isinstance(code, int) else 1)
