"""Versions behind a result."""

import json
import platform

import jax
import numpy as np

import obd_jax
from obd_jax.artefacts import software


def test_versions_are_those_that_run():
    versions = software()
    assert versions["obd_jax"] == obd_jax.__version__
    assert versions["python"] == platform.python_version()
    assert versions["jax"] == jax.__version__
    assert versions["numpy"] == np.__version__
    assert {"flax", "optax", "gymnasium", "mujoco"} <= set(versions)
    assert versions["devices"] == [device.device_kind for device in jax.devices()]
    assert json.loads(json.dumps(versions)) == versions
