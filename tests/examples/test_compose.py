"""The example of composing one's own parts."""

import compose
import numpy as np


def test_own_parts_distil_three_seeds_at_once_and_draw_a_plot(tmp_path):
    path = tmp_path / "losses.png"
    losses = compose.main(str(path))
    assert losses.shape == (compose.SEEDS, compose.STEPS)
    assert (losses[:, -10:].mean(axis=1) < 0.6 * losses[:, :10].mean(axis=1)).all()
    assert len(np.unique(losses[:, -1])) == compose.SEEDS
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
