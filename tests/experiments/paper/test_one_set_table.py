"""Tables and pictures of what learners learn from sets that were made for others."""

import json
import pathlib

import one_set_table
import pytest
from learners_table import shares_by_data, shares_of
from one_set_table import DocumentSettings
from pictures import words_in

from obd_jax.types import InvalidInputError

DOCS = pathlib.Path(one_set_table.__file__).parents[2] / "docs"
SUMMARY = DOCS / "results/studies/one_set/pool.json"


@pytest.fixture(scope="module")
def summary():
    return json.loads(SUMMARY.read_text())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Figures by the function that drew them, and the folder that holds their files."""
    found = {}

    def keep(name):
        draw = getattr(one_set_table, name)

        def keeping(*given):
            found[name] = draw(*given)
            return found[name]

        return keeping

    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_heat_map", "draw_matrix"):
            patch.setattr(one_set_table, name, keep(name))
        one_set_table.run(DocumentSettings(str(SUMMARY.parent), str(folder / "one_set_table.md")))
    return found, folder


def test_the_numbers_drawn_are_those_of_the_table(summary, drawn):
    left, right = drawn[0]["draw_heat_map"].axes
    names = [label.get_text() for label in left.get_yticklabels()]
    means, cells = ([text.get_text() for text in axis.texts] for axis in (left, right))
    for place, line in enumerate(shares_of(summary).splitlines()[2:]):
        name, mean, *shares, _ = line.strip("| ").split(" | ")
        assert (names[place], means[place]) == (name, mean.partition(" ")[0])
        assert cells[9 * place : 9 * place + 9] == shares
    assert len(names) == place + 1


def test_the_matrix_has_the_mean_of_every_learner_on_every_kind_of_set(drawn):
    (axis,) = drawn[0]["draw_matrix"].axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    cells = iter([text.get_text() for text in axis.texts])
    by_kind = {}
    for kind in one_set_table.KINDS:
        lines = shares_of(json.loads(SUMMARY.with_stem(kind).read_text())).splitlines()[2:]
        parts = [line.strip("| ").split(" | ") for line in lines]
        by_kind[kind] = {name: mean.partition(" ")[0] for name, mean, *_ in parts}
    assert set(names) == set.intersection(*(set(own) for own in by_kind.values()))
    for name in names:
        assert [next(cells) for _ in by_kind] == [own[name] for own in by_kind.values()]


def test_a_second_run_has_the_same_bytes_and_the_committed_files_are_of_the_committed_summaries(
    drawn, tmp_path
):
    out = tmp_path / "one_set_table.md"
    one_set_table.run(DocumentSettings(str(SUMMARY.parent), str(out)))
    assert out.read_text() == (DOCS / "one_set_table.md").read_text()
    for name in ("one_set.png", "transfer.png"):
        assert (tmp_path / name).read_bytes() == (drawn[1] / name).read_bytes()
        assert (tmp_path / name).stat().st_size < 150_000
        assert words_in(DOCS / name) == words_in(tmp_path / name)


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
    with pytest.raises(InvalidInputError, match=r"pool\.json; learners\.py makes it"):
        one_set_table.run(DocumentSettings(str(tmp_path), str(tmp_path / "x.md")))
