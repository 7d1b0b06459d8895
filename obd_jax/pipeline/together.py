"""Distillation of many sets in one program, which can be saved and resumed."""

import contextlib
import functools
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import distill, runs
from obd_jax.distill import ANNEALS
from obd_jax.distill.population import from_first_process, gather, sum_over_processes
from obd_jax.pipeline.distillation import initial_set, make_distiller, stages_of
from obd_jax.pipeline.preparation import Prepared
from obd_jax.pipeline.settings import RunSettings
from obd_jax.pipeline.targets import Objective
from obd_jax.reporting import Clock, Reporter
from obd_jax.runs import Stopped, defer_signals
from obd_jax.types import Targets


def distil_together(
    members: list[RunSettings],
    prepared: list[Prepared],
    objectives: list[Objective],
    mesh: Any,
    folder: pathlib.Path | None,
    reporter: Reporter,
    callback: Callable[[dict[str, Any]], None],
    prepare: Callable[[], None] = lambda: None,
    resumed: Callable[[int], object] = lambda step: None,
) -> tuple[distill.DistillerState, dict[str, Any]]:
    """States of all members, leaves [P, ...], and the last record, in plain values.

    Args:
        members: their settings, which differ in what objectives and seeds make of them.
        prepared: what each starts from; they differ in their keys alone.
        objectives: what each is distilled for.
        mesh: the devices.
        folder: where the first process saves the states; None on the others.
        reporter: is notified of the step that distillation resumes from.
        callback: given the record after every block of steps, on every process.
        prepare: called before each checkpoint.
        resumed: given the step that it resumes from, before the first block; -1 at the beginning.

    Raises:
        KeyboardInterrupt: a signal has come to one of the processes, and all is saved.
    """
    first = members[0].distillation
    starts = [
        initial_set(member.distillation, own, objective)
        for member, own, objective in zip(members, prepared, objectives, strict=True)
    ]
    sets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    targets, targets_axes = stacked([objective.targets for objective in objectives])
    parts = stages_of(first, prepared[0])
    # The stage, the last record of those before it and of its own.
    start = {"step": 0, "seconds": 0.0, "skipped": [0] * len(members)}
    place: dict[str, Any] = {"stage": 0, "before": start, "own": None}
    own_keys = jnp.stack([each.keys["distil"] for each in prepared])
    form = jax.eval_shape(jax.vmap(make_distiller(first, parts[-1]).init), own_keys, sets)
    minutes = members[0].run.checkpoint_minutes
    with keeping(folder, form, minutes, reporter, prepare) as keeper:
        states, found = keeper.found()
        place = found or place
        resumed(place["before"]["step"] + place["own"]["step"] if found else -1)

        def report(states: distill.DistillerState, record: dict[str, Any]) -> None:
            place["own"] = {name: plain(value) for name, value in record.items()}
            shown = total_record(place)
            callback(shown)
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
                batch_size=first.outer.batch_size,
                targets_axes=targets_axes,
                states=states,
                record=place["own"],
                mesh=mesh,
                anneal=ANNEALS[first.outer.anneal],
                callback=report,
            )
            keeper(total_record(place)["step"], states, place, now=True)
            states = gather(states)
            if is_last:
                return states, total_record(place)
            sets, states = states.synthetic, None
            place.update(stage=number + 1, before=total_record(place), own=None)


def phase_together(
    folder: pathlib.Path | None,
    name: str,
    clock: Clock,
    reporter: Reporter,
    like: Any,
    make: Callable[[], tuple[Any, Any]],
    place: str | None = None,
) -> tuple[Any, Any]:
    """`runs.phase` on all processes of a job: what the first one had kept, the others are sent.

    What was not kept all make at the same time, as none could wait for another for long.
    """
    if jax.process_count() == 1:
        return runs.phase(folder, name, clock, reporter, like, make, place)
    with contextlib.ExitStack() as stack:
        kept = found = None
        if folder is not None:
            where = folder / runs.CHECKPOINTS / (place or name)
            kept = stack.enter_context(runs.Checkpoints(where, reporter.note, keep=1))
            found = kept.restore_latest(like)
        notes = json_from_first_process(None if found is None else found.notes)
        if notes is not None:
            zeros = jax.tree.map(lambda form: np.zeros(form.shape, form.dtype), like)
            arrays = from_first_process(zeros if found is None else found.state)
            clock.seconds[name] = notes["seconds"]
            return jax.tree.map(jnp.asarray, arrays), notes["made"]
        with clock(name):
            arrays, made = make()
        if kept is not None:
            kept.save(0, arrays, {"made": made, "seconds": clock.seconds[name]})
        return arrays, made


