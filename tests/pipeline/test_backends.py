"""What rolls policies out: chosen by an option, named in every file, and raw where it is Brax's."""

import json

import jax
import numpy as np
import pytest

from obd_jax.evaluation import RolloutSettings, score
from obd_jax.pipeline import RescoreSettings, RunSettings, rescore, run
from obd_jax.pipeline.scores import run_summary, table
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError

REFERENCE_MAX = 3234.3  # Of hopper.


@pytest.fixture(autouse=True, scope="module")
def _rank_promotion_of_mjx():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def simulated(monkeypatch):
    """Episodes in Brax without their minute of compilation: as good as the reference expert's."""
    asked = []

    def returns(policy, params, environment, *, students, episodes, seed, progress, lengths):
        asked.append(environment.simulator)
        if lengths is not None:
            lengths(np.full((students, episodes), 1000))
        return np.full((students, episodes), REFERENCE_MAX)

    monkeypatch.setattr(score, "mjx_returns", returns)
    return asked


def settings_of(tmp_path, **changes):
    values = {
        "out": str(tmp_path / "run"),
        "dataset": "hopper-random",
        "source": "embedded",
        "data_rows": 400,
        "temperature": 0.0,
        "pairs": 8,
        "outer_steps": 3,
        "students": 2,
        "episodes": 1,
        "curve_points": 1,
        **changes,
    }
    return from_options(RunSettings, values)


@pytest.mark.parametrize(
    ("backend", "described", "unit", "mean"),
    [
        ("mjx", "mjx Hopper-v4", "normalised return", 100.0),
        ("brax", "brax hopper", "raw Brax return", REFERENCE_MAX),
    ],
)
def test_a_run_says_what_rolled_out_and_in_what_unit(
    tmp_path, monkeypatch, simulated, backend, described, unit, mean
):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    returned = run(settings_of(tmp_path, eval_backend=backend), SILENT)
    assert run_summary(returned, folder / "distilled.npz").startswith(f"{unit} ")
    results = json.loads((folder / "results.json").read_text())
    card = json.loads((folder / "card.json").read_text())
    assert results["unit"] == unit
    for found in (results, card):
        assert found["provenance"]["environment"] == {"name": "hopper", "backend": described}
    for row in ("synthetic", "random_real", "teacher"):
        assert results["returns"][row]["mean"] == pytest.approx(mean)
    # The data were recorded in Gymnasium: no row to compare with raw returns.
    assert ("data" in results["returns"]) == (backend == "mjx")
    assert set(simulated) == {backend}

    for_set = RescoreSettings(
        path=str(folder / "distilled.npz"),
        out=str(tmp_path / "scores.json"),
        rollouts=RolloutSettings(1, 2, backend),
    )
    found = rescore(for_set, reporter=SILENT)
    assert table(found["returns"], found["unit"]).startswith(f"{unit} ")
    again = json.loads((tmp_path / "scores.json").read_text())
    assert again["unit"] == unit
    assert again["provenance"]["environment"]["backend"] == described
    assert again["returns"]["synthetic"]["mean"] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval_backend": "bullet"}, "unknown eval_backend 'bullet'; known: gymnasium, mjx, brax"),
        ({"eval_backend": "mjx", "dataset": "toy", "source": "auto", "data_rows": 0}, "runs in"),
        ({"eval_backend": "brax", "env": "Hopper-v5"}, "halfcheetah, walker2d, and not Hopper-v5"),
    ],
)
def test_a_backend_that_cannot_be_is_refused(tmp_path, monkeypatch, changes, message):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InvalidInputError, match=message):
        run(settings_of(tmp_path, **changes), SILENT)
    assert not (tmp_path / "run").exists()
