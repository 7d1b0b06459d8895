"""Cells of the committed table that are made again and compared with it."""

import json
import os
import pathlib

import check_results
import numpy as np
import pytest
import results_table
import run_table
from check_results import CheckSettings

from obd_jax.reporting import SILENT
from obd_jax.types import InvalidInputError

COMMITTED = pathlib.Path(check_results.__file__).parents[2] / "docs/results"
# Means of three seeds, with the interval [40.1, 79.9] in the table.
SEEDS = (52.0, 60.0, 68.0)


def write_cell(folder, row, family, seed, returns, **changes):
    content = {
        "dataset": "hopper-medium-replay",
        "row": row,
        "family": family,
        "seed": seed,
        "returns": returns,
        "seconds": {"distil": 60.0},
        **changes,
    }
    path = folder / content["dataset"] / f"{row}-{family}-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def committed(tmp_path):
    folder = tmp_path / "committed"
    for seed, mean in enumerate(SEEDS):
        write_cell(folder, "av_pbc", "kernel", seed, {"kernel": [[mean - 1, mean + 1]]})
    # One seed: ten students.
    students = [[10.0 + place, 10.0 + place] for place in range(10)]
    write_cell(folder, "random", "mlp", 0, {"mlp": students})
    # Not chosen: policies, networks, and rows that are not of the table.
    write_cell(folder, "bc", None, 0, {"mlp": [[1.0, 2.0]]})
    write_cell(folder, "pbc", "mlp", 0, {"mlp": [[1.0, 2.0]]})
    write_cell(folder, "av_pbc_knn_0.1", "kernel", 0, {"kernel": [[1.0, 2.0]]})
    return folder


def makes(monkeypatch, means):
    """Cells get the mean given for their row, without data; one of None diverges."""
    made = []

    def make(cell, *_):
        made.append((cell.name, cell.settings.data.source, os.environ["OBD_JAX_CACHE"]))
        if means[cell.row] is None:
            raise FloatingPointError("not finite")
        return {"returns": {"mlp" if cell.row == "random" else "kernel": [[means[cell.row]]]}}

    monkeypatch.setattr(run_table, "load_problem", lambda *_: None)
    monkeypatch.setattr(run_table, "make", make)
    return made


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.json")}


def settings_for(committed, tmp_path, **changes):
    return CheckSettings(cells=str(committed), out=str(tmp_path / "out"), **changes)


