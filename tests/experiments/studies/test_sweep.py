"""Tables over options: cells are run once, and plots are drawn from them."""

import json

import numpy as np
import pytest
import shared_cells
import shared_sets
import sweep

from obd_jax.pipeline import RunSettings, load_problem, problem
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, with_options
from obd_jax.types import InvalidInputError

TINY = from_options(
    RunSettings,
    {
        "dataset": "toy",
        "density": "gaussian",
        "temperature": 0.0,
        "pairs": 8,
        "outer_steps": 12,
        "batch_size": 64,
        "students": 1,
        "episodes": 3,
    },
)


@pytest.fixture
def cells(tmp_path, monkeypatch):
    monkeypatch.setattr(problem, "TOY_TRANSITIONS", 500)
    return tmp_path / "new" / "cells.jsonl"


@pytest.mark.slow
def test_a_cell_is_run_once_and_says_what_it_depends_on(cells, monkeypatch):
    first = shared_cells.cached(TINY, "toy", cells)
    assert first["steps"] == 12
    assert np.mean(first["per_student"]) == pytest.approx(first["mean"])
    assert first["worst_episode"] <= first["mean"]
    assert first["provenance"]["environment"]["name"] == "point-mass"
    assert len(first["provenance"]["data"]["sha256"]) == 64

    # What it resumed from is gone.
    assert sorted(path.name for path in cells.parent.iterdir()) == [
        "cells.jsonl",
        "cells.jsonl.begun",
    ]
    assert not [path for path in (cells.parent / "cells.jsonl.begun").iterdir() if path.is_dir()]

    def never(settings, folder):
        raise AssertionError("a cell that is known was run again")

    monkeypatch.setattr(shared_cells, "run_cell", never)
    # Where a run would be written is no part of what it is.
    assert shared_cells.cached(with_options(TINY, out="elsewhere"), "toy", cells) == first
    for changes in ({"pairs": 9}, {"seed": 1}, {"ridge": 0.5}):
        with pytest.raises(AssertionError, match="run again"):
            shared_cells.cached(with_options(TINY, **changes), "toy", cells)
    (line,) = cells.read_text().splitlines()
    record = json.loads(line)
    assert record["cell"]["set"] == "toy"
    # Cells lack options newer than they are, and may hold those of other students.
    del record["cell"]["early_steps"]
    record["cell"]["hidden_sizes"] = [64]
    cells.write_text(json.dumps(record) + "\n")
    assert shared_cells.cached(TINY, "toy", cells) == first
    with pytest.raises(AssertionError, match="run again"):
        shared_cells.cached(with_options(TINY, early_steps=50.0), "toy", cells)


def test_a_cell_is_of_its_files_wherever_they_are(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path, content in zip(paths, ("data", "data", "other"), strict=True):
        path.write_text(content)
    one, same, other = (
        shared_cells.cell_of(with_options(TINY, dataset_path=str(path)), "x") for path in paths
    )
    assert one == same != other
    with pytest.raises(InvalidInputError, match="absent does not exist"):
        shared_cells.cell_of(with_options(TINY, teacher=str(tmp_path / "absent")), "x")


def test_a_cell_that_was_stopped_resumes(cells, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shared_cells, "score", stop)
        with pytest.raises(KeyboardInterrupt):
            shared_cells.cached(TINY, "toy", cells)
    assert shared_cells.cached(TINY, "toy", cells)["steps"] == 12
    assert "resumes from step 12" in capsys.readouterr().err


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
    with pytest.raises(InvalidInputError, match="pairs takes int, got many"):
        sweep.parse_vary("pairs=many")


@pytest.mark.parametrize("name", shared_sets.PAPER)
def test_the_shared_sets_are_where_their_settings_say(shared_data, name):
    settings = from_options(RunSettings, shared_sets.options_on(name, str(shared_data)))
    found = load_problem(settings, SILENT)
    assert found.environment.name == name.split("-")[0]
    assert len(found.data) > 99_000


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Cells asked for, which are not run: their return is 10 for each seed and one for a pair."""
    found = []

    def cached(settings, set_name, path):
        assert path == tmp_path / "cells.jsonl"
        found.append((set_name, settings.run.seed, settings.distillation.start.pairs))
        mean = 10.0 * settings.run.seed + settings.distillation.start.pairs
        return {"mean": mean, "worst_episode": mean - 5, "loss": 0.5, "seconds": 2.0}

    monkeypatch.setattr(shared_cells, "cached", cached)
    return found


def test_a_sweep_has_a_cell_for_every_set_value_and_seed(made, tmp_path, capsys):
    sets, cells = ("hopper-medium", "halfcheetah-medium"), str(tmp_path / "cells.jsonl")
    wanted = sweep.SweepSettings(sets=sets, seeds=(0, 1), cells=cells, vary="pairs=8,16")
    sweep.run(RunSettings(), wanted)
    assert made == [(name, seed, n) for name in sets for n in (8, 16) for seed in (0, 1)]
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["set", "pairs", "return", "worst", "per", "seed", "loss", "seconds"]
    assert rows[1].split() == [
        "hopper-medium",
        *["16", "21.0", "11", "16.0", "26.0", "0.50000", "2.0"],
    ]
    made.clear()
    sweep.run(RunSettings(), sweep.SweepSettings(sets=sets[:1], cells=cells, vary="seed=3,4"))
    assert [seed for _, seed, _ in made] == [3, 4]
