"""Whether measures without an environment rank sets as their returns do."""

import json
import pathlib

import offline_measures
import pytest

from obd_jax import pipeline
from obd_jax.pipeline import RunSettings
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import few_transitions


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Run folders of sets of the toy, from few steps to many."""
    root, names = tmp_path_factory.mktemp("sets"), []
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch, 2000)
        for steps in (1, 5, 40):
            names.append(str(root / f"steps-{steps}"))
            options = {
                "dataset": "toy",
                "out": names[-1],
                "outer_steps": steps,
                "pairs": 8,
                "batch_size": 64,
                "density": "gaussian",
                "initializer": "random",
                "curve_points": 0,
            }
            pipeline.run(from_options(RunSettings, options), SILENT)
        yield names


def settings_of(folders, out, **changes):
    return offline_measures.StudySettings(
        sets=tuple(folders), out=str(out), fqe_steps=0, **{"students": 1, **changes}
    )


def test_measures_are_kept_and_correlated(folders, tmp_path, monkeypatch, capsys):
    settings = settings_of(folders, tmp_path / "out")
    table = offline_measures.run(settings, SILENT)
    (path,) = (tmp_path / "out").iterdir()
    results = json.loads(path.read_text())
    returns = [results["rows"][name]["return"] for name in folders]
    saved = [json.loads(pathlib.Path(name, "results.json").read_text()) for name in folders]
    assert returns == [each["returns"]["synthetic"]["mean"] for each in saved]
    errors = [results["rows"][name]["measures"]["action_error"] for name in folders]
    assert errors == sorted(errors, reverse=True)
    assert all(row["has_seen_held_out"] for row in results["rows"].values())
    assert "| 3 | 3 |" in table
    assert table in capsys.readouterr().out
    monkeypatch.setattr(offline_measures, "measure", None)
    assert offline_measures.run(settings, SILENT) == table


def test_correlations_are_of_ranks_with_better_ones_higher():
    rows = {
        str(i): {"return": r, "measures": {"action_error": e, "fitted_q": {"mean": q}}}
        for i, (r, e, q) in enumerate([(1, 0.9, 5.0), (2, 0.5, 9.0), (30, 0.1, 7.0)])
    }
    found = offline_measures.correlations({"rows": rows})
    assert found["action_error"] == pytest.approx(1.0)
    assert found["fitted_q"] == pytest.approx(0.5)
    assert found["advantage_lost"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"sets": ()}, "sets is required"), ({"sets": ("/absent",)}, "no distilled set at /absent")],
)
def test_unusable_sets_are_refused(tmp_path, changes, words):
    settings = offline_measures.StudySettings(**{"out": str(tmp_path / "out"), **changes})
    with pytest.raises(InvalidInputError, match=words):
        offline_measures.run(settings, SILENT)
    assert not (tmp_path / "out").exists()


def test_a_set_without_its_configuration_is_refused():
    with pytest.raises(InvalidInputError, match="names no data"):
        offline_measures.data_options({})
