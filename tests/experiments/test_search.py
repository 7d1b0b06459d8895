"""Successive halving."""

import json

import pytest
import search
from config import Config

from obd_jax.types import InvalidInputError

SPACE = {"ridge": (1e-3, 1e-2), "depth": (1, 2, 3)}


def test_candidates_differ_and_the_first_is_the_defaults():
    found = search.draw(SPACE, 6, seed=0)
    assert found[0] == {}
    assert len({json.dumps(one) for one in found}) == 6
    assert all(one["ridge"] in SPACE["ridge"] for one in found[1:])
    assert found == search.draw(SPACE, 6, seed=0)


def test_the_best_third_goes_on_and_trials_are_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(search.SPACES, "kernel", SPACE)
    calls = []

    class Task:
        def __init__(self, config, dataset):
            self.teacher = 100.0

        def trial(self, settings, seconds):
            calls.append((settings, seconds))
            share = settings.get("depth", 0) / 3 + 1e-3 * settings.get("ridge", 0)
            return {"return": 100 * share, "share": share, "loss": 0.1, "steps": 5}

    monkeypatch.setattr(search, "Task", Task)
    path = tmp_path / "trials.jsonl"
    arguments = (Config(), ["toy"], [1.0, 2.0], 6, [0, 1], path)
    ranked = search.run(*arguments)
    # Six in the first rung, two of them with both seeds in the second.
    assert [seconds for _, seconds in calls] == [1.0] * 6 + [2.0] * 4
    assert {settings["seed"] for settings, _ in calls[6:]} == {0, 1}
    assert [row["settings"]["depth"] for row in ranked] == [3, 3]
    assert ranked[0]["settings"]["ridge"] == 1e-2
    assert search.run(*arguments) == ranked
    assert len(calls) == len(path.read_text().splitlines()) == 10
    # The candidates of the last rung once more, for as long, on other data.
    confirmed = search.run(*arguments, confirm=["hopper-medium"])
    assert calls[10:] == [
        ({"seed": seed} | row["settings"], 2.0) for row in ranked for seed in (0, 1)
    ]
    assert [row["settings"] for row in confirmed] == [row["settings"] for row in ranked]
    assert len(confirmed[0]["shares"]) == 2
    # Other settings for all candidates are other trials.
    search.run(Config(pairs=64), *arguments[1:])
    assert len(calls) == 14 + 10


def test_a_trial_distils_for_its_seconds(tmp_path):
    config = Config(dataset="toy", pairs=8, temperature=0.0)
    task = search.Task(config, "toy")
    found = task.trial({"seed": 0, "batch_size": 64}, 6.0)
    assert found["steps"] >= 10
    assert found["share"] == pytest.approx(found["return"] / task.teacher)
    assert 0 < found["loss"] < 0.05


def test_narrow_networks_share_the_seconds():
    settings = search.settings_of({"narrow_widths": (64, 128)})
    assert settings == {"narrow_widths": (64, 128), "narrow_steps": (10**6, 10**6)}
    assert search.settings_of({"depth": 2}) == {"narrow_steps": (), "depth": 2}


@pytest.mark.parametrize(
    ("student", "datasets", "count", "message"),
    [
        ("lazy_mlp", ["toy"], 3, "--student takes kernel, mlp here, got lazy_mlp"),
        ("kernel", ["hopper"], 3, "unknown data set 'hopper'"),
        ("kernel", ["toy"], 0, "--candidates must be between 1 and"),
    ],
)
def test_bad_input_is_refused(tmp_path, student, datasets, count, message):
    with pytest.raises(InvalidInputError, match=message):
        search.run(Config(student=student), datasets, [1.0], count, [0], tmp_path / "x")
