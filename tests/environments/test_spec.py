"""Tasks as records, and scores of returns."""

import numpy as np
import pytest

from obd_jax import environments
from obd_jax.environments import normalized_score


# D4RL's reference returns (Fu et al. 2020, arXiv 2004.07219, and its `infos.py`).
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("hopper", -20.272305, 3234.3),
        ("halfcheetah", -280.178953, 12135.0),
        ("walker2d", 1.629008, 4592.3),
        ("ant", -325.6, 3879.7),
    ],
)
def test_reference_returns_score_0_and_100(name, low, high):
    np.testing.assert_allclose(
        normalized_score(environments.get(name), [[low, high], [(low + high) / 2, low]]),
        [[0, 100], [50, 0]],
        atol=1e-10,
    )


def test_returns_without_references_stay_raw():
    raw = environments.get("brax:ant")
    np.testing.assert_array_equal(environments.score(raw, [1.5, -2.0]), [1.5, -2.0])
    scored = environments.get("brax:ant", reference_returns=(-2.0, 2.0))
    np.testing.assert_array_equal(environments.score(scored, [0.0, 2.0]), [50.0, 100.0])
    assert (raw.unit, scored.unit) == ("raw Brax return", "normalised return")
