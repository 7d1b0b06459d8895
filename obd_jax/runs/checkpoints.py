"""Checkpoints: the state of a loop, saved while it runs, the newest few kept."""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.types import InvalidInputError


class Restored(NamedTuple):
    """A checkpoint that was read.

    step:  step that it was saved at.
    state: the pytree of arrays and keys.
    notes: JSON object that was saved with it.
    """

    step: int
    state: Any
    notes: dict[str, Any]


class Checkpoints:
    """The newest checkpoints in a folder, written by Orbax in the background.

    Checkpoints are written atomically. If one cannot be written, this is reported; the caller
    continues, and earlier checkpoints are kept. This is a context manager; on exit it waits for
    pending writes.
    """

    def __init__(self, folder: pathlib.Path, note: Callable[[str], None], keep: int = 3):
        """Open a folder, made if need be.

        Args:
            folder: of these checkpoints alone.
            note: called with a line that says what went wrong.
            keep: how many of the newest stay.
        """
        import orbax.checkpoint  # Takes a while, and most commands save nothing.

        self._orbax = orbax.checkpoint
        self._folder, self._note, self._keep = folder.absolute(), note, keep
        self._saving: int | None = None
        self._manager = self._open()

    def _open(self) -> Any:
        """Orbax's manager of the folder; removes what was left half-written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        own = self._orbax.options.MultiprocessingOptions()
        if jax.process_count() > 1:  # This one writes, and waits for no other.
            number = jax.process_index()
            own = self._orbax.options.MultiprocessingOptions(number, {number}, f"process-{number}")
        options = self._orbax.CheckpointManagerOptions(
            max_to_keep=self._keep,
            create=False,  # Which it does not do for one of several processes.
            cleanup_tmp_directories=True,
            save_root_metadata=False,
            multiprocessing_options=own,
        )
        return self._orbax.CheckpointManager(self._folder, options=options)

    def save(self, step: int, state: Any, notes: dict[str, Any]) -> None:
        """Save a pytree of arrays and keys, which may be None, with a JSON object.

        Returns before it is written. A step that is not beyond the last one saved is left out.
        """
        self.wait()
        self._saving = step
        # A copy, since it is written later.
        content = {"notes": json.loads(json.dumps(notes)), "leaves": _fingerprints(state)}
        args = {"content": self._orbax.args.JsonSave({**content, "seal": _digest(content)})}
        if content["leaves"]:
            args["state"] = self._orbax.args.StandardSave([state])  # It takes no lone array.
        try:
            self._manager.save(step, args=self._orbax.args.Composite(**args))
        except Exception as error:  # Of the disk, the network, or the storage library.
            self._failed(error)

    def wait(self) -> None:
        """Return when what was saved is written, or known to have failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # As above: the writing thread passes on what it met.
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._note(
            f"checkpoint {self._folder / str(self._saving)} could not be written; earlier ones "
            f"are kept: {_reason(error)}"
        )
        with contextlib.suppress(Exception):  # The same again.
            self._manager.close()
        self._manager = self._open()

    def restore_latest(self, like: Any) -> Restored | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Newer ones that are damaged are reported and removed.

        Args:
            like: pytree with the structure, shapes, types and shardings of the state.

        Raises:
            InvalidInputError: every checkpoint is damaged, or the state has another form.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._restore(step, like)
            except InvalidInputError:
                raise
            # Damage shows as many things: of JSON, of the storage library, of types.
            except Exception as error:
                self._note(f"checkpoint {self._folder / str(step)} is damaged: {_reason(error)}")
                damaged.append(step)
                continue
            for worse in damaged:
                self._manager.delete(worse)
            if damaged:
                self._note(f"using the previous checkpoint, {self._folder / str(step)}")
            return found
        if damaged:
            raise InvalidInputError(
                f"no checkpoint in {self._folder} can be read; remove them to restart"
            )
        return None

    def _restore(self, step: int, like: Any) -> Restored:
        """One checkpoint, compared with what was saved: Orbax does not notice a changed bit."""
        args = self._orbax.args
        content = self._manager.restore(
            step, args=args.Composite(content=args.JsonRestore())
        ).content
        if content.pop("seal") != _digest(content):
            raise ValueError("its record differs from what was saved")
        forms = [leaf.split()[0] for leaf in content["leaves"]]
        if forms != [_form(leaf) for leaf in jax.tree.leaves(like)]:
            raise InvalidInputError(
                f"checkpoint {self._folder / str(step)} is for another algorithm or other data"
            )
        state = like
        if forms:
            args = args.Composite(state=args.StandardRestore([jax.tree.map(_abstract, like)]))
            (state,) = self._manager.restore(step, args=args).state
        if _fingerprints(state) != content["leaves"]:
            raise ValueError("its arrays differ from what was saved")
        return Restored(step, state, content["notes"])

    def close(self) -> None:
        """Wait for what is being written and end the writing threads."""
        self.wait()
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(error: Exception) -> str:
    """The end of the first line, where the storage library comes to the point."""
    line = (str(error).strip() or repr(error)).splitlines()[0]
    return ": ".join(line.split(": ")[-2:])


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    """Form of a leaf, on its own devices or else on the first."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _form(leaf: Any) -> str:
    """Type and shape."""
    return f"{leaf.dtype}{list(leaf.shape)}".replace(" ", "")


def _fingerprints(tree: Any) -> list[str]:
    """Form and hash of every leaf."""

    def one(leaf: Any) -> str:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        raw = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        return f"{_form(leaf)} {hashlib.sha256(raw.tobytes()).hexdigest()}"

    return [one(leaf) for leaf in jax.tree.leaves(tree)]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
