"""The document made of the table's cells."""

import pathlib
import re

import numpy as np
import pictures
import protocol
import pytest
import results_table

from obd_jax.types import InvalidInputError
from tests.experiments.paper.fake_cells import write_cell

DOCS = pathlib.Path(results_table.__file__).parents[2] / "docs"


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


def test_the_document_opens_with_a_picture_of_the_numbers_of_the_table(tmp_path, monkeypatch):
    cells, drawn = DOCS / "results", []
    draw = results_table.draw_shares
    monkeypatch.setattr(
        results_table, "draw_shares", lambda given: drawn.append(given) or draw(given)
    )
    outs = [tmp_path / name for name in ("one.md", "other.md")]
    for out in outs:
        results_table.run(results_table.DocumentSettings(str(cells), str(out)))
    text = outs[0].read_text()
    assert re.match(r"# Results on embedded data\n\n!\[Mean return [^]]+\]\(one\.png\)\n", text)
    one, other = (out.with_suffix(".png") for out in outs)
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < 150_000
    titles = [title for title, rows in drawn[0].rows.items() for _ in rows]
    rows = [row for rows in drawn[0].rows.values() for row in rows]
    found = re.findall(r"^\| (.+) \| (.+) \| 9 \| (\d+)% \|", text, re.MULTILINE)
    assert [
        (row.label, title, f"{row.mean:.0f}") for row, title in zip(rows, titles, strict=True)
    ] == found
    averages = {
        name: [float(number) for number in numbers if number]
        for name, *numbers in re.findall(
            r"^\| (SDR coreset|teacher|BC on all data) \| .*\*\*([\d.]+)\*\*"
            r"(?: \[([\d.]+), ([\d.]+)\])? \|$",
            text.partition("| MLP of")[0],
            re.MULTILINE,
        )
    }
    teacher = averages["teacher"][0] / 100
    coreset = next(row for row in rows if row.label == "SDR coreset")
    in_units = np.array([coreset.mean, *coreset.interval]) * teacher
    np.testing.assert_allclose(in_units, averages["SDR coreset"], atol=0.06)
    np.testing.assert_allclose(drawn[0].clone * teacher, averages["BC on all data"], atol=0.06)
    assert pictures.words_in(DOCS / "results.png") == pictures.words_in(outs[0].with_suffix(".png"))


def test_density_weights_have_a_picture_with_the_numbers_of_the_table(tmp_path):
    for seed in (0, 1):
        write_cell(tmp_path / "cells", "hopper-medium", "pbc", "kernel", seed, [[40.0]])
        write_cell(tmp_path / "cells", "hopper-medium", "sdw_pbc", "kernel", seed, [[44.0 + seed]])
    results_table.run(
        results_table.DocumentSettings(str(tmp_path / "cells"), str(tmp_path / "results.md"))
    )
    words = pictures.words_in(tmp_path / "density_weights.png")
    for kind in ("medium", "all"):
        assert f"PBC: {kind}" in words
    assert "PBC: replay" not in words
    (line,) = re.findall(
        r"SDW-PBC minus PBC \| Kernel student \| all \| (.*) \| 1 of 1",
        (tmp_path / "results.md").read_text(),
    )
    assert line == "+4.5 [-1.9, +10.9]"
    assert line in words


def test_held_out_seeds_have_a_table_of_their_own(tmp_path):
    fresh = tmp_path / results_table.HELD_OUT
    for dataset in protocol.DATASETS:
        write_cell(tmp_path, dataset, "teacher", "teacher", 0, [[80.0, 80.0]])
        write_cell(tmp_path, dataset, "sdw_av_pbc", "kernel", 0, [[20.0]])
        for seed in (10, 11):
            worst = dataset == "hopper-medium" and seed == 11
            mean = 8.0 if worst else 60.0
            write_cell(fresh, dataset, "sdw_av_pbc_best_smooth", "kernel", seed, [[mean]])
            write_cell(fresh, dataset, "sdw_av_pbc", "kernel", seed, [[mean - 5]])
    text = results_table.document(tmp_path)
    before, section = text.split("## Held-out seeds")
    section, after = section.split("## The table")
    assert "good episodes" not in before
    assert "these rows have other seeds, 10, 11, and" in section
    label = "SDW-Av-PBC, good episodes, ridge 0.01"
    # (8 * 60 + (60 + 8) / 2) / 9 of 80.
    line = rf"\| {label} \| 71% \[.*\] \| 75%, 68% \| 10%, hopper-medium, seed 11 \|"
    assert re.search(line, section)
    assert f"| {label} minus SDW-Av-PBC | Kernel student | all | +5.0 [+5.0, +5.0] | 9" in section
    assert "| SDW-Av-PBC | 20.0 | 20.0" in after


def test_there_is_no_picture_without_a_row_of_nine_data_sets(tmp_path):
    write_cell(tmp_path / "cells", "hopper-medium", "dbc", "kernel", 0, [[40.0, 41.0]])
    out = tmp_path / "results.md"
    results_table.run(results_table.DocumentSettings(str(tmp_path / "cells"), str(out)))
    assert "![" not in out.read_text()
    assert not out.with_suffix(".png").exists()


def test_the_committed_document_is_that_of_the_committed_cells():
    assert (DOCS / "results.md").read_text() == results_table.document(DOCS / "results")
