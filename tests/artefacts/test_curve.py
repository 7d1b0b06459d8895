"""The picture of a run."""

import matplotlib.image
import numpy as np

from obd_jax.artefacts import draw_curve

LOSSES = [{"step": 10 * i, "seconds": 3.0 * i, "loss": 0.5**i} for i in range(1, 6)]
RETURNS = [
    {"step": 20 * i, "seconds": 6.0 * i, "return": 10.0 * i, "low": 9.0 * i, "high": 12.0 * i}
    for i in range(3)
]
REFERENCES = {"teacher": 50.0, "data": 40.0, "random_real": 5.0}


def draw(path, losses=LOSSES, returns=RETURNS, references=REFERENCES, title="hopper: a file"):
    draw_curve(path, title, losses, returns, references, "normalised return")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(path)[..., :3]


def test_the_picture_shows_losses_returns_and_references(tmp_path):
    full = draw(tmp_path / "full.png")
    assert min(full.shape[:2]) > 500
    assert full.std() > 0.05
    without = [
        draw(tmp_path / "losses.png", losses=LOSSES[:2]),
        draw(tmp_path / "returns.png", returns=RETURNS[:1]),
        draw(tmp_path / "references.png", references={"teacher": 50.0}),
    ]
    for picture in without:
        assert np.abs(full - picture).mean() > 1e-4


def test_a_run_without_curve_or_references_is_drawn(tmp_path):
    assert draw(tmp_path / "a.png", returns=RETURNS[:1], references={}).std() > 0.01


def test_any_file_name_is_a_title(tmp_path):
    """Two $ are no formula, and bytes that are no UTF-8 are shown as such."""
    plain = draw(tmp_path / "plain.png")
    for title in ("cost_$_per_$.hdf5", b"caf\xe9.hdf5".decode(errors="surrogateescape")):
        assert np.abs(draw(tmp_path / "own.png", title=title) - plain).mean() > 1e-4
