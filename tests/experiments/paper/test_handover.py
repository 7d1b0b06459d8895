"""Episodes that a teacher and a learner share."""

import json

import handover
import jax
import numpy as np
import pytest
from handover import Settings
from judged_sets import read_sets

from obd_jax import artefacts, data, environments
from obd_jax.reporting import SILENT
from obd_jax.teachers import bundled_teacher
from obd_jax.types import InvalidInputError, SyntheticData


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A set of 64 states of hopper data with the teacher's actions."""
    offline = data.load("hopper-medium", "embedded", rows=2000)
    normalizer = data.normalizer(offline.observations)
    chosen = offline.observations[::32]
    environment = environments.parse_dataset("hopper-medium")[0]
    card = {
        "provenance": artefacts.provenance(environment=environment),
        "config": {"dataset": "hopper-medium", "source": "embedded", "data_rows": 2000},
    }
    actions = bundled_teacher("hopper-medium").act(chosen)
    folder = tmp_path_factory.mktemp("hopper")
    pairs = SyntheticData(normalizer.normalize(chosen), jax.numpy.asarray(actions))
    artefacts.save(folder, artefacts.DistilledSet(pairs, normalizer, card))
    return folder


def test_the_first_acts_for_its_steps():
    act = handover.handed_over(lambda _: "first", lambda _: "then", 2)
    assert [act(None) for _ in range(4)] == ["first", "first", "then", "then"]


def test_who_acts_alone_has_its_own_episodes(folder, tmp_path, capsys):
    settings = Settings((str(folder),), steps=(0, 20), episodes=2, out=str(tmp_path))
    ((own),) = handover.run(settings, SILENT)
    (judged,) = read_sets([str(folder)])
    teacher = jax.jit(bundled_teacher("hopper-medium").act)
    (learner,) = handover.learner_acts("kernel", judged, 2)  # It is deterministic.
    alone = handover.outcome(lambda states: np.asarray(teacher(states)), judged, 2)
    assert own["learner first"]["0"] == alone
    assert own["teacher first"]["0"] == handover.outcome(learner, judged, 2)
    shared = [own["teacher first"]["20"], own["learner first"]["20"]]
    assert all(each not in (alone, own["teacher first"]["0"]) for each in shared)
    # The first state is no matter of who acts.
    squares = []

    def act(observations):
        squares.append(np.square(learner(observations) - teacher(observations)).mean(axis=1))
        return np.asarray(teacher(observations))

    handover.outcome(act, judged, 2)
    np.testing.assert_allclose(own["differences"][0], np.mean(squares[:20]), rtol=1e-5)
    record = json.loads((tmp_path / "handover.json").read_text())
    assert record["records"] == [own]
    assert "| teacher first, 0 | teacher first, 20 | learner first, 0 |" in capsys.readouterr().out


def test_what_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="sets is required"):
        handover.run(Settings(), SILENT)
    with pytest.raises(InvalidInputError, match="steps must rise from 0"):
        Settings(steps=(10, 50))
    with pytest.raises(InvalidInputError, match="'oracle'"):
        Settings(learners=("oracle",))
