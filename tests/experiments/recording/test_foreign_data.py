"""Data by released policies: each acts for its share, with its noise."""

import json

import foreign_data
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from obd_jax.data import load_file
from obd_jax.types import InvalidInputError

ROWS = 6_000


def test_noise_is_added_and_clipped():
    observations = np.linspace(-1, 1, 20_000, dtype=np.float32)[:, None]
    generator = np.random.default_rng(0)
    actions = foreign_data.noisy(lambda o: 0.5 * o, 0.1)(generator, observations)
    error = actions - 0.5 * observations
    assert actions.dtype == np.float32
    np.testing.assert_allclose([error.mean(), error.std()], [0, 0.1], atol=0.003)
    loud = foreign_data.noisy(jnp.zeros_like, 9.0)(generator, observations)
    assert np.abs(loud).max() == 1


def test_every_policy_has_its_share(shared_data, tmp_path, capsys):
    path = tmp_path / "new" / "hopper.hdf5"
    config = foreign_data.Config(
        policies=str(shared_data / "obd_calql"),
        stats=str(shared_data / "d4rl_stats.json"),
        out=str(path),
        rows=ROWS,
        noises=(0.0, 1.0),
    )
    foreign_data.run(config)
    assert f"written to {path}" in capsys.readouterr().out
    with h5py.File(path) as file:
        card = json.loads(file.attrs["card"])
        lengths = [part["rows"] for part in card["parts"]]
        assert [part["noise"] for part in card["parts"]] == [0.0, 1.0] * 3
        ends = np.cumsum(lengths)
        assert ends[-1] == ROWS == len(file["rewards"])
        assert (file["terminals"][:] | file["timeouts"][:])[ends - 1].all()
        at_bounds = [(np.abs(part) == 1).mean() for part in np.split(file["actions"][:], ends[:-1])]
    # With a deviation of 1 about a third of the actions are clipped.
    assert max(at_bounds[::2]) < 0.2 < min(at_bounds[1::2])
    # The same transitions as by a policy without noise: next states follow from states.
    assert len(load_file(path).observations) > 0.9 * ROWS


@pytest.mark.parametrize("missing", ["policies", "stats", "out"])
def test_files_are_required(missing):
    given = {"policies": "p", "stats": "s", "out": "o", missing: None}
    with pytest.raises(InvalidInputError, match=f"{missing} is required"):
        foreign_data.run(foreign_data.Config(**given))


def test_too_few_rows_are_refused():
    with pytest.raises(InvalidInputError, match="rows must be at least 48, got 47"):
        foreign_data.run(foreign_data.Config(policies="p", stats="s", out="o", rows=47))
