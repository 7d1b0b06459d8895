"""The tutorials run, on small sizes, and show what they say."""

import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.docs.pages import DOCS, run

PAGES = sorted((DOCS / "tutorials").glob("*.py"))
SIZES = {
    "arrays_to_policy": {"STEPS": 100, "EPISODES": 10},
    "density_weights": {"STEPS": 150, "STATES": 2_000},
    "many_learners": {"STEPS": 20, "STATES": 500, "PAIRS": 16},
}


def with_sizes(page: pathlib.Path) -> str:
    """The script with small numbers for its capital names."""
    code = page.read_text()
    for name, size in SIZES[page.stem].items():
        code, count = re.subn(rf"^{name} = [\d_]+", f"{name} = {size}", code, flags=re.MULTILINE)
        assert count == 1, name
    return code


@pytest.fixture
def tutorial(monkeypatch, tmp_path):
    """Runs a tutorial by name: its names, and how many figures it shows."""
    monkeypatch.chdir(tmp_path)
    shown = []

    def show():
        shown.append(plt.gcf())
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)

    def by_name(name):
        page = DOCS / "tutorials" / f"{name}.py"
        return run(with_sizes(page), str(page)), len(shown)

    yield by_name
    assert not plt.get_fignums()


def test_every_tutorial_is_run_here():
    assert [page.stem for page in PAGES] == sorted(SIZES)


def test_arrays_become_a_policy_that_beats_random_pairs(tutorial):
    names, figures = tutorial("arrays_to_policy")
    returns = names["returns"]
    assert figures == 1
    assert returns["64 distilled pairs"] > returns["64 random pairs"]
    assert names["difference"] < 1e-5


def test_density_weights_trade_usual_states_for_rare_ones(tutorial):
    names, figures = tutorial("density_weights")
    assert figures == 2
    shares = [float(found.effective_sample_fraction) for found in names["weights"].values()]
    assert shares == sorted(shares, reverse=True)
    errors, rare = names["errors"], names["rare"]
    assert 0.02 < rare.mean() < 0.1
    assert errors[0.5][rare].mean() < errors[0.0][rare].mean()
    assert errors[0.5][~rare].mean() > errors[0.0][~rare].mean()


def test_every_learner_is_scored_on_every_set(tutorial):
    names, figures = tutorial("many_learners")
    assert figures == 1
    errors = np.array([list(row.values()) for row in names["errors"].values()])
    assert errors.shape == (5, 4)
    assert np.isfinite(errors).all()
    assert (errors > 0).all()
