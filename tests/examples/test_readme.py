"""The Python example of the README runs as it stands."""

import pathlib
import re

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_example_of_the_readme_runs_and_ends_with_a_policy(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 1
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    states = np.random.default_rng(1).normal(size=(100, 3))
    assert np.abs(names["result"].policy(states) - names["expert"](states)).mean() < 0.1
    assert "mean absolute error: 0.0" in capsys.readouterr().out
    assert (tmp_path / "runs/mine/distilled.npz").is_file()
