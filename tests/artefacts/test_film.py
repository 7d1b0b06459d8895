"""Animated pictures."""

import numpy as np
import pytest
from PIL import Image

from obd_jax.artefacts import heading, with_text, write_gif

RNG = np.random.default_rng(0)


def frames_of(path):
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0
        durations = set()
        found = []
        for i in range(picture.n_frames):
            picture.seek(i)
            durations.add(picture.info["duration"])
            found.append(np.asarray(picture.convert("RGB")).astype(int))
    return np.array(found), durations


def squares(count):
    """A square that moves to the right over a gradient."""
    background = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None] * 6, (40, 60, 3))
    frames = []
    for i in range(count):
        frame = background.copy()
        frame[10:20, 5 * i : 5 * i + 10] = (255, 0, 0)
        frames.append(frame)
    return frames


def test_frames_are_read_back_in_order_and_at_their_pace(tmp_path):
    frames = squares(8)
    write_gif(tmp_path / "a.gif", frames, 0.048)
    found, durations = frames_of(tmp_path / "a.gif")
    assert durations == {50}
    assert found.shape == (8, 40, 60, 3)
    assert np.abs(found - np.array(frames)).max() < 20  # Of 64 colours.
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 64


@pytest.mark.parametrize("count", [1, 2])
def test_few_frames_are_a_picture_too(tmp_path, count):
    write_gif(tmp_path / "a.gif", squares(count), 0.001)
    assert len(frames_of(tmp_path / "a.gif")[0]) == count


def test_text_is_in_the_middle_of_the_lower_edge():
    image = np.full((100, 120, 3), 90, np.uint8)
    changed = (with_text(image, "fell") != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 70
    assert columns.mean() == pytest.approx(60, abs=3)
    assert (image == 90).all()


def test_a_heading_has_every_text_over_its_column():
    found = heading(["one", "", "three"], 100)
    assert found.shape == (26, 300, 3)
    inked = (found < 128).any(axis=(0, 2)).reshape(3, 100).sum(axis=1)
    assert inked[0] > 0
    assert inked[1] == 0
    assert inked[2] > inked[0]
