"""The benchmark for accelerators, to its end on a CPU in tiny sizes."""

import json

import accelerator
import pytest
from accelerator import Config

from obd_jax.settings import OptionError


@pytest.fixture(autouse=True)
def _unoptimised(unoptimised):
    pass


@pytest.fixture
def tiny():
    return Config(
        members=(2,),
        environments=(),
        pairs=16,
        width=16,
        inner_steps=3,
        states=32,
        steps=1,
        blocks=1,
    )


def test_every_case_is_measured_and_one_json_is_written(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accelerator, "STEPS_TO_COMPARE", 2)
    # Compiling takes seconds for each; a case of the others is no other code.
    monkeypatch.setattr(accelerator, "STUDENTS", ("kernel", "mlp", "pool"))
    monkeypatch.setattr(accelerator, "IN_PRECISIONS", ("mlp",))
    monkeypatch.setattr(accelerator, "PRECISIONS", ("highest", "default"))
    # Processes cost seconds each; one is started below.
    monkeypatch.setattr(
        accelerator, "in_new_process", lambda case, config, _: accelerator.measured(case, config)
    )
    out = tmp_path / "accelerator.json"
    result = accelerator.run(Config(**{**vars(tiny), "out": str(out)}))
    assert json.loads(out.read_text()) == json.loads(json.dumps(result))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == json.loads(json.dumps(result))
    assert result["device"]["platform"] == "cpu"
    assert set(result["cases"]) == set(accelerator.cases(tiny))
    for name in accelerator.STUDENTS:
        assert set(result["cases"][name]) == {"2"}, name
        for members, found in result["cases"][name].items():
            rates = found["set_steps_per_second"], found["steps_per_second"]
            assert rates[0] == pytest.approx(int(members) * rates[1])
            assert found["steps_per_second"] > 0
    # A CPU has one precision, and repeats itself.
    losses = {result["cases"][f"mlp, {name}"]["loss"] for name in accelerator.PRECISIONS}
    assert len(losses) == 1
    assert result["cases"]["pool, twice"]["equal"]


def test_a_case_is_a_process_and_one_that_fails_says_so(tiny):
    found = accelerator.in_new_process("kernel, twice", tiny, 300.0)
    assert len(found["sha256"]) == 64
    assert (
        "unknown --case 'x'; known: kernel;"
        in accelerator.in_new_process("x", tiny, 60.0)["failed"]
    )
    assert "not finished after" in accelerator.in_new_process("kernel", tiny, 0.1)["failed"]


def test_what_there_is_no_time_for_is_named(tiny):
    result = accelerator.run(Config(**{**vars(tiny), "minutes": 0.0}))
    assert set(map(str, result["cases"].values())) == {"{'skipped': 'no time was left'}"}


def test_an_unknown_case_is_refused(tiny):
    with pytest.raises(OptionError, match="case"):
        accelerator.measured("x", tiny)
