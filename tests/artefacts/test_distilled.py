"""Distilled sets as files."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.artefacts import DistilledSet, load, save
from obd_jax.students import KernelRecipe, to_card
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

N, D, A = 5, 3, 2


def make_set():
    rng = np.random.default_rng(0)
    return DistilledSet(
        SyntheticData(
            jnp.asarray(rng.normal(size=(N, D)), jnp.float32),
            jnp.asarray(rng.uniform(-1, 1, (N, A)), jnp.float32),
        ),
        Normalizer(jnp.array([1.0, -20.0, 0.0]), jnp.array([0.1, 3.0, 1.0])),
        {"provenance": {"seed": 3}, "note": "ünïcode", "nothing": None, "list": [1, 2.5]},
    )


@pytest.fixture
def path(tmp_path):
    return save(tmp_path, make_set())


def test_what_is_saved_is_what_is_loaded(path):
    saved, loaded = make_set(), load(path)
    assert path.name == "distilled.npz"
    np.testing.assert_array_equal(loaded.synthetic.observations, saved.synthetic.observations)
    np.testing.assert_array_equal(loaded.synthetic.actions, saved.synthetic.actions)
    np.testing.assert_array_equal(loaded.normalizer.mean, saved.normalizer.mean)
    np.testing.assert_array_equal(loaded.normalizer.scale, saved.normalizer.scale)
    assert loaded.card == saved.card


def test_a_set_is_readable_with_numpy_alone(path):
    saved = make_set()
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert arrays["observations"].shape == (N, D)
    np.testing.assert_array_equal(arrays["actions"], saved.synthetic.actions)
    # Raw units: what the environment shows; divided by the deviation after the mean is taken off.
    normalized = (arrays["observations"] - arrays["observation_mean"]) / arrays["observation_scale"]
    np.testing.assert_allclose(normalized, saved.synthetic.observations, atol=1e-5)
    np.testing.assert_array_equal(arrays["normalized_observations"], saved.synthetic.observations)
    assert json.loads(str(arrays["card"])) == saved.card
    assert json.loads((path.parent / "card.json").read_text()) == saved.card


def test_saving_again_replaces_the_set_and_leaves_nothing_else(path):
    better = make_set()
    better.card["note"] = "better"
    save(path.parent, better)
    assert load(path).card["note"] == "better"
    assert sorted(file.name for file in path.parent.iterdir()) == ["card.json", "distilled.npz"]


def test_a_set_that_fails_to_be_written_leaves_the_old_one(path, monkeypatch):
    before = path.read_bytes()

    def fail(file, **arrays):
        pathlib.Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space left"):
        save(path.parent, make_set())
    assert path.read_bytes() == before


def test_a_card_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    distilled = make_set()
    distilled.card["loss"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path, distilled)
    assert not list(tmp_path.iterdir())


def arrays_of(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_normalised_observations_may_be_absent(path):
    arrays = arrays_of(path)
    del arrays["normalized_observations"]
    np.savez(path, **arrays)
    np.testing.assert_allclose(
        load(path).synthetic.observations, make_set().synthetic.observations, atol=1e-5
    )


def test_a_missing_set_is_refused(tmp_path):
    for absent in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(InvalidInputError, match=f"no distilled set at {absent}"):
            load(absent)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_set_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInputError, match="is not a distilled set"):
        load(path)


def test_a_damaged_set_is_refused(path):
    content = bytearray(path.read_bytes())
    at = content.index(b"NUMPY") + 150
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="is not a distilled set"):
        load(path)


@pytest.mark.parametrize("content", [b"text\n", b"\x93NUMPY", b"PK\x03\x04"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="is not a distilled set"):
        load(path)


def test_a_single_array_is_refused(tmp_path):
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InvalidInputError, match="is not a distilled set"):
        load(tmp_path / "array.npz")


def test_pickled_objects_are_refused_and_not_run(path):
    np.savez(path, **{**arrays_of(path), "actions": np.array([[print]], dtype=object)})
    with pytest.raises(InvalidInputError, match="is not a distilled set"):
        load(path)


@pytest.mark.parametrize(
    "name", ["observations", "actions", "observation_mean", "observation_scale", "card"]
)
def test_a_set_without_an_array_is_refused_with_what_it_has(path, name):
    arrays = arrays_of(path)
    del arrays[name], arrays["observation_std"]
    np.savez(path, **arrays)
    with pytest.raises(InvalidInputError, match=f"lacks {name}; it has .*normalized_obs"):
        load(path)


def test_the_scale_may_have_its_older_name(path):
    arrays = arrays_of(path)
    np.testing.assert_array_equal(arrays["observation_std"], arrays["observation_scale"])
    del arrays["observation_scale"]
    np.savez(path, **arrays)
    np.testing.assert_array_equal(load(path).normalizer.scale, make_set().normalizer.scale)


UNUSABLE = {
    "fewer actions": ({"actions": np.zeros((N - 1, A))}, "do not fit together"),
    "flat actions": ({"actions": np.zeros(N)}, "do not fit together"),
    "no pairs": ({"observations": np.zeros((0, D)), "actions": np.zeros((0, A))}, "do not fit"),
    "another mean": ({"observation_mean": np.zeros(D + 1)}, "do not fit together"),
    "another scale": ({"observation_scale": np.ones((1, D))}, "do not fit together"),
    "two scales": ({"observation_std": np.ones(D)}, "observation_scale and another observation_s"),
    "other states": ({"normalized_observations": np.zeros((N, D + 1))}, "do not fit together"),
    "nan": ({"observations": np.full((N, D), np.nan)}, "observations that are not finite"),
    "inf": ({"actions": np.full((N, A), np.inf)}, "actions that are not finite"),
    "nan, normalised": ({"normalized_observations": np.full((N, D), np.nan)}, "not finite"),
    "text": ({"actions": np.full((N, A), "x")}, "actions that are not finite numbers"),
    "zero scale": ({"observation_scale": np.zeros(D)}, "observation_scale that is not positive"),
    "no json": ({"card": np.array("{")}, "is not JSON"),
    "no object": ({"card": np.array("[1]")}, "is not a JSON object"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_arrays_that_make_no_set_are_refused(path, case):
    changes, message = UNUSABLE[case]
    np.savez(path, **{**arrays_of(path), **changes})
    with pytest.raises(InvalidInputError, match=message) as refusal:
        load(path)
    assert str(path) in str(refusal.value)


def test_a_set_is_found_in_its_run_folder(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for given in (path.parent, str(path.parent), f"~/{tmp_path.name}"):
        assert load(given).card == make_set().card


RECIPE = KernelRecipe("nngp", 1, 0.1, 1e-2, 2.0)


def test_the_student_of_the_card_is_the_policy(path):
    distilled = dataclasses.replace(load(path), card={"student": to_card(RECIPE)})
    assert distilled.recipe == RECIPE
    student, states = RECIPE.student(A), np.ones((4, D), np.float32)
    params = student.fit(jax.random.key(0), distilled.synthetic)
    expected = student.act(params, distilled.normalizer.normalize(states))
    np.testing.assert_allclose(distilled.policy()(states), expected, rtol=1e-4, atol=1e-5)


def test_the_policy_acts_in_the_units_that_the_card_names(path):
    inside = dataclasses.replace(load(path), card={"student": to_card(RECIPE)})
    bounds = {"low": [-2.0, 0.0], "high": [2.0, 0.5]}
    card = {**inside.card, "provenance": {"action_bounds": bounds}}
    outside, states = dataclasses.replace(inside, card=card), np.ones((4, D), np.float32)
    acted = inside.policy()(states)
    expected = [-2.0, 0.0] + (acted + 1) / 2 * np.array([4.0, 0.5])
    np.testing.assert_allclose(outside.policy()(states), expected, rtol=1e-4, atol=1e-5)
    assert inside.action_bounds is None
    damaged = {**card, "provenance": {"action_bounds": {"low": [1.0], "high": [0.0]}}}
    with pytest.raises(InvalidInputError, match="the set's card has no action bounds"):
        dataclasses.replace(inside, card=damaged).policy()


@pytest.mark.parametrize("card", [{}, {"student": None}, {"student": "mlp"}])
def test_a_card_without_a_student_has_no_policy(path, card):
    distilled = dataclasses.replace(load(path), card=card)
    with pytest.raises(InvalidInputError, match="the set's card names no student"):
        distilled.policy()
