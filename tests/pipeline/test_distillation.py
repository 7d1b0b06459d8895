"""What distillation starts from, and where it ends."""

import jax
import numpy as np
import pytest

from obd_jax import distill
from obd_jax.pipeline.distillation import distil, form_of_state, initial_set, place_at_end
from obd_jax.pipeline.targets import Objective, make_objective
from obd_jax.reporting import Clock
from obd_jax.settings import with_options
from obd_jax.types import SyntheticData
from tests.pipeline.toy_runs import TINY, few_transitions, prepared_for


@pytest.fixture(scope="module")
def prepared():
    with pytest.MonkeyPatch.context() as patch:
        few_transitions(patch)
        return prepared_for(TINY)


@pytest.mark.parametrize("initializer", ["relabelled", "kmeans++", "density"])
def test_every_initializer_gives_real_pairs_to_start_from(prepared, initializer):
    settings = with_options(TINY, initializer=initializer).distillation
    targets = distill.pbc(prepared.data, prepared.normalizer, prepared.teacher)
    weights = np.linspace(0.0, 2.0, len(prepared.data))
    objective = Objective("pbc", targets, targets, weights, None)
    pairs = initial_set(settings, prepared, objective)
    raw = np.asarray(prepared.normalizer.denormalize(pairs.observations))
    rows = [np.abs(prepared.data.observations - state).max(axis=1).argmin() for state in raw]
    np.testing.assert_allclose(prepared.data.observations[rows], raw, atol=1e-5)
    assert len(set(rows)) == TINY.distillation.start.pairs
    expected = targets.actions if initializer == "relabelled" else prepared.data.actions
    np.testing.assert_allclose(expected[np.array(rows)], pairs.actions, atol=1e-6)


def test_a_set_that_is_given_is_the_start(prepared):
    start = SyntheticData(np.zeros((3, 4)), np.zeros((3, 2)))
    assert initial_set(TINY.distillation, prepared._replace(start=start), None) is start


def test_all_stages_have_a_state_of_the_same_form_and_end_at_the_last_step(prepared):
    settings = with_options(
        TINY, narrow_widths=(2,), narrow_steps=(10,), outer_steps=1
    ).distillation
    objective = make_objective(settings, prepared, Clock())
    start = initial_set(settings, prepared, objective)
    form = form_of_state(settings, prepared, start)
    states = []
    _, last = distil(
        settings, prepared, objective, start, callback=lambda state, _: states.append(state)
    )
    assert len(states) == 2
    for state in states:
        assert [leaf.shape for leaf in jax.tree.leaves(state)] == [
            leaf.shape for leaf in jax.tree.leaves(form)
        ]
    assert last["step"] == 11
    place = place_at_end(settings, prepared, last)
    assert place == {"stage": 1, "before": last, "last": last}
