"""Whether measures without an environment rank policies as their returns do."""

import dataclasses
import json
import pathlib

import numpy as np
import offline_measures
import pytest
from offline_measures import StudySettings

from obd_jax.reporting import SILENT
from obd_jax.settings import OptionError
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import few_transitions

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.slow
def test_measures_are_kept_and_correlated(tmp_path, monkeypatch, capsys):
    few_transitions(monkeypatch, 2000)
    monkeypatch.setattr(offline_measures, "SIZES", (4, 64))
    settings = StudySettings(
        datasets=("toy",), out=str(tmp_path), sets=3, steps=40, draws=1, episodes=2, fqe_steps=0
    )
    table = offline_measures.run(settings, SILENT)
    assert table in capsys.readouterr().out
    results = json.loads((tmp_path / "toy.json").read_text())
    rows = results["rows"]
    assert [*rows] == [
        "distilled, 10 steps",
        "distilled, 20 steps",
        "distilled, 40 steps",
        "4 random pairs, 0",
        "64 random pairs, 0",
    ]
    errors = {name: row["measures"]["action_error"] for name, row in rows.items()}
    assert errors["64 random pairs, 0"] < errors["4 random pairs, 0"]
    assert all(np.isfinite(row["measures"]["advantage_lost"]) for row in rows.values())
    assert results["provenance"]["data"]["name"].endswith("without 0.1 held out")
    assert table.splitlines()[2].startswith("| toy | 5 |")
    # A second call reads what is there, and refuses what was made otherwise.
    monkeypatch.setattr(offline_measures, "measure", None)
    assert offline_measures.run(settings, SILENT) == table
    with pytest.raises(OptionError, match="made with steps=40, not 50"):
        offline_measures.run(dataclasses.replace(settings, steps=50), SILENT)


def test_correlations_are_of_ranks_with_better_ones_higher():
    rows = {
        str(i): {"return": r, "measures": {"action_error": e, "fitted_q": {"mean": q}}}
        for i, (r, e, q) in enumerate([(1, 0.9, 5.0), (2, 0.5, 9.0), (30, 0.1, 7.0)])
    }
    found = offline_measures.correlations({"rows": rows})
    assert found["action_error"] == pytest.approx(1.0)
    assert found["fitted_q"] == pytest.approx(0.5)
    assert found["advantage_lost"] is None
    mean = [*offline_measures.lines_of([{"dataset": "d", "rows": rows}] * 2)][-1]
    assert mean == "| mean |  |  | 1.00 |  |  |  |  | 0.50 |"


@pytest.mark.parametrize("changes", [{"holdout": 0.0}, {"draws": 0}])
def test_unusable_settings_are_refused(changes):
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        StudySettings(**changes)


def test_the_page_has_the_table_of_the_committed_results():
    folder = ROOT / "docs/results/studies/offline_measures"
    found = [
        json.loads((folder / f"{dataset}.json").read_text())
        for dataset in offline_measures.DATASETS
    ]
    assert min(len(results["rows"]) for results in found) >= 20
    page = (ROOT / "docs/offline_evaluation.md").read_text()
    assert "\n".join(offline_measures.lines_of(found)) in page
