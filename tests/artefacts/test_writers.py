"""Services that are shown a run's metrics."""

import os
import sys

import numpy as np
import pytest
import wandb
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from obd_jax.artefacts import check_writers
from obd_jax.artefacts.writers import numbers_of
from obd_jax.runs import RunFolder
from obd_jax.types import InvalidInputError

CONFIG = {"out": "a", "seed": 0}


def write(path, steps, writers, finish=False):
    with RunFolder(path, CONFIG, {}, writers=writers) as folder:
        for step in steps:
            folder.add_metrics({"step": step, "loss": 1.0 / step, "seconds": 0.5 * step})
        if finish:
            Image.new("RGB", (30, 20), (255, 0, 0)).save(path / "curve.png")
            np.savez(path / "distilled.npz", normalized_observations=np.ones((4, 3)))
            folder.finish({})


def events(path):
    """Events of TensorBoard's files, oldest first: length, its checksum, event, its checksum."""
    found = []
    for file in sorted((path / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            assert int.from_bytes(data[8:12], "little") == masked_crc32c(data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return sorted(found, key=lambda event: event.wall_time)


def test_tensorboard_has_scalars_the_curve_and_the_states(tmp_path):
    write(tmp_path / "run", (10, 20), ["tensorboard"], finish=True)
    values = [
        (event.step, value) for event in events(tmp_path / "run") for value in event.summary.value
    ]
    losses = {step: value.simple_value for step, value in values if value.tag == "loss"}
    assert losses == pytest.approx({10: 0.1, 20: 0.05})
    images = [value.image for _, value in values if value.HasField("image")]
    assert [(image.width, image.height) for image in images] == [(30, 20)]
    (histogram,) = [value.histo for _, value in values if value.HasField("histo")]
    assert (histogram.num, histogram.min, histogram.max) == (12, 1, 1)


def test_a_run_that_resumes_takes_back_what_it_repeats(tmp_path):
    write(tmp_path / "run", (10, 20), ["tensorboard"])
    write(tmp_path / "run", (20, 30), ["tensorboard"])
    starts = [event.step for event in events(tmp_path / "run") if event.HasField("session_log")]
    assert 20 in starts  # By which TensorBoard forgets step 20 and later ones of the first file.


def test_wandb_offline_keeps_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write(tmp_path / "run", (10, 20), ["wandb"], finish=True)
    wandb.teardown()  # `finish` does not wait for the service to write; the end of a process does.
    (kept,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    content = kept.read_bytes()
    assert b"loss" in content
    assert b"obd_jax" in content
    assert os.path.getsize(kept) > 500


def test_numbers_are_what_is_finite_and_lists_by_place():
    record = {"step": 3, "loss": [0.5, float("nan")], "skipped": [0, 1], "note": "x", "scale": 1}
    assert numbers_of(record) == {"loss/0": 0.5, "skipped/0": 0, "skipped/1": 1, "scale": 1}


def test_unknown_services_are_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(InvalidInputError, match="'mlflow'; known: tensorboard, wandb"):
        write(tmp_path / "run", (), ["mlflow"])
    assert not (tmp_path / "run").exists()


def test_a_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InvalidInputError, match=r"need wandb, .* install 'obd-jax\[wandb\]'"):
        check_writers(["tensorboard", "wandb"])
