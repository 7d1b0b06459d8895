"""Figures of the report."""

import io

import matplotlib.image
import numpy as np
import pytest

from obd_jax.artefacts import report_figures as figures

LOSSES = [{"step": 10 * i, "loss": 0.5**i} for i in range(1, 6)]
RETURNS = [{"step": i, "return": 10.0 * i, "low": 9.0 * i, "high": 12.0 * i} for i in range(3)]
RNG = np.random.default_rng(0)
DATA, SYNTHETIC = RNG.normal(size=(200, 2)), RNG.normal(size=(8, 2))
WEIGHTS = RNG.uniform(0.1, 3.0, 200)


def pixels(png):
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def differ(png, other):
    return pixels(png).shape != pixels(other).shape or np.abs(pixels(png) - pixels(other)).max() > 0


def states(weights=WEIGHTS, synthetic=SYNTHETIC):
    return figures.states_figure(DATA, synthetic, np.array([0.7, 0.2]), weights)


def test_losses_of_zero_and_below_are_drawn_too():
    plain = figures.loss_figure(LOSSES)
    assert differ(plain, figures.loss_figure([*LOSSES, {"step": 60, "loss": 0.0}]))
    assert differ(plain, figures.loss_figure(LOSSES[:1]))


def test_returns_and_references_show():
    plain = figures.returns_figure(RETURNS, {"teacher": 30.0}, "return")
    assert differ(plain, figures.returns_figure(RETURNS[:1], {"teacher": 30.0}, "return"))
    assert differ(plain, figures.returns_figure(RETURNS, {}, "return"))


def test_states_are_coloured_by_weights():
    plain = states()
    assert differ(plain, states(None))
    assert differ(plain, states(WEIGHTS[::-1]))
    assert differ(plain, states(synthetic=SYNTHETIC + 1))


@pytest.mark.parametrize("weights", [np.ones(200), np.zeros(200), np.where(WEIGHTS > 1, 1, 0)])
def test_any_weights_are_drawn(weights):
    assert pixels(states(weights)).std() > 0.05


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_actions_of_any_number_are_drawn(size):
    actions = {"data": RNG.uniform(-1, 1, (50, size)), "synthetic": np.zeros((8, size))}
    drawn = figures.actions_figure(actions)
    assert pixels(drawn).std() > 0.05
    rows = -(-min(size, figures.MOST_ACTIONS) // 3)
    assert pixels(drawn).shape[0] == pytest.approx(160 * (1 + 1.5 * rows), abs=1)


def test_every_curve_of_errors_shows():
    both = {"synthetic": [3.0, 2.0, 1.0], "random_real": [4.0, 3.0, 3.0]}
    one = {"synthetic": both["synthetic"]}
    assert differ(figures.errors_figure(both), figures.errors_figure(one))
