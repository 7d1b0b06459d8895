"""Errors of learners on what a run distilled."""

import json

import fit_errors
import jax
import numpy as np
import pytest
from fit_errors import ErrorSettings

import obd_jax
from obd_jax import artefacts, distill
from obd_jax.pipeline.preparation import set_card
from obd_jax.pipeline.targets import make_objective
from obd_jax.reporting import SILENT, Clock
from obd_jax.settings import to_options, with_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import KERNEL, few_transitions, prepared_for


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What two runs on noisy states could leave, of few pairs and of many."""
    settings = with_options(KERNEL, state_noise=0.1)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        prepared = prepared_for(settings)
        objective = make_objective(settings.distillation, prepared, Clock())
        card = set_card(prepared, to_options(settings), "av_pbc", None)
        for pairs in (4, 64):
            folder = tmp_path_factory.mktemp(f"{pairs}-pairs")
            chosen = distill.choose(jax.random.key(0), distill.uniform, objective.unweighted, pairs)
            artefacts.save(folder, artefacts.DistilledSet(chosen, prepared.normalizer, card))
            (folder / "config.json").write_text(json.dumps(to_options(settings)))
            found.append(folder)
        yield found


def test_errors_are_those_of_the_policy_on_the_first_runs_states(folders, tmp_path, capsys):
    settings = ErrorSettings(
        tuple(map(str, folders)), ("kernel", "mlp-1x256"), states=10_000, out=str(tmp_path)
    )
    found = fit_errors.run(settings, SILENT)
    few, many = (found[str(folder)] for folder in folders)
    assert many["kernel"][0] < few["kernel"][0]
    assert len(many["kernel"]) == 1  # It is deterministic.
    assert len({*many["mlp-1x256"]}) == 2
    targets = fit_errors.targets_of(folders[0], 10_000, SILENT)
    assert len(targets.weights) == 1000  # 500 states and a noisy copy of each.
    distilled = obd_jax.load_distilled(folders[1])
    raw = distilled.normalizer.denormalize(targets.observations)
    errors = (np.asarray(distilled.policy(jax.random.key(0))(raw)) - targets.actions) ** 2
    expected = (targets.weights[:, None] * errors).mean()
    np.testing.assert_allclose(many["kernel"][0], expected, rtol=1e-4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| run | kernel | mlp-1x256 |"
    assert lines[3].startswith(f"| {folders[1].name} | {expected:.3f} | ")
    record = json.loads((tmp_path / "fit_errors.json").read_text())
    assert record["errors"] == found
    card = record["cards"][str(folders[1])]
    assert card["config"]["state_noise"] == 0.1
    assert card["provenance"]["data"]["sha256"] == distilled.card["provenance"]["data"]["sha256"]


def test_what_there_is_not_is_refused():
    with pytest.raises(InvalidInputError, match="runs is required"):
        fit_errors.run(ErrorSettings(), SILENT)
    with pytest.raises(InvalidInputError, match="'oracle'"):
        ErrorSettings(("runs/x",), ("oracle",))
