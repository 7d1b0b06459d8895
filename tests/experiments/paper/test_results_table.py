"""The document made of the table's cells."""

import json
import pathlib

import protocol
import pytest
import results_table

from obd_jax.types import InvalidInputError


def write_cell(folder, dataset, row, kind, seed, returns):
    provenance = {
        "data": {"source": "embedded"},
        "teacher": {"source": "teacher by rebrac"},
        "environment": {"backend": "gymnasium Hopper-v4"},
    }
    content = {
        "dataset": dataset,
        "row": row,
        "family": "kernel",
        "seed": seed,
        "returns": {kind: returns},
        "seconds": {"distil": 60.0},
        "provenance": provenance,
    }
    path = folder / dataset / f"{row}-{kind}-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_document_has_means_averages_shares_and_differences(tmp_path):
    for i, dataset in enumerate(protocol.DATASETS):
        write_cell(tmp_path, dataset, "teacher", "teacher", 0, [[100.0, 100.0]])
        write_cell(tmp_path, dataset, "bc", "mlp", 0, [[50.0 + i, 50.0 + i]])
        for seed in (0, 1):
            write_cell(tmp_path, dataset, "av_pbc", "kernel", seed, [[40.0 + 10 * seed] * 3])
            write_cell(tmp_path, dataset, "sdw_av_pbc", "kernel", seed, [[54.0 + 10 * seed] * 3])
    text = results_table.document(tmp_path)
    assert text.startswith("# Results on embedded data\n")
    # Student's t with one degree of freedom, of the means 54 and 64 of two seeds.
    assert "| SDW-Av-PBC | 59.0 [-5, 123] |" in text
    assert "| **45.0** [" in text  # Av-PBC's average.
    assert "| *papers, D4RL* | 35.9 |" not in text  # Those are of other students.
    assert "| SDW-Av-PBC | Kernel student | 9 | 59% | 9 of 9 |" in text
    assert "| Av-PBC | Kernel student | 9 | 45% | 0 of 9 |" in text
    assert (
        "| SDW-Av-PBC minus Av-PBC | Kernel student | all | +14.0 [+14.0, +14.0] | 9 of 9 |" in text
    )
    assert text == results_table.document(tmp_path)


def test_a_difference_of_one_seed_has_no_interval(tmp_path):
    for row, value in (("av_pbc", 40.0), ("sdw_av_pbc", 42.0)):
        write_cell(tmp_path, "hopper-medium", row, "kernel", 0, [[value]])
    text = results_table.document(tmp_path)
    assert "| SDW-Av-PBC minus Av-PBC | Kernel student | all | +2.0 (one seed) | 1 of 1 |" in text


def test_no_average_is_claimed_over_fewer_than_nine(tmp_path):
    write_cell(tmp_path, "hopper-medium", "dbc", "kernel", 0, [[40.0, 41.0]])
    text = results_table.document(tmp_path)
    assert "| DBC |  |  |  |  | 40.5 |  |  |  |  |  |" in text


def test_a_folder_without_cells_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="makes them"):
        results_table.document(tmp_path)


def test_the_committed_document_is_that_of_the_committed_cells():
    docs = pathlib.Path(results_table.__file__).parents[2] / "docs"
    assert (docs / "results.md").read_text() == results_table.document(docs / "results")
