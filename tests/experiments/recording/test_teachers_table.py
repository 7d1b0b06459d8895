"""The table of trained teachers."""

import json

import pytest
import teachers_table

from obd_jax.types import InvalidInputError

ROW = {"mean": 61.23, "ci95": (50.0, 70.0)}
RESULTS = {
    "returns": {"teacher": ROW, "data": {"mean": 55.0}},
    "q_calibration": None,
    "steps_per_second": 900.4,
    "seconds": 120.0,
    "config": {"dataset": "toy", "algorithm": "td3_bc", "seed": 0, "steps": 2000},
    "provenance": {"data": {"name": "folder/some.hdf5"}},
}
MEASURED = {
    "predicted": 150.0,
    "earned": 120.0,
    "rank_correlation": 0.5,
    "above_random": 0.9,
    "effective_sample_fraction": None,
    "negative": 0.25,
}


def test_the_table_has_a_row_for_each_training(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(RESULTS))
    table = teachers_table.run(teachers_table.Config(runs=str(tmp_path)))
    assert capsys.readouterr().out == f"{table}\n"
    (_, _, line, other) = table.splitlines()
    assert line == other
    assert line.startswith("| toy | td3_bc | 0 | 2,000 | 61.2 [50.0, 70.0] | 55.0 | ")
    assert line.endswith(" | 900 | 2.0 |")
    assert line.count("|") == len(teachers_table.COLUMNS) + 1
    with pytest.raises(InvalidInputError, match=r"no results\.json"):
        teachers_table.run(teachers_table.Config(runs=str(tmp_path / "one")))


def test_what_was_measured_of_values_is_in_the_row():
    line = teachers_table.row({**RESULTS, "q_calibration": MEASURED})
    assert "| 150 | 120 | 0.50 | 90% |  | 25% |" in line
    assert line.count("|") == len(teachers_table.COLUMNS) + 1


@pytest.mark.parametrize("config", [{"dataset": None}, {}])
def test_data_from_a_file_go_by_its_name(config):
    kept = {name: RESULTS["config"][name] for name in ("algorithm", "seed", "steps")}
    line = teachers_table.row({**RESULTS, "config": {**kept, **config}})
    assert line.startswith("| some.hdf5 | td3_bc |")
