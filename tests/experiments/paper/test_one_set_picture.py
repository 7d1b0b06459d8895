"""The picture of every learner on every data set."""

import json
import pathlib

import one_set_picture
import pytest
from learners_table import shares_by_data, shares_of
from one_set_picture import PictureSettings
from pictures import words_in

from obd_jax.types import InvalidInputError

DOCS = pathlib.Path(one_set_picture.__file__).parents[2] / "docs"
SUMMARY = DOCS / "results/studies/one_set/pool.json"


@pytest.fixture(scope="module")
def summary():
    return json.loads(SUMMARY.read_text())


@pytest.mark.parametrize("kind", ["pool", "default", "random", "coreset"])
def test_the_committed_tables_are_those_of_the_summaries(kind):
    summary = json.loads(SUMMARY.with_stem(kind).read_text())
    assert shares_of(summary) in (DOCS / "one_set_table.md").read_text()


def test_the_numbers_drawn_are_those_of_the_table_and_a_second_run_has_the_same_bytes(
    summary, tmp_path, monkeypatch
):
    drawn = []
    draw = one_set_picture.draw_heat_map
    monkeypatch.setattr(
        one_set_picture, "draw_heat_map", lambda *given: drawn.append(draw(*given)) or drawn[-1]
    )
    paths = [tmp_path / name for name in ("one.png", "other.png")]
    for path in paths:
        one_set_picture.run(PictureSettings(str(SUMMARY), str(path)))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size < 150_000
    left, right = drawn[0].axes
    names = [label.get_text() for label in left.get_yticklabels()]
    means, cells = ([text.get_text() for text in axis.texts] for axis in (left, right))
    for place, line in enumerate(shares_of(summary).splitlines()[2:]):
        name, mean, *shares, _ = line.strip("| ").split(" | ")
        assert (names[place], means[place]) == (name, mean.partition(" ")[0])
        assert cells[9 * place : 9 * place + 9] == shares
    assert len(names) == place + 1
    assert words_in(DOCS / "one_set.png") == words_in(paths[0])


def test_rows_fall_by_the_mean_and_a_learner_that_skips_a_set_has_none():
    sets = {label: {"data": label[0]} for label in ("a1", "a2", "b1", "b2")}
    teacher = {label: {"mean": 50.0} for label in sets}
    learners = {
        "weak": {label: {"mean": 5.0 * place} for place, label in enumerate(sets)},
        "none": {**{label: {"mean": 50.0} for label in sets}, "b2": {"skipped": "no PyTorch"}},
        "good": {**{label: {"mean": 50.0} for label in sets}, "b2": {"failed": "not finite"}},
    }
    found = shares_by_data({"sets": sets, "teacher": teacher, "learners": learners})
    assert [share.name for share in found] == ["good", "weak"]
    assert found[0].by_data == {"a": 100.0, "b": 50.0}
    assert (found[0].mean, found[0].worst) == (75.0, 0.0)
    assert found[1].interval is not None


def test_a_summary_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"absent\.json; learners\.py makes it"):
        one_set_picture.run(PictureSettings(str(tmp_path / "absent.json")))