def json_from_first_process(value: Any) -> Any:
    """A JSON object as the first process gives it, on every process."""
    text = json.dumps(value).encode()
    length = int(from_first_process(np.array(len(text))))
    characters = np.frombuffer(text if len(text) == length else bytes(length), np.uint8)
    return json.loads(bytes(from_first_process(characters)))


def stacked(targets: list[Targets]) -> tuple[Targets, tuple[Any, ...]]:
    """Targets of all members, with a leading [P] where they differ, and its axis in each."""

    def differ(leaves: tuple[Any, ...]) -> bool:
        first = leaves[0]
        return not all(leaf is first or jnp.array_equal(leaf, first) for leaf in leaves)

    columns = [*zip(*targets, strict=True)]
    axes = [0 if differ(leaves) else None for leaves in columns]
    arrays = [
        leaves[0] if axis is None else jnp.stack(leaves)
        for leaves, axis in zip(columns, axes, strict=True)
    ]
    return Targets._make(arrays), tuple(axes)


def plain(value: Any) -> Any:
    """Numbers as JSON has them; None for the loss of a member all of whose steps were skipped."""
    if not isinstance(value, np.ndarray):
        return value
    return [number if np.isfinite(number) else None for number in value.tolist()]


def total_record(place: dict[str, Any]) -> dict[str, Any]:
    """The last record, with steps and seconds of all stages, and steps skipped in them."""
    own, before = place["own"], place["before"]
    skipped = [sum(each) for each in zip(before["skipped"], own["skipped"], strict=True)]
    return {
        **own,
        "step": before["step"] + own["step"],
        "seconds": before["seconds"] + own["seconds"],
        "skipped": skipped,
    }


class Keeper:
    """Saves the states of all members, at moments that all processes agree on.

    The first process writes and reads, the others are sent what it reads.
    """

    def __init__(
        self,
        checkpoints: runs.Checkpoints | None,
        form: distill.DistillerState,
        minutes: float,
        signalled: Callable[[], KeyboardInterrupt | None],
        reporter: Reporter,
        prepare: Callable[[], None],
    ):
        self._checkpoints, self._form, self._signalled = checkpoints, form, signalled
        self._reporter, self._prepare = reporter, prepare
        self._seconds, self._last = 60 * minutes, time.monotonic()

    def found(self) -> tuple[distill.DistillerState | None, dict[str, Any] | None]:
        """Where to resume: states and place; None each at the beginning."""
        raw = jax.tree.map(_raw_form, self._form)
        found = None
        if self._checkpoints is not None:
            found = self._checkpoints.restore_latest(raw)
        place = json_from_first_process(None if found is None else found.notes)
        if place is None:
            return None, None
        if found is not None:
            self._reporter.note(f"resumes from step {found.step}")
            arrays = jax.tree.map(np.asarray, found.state)
        else:
            arrays = jax.tree.map(lambda form: np.zeros(form.shape, form.dtype), raw)
        arrays = from_first_process(arrays)
        return jax.tree.map(_cooked, arrays, self._form), place

    def __call__(
        self, step: int, states: distill.DistillerState, place: dict[str, Any], now: bool = False
    ) -> None:
        """Save if it is time, or `now`.

        Raises:
            KeyboardInterrupt: a signal has come to one of the processes, and all is saved.
        """
        signal = self._signalled()
        late = now or time.monotonic() - self._last >= self._seconds
        due = self._checkpoints is not None and late
        asked = [isinstance(signal, Stopped), signal is not None, due]
        stopped, signals, saves = sum_over_processes(np.array(asked, np.int32))
        if not (signals or saves):
            return
        whole = jax.tree.map(_raw, gather(states))
        if self._checkpoints is not None:
            self._prepare()
            self._checkpoints.save(step, whole, place)
        self._last = time.monotonic()
        if signals:
            raise Stopped if stopped else KeyboardInterrupt


@contextlib.contextmanager
def keeping(
    folder: pathlib.Path | None,
    form: distill.DistillerState,
    minutes: float,
    reporter: Reporter,
    prepare: Callable[[], None],
) -> Iterator[Keeper]:
    """Inside, signals wait for the end of blocks of steps."""
    with contextlib.ExitStack() as stack:
        signalled = stack.enter_context(defer_signals())
        checkpoints = None
        if folder is not None:
            place = folder / runs.CHECKPOINTS / "distil"
            checkpoints = stack.enter_context(runs.Checkpoints(place, reporter.note))
        yield Keeper(checkpoints, form, minutes, signalled, reporter, prepare)


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
