"""Changes to the pool, one at a time, on data of a moment."""

import numpy as np
import pool_levers
import pytest
from pool_levers import Settings

from obd_jax.types import InvalidInputError


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return Settings(
        datasets=("hopper-medium",),
        rows=3000,
        steps=3,
        levers=("noise 0.05 to 0.6", "6000 toward others", "last set"),
        judges=("kernel", "sklearn-gp"),
        seeds=(3,),
        tries=2,
        episodes=1,
        out=str(tmp_path_factory.mktemp("levers")),
    )


@pytest.mark.slow
def test_a_lever_is_distilled_judged_and_kept(quick, monkeypatch):
    pytest.importorskip("sklearn")
    found = pool_levers.run(quick)
    assert list(found) == [(lever, "hopper-medium") for lever in quick.levers]
    for (record,) in found.values():
        assert np.isfinite(record["provenance"]["loss"])
        assert {name: np.shape(rows) for name, rows in record["returns"].items()} == {
            "kernel": (1, 2),
            "sklearn-gp": (1, 2),
        }
    table = pool_levers.table_of(found, quick.judges).splitlines()
    assert len(table) == 2 + len(quick.levers)
    assert table[0].startswith("| lever | data | kernel | sklearn-gp |")
    # Each is another set.
    assert len({record["provenance"]["loss"] for (record,) in found.values()}) == len(quick.levers)
    monkeypatch.setattr(pool_levers, "make_sets", None)  # Nothing is made again.
    again = pool_levers.run(quick)
    assert again.keys() == found.keys()
    assert [each[0]["returns"] for each in again.values()] == [
        each[0]["returns"] for each in found.values()
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levers": ("magic",)}, "unknown levers 'magic'; known: base"),
        ({"judges": ("oracle",)}, "'oracle'"),
        ({"datasets": ("chess",)}, "'chess'"),
        ({"tries": 0}, "tries must be at least 1"),
    ],
)
def test_what_there_is_not_is_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        Settings(**options)
