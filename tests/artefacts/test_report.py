"""The page of a run."""

import html.parser
import re

import pytest

from obd_jax.artefacts import Figure, report_page

ROW = {"mean": 90.0, "iqm": 95.0, "ci95": [85.0, 97.0], "per_student": [90.0], "episodes": 100}
RESULTS = {
    "returns": {"synthetic": ROW, "random_real": None, "teacher": {**ROW, "mean": 100.0}},
    "unit": "normalised return",
    "worst_episodes": [{"student": 3, "episode": 7, "return": 1.25, "length": 1_234}],
    "seconds": {"load": 1.0, "distil": 83.0},
    "config": {"pairs": 256, "hidden_sizes": [8, 8]},
    "objective": "av_pbc",
    "density": {"estimator": "maf"},
    "student": {"name": "random_features"},
    "provenance": {"data": {"name": "<b>&\"'.hdf5"}, "seed": 0},
}
FIGURE = Figure("A figure", "What it shows.", b"\x89PNG")
MEASURES = {
    "held_out": {"states": 1_000, "episodes": 10},
    "error_to": "teacher",
    "policies": {
        "synthetic": {"action_error": 0.125, "teacher_preferred": 0.75, "fitted_q": {"mean": 9.0}},
        "data": {},
    },
}


def page(title="walker2d: a file", pairs=256, states=2_560_000, figures=(FIGURE,), **changes):
    return report_page(title, {**RESULTS, **changes}, pairs, states, figures)


class Parser(html.parser.HTMLParser):
    """Whether every element that is opened is closed, in order; text by element."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def text_of(content):
    parser = Parser()
    parser.feed(content)
    parser.close()
    assert parser.open == []
    return " ".join(" ".join(parser.text).split())


def test_it_says_what_came_out():
    text = text_of(page())
    assert "256 synthetic (state, action) pairs, distilled from 2,560,000 states" in text
    assert "with density weights. Student: random features." in text
    for words in ("90.0 normalised return (95%: 85.0 to 97.0)", "90% of the teacher", "1 : 10,000"):
        assert words in text
    assert "1:23 minutes of distillation" in text
    assert "synthetic pairs 90.0 95.0 85.0 to 97.0 1 × 100" in text
    assert "random pairs no complete episode" in text
    assert "1 1.2 1,234 3 7" in text
    assert "2 options pairs 256 hidden_sizes 8, 8" in text
    assert "A figure What it shows." in text


def test_it_loads_nothing():
    assert re.findall(r'src="(.{15})', page()) == ["data:image/png;"]
    assert not re.findall(r"https?:|<script|<link|@import|url\(", page())


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "$HOME {style} %s"])
def test_words_of_others_are_words(name):
    content = page(
        title=name,
        figures=[Figure(name, name, b"")],
        config={name: name},
        provenance={name: {name: name}},
        unit=name,
        returns={name: ROW},
    )
    assert "<script" not in content
    assert text_of(content).count(name) >= 10


def test_a_name_that_is_no_utf_8_can_be_written():
    content = page(title=b"caf\xe9".decode(errors="surrogateescape"))
    assert b"<h1>caf?</h1>" in content.encode()


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"returns": {}, "unit": None}, ["Scores", "of the teacher", "normalised"]),
        ({"worst_episodes": []}, ["Ten worst episodes"]),
        ({"figures": ()}, ["Figures"]),
        ({"density": None}, ["with density", "estimator"]),
        ({"unit": "return"}, ["of the teacher's return"]),
    ],
)
def test_what_is_absent_is_left_out(changes, gone):
    text, full = text_of(page(**changes)), text_of(page())
    for words in gone:
        assert words not in text.replace("normalised states", "")
        assert words in full


def test_measures_on_held_out_episodes_show():
    text = text_of(page(returns={}, unit=None, offline=MEASURES))
    assert "1,000 states of 10 episodes that were not distilled." in text
    assert "teacher preferred fitted Q synthetic pairs 0.1250 75% 9 Figures" in text
    assert "Measures" not in text_of(page())


def test_other_bounds_of_actions_are_explained():
    bounds = {"low": [-2.0], "high": [2.0]}
    text = text_of(page(provenance={"action_bounds": bounds}))
    assert "within [-2.0] and [2.0]" in text
    assert "low + (action + 1)" not in text_of(page())
