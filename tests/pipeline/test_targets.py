"""The objective on every state: chosen by the teacher, weighted, made once."""

import numpy as np
import pytest

from obd_jax import density
from obd_jax.pipeline.targets import described, log_densities, make_objective, reweight
from obd_jax.reporting import SILENT, Clock
from obd_jax.settings import with_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import TINY, few_transitions, prepared_for

DISTILLATION = with_options(TINY, temperature=0.0).distillation


@pytest.fixture(scope="module")
def prepared():
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        return prepared_for(TINY)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))


def test_a_teacher_without_a_critic_is_imitated_without_weights(prepared):
    objective = make_objective(DISTILLATION, prepared, Clock())
    assert objective.name == "av_pbc"
    assert np.ptp(objective.targets.weights) > 0
    blind = prepared._replace(teacher=prepared.teacher._replace(value=None))
    objective = make_objective(DISTILLATION, blind, Clock())
    assert objective.name == "pbc"
    np.testing.assert_array_equal(objective.targets.weights, 1.0)
    with pytest.raises(InvalidInputError, match="Av-PBC needs a critic"):
        make_objective(with_options(DISTILLATION, objective="av_pbc"), blind, Clock())


def test_weights_steps_and_noise_leave_what_pairs_start_from(prepared):
    objective = make_objective(DISTILLATION, prepared, Clock())
    clock = Clock()
    assert reweight(DISTILLATION, prepared, objective, clock, SILENT) is objective
    assert clock.seconds == {}
    settings = with_options(DISTILLATION, temperature=0.3, early_steps=5.0, state_noise=0.1)
    found = reweight(settings, prepared, objective, clock, SILENT)
    assert found.unweighted is objective.unweighted
    assert found.density_card["estimator"] == "gaussian"
    assert found.density_card["fitted_states"] == len(prepared.kept)
    assert len(found.targets.weights) == 2 * len(found.weights) == 2 * len(prepared.kept)
    kept, noisy = np.split(np.asarray(found.targets.observations), 2)
    np.testing.assert_array_equal(kept, objective.targets.observations)
    assert 0.05 < np.std(noisy - kept) < 0.15
    # All weights are multiplied, and their mean stays.
    only = with_options(DISTILLATION, temperature=0.3)
    weighted = reweight(only, prepared, objective, clock, SILENT).targets.weights
    product = np.asarray(objective.targets.weights * found.weights)
    ratio = np.asarray(weighted) / product
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_allclose(np.mean(weighted), np.mean(objective.targets.weights), rtol=1e-4)
    # Early states weigh more: the density alone does not say so.
    only = reweight(with_options(settings, early_steps=0.0), prepared, objective, clock, SILENT)
    ratio = np.asarray(found.targets.weights / only.targets.weights)[: len(prepared.kept)]
    first = prepared.kept.episode_steps == 0
    assert ratio[first].min() > 2 * np.median(ratio)
    assert set(clock.seconds) == {"density", "targets"}


CARD = {
    "estimator": "maf",
    "fitted_states": 50_000,
    "held_out_log_likelihood": 3.26770,
    "epoch": 10,
    "effective_sample_fraction": 0.92106,
    "invalid_densities": 0,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "density: maf of epoch 10, fitted to 50,000 states; held-out log likelihood 3.268, "
            "outliers included; effective sample size 92.1% of the states",
        ),
        ({"epoch": 0}, "density: maf, untrained, fitted to 50,000 states;"),
        (
            {"estimator": "kde", "epoch": None, "invalid_densities": 2},
            "density: kde, fitted to 50,000 states; held-out log likelihood 3.268, outliers "
            "included; effective sample size 92.1% of the states; states without a density, which "
            "weigh 0: 2",
        ),
    ],
)
def test_the_density_is_described_in_a_line(changes, said):
    card = {name: value for name, value in (CARD | changes).items() if value is not None}
    line = described(card)
    assert line.startswith(said)
    assert "{" not in line


def test_a_density_is_fitted_once_for_all_temperatures(prepared, monkeypatch):
    fitted = []
    fit = density.fit
    monkeypatch.setattr(density, "fit", lambda *a, **k: fitted.append(1) or fit(*a, **k))
    objective, cache = make_objective(DISTILLATION, prepared, Clock()), {}
    weights = [
        reweight(
            with_options(DISTILLATION, temperature=temperature),
            prepared,
            objective,
            Clock(),
            SILENT,
            cache=cache,
        ).weights
        for temperature in (0.1, 0.3)
    ]
    assert len(fitted) == 1
    assert np.ptp(weights[1]) > np.ptp(weights[0]) > 0
    # Another seed or another number of states is another fit.
    other = prepared._replace(keys={**prepared.keys, "density": prepared.keys["noise"]})
    log_densities(DISTILLATION, other, SILENT, cache)
    log_densities(with_options(DISTILLATION, density_states=300), prepared, SILENT, cache)
    assert len(fitted) == 3


def test_a_second_run_has_the_same_weights_without_a_fit(prepared, monkeypatch):
    settings, notes = with_options(DISTILLATION, temperature=0.3), []
    objective = make_objective(DISTILLATION, prepared, Clock())

    def weighted():
        reporter = SILENT._replace(note=notes.append)
        return reweight(settings, prepared, objective, Clock(), reporter)

    first = weighted()
    assert not any("read from" in note for note in notes)
    monkeypatch.setattr(density, "fit", None)
    second = weighted()
    assert any(note.startswith("density: log densities read from ") for note in notes)
    np.testing.assert_array_equal(first.targets.weights, second.targets.weights)
    assert first.density_card == second.density_card


def test_targets_are_made_once_for_all_callers(prepared, monkeypatch):
    cache = {}
    first = make_objective(DISTILLATION, prepared, Clock(), cache)
    assert make_objective(DISTILLATION, prepared, Clock(), cache).targets is first.targets
    scaled = with_options(DISTILLATION, value_scale=0.5)
    assert make_objective(scaled, prepared, Clock(), cache).targets is not first.targets
