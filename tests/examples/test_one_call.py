"""The example of the one call."""

import json

import numpy as np
import one_call


def test_a_policy_in_numpy_becomes_a_set_a_policy_and_a_run_folder(tmp_path, capsys):
    result = one_call.main(str(tmp_path / "run"))
    states = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    assert np.abs(result.policy(states) - one_call.expert(states)).mean() < 0.1
    assert result.synthetic.actions.shape == (64, 2)
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["outer_steps"] == 300
    assert results["provenance"]["teacher"]["source"] == "function"
    assert "mean absolute error" in capsys.readouterr().out
