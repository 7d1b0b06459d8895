"""The page on the number of pairs."""

import pathlib

import pairs_table
import protocol
import pytest
from pictures import words_in

from obd_jax.types import InvalidInputError
from tests.experiments.paper.fake_cells import write_cell

DOCS = pathlib.Path(pairs_table.__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path):
    """Cells: a teacher of 80, students of 20, 40 and 76 with 8, 64 and 256 pairs, +4 a seed."""
    for dataset in protocol.DATASETS:
        write_cell(tmp_path, dataset, "teacher", "teacher", 0, [[80.0, 80.0]])
        for place, value in (("pairs/8", 20.0), ("pairs/64", 40.0), ("held_out_seeds", 76.0)):
            for seed in (10, 11):
                own = tmp_path / "studies" / place
                returns = [[value + 4 * (seed - 10)] * 2]
                write_cell(own, dataset, pairs_table.ROW, "kernel", seed, returns)
    return tmp_path


def test_shares_are_of_the_teacher_and_sizes_are_sorted_with_that_of_the_table(folder):
    found = pairs_table.shares(folder)
    assert [*found] == [*protocol.DATASETS]
    for own in found.values():
        assert {size: shares.tolist() for size, shares in own.items()} == {
            8: [25.0, 30.0],
            64: [50.0, 55.0],
            256: [95.0, 100.0],
        }
    assert pairs_table.fewest(own) == "256"
    assert pairs_table.fewest({8: own[8], 64: own[64]}) == "more than 64"


def test_the_document_has_every_data_set_and_the_average(folder):
    text = pairs_table.document(pairs_table.shares(folder), "pairs.png")
    # Student's t of 9 degrees of freedom, 2.262, times the deviation 2.5 / 3 of the mean of nine.
    assert "| 64 | 52 | 52 | 52 | 52 | 52 | 52 | 52 | 52 | 52 | **52** [51, 54] |" in text
    assert "| hopper | 256 | 256 | 256 |" in text


def test_the_panels_have_three_curves_and_the_papers_in_percent_of_its_own_teacher(folder):
    panels = pairs_table.curves(pairs_table.shares(folder))
    assert [*panels] == ["halfcheetah", "hopper", "walker2d"]
    *ours, papers = panels["hopper"]
    assert [curve.label for curve in ours] == ["medium-replay", "medium", "medium-expert"]
    assert all(curve.y.shape == (3, 2) for curve in ours)
    assert papers.y[-1, 0] == pytest.approx(100 * 40.9 / 98.0)


def test_the_committed_page_is_that_of_the_committed_cells_and_made_the_same_twice(tmp_path):
    outs = [tmp_path / name for name in ("pairs.md", "other.md")]
    for out in outs:
        pairs_table.run(pairs_table.DocumentSettings(str(DOCS / "results"), str(out)))
    one, other = (out.with_suffix(".png") for out in outs)
    assert one.read_bytes() == other.read_bytes()
    assert outs[0].read_text() == (DOCS / "pairs.md").read_text()
    assert words_in(one) == words_in(DOCS / "pairs.png")


def test_cells_of_no_other_number_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"run_table\.py --pairs makes them"):
        pairs_table.shares(tmp_path)
