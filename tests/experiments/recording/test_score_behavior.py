"""The table of behaviour policies: whole episodes only, one line for each policy."""

import numpy as np
import pytest
import score_behavior

from obd_jax import environments, recorded
from obd_jax.types import InvalidInputError


def test_only_whole_episodes_count():
    environment = environments.get("hopper")
    rewards = np.ones(1013, np.float32)
    terminals, timeouts = np.zeros((2, 1013), bool)
    terminals[9] = True  # An episode of 10 that ended,
    timeouts[1009] = True  # one of 1000 that lasted as long as it may,
    timeouts[1012] = True  # and one that was cut off after 3.
    rows = {"rewards": rewards, "terminals": terminals, "timeouts": timeouts}
    expected = environments.normalized_score(environment, [10.0, 1000.0])
    np.testing.assert_allclose(score_behavior.scores(rows, environment), expected)


def test_there_is_a_line_for_each_policy(capsys, monkeypatch):
    monkeypatch.setattr(recorded, "snapshots", lambda name: [10_000, 170_000])
    score_behavior.run(score_behavior.Config(env="hopper", steps=8000))
    _, first, medium = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["hopper", "10,000"]
    assert medium.split()[:3] == ["hopper", "170,000", "medium"]
    assert 30 < float(medium.split()[4]) < 50


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(InvalidInputError, match="no behaviour policies come with the package"):
        score_behavior.run(score_behavior.Config(env="ant"))
    with pytest.raises(InvalidInputError, match=r"steps must be at least 8000, .* got 7999"):
        score_behavior.run(score_behavior.Config(env="hopper", steps=7999))
