"""Successive halving."""

import json

import pytest
import search

from obd_jax.pipeline import RunSettings
from obd_jax.settings import from_options, with_options
from obd_jax.types import InvalidInputError

SPACE = {"ridge": (1e-3, 1e-2), "depth": (1, 2, 3)}


def test_candidates_differ_and_the_first_is_the_defaults():
    found = search.draw(SPACE, 6, seed=0)
    assert found[0] == {}
    assert len({json.dumps(one) for one in found}) == 6
    assert all(one["ridge"] in SPACE["ridge"] for one in found[1:])
    assert found == search.draw(SPACE, 6, seed=0)


def test_the_best_third_advances_and_trials_are_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(search.SPACES, "kernel", SPACE)
    calls = []

    class Task:
        def __init__(self, settings, dataset):
            self.teacher = 100.0

        def trial(self, settings, seconds):
            calls.append((settings, seconds))
            share = settings.get("depth", 0) / 3 + 1e-3 * settings.get("ridge", 0)
            return {"return": 100 * share, "share": share, "loss": 0.1, "steps": 5}

    monkeypatch.setattr(search, "Task", Task)
    path = tmp_path / "trials.jsonl"
    wanted = {
        "datasets": ("toy",),
        "seconds": (1.0, 2.0),
        "candidates": 6,
        "seeds": (0, 1),
        "trials": str(path),
    }
    wanted_search = search.SearchSettings(**wanted)
    ranked = search.run(RunSettings(), wanted_search)
    # Six in the first rung, two of them with both seeds in the second.
    assert [seconds for _, seconds in calls] == [1.0] * 6 + [2.0] * 4
    assert {settings["seed"] for settings, _ in calls[6:]} == {0, 1}
    assert [row["settings"]["depth"] for row in ranked] == [3, 3]
    assert ranked[0]["settings"]["ridge"] == 1e-2
    assert search.run(RunSettings(), wanted_search) == ranked
    assert len(calls) == len(path.read_text().splitlines()) == 10
    # The candidates of the last rung once more, for as long, on other data.
    confirming = search.SearchSettings(**wanted, confirm=("hopper-medium",))
    confirmed = search.run(RunSettings(), confirming)
    assert calls[10:] == [
        ({"seed": seed} | row["settings"], 2.0) for row in ranked for seed in (0, 1)
    ]
    assert [row["settings"] for row in confirmed] == [row["settings"] for row in ranked]
    assert len(confirmed[0]["shares"]) == 2
    # Other settings for all candidates are other trials.
    search.run(with_options(RunSettings(), pairs=64), wanted_search)
    assert len(calls) == 14 + 10
    # Trials from before settings for all candidates were recorded had the defaults.
    records = [json.loads(line) for line in path.read_text().splitlines()[:10]]
    for record in records:
        assert record["cell"].pop("base") == {}
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert search.run(RunSettings(), wanted_search) == ranked
    assert len(calls) == 14 + 10


@pytest.mark.slow
def test_a_trial_distils_for_its_seconds():
    settings = from_options(RunSettings, {"pairs": 8, "temperature": 0.0})
    task = search.Task(settings, "toy")
    found = task.trial({"seed": 0, "batch_size": 64}, 6.0)
    assert found["steps"] >= 10
    assert found["share"] == pytest.approx(found["return"] / task.teacher)
    assert 0 < found["loss"] < 0.05


def test_narrow_networks_share_the_seconds():
    options = search.complete({"narrow_widths": (64, 128)})
    assert options == {"narrow_widths": (64, 128), "narrow_steps": (10**6, 10**6)}
    assert search.complete({"narrow_widths": ()}) == {"narrow_widths": (), "narrow_steps": ()}
    assert search.complete({"depth": 2}) == {"depth": 2}


@pytest.mark.parametrize("student", search.SPACES)
def test_every_candidate_can_be_distilled(student):
    base = from_options(RunSettings, {"student": student})
    for candidate in search.draw(search.SPACES[student], 50, seed=0):
        with_options(base, **search.complete(candidate))


@pytest.mark.parametrize(
    ("student", "datasets", "count", "message"),
    [
        ("lazy_mlp", ("toy",), 3, "student takes kernel, mlp here, got lazy_mlp"),
        ("kernel", ("hopper",), 3, "unknown data set 'hopper'"),
        ("kernel", ("toy",), 0, "candidates must be between 1 and"),
    ],
)
def test_bad_input_is_refused(tmp_path, student, datasets, count, message):
    def run():
        wanted = search.SearchSettings(
            datasets=datasets, seconds=(1.0,), candidates=count, trials=str(tmp_path / "x")
        )
        search.run(from_options(RunSettings, {"student": student}), wanted)

    with pytest.raises(InvalidInputError, match=message):
        run()
    assert not (tmp_path / "x").exists()
