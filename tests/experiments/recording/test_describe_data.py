"""The table of the embedded data sets, from small ones."""

import dataclasses
import json

import describe_data
import pytest

from obd_jax.types import InvalidInputError

TYPES = ("medium-replay", "medium", "expert")


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBD_JAX_CACHE", str(folder / "cache"))
        patch.setattr(describe_data, "TYPES", TYPES)
        config = describe_data.Config(
            out=str(folder / "out"), env="hopper", data_rows=4000, states=1000, epochs=1
        )
        return folder, config, describe_data.run(config)


def test_every_type_has_its_measures(described):
    _, _, results = described
    assert [r["name"] for r in results] == [f"hopper-{kind}" for kind in TYPES]
    by_kind = dict(zip(TYPES, results, strict=True))
    assert by_kind["expert"]["score_mean"] > 50  # Its last episode is cut off.
    for result in results:
        first, second, third = result["effective_sample_fraction"]
        assert 1 > first > second > third > 0
        assert result["diversity"] > 0
        assert result["provenance"]["data"]["source"] == "embedded"
    assert by_kind["medium-replay"]["diversity"] > by_kind["expert"]["diversity"]


def test_the_table_has_a_row_for_each(described):
    _, _, results = described
    lines = describe_data.table(results).splitlines()
    assert len(lines) == 2 + len(results)
    assert len({line.count("|") for line in lines}) == 1
    assert "| 44.3 |" in lines[3]


def test_what_has_been_described_is_read(described):
    folder, config, _ = described
    path = folder / "out" / "hopper-medium.json"
    changed = {**json.loads(path.read_text()), "diversity": -1.0}
    path.write_text(json.dumps(changed))
    again = describe_data.described(config, "hopper-medium")
    assert again["diversity"] == -1.0
    with pytest.raises(InvalidInputError, match="made with epochs=1, not 2; give another out"):
        describe_data.described(dataclasses.replace(config, epochs=2), "hopper-medium")
