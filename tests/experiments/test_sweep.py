"""Tables over settings: cells are run once, and plots are drawn from them."""

import dataclasses
import json

import inputs
import numpy as np
import pairs
import pytest
import setup_run
import shared_sets
import sweep
from config import Config

from obd_jax.types import InvalidInputError

TINY = Config(
    dataset="toy",
    density="gaussian",
    temperature=0.0,
    pairs=8,
    outer_steps=12,
    batch_size=64,
    students=1,
    episodes=3,
)


@pytest.fixture
def cells(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 500)
    return tmp_path / "new" / "cells.jsonl"


def test_a_cell_is_run_once_and_says_what_it_depends_on(cells, monkeypatch):
    first = sweep.cached(TINY, "toy", cells)
    assert first["steps"] == 12
    assert np.mean(first["per_student"]) == pytest.approx(first["mean"])
    assert first["worst_episode"] <= first["mean"]
    assert first["provenance"]["environment"]["name"] == "point-mass"
    assert len(first["provenance"]["data"]["sha256"]) == 64

    # What it went on from is gone.
    assert sorted(path.name for path in cells.parent.iterdir()) == [
        "cells.jsonl",
        "cells.jsonl.begun",
    ]
    assert not [path for path in (cells.parent / "cells.jsonl.begun").iterdir() if path.is_dir()]

    def never(config, folder):
        raise AssertionError("a cell that is known was run again")

    monkeypatch.setattr(sweep, "run_cell", never)
    # Where a run would be written is no part of what it is.
    assert sweep.cached(dataclasses.replace(TINY, out="elsewhere"), "toy", cells) == first
    for changes in ({"pairs": 9}, {"seed": 1}, {"ridge": 0.5}):
        with pytest.raises(AssertionError, match="run again"):
            sweep.cached(dataclasses.replace(TINY, **changes), "toy", cells)
    (line,) = cells.read_text().splitlines()
    assert json.loads(line)["cell"]["set"] == "toy"


def test_a_cell_is_of_its_files_wherever_they_are(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path, content in zip(paths, ("data", "data", "other"), strict=True):
        path.write_text(content)
    one, same, other = (
        sweep.cell_of(dataclasses.replace(TINY, dataset_path=str(path)), "x") for path in paths
    )
    assert one == same != other
    with pytest.raises(InvalidInputError, match="absent does not exist"):
        sweep.cell_of(dataclasses.replace(TINY, teacher=str(tmp_path / "absent")), "x")


def test_a_cell_that_was_stopped_goes_on(cells, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "score", stop)
        with pytest.raises(KeyboardInterrupt):
            sweep.cached(TINY, "toy", cells)
    assert sweep.cached(TINY, "toy", cells)["steps"] == 12
    assert "goes on from step 12" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ridge=1e-4,0.1", ("ridge", [1e-4, 0.1])),
        ("pairs=8", ("pairs", [8])),
        ("kernel=rbf,ntk", ("kernel", ["rbf", "ntk"])),
        ("objective=pbc,dbc", ("objective", ["pbc", "dbc"])),
        ("budget_minutes=1,2", ("budget_minutes", [1.0, 2.0])),
    ],
)
def test_values_have_the_type_of_their_setting(text, expected):
    assert sweep.parse_vary(text) == expected


@pytest.mark.parametrize("text", ["ridge", "ridge=", "depht=3", "hidden_sizes=3", "centred=true"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(InvalidInputError, match="takes setting=value"):
        sweep.parse_vary(text)


def test_a_value_of_another_type_is_refused():
    with pytest.raises(InvalidInputError, match="pairs takes a int"):
        sweep.parse_vary("pairs=many")


@pytest.mark.parametrize("name", shared_sets.PAPER)
def test_the_shared_sets_are_where_their_settings_say(shared_data, name):
    config = dataclasses.replace(Config(), **shared_sets.settings(name, str(shared_data)))
    environment, data, _ = setup_run.load(config)
    assert environment.name == name.split("-")[0]
    assert len(data) > 99_000


def test_curves_over_the_number_of_pairs_are_drawn(tmp_path):
    curve = {"returns": np.array([[1.0, 2.0], [3.0, 5.0]]), "teacher": 4.0}
    pairs.draw({"hopper-medium": curve, "walker2d-medium": curve}, [8, 64], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
