"""Where a result comes from: data, teacher, environment, versions."""

import dataclasses
import json
import os
import platform

import jax
import numpy as np
import pytest

import obd_jax
from obd_jax import environments, toy
from obd_jax.artefacts import action_bounds, provenance, software
from obd_jax.types import ActionBounds


def test_versions_are_those_that_run():
    versions = software()
    assert versions["obd_jax"] == obd_jax.__version__
    assert versions["python"] == platform.python_version()
    assert versions["jax"] == jax.__version__
    assert versions["numpy"] == np.__version__
    assert {"flax", "optax", "gymnasium", "mujoco"} <= set(versions)
    assert versions["devices"] == [device.device_kind for device in jax.devices()]
    assert json.loads(json.dumps(versions)) == versions


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be bound here")
def test_the_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert software()["cores"] == 1
    finally:
        os.sched_setaffinity(0, before)
    assert software()["cores"] == len(before)


def test_the_precision_is_the_one_asked_for():
    for name in ("highest", "high"):
        with jax.default_matmul_precision(name):
            assert software()["matmul_precision"] == name
    with jax.default_matmul_precision(None):
        assert software()["matmul_precision"] == "default"


def test_a_card_has_an_entry_for_everything_given_in_order():
    data, teacher = toy.offline_data(jax.random.key(0), 100), toy.teacher()
    card = provenance(data, teacher, environments.get("hopper"), seed=3, start=None)
    assert list(card) == ["data", "teacher", "environment", "seed", "start", "software"]
    assert card["data"] == {
        "source": "toy task",
        "name": "point-mass",
        "sha256": data.provenance.sha256,
        "environment": data.provenance.environment,
    }
    assert card["teacher"]["sha256"] == teacher.provenance.sha256
    assert card["environment"] == {"name": "hopper", "backend": "gymnasium Hopper-v4"}
    assert (card["seed"], card["start"], card["software"]) == (3, None, software())
    assert json.loads(json.dumps(card)) == card


def test_bounds_of_actions_are_those_of_the_environment_else_of_the_data():
    plain = toy.offline_data(jax.random.key(0), 100)
    pendulum, own = environments.get("Pendulum-v1"), ActionBounds((-3.0,) * 2, (3.0,) * 2)
    scaled = dataclasses.replace(plain, action_bounds=own)
    unit = dataclasses.replace(plain, action_bounds=ActionBounds((-1.0,) * 2, (1.0,) * 2))
    assert action_bounds(scaled, None) == own
    assert action_bounds(unit, pendulum) == action_bounds(scaled, pendulum)
    assert action_bounds(scaled, pendulum) == ActionBounds((-2.0,), (2.0,))
    for none in ((plain, None), (unit, None), (scaled, toy.SPEC)):
        assert action_bounds(*none) is None
        assert "action_bounds" not in provenance(none[0], environment=none[1])
    assert provenance(scaled)["action_bounds"] == {"low": [-3.0, -3.0], "high": [3.0, 3.0]}


def test_what_is_not_given_is_not_in_a_card():
    assert provenance() == {"software": software()}
