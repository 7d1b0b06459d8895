"""Distillation of many members in one program, which goes on where it was stopped."""

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
from config import ANNEALS, Config, stages
from setup_run import Goal, Setup, initial_set, make_distiller, split_seed

from obd_jax import artefacts, distill
from obd_jax.command_line import Stopped, note, signals_wait
from obd_jax.types import Targets


def distil_together(
    members: list[Config],
    setup: Setup,
    goals: list[Goal],
    mesh: Any,
    folder: pathlib.Path | None,
    callback: Callable[[dict[str, Any]], None],
    goes_on: Callable[[int], object] = lambda step: None,
) -> tuple[distill.DistillerState, dict[str, Any]]:
    """States of all members, leaves [P, ...], and the last record, in plain values.

    Args:
        members: their configurations, which differ in what goals and seeds make of them.
        setup: what they start from, but for the keys, which are those of each one's seed.
        goals: what each is distilled for.
        mesh: the devices.
        folder: where the first process saves the states; None on the others.
        callback: given the record after every block of steps, on every process.
        goes_on: given the step that is gone on from, before the first block; -1 at the beginning.

    Raises:
        KeyboardInterrupt: a signal has come to one of the processes, and all is saved.
    """
    first = members[0]
    keys = [split_seed(member.seed) for member in members]
    starts = [
        initial_set(member, setup._replace(keys=own), goal)
        for member, own, goal in zip(members, keys, goals, strict=True)
    ]
    sets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    targets, targets_axes = stacked([goal.targets for goal in goals])
    parts = stages(first, setup.data.action_size)
    # The stage, the last record of those before it and of its own.
    start = {"step": 0, "seconds": 0.0, "skipped": [0] * len(members)}
    place: dict[str, Any] = {"stage": 0, "before": start, "own": None}
    own_keys = jnp.stack([each["distil"] for each in keys])
    form = jax.eval_shape(jax.vmap(make_distiller(first, parts[-1]).init), own_keys, sets)
    with keeping(folder, form, first.checkpoint_minutes) as keeper:
        states, found = keeper.found()
        place = found or place
        goes_on(place["before"]["step"] + place["own"]["step"] if found else -1)

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
                batch_size=first.batch_size,
                targets_axes=targets_axes,
                states=states,
                record=place["own"],
                mesh=mesh,
                anneal=ANNEALS[first.anneal],
                callback=report,
            )
            keeper(total_record(place)["step"], states, place, now=True)
            states = distill.gather(states)
            if is_last:
                return states, total_record(place)
            sets, states = states.synthetic, None
            place.update(stage=number + 1, before=total_record(place), own=None)


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
    folder: pathlib.Path | None, form: distill.DistillerState, minutes: float
) -> Iterator[Keeper]:
    """Inside, signals wait for the end of blocks of steps."""
    with contextlib.ExitStack() as stack:
        signalled = stack.enter_context(signals_wait())
        checkpoints = None
        if folder is not None:
            place = folder / artefacts.CHECKPOINTS / "distil"
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
