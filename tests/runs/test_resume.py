"""What a run keeps for the process that resumes it: phases, states of loops, its command."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.reporting import SILENT, Clock
from obd_jax.runs import CHECKPOINTS, Stopped, checkpointing, phase, resume

LIKE = jax.ShapeDtypeStruct((3,), jnp.float32)


def test_a_phase_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return jnp.arange(3.0), {"rows": [1, None]}

    first, again = Clock(), Clock()
    arrays, notes = phase(tmp_path, "weights", first, SILENT, LIKE, make)
    found, same = phase(tmp_path, "weights", again, SILENT, LIKE, make)
    assert len(made) == 1
    np.testing.assert_array_equal(found, arrays)
    assert same == notes == {"rows": [1, None]}
    # Its seconds are those of making it.
    assert again.seconds == first.seconds
    assert set(first.seconds) == {"weights"}
    phase(tmp_path, "others", again, SILENT, LIKE, make)
    assert len(made) == 2
    assert {path.name for path in (tmp_path / CHECKPOINTS).iterdir()} == {"weights", "others"}


def test_a_phase_without_a_folder_keeps_nothing():
    made = []
    for _ in range(2):
        arrays, notes = phase(
            None, "weights", Clock(), SILENT, LIKE, lambda: (None, made.append(1))
        )
        assert (arrays, notes) == (None, None)
    assert len(made) == 2


def test_a_phase_that_fails_is_made_again(tmp_path):
    def fail():
        raise RuntimeError("fails")

    with pytest.raises(RuntimeError, match="fails"):
        phase(tmp_path, "weights", Clock(), SILENT, LIKE, fail)
    arrays, _ = phase(tmp_path, "weights", Clock(), SILENT, LIKE, lambda: (jnp.ones(3), {}))
    np.testing.assert_array_equal(arrays, 1.0)


def test_notes_alone_may_be_kept(tmp_path):
    for made in ("first", "second"):
        arrays, notes = phase(
            tmp_path, "rows", Clock(), SILENT, None, lambda made=made: (None, made)
        )
        assert (arrays, notes) == (None, "first")


def loop(folder, steps, minutes=0.0, said=None, prepared=None, interrupt=None):
    """A loop that counts, saved as it goes; where it began."""
    reporter = SILENT if said is None else SILENT._replace(note=said.append)
    prepare = (lambda: None) if prepared is None else lambda: prepared.append(1)
    with checkpointing(folder, "loop", LIKE, minutes, reporter, prepare) as saver:
        start = 0 if saver.found is None else saver.found.step
        if start:
            np.testing.assert_array_equal(saver.found.state, float(start))
            assert saver.found.notes == {"step": start}
        for step in range(start + 1, steps + 1):
            if step == interrupt:
                os.kill(os.getpid(), signal.SIGTERM)
            saver(step, jnp.full(3, float(step)), {"step": step})
        return start


def saved_in(folder):
    return sorted(int(path.name) for path in (folder / CHECKPOINTS / "loop").iterdir())


def test_a_loop_resumes_from_its_last_checkpoint(tmp_path):
    said, prepared = [], []
    assert loop(tmp_path, 4, said=said, prepared=prepared) == 0
    assert (said, len(prepared)) == ([], 4)
    assert saved_in(tmp_path) == [2, 3, 4]  # The newest few.
    assert loop(tmp_path, 6, said=said) == 4
    assert said == [f"resumes from step 4 in {tmp_path}"]


def test_a_loop_is_saved_when_it_is_time_or_at_once_if_asked(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(resume.time, "monotonic", lambda: now)
    with checkpointing(tmp_path, "loop", LIKE, 1.0, SILENT) as saver:
        for step, seconds, at_once in (
            (1, 59, False),
            (2, 60, False),
            (3, 119, False),
            (4, 119, True),
        ):
            now = float(seconds)
            saver(step, jnp.zeros(3), {}, now=at_once)
    assert saved_in(tmp_path) == [2, 4]


def test_a_signal_saves_the_loop_and_ends_it(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        loop(tmp_path, 5, minutes=60.0, interrupt=3)
    assert saved_in(tmp_path) == [3]
    assert signal.getsignal(signal.SIGTERM) is before
    assert loop(tmp_path, 4) == 3