def test_means_within_what_is_stated_are_good_and_nothing_is_written_there(
    committed, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OBD_JAX_CACHE", "own")
    made = makes(monkeypatch, {"av_pbc": 79.0, "random": 15.0})
    before = contents(committed)
    verdicts = check_results.run(settings_for(committed, tmp_path), SILENT)
    assert contents(committed) == before
    assert all(verdict.good for verdict in verdicts)
    names = {f"hopper-medium-replay/av_pbc-kernel-{seed}" for seed in range(3)}
    assert {name for name, *_ in made} == names | {"hopper-medium-replay/random-mlp-0"}
    assert {source for _, source, _ in made} == {"embedded"}
    # Nothing of the ordinary cache is used.
    (cache,) = {cache for *_, cache in made}
    assert cache != "own"
    assert not pathlib.Path(cache).exists()
    assert os.environ["OBD_JAX_CACHE"] == "own"
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "cells: 4, minutes: about 4"
    assert (
        "hopper-medium-replay/av_pbc-kernel-0, kernel: 79.0, committed 52.0: "
        "within [40, 80], the table's interval over 3 seeds" in shown
    )
    assert (
        "hopper-medium-replay/random-mlp-0, mlp: 15.0, committed 14.5: "
        "within [11, 18], what its own 10 students allow (one seed)" in shown
    )
    assert shown[-1] == "4 of 4 means are within"


@pytest.mark.parametrize(
    ("means", "text"),
    [
        ({"av_pbc": 81.0, "random": 15.0}, "kernel: 81.0, committed 68.0: OUTSIDE [40, 80], the "),
        ({"av_pbc": 79.0, "random": 20.0}, "mlp: 20.0, committed 14.5: OUTSIDE [11, 18], what "),
        ({"av_pbc": None, "random": 15.0}, "av_pbc-kernel-2: diverged"),
    ],
)
def test_a_mean_outside_or_a_cell_that_diverges_ends_with_code_1(
    committed, tmp_path, monkeypatch, capsys, means, text
):
    makes(monkeypatch, means)
    wanted = settings_for(committed, tmp_path)
    monkeypatch.setattr(check_results, "settings_from_flags", lambda _: wanted)
    with pytest.raises(SystemExit) as ended:
        check_results.main()
    assert ended.value.code == 1
    assert text in capsys.readouterr().out


def test_without_a_mean_outside_the_command_ends_with_code_0(committed, tmp_path, monkeypatch):
    makes(monkeypatch, {"av_pbc": 60.0, "random": 14.0})
    wanted = settings_for(committed, tmp_path)
    monkeypatch.setattr(check_results, "settings_from_flags", lambda _: wanted)
    check_results.main()


def test_a_single_student_is_allowed_what_its_episodes_allow():
    old = {"seed": 0, "returns": {"kernel": [[40.0, 50.0, 60.0]]}}
    (low, high), source = check_results.allowed(old, {0: np.array([40.0, 50.0, 60.0])}, "kernel")
    # Student's t with two degrees of freedom, of the difference of two means.
    half = 4.3027 * np.sqrt(2 * 100 / 3)
    assert (low, high) == pytest.approx((50 - half, 50 + half), rel=1e-4)
    assert source == "what its own 3 episodes allow (one seed)"


def test_the_number_decides_the_cells_and_their_seconds_fit():
    _, found = results_table.read(COMMITTED)
    chosen = [check_results.choose(found, number, 5, 1200.0) for number in range(20)]
    assert chosen[1] == check_results.choose(found, 1, 5, 1200.0)
    assert chosen[1] != chosen[2]
    for cells in chosen:
        assert len(cells) == 5
        assert check_results.total_seconds(cells, found) <= 1200
        assert all(check_results.may_be_chosen(cell) for cell in cells)
    few = check_results.choose(found, 1, 5, 60.0)
    assert 0 < len(few) < 5
    assert check_results.choose(found, 1, 5, 1.0) == []


def test_seconds_that_were_shared_are_counted_for_every_cell():
    cells = [
        {"dataset": "hopper-medium-replay", "row": row, "seconds": seconds}
        for row, seconds in (
            ("sdw_pbc", {"density": 30.0, "distil": 20.0}),
            ("sdw_av_pbc", {"density": 0.001, "distil": 20.0}),
            ("sdr", {"select": 2.0}),
            ("pbc", {"distil": 20.0}),
        )
    ]
    recording = check_results.RECORDING * 402_000
    found = [check_results.total_seconds([cell], cells) - recording for cell in cells]
    assert found == pytest.approx([50.0, 50.0, 32.0, 20.0])
    assert check_results.total_seconds(cells, cells) == pytest.approx(recording + 152.0)


def test_committed_cells_are_within_what_is_allowed_for_them():
    scores, found = results_table.read(COMMITTED)
    for cell in filter(check_results.may_be_chosen, found):
        for kind, returns in cell["returns"].items():
            by_seed = scores[cell["row"], kind][cell["dataset"]]
            (low, high), _ = check_results.allowed(cell, by_seed, kind)
            assert low <= np.mean(returns) <= high


def test_no_time_for_any_cell_is_refused(committed, tmp_path):
    with pytest.raises(InvalidInputError, match="no cell is made within minutes"):
        check_results.run(settings_for(committed, tmp_path, minutes=0.1), SILENT)


def test_folders_that_are_not_for_new_cells_are_refused(committed, tmp_path):
    inside = CheckSettings(cells=str(committed), out=str(committed / "new"))
    with pytest.raises(InvalidInputError, match="out lies in cells"):
        check_results.run(inside, SILENT)
    with pytest.raises(InvalidInputError, match="is not empty, and cells are made from nothing"):
        check_results.run(CheckSettings(cells=str(committed), out=str(tmp_path)), SILENT)
