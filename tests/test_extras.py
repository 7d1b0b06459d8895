"""Optional packages: imported, or named with the command that installs them."""

import json
import sys

import pytest

from obd_jax.extras import require
from obd_jax.types import InvalidInputError


def test_what_is_installed_is_returned():
    assert require("json", "mjx", "rollouts") is json
    assert require("json.decoder", "mjx", "rollouts") is json.decoder


@pytest.mark.parametrize("module", ["brax", "mujoco.mjx", "minari", "tensorboardX", "wandb"])
def test_what_is_not_is_named_in_a_line_with_the_command(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)  # As if it were not installed.
    with pytest.raises(InvalidInputError) as refusal:
        require(module, "all", "mjx rollouts")
    assert str(refusal.value) == (
        f"mjx rollouts need {module}, which is not installed: pip install 'obd-jax[all]'"
    )


def test_a_package_that_lacks_another_is_not_called_absent(monkeypatch, tmp_path):
    (tmp_path / "lacking.py").write_text("import wanted\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        InvalidInputError,
        match=r"need lacking, which cannot be imported \(No module named 'wanted'\): pip",
    ):
        require("lacking", "mjx", "rollouts")
