"""Pictures of the table and of many learners: what they show, and that they are the same again."""

import numpy as np
import pytest
from matplotlib.image import imread
from pictures import Effect, Share, Shares, draw_effects, draw_heat_map, draw_shares, save

SHARES = Shares(
    {
        "Kernel student": [Share("DBC", 50.4, (41.0, 58.6)), Share("Av-PBC", 90.0, (76.0, 104.5))],
        "MLP": [Share("DBC", 43.0, None)],
    },
    51.0,
)
ROWS = {"kernel": [100.0, 49.6], "trees": [3.0, 0.0]}
EFFECTS = {
    "Kernel student": [Effect("PBC: all", 1.2, (-3.0, 5.5))],
    "MLP": [Effect("PBC", -7, None)],
}
COLUMNS = ["hopper-medium", "walker2d-medium-expert"]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_every_row_is_a_dot_at_its_mean_with_its_interval_and_numbers():
    figure = draw_shares(SHARES)
    kernel, mlp = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Kernel student", "MLP"]
    assert [label.get_text() for label in kernel.get_yticklabels()] == ["DBC", "Av-PBC"]
    first, dot, _, _, teacher, clone = (line.get_xdata() for line in kernel.lines)
    assert (list(first), list(dot)) == ([41.0, 58.6], [50.4])
    assert (list(teacher), list(clone)) == ([100, 100], [51.0, 51.0])
    assert texts(kernel) == ["50 [41, 59]", "90 [76, 104]", "teacher 100", "BC on all data 51"]
    assert texts(mlp) == ["43"]
    assert len(mlp.lines) == 3  # A dot without an interval, and the two references.
    assert kernel.get_xlim() == (0, 104.5)


def test_a_clone_that_is_not_known_is_not_drawn():
    (axis,) = draw_shares(Shares({"MLP": SHARES.rows["MLP"]}, None)).axes
    assert texts(axis) == ["43", "teacher 100"]


def test_the_heat_map_prints_every_value_and_the_means():
    left, right = draw_heat_map(ROWS, COLUMNS).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["kernel", "trees"]
    assert texts(left) == ["75", "2"]
    assert texts(right) == ["100", "50", "3", "0", "hopper", "walker2d"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["medium", "medium\nexpert"]
    np.testing.assert_array_equal(right.images[0].get_array(), [*ROWS.values()])


def test_differences_are_dots_about_0_and_those_of_one_seed_say_so():
    kernel, mlp = draw_effects(EFFECTS).axes
    assert [axis.get_title(loc="left") for axis in (kernel, mlp)] == [*EFFECTS]
    interval, dot, zero = (list(line.get_xdata()) for line in kernel.lines)
    assert (interval, dot, zero) == ([-3.0, 5.5], [1.2], [0, 0])
    assert texts(kernel) == ["+1.2 [-3.0, +5.5]"]
    assert texts(mlp) == ["-7.0, one seed"]
    assert len(mlp.lines) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_shares(SHARES),
        lambda: draw_effects(EFFECTS),
        lambda: draw_heat_map(ROWS, COLUMNS),
    ],
)
def test_a_second_picture_has_the_same_bytes(tmp_path, draw):
    for name in ("one.png", "other.png"):
        save(draw(), tmp_path / name)
    one, other = ((tmp_path / name).read_bytes() for name in ("one.png", "other.png"))
    assert one == other
    assert imread(tmp_path / "one.png").shape[1] == 1600
