"""Settings as flat options: unique names, there and back, and refusals that name them."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from obd_jax.cli.teacher import Command
from obd_jax.pipeline import MemberSettings, RescoreSettings, RunSettings, TrainingSettings
from obd_jax.pipeline.render import RenderSettings
from obd_jax.settings import (
    OptionError,
    applicable,
    at_least,
    choice,
    defaults_of,
    from_options,
    not_negative,
    one_of,
    option,
    options_of,
    part,
    positive,
    to_options,
    with_options,
    within,
)
from obd_jax.students import StudentSettings
from obd_jax.types import InvalidInputError

# Record -> options that no default has.
TREES: dict[type, dict[str, Any]] = {
    RunSettings: {
        "dataset": "toy",
        "seed": 3,
        "student": "mlp",
        "hidden_sizes": (8, 4),
        "meta_gradient": "random_truncated",
        "window": 2,
        "also_steps": (5, 6),
        "density": "knn",
        "value_scale": 0.5,
        "budget_minutes": 1.5,
        "centred": True,
    },
    RescoreSettings: {"path": "a/distilled.npz", "seed": 0, "ensemble": 2, "eval_backend": "mjx"},
    StudentSettings: {"student": "random_features", "ridge": 0.25, "hidden_sizes": (7,)},
    MemberSettings: {"seeds": (4, 5), "temperatures": (0.0, 0.5)},
    TrainingSettings: {"algorithm": "iql", "steps": 3000, "checkpoint_minutes": 0.5},
    RenderSettings: {"path": "a.npz", "seconds": 2.0},
    Command: {"out": "a", "dataset": "toy", "steps": 2000},
}
each_tree = pytest.mark.parametrize("kind", TREES, ids=lambda kind: kind.__name__)


def names_of(kind):
    """Names of all options, those that several kinds of one choice have once."""
    names = []
    for entry in dataclasses.fields(kind):
        about = entry.metadata
        if "part" in about:
            names += names_of(about["part"])
            continue
        names.append(about["name"] or entry.name)
        kinds = about.get("kinds", {}).values()
        names += sorted({name for one in kinds for name in names_of(one)})
    assert len(names) == len({*names}), kind
    return names


@each_tree
def test_option_names_are_unique(kind):
    assert {*names_of(kind)} == set(options_of(kind))


@each_tree
def test_every_option_has_help_that_ends_in_a_period(kind):
    for name, one in options_of(kind).items():
        assert one.help.endswith("."), name
        assert one.help[0].isupper(), name
        assert "--" not in one.help, name  # The library knows no flags.


@each_tree
def test_options_go_there_and_back(kind):
    for settings in (kind(), from_options(kind, TREES[kind])):
        options = to_options(settings)
        assert from_options(kind, options) == settings
        assert from_options(kind, json.loads(json.dumps(options))) == settings
    assert options | TREES[kind] == options
    assert settings != kind()


@each_tree
def test_the_defaults_are_those_of_the_record(kind):
    own, known = to_options(kind()), defaults_of(kind)
    assert known | own == known
    assert set(own) == set(applicable(kind, known))


@each_tree
def test_unknown_options_are_refused_with_those_known(kind):
    first = next(iter(options_of(kind)))
    with pytest.raises(OptionError, match=f"unknown option 'colour'; known: {first}"):
        from_options(kind, {"colour": 1})


@each_tree
def test_values_of_another_type_are_refused(kind):
    wrong = {str: 3, int: "3", float: "3", bool: 1, tuple: 3}
    for name, one in options_of(kind).items():
        with pytest.raises(OptionError) as refusal:
            from_options(kind, {name: wrong[one.kind]})
        expected = f"{name} takes {one.kind.__name__}, got {wrong[one.kind]!r}"
        assert str(refusal.value) == expected


@dataclasses.dataclass(frozen=True)
class Plain:
    pass


@dataclasses.dataclass(frozen=True)
class Dotted:
    gap: float = option(0.5, "Gap.")


@dataclasses.dataclass(frozen=True)
class Round:
    radius: float = option(1.0, "Radius.")
    weight: int = option(1, "Weight.")
    outline: Any = choice({"plain": Plain, "dotted": Dotted}, "plain", "Outline.")

    def __post_init__(self):
        positive(radius=self.radius)


@dataclasses.dataclass(frozen=True)
class Square:
    side: float = option(2.0, "Side.")
    weight: int = option(1, "Weight.")


@dataclasses.dataclass(frozen=True)
class Inner:
    shape: Any = choice({"round": Round, "square": Square}, "round", "Shape.", title="the shape")
    sizes: tuple[int, ...] = option((1, 2), "Sizes.")
    name: str | None = option(None, "Name.", "label")
    on: bool = option(False, "On.")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = part(Inner, "inside", sizes=(3,))
    rate: float | None = option(None, "Rate.")


def test_what_is_known_of_an_option():
    known = options_of(Outer)
    assert [*known] == [
        *("shape", "radius", "weight", "outline", "gap", "side"),
        *("sizes", "label", "on", "rate"),
    ]
    assert known["shape"] == ("shape", str, None, "round", "Shape.", "the shape", ())
    shape = ("shape", ("round",))
    assert known["radius"] == ("radius", float, None, 1.0, "Radius.", "the shape", (shape,))
    assert known["weight"].needs == (("shape", ("round", "square")),)
    assert known["gap"].needs == (shape, ("outline", ("dotted",)))
    assert known["sizes"] == ("sizes", tuple, int, (3,), "Sizes.", "inside", ())
    assert known["label"] == ("label", str, None, None, "Name.", "inside", ())
    assert known["rate"] == ("rate", float, None, None, "Rate.", "", ())


def test_options_are_those_of_the_choices_made():
    assert to_options(Outer()) == {
        "shape": "round",
        "radius": 1.0,
        "weight": 1,
        "outline": "plain",
        "sizes": (3,),
        "label": None,
        "on": False,
        "rate": None,
    }
    dotted = from_options(Outer, {"outline": "dotted", "gap": 2})
    assert dotted.inner.shape == Round(outline=Dotted(2))
    assert to_options(dotted)["gap"] == 2


def test_another_choice_has_its_own_defaults_and_the_same_one_keeps_its_values():
    heavy = from_options(Outer, {"weight": 5, "radius": 3.0, "label": "a"})
    square = with_options(heavy, shape="square")
    assert square == Outer(Inner(Square(), (3,), "a"))
    assert with_options(square, side=4.0, weight=2).inner.shape == Square(4.0, 2)
    assert with_options(heavy, shape="round", radius=4.0).inner.shape == Round(4.0, 5)
    assert heavy.inner.shape == Round(3.0, 5)  # Settings are frozen.


INAPPLICABLE = {
    "of another kind": ({"side": 1.0}, "side is for shape=square, not round"),
    "of a kind that is left": (
        {"shape": "square", "radius": 1.0},
        "radius is for shape=round, not square",
    ),
    "of a choice in that kind": (
        {"shape": "square", "outline": "dotted"},
        "outline is for shape=round, not square",
    ),
    "of a choice not made": ({"gap": 1.0}, "gap is for outline=dotted, not plain"),
    "an unknown kind": ({"shape": "oval"}, "unknown shape 'oval'; known: round, square"),
    "an unknown kind, with its option": (
        {"shape": "oval", "weight": 1},
        "weight is for shape=round or square, not oval",
    ),
    "out of range": ({"radius": 0.0}, "radius must be positive, got 0.0"),
    "none for a number": ({"weight": None}, "weight takes int, got None"),
    "truth for a number": ({"weight": True}, "weight takes int, got True"),
    "a fraction for a whole number": ({"weight": 1.5}, "weight takes int, got 1.5"),
    "text in a tuple": ({"sizes": ("a",)}, "sizes takes int each, got ('a',)"),
    "a fraction in a tuple of whole numbers": (
        {"sizes": [2.5]},
        "sizes takes int each, got (2.5,)",
    ),
}


@pytest.mark.parametrize("case", INAPPLICABLE)
def test_options_that_cannot_be_used_are_refused(case):
    values, message = INAPPLICABLE[case]
    with pytest.raises(InvalidInputError) as refusal:
        with_options(Outer(), **values)
    assert str(refusal.value) == message


def test_what_is_inapplicable_depends_on_the_settings_that_are_changed():
    square = from_options(Outer, {"shape": "square"})
    assert with_options(square, side=1.0).inner.shape.side == 1.0
    with pytest.raises(OptionError, match="radius is for shape=round, not square"):
        with_options(square, radius=1.0)


def test_the_applicable_options_of_old_files_are_found():
    every = defaults_of(Outer) | {"colour": "red"}
    assert set(every) - set(applicable(Outer, every)) == {"gap", "side", "colour"}
    square = every | {"shape": "square", "outline": "dotted"}
    assert {"gap", "outline", "radius", "colour"} == set(square) - set(applicable(Outer, square))
    assert from_options(Outer, applicable(Outer, square)) == with_options(Outer(), shape="square")


def test_numbers_of_numpy_and_lists_become_plain_values():
    found = from_options(
        Outer,
        {
            "weight": np.int64(3),
            "radius": np.float32(0.5),
            "on": np.bool_(True),
            "sizes": [np.int32(4)],
            "rate": 2,
        },
    )
    assert found == Outer(Inner(Round(0.5, 3), (4,), on=True), 2)
    assert json.loads(json.dumps(to_options(found)))["sizes"] == [4]


def test_a_command_line_spells_options_its_own_way():
    error = OptionError("{ridge} is for {student}=kernel, not {1}")
    assert str(error) == "ridge is for student=kernel, not 1"
    assert error.spelled("--") == "--ridge is for --student=kernel, not --1"
    assert isinstance(error, InvalidInputError)


BOUNDS = {
    "at least": (lambda: at_least(1, pairs=0), "{pairs} must be at least 1, got 0"),
    "negative": (lambda: not_negative(a=-1), "{a} must be finite and not be negative, got -1"),
    "nan": (lambda: not_negative(a=np.nan), "{a} must be finite and not be negative, got nan"),
    "infinite": (lambda: not_negative(a=np.inf), "{a} must be finite and not be negative, got inf"),
    "zero": (lambda: positive(a=1, b=0), "{b} must be positive, got 0"),
    "positive nan": (lambda: positive(a=np.nan), "{a} must be positive, got nan"),
    "above": (lambda: within(0, 1, a=1.5), "{a} must be in [0, 1], got 1.5"),
    "nan within": (lambda: within(0, 1, a=np.nan), "{a} must be in [0, 1], got nan"),
    "unknown": (lambda: one_of("a", "x", "yz"), "unknown a 'x'; known: y, z"),
    "unknown of a label": (lambda: one_of("a", 1, (2, 3), "b"), "unknown b 1; known: 2, 3"),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_numbers_out_of_bounds_are_refused(case):
    check, message = BOUNDS[case]
    with pytest.raises(OptionError) as refusal:
        check()
    assert refusal.value.message == message


def test_numbers_on_the_bounds_are_accepted():
    at_least(1, a=1)
    not_negative(a=0.0)
    positive(a=None, b=1e-9)
    within(0, 1, a=0, b=1)
    one_of("a", "y", {"y": 1})
