"""Input that cannot be used: one clear line, nothing left behind."""

import dataclasses
import importlib
import os

import h5py
import numpy as np
import pytest

from obd_jax import artefacts, data
from obd_jax.pipeline import RunSettings, run
from obd_jax.reporting import SILENT
from obd_jax.settings import OptionError, from_options
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData
from tests.pipeline.toy_runs import prepared_for
from tests.teachers.checkpoints import Checkpoint, name, write_stats

MODULE = importlib.import_module("obd_jax.pipeline.run")  # Its name is the function's too.
ROWS, D, A = 30, 11, 3  # Of Hopper.


def recording():
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(ROWS, D)),
        "actions": rng.uniform(-1, 1, (ROWS, A)),
        "rewards": rng.normal(size=ROWS),
        "terminals": np.arange(ROWS) == 9,
        "timeouts": np.arange(ROWS) == 19,
    }


@pytest.fixture
def inputs(tmp_path):
    """Folder of usable input; tests spoil a part of it."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    write_recording(folder, {})
    Checkpoint(D, A).write(folder / "teacher.pt")
    write_stats(folder / "stats.json", D, "hopper-medium-v2")
    return folder


def write_recording(folder, changes):
    with h5py.File(folder / "data.hdf5", "w") as file:
        for key, value in {**recording(), **changes}.items():
            if value is not None:
                file[key] = value


def settings_of(inputs, **changes):
    values = {
        "out": str(inputs.parent / "run"),
        "dataset_path": str(inputs / "data.hdf5"),
        "env": "hopper",
        "teacher": str(inputs / "teacher.pt"),
        "teacher_stats": str(inputs / "stats.json"),
        "teacher_stats_key": "hopper-medium-v2",
        "pairs": 8,
        "density": "gaussian",
        **changes,
    }
    return from_options(RunSettings, values)


def refusal(inputs, **changes):
    """The message with which a run is refused, as a command line spells it."""
    with pytest.raises(InvalidInputError) as caught:
        run(settings_of(inputs, **changes), SILENT)
    error = caught.value
    # The library knows options, and no flags.
    assert "--" not in str(error)
    message = error.spelled("--") if isinstance(error, OptionError) else str(error)
    assert "\n" not in message
    assert "{" not in message
    return message


def test_the_input_that_the_others_spoil_is_usable(inputs):
    prepared = prepared_for(settings_of(inputs))
    assert len(prepared.data) == ROWS - 2
    assert prepared.environment.name == "hopper"


def test_data_recorded_in_a_v5_task_are_scored_there(inputs, monkeypatch):
    recorded = data.load_file(inputs / "data.hdf5")
    provenance = dataclasses.replace(recorded.provenance, environment="Hopper-v5")
    found = dataclasses.replace(recorded, provenance=provenance)
    monkeypatch.setattr(data, "load", lambda *_, **__: found)
    changes = {"dataset": "hopper-medium", "source": "minari", "env": None, "dataset_path": None}
    prepared = prepared_for(settings_of(inputs, **changes))
    assert prepared.environment.backend == "gymnasium Hopper-v5"
    unknown = dataclasses.replace(
        recorded, provenance=dataclasses.replace(provenance, environment=None)
    )
    monkeypatch.setattr(data, "load", lambda *_, **__: unknown)
    assert "give --env" in refusal(inputs, **changes)


def spoiled(key, row, value):
    array = recording()[key]
    array[row] = value
    return {key: array}


SPOILED_RECORDINGS = {
    "missing key": ({"rewards": None}, ["lacks rewards", "found actions"]),
    "mismatched lengths": (
        {"actions": np.zeros((ROWS - 1, A))},
        ["differ in length", f"observations {ROWS}", f"actions {ROWS - 1}"],
    ),
    "nan in observations": (spoiled("observations", 4, np.nan), ["observations", "row 4"]),
    "inf in observations": (spoiled("observations", 4, np.inf), ["observations", "row 4"]),
    "nan in actions": (spoiled("actions", 4, np.nan), ["actions", "row 4"]),
    "inf in actions": (spoiled("actions", 4, -np.inf), ["actions", "row 4"]),
    "actions out of bounds": (spoiled("actions", 4, 1.5), ["actions", "1.5", "[-1, 1]"]),
    "empty data": ({key: value[:0] for key, value in recording().items()}, ["0 rows", "two"]),
    "one transition": (
        {key: value[:2] for key, value in recording().items()},
        ["1 transitions", "at least two"],
    ),
    "observations unlike the teacher's": (
        {"observations": np.random.default_rng(0).normal(size=(ROWS, 17))},
        ["has 17 observations and 3 actions", "teacher.pt has 11 and 3"],
    ),
}


@pytest.mark.parametrize("case", SPOILED_RECORDINGS)
def test_unusable_data_are_refused(inputs, case):
    changes, parts = SPOILED_RECORDINGS[case]
    write_recording(inputs, changes)
    message = refusal(inputs)
    assert all(part in message for part in [str(inputs / "data.hdf5"), *parts]), message
    assert not (inputs.parent / "run").exists()


OPTIONS = {
    "no data": ({"dataset_path": None}, ["either --dataset or --dataset_path"]),
    "rows of the toy": (
        {"dataset": "toy", "dataset_path": None, "data_rows": 500},
        ["--data_rows, --action_low and an --env are not for --dataset=toy"],
    ),
    "two data sets": ({"dataset": "toy"}, ["either --dataset or --dataset_path"]),
    "no teacher": (
        {"teacher": None},
        ["--teacher takes an algorithm", "--objective=dbc needs none"],
    ),
    "unknown teacher": ({"teacher": "sac"}, ["'sac'", "bundled, behavior, rebrac", ".npz", ".pt"]),
    "missing trained teacher": ({"teacher": "/absent.npz"}, ["/absent.npz", "No such file"]),
    "bundled for own data": ({"teacher": "bundled"}, ["--teacher=bundled is for embedded data"]),
    "no environment": ({"env": None}, ["--env"]),
    "unknown source": ({"source": "hub"}, ["'hub'", "auto, d4rl, embedded, minari"]),
    "rows of a file": ({"data_rows": 100}, ["--data_rows", "--dataset_path"]),
    "source of a file": ({"source": "d4rl"}, ["--source", "--dataset_path"]),
    "statistics missing": ({"teacher_stats": None}, ["--teacher_stats"]),
    "too few rows": (
        {
            "dataset": "hopper-medium-expert",
            "dataset_path": None,
            "env": None,
            "data_rows": 15,
            "source": "embedded",
            "teacher": None,
        },
        ["15 rows", "hopper-medium-expert", "at least 8"],
    ),
    "a critic that there is not": (
        {"teacher": "behavior", "objective": "av_pbc"},
        ["Av-PBC needs a critic", "hopper expert"],
    ),
    "missing data": ({"dataset_path": "/absent.hdf5"}, ["/absent.hdf5", "No such file"]),
    "missing teacher": ({"teacher": "/absent.pt"}, ["/absent.pt", "No such file"]),
    "unknown statistics": ({"teacher_stats_key": "x"}, ["'x'", "hopper-medium-v2"]),
    "unknown data set": (
        {"dataset": "cartpole-medium", "dataset_path": None},
        ["'cartpole-medium'", "hopper", "medium-expert"],
    ),
    "unknown environment": ({"env": "cartpole"}, ["'cartpole'", "hopper", "walker2d"]),
    "another environment": ({"env": "walker2d"}, ["walker2d", "17", "got 11 and 3"]),
    "unknown objective": ({"objective": "bc"}, ["'bc'", "dbc, pbc, av_pbc"]),
    "unknown density": ({"density": "vae"}, ["'vae'", "gaussian, kde, knn, maf"]),
    "unknown optimiser": ({"outer_optimizer": "lamb"}, ["'lamb'", "sgd, nesterov, adam"]),
    "unknown inner optimiser": (
        {"student": "mlp", "inner_optimizer": "lamb"},
        ["'lamb'", "sgd, nesterov, adam"],
    ),
    "unknown student": ({"student": "tree"}, ["'tree'", "kernel, mlp, random_features, lazy_mlp"]),
    "unknown kernel": ({"kernel": "cosine"}, ["'cosine'", "ntk, standard_ntk, nngp"]),
    "no depth": ({"depth": 0}, ["--depth", "at least 1", "got 0"]),
    "negative ridge": ({"ridge": -1e-3}, ["--ridge", "not be negative", "-0.001"]),
    "no ridge at all": ({"ridge": np.nan}, ["--ridge", "finite", "nan"]),
    "unknown initializer": ({"initializer": "zeros"}, ["'zeros'", "random, relabelled"]),
    "unknown constraint": ({"constraint": "box"}, ["'box'", "free, clipped, squashed"]),
    "unknown cloning loss": ({"student": "mlp", "cloning": "nll"}, ["'nll'", "action, presquash"]),
    "unknown annealing": ({"anneal": "step"}, ["'step'", "cosine, constant"]),
    "N larger than the data": ({"pairs": 29}, ["29", "between 1 and", "28"]),
    "density start without density": (
        {"initializer": "density", "temperature": 0.0},
        ["--initializer=density", "--temperature above 0"],
    ),
    "noise without a teacher": (
        {"objective": "dbc", "state_noise": 0.1},
        ["--state_noise", "teacher", "dbc"],
    ),
    "linear MLP beside a kernel": (
        {"lazy_weight": 0.5},
        ["--lazy_weight is for --student=mlp, not kernel"],
    ),
    "unknown precision": ({"precision": "half"}, ["'half'", "highest, high, default"]),
    "unknown meta-gradient": (
        {"student": "mlp", "meta_gradient": "forward"},
        ["'forward'", "reverse, mixed, truncated, random_truncated"],
    ),
    "meta-gradient of a kernel student": (
        {"meta_gradient": "mixed"},
        ["--meta_gradient is for --student=mlp, not kernel"],
    ),
    "window beyond the training": (
        {"student": "mlp", "meta_gradient": "truncated", "inner_steps": 5, "window": 6},
        ["--window", "--inner_steps and --also_steps, 5,", "got 6"],
    ),
    "window beyond another training": (
        {"student": "mlp", "meta_gradient": "truncated", "window": 6, "also_steps": (5,)},
        ["--window", "--inner_steps and --also_steps, 5,", "got 6"],
    ),
    "depths of a kernel student": (
        {"also_depths": (2,)},
        ["--also_depths is for --student=mlp, not kernel"],
    ),
    "depth of zero": (
        {"student": "mlp", "also_depths": (2, 0)},
        ["--also_depths", "positive", "(2, 0)"],
    ),
    "depths of several widths": (
        {"student": "mlp", "also_depths": (2,), "hidden_sizes": (8, 4)},
        ["--also_depths", "one width", "(8, 4)"],
    ),
    "narrow networks for a kernel student": (
        {"narrow_widths": (8,), "narrow_steps": (5,)},
        ["--narrow_widths is for --student=mlp, not kernel"],
    ),
    "spread above 1": (
        {"student": "mlp", "narrow_spread": 1.5},
        ["--narrow_spread", "[0, 1]", "1.5"],
    ),
    "width without steps": (
        {"student": "mlp", "narrow_widths": (8,)},
        ["--narrow_widths", "--narrow_steps", "equally many", "(8,)", "()"],
    ),
    "width of zero": (
        {"student": "mlp", "narrow_widths": (0,), "narrow_steps": (5,)},
        ["--narrow_widths", "positive", "(0,)"],
    ),
    "narrow network that is not": (
        {"student": "mlp", "narrow_widths": (256,), "narrow_steps": (5,)},
        ["--narrow_widths", "below", "(256,)"],
    ),
    "negative noise": ({"state_noise": -0.1}, ["--state_noise", "not be negative", "-0.1"]),
    "missing start": ({"start": "/absent.npz"}, ["no distilled set", "/absent.npz"]),
    "N = 0": ({"pairs": 0}, ["at least 1", "got 0"]),
    "T = 0": ({"student": "mlp", "inner_steps": 0}, ["--inner_steps", "at least 1", "got 0"]),
    "no outer step": ({"outer_steps": 0}, ["--outer_steps", "at least 1", "got 0"]),
    "empty batch": ({"batch_size": 0}, ["--batch_size", "at least 1", "got 0"]),
    "no student": ({"students": 0}, ["--students", "at least 1", "got 0"]),
    "no episode": ({"episodes": -1}, ["--episodes", "at least 1", "got -1"]),
    "no layer": ({"student": "mlp", "hidden_sizes": ()}, ["--hidden_sizes", "positive", "()"]),
    "negative temperature": ({"temperature": -0.1}, ["--temperature", "not be negative", "-0.1"]),
    "negative early steps": ({"early_steps": -1.0}, ["--early_steps", "not be negative", "-1.0"]),
    "temperature nan": ({"temperature": np.nan}, ["--temperature", "nan"]),
    "temperature inf": ({"temperature": np.inf}, ["--temperature", "finite", "inf"]),
    "floor of 1": ({"floor_quantile": 1.0}, ["--floor_quantile", "[0, 1)", "1.0"]),
    "negative clipping": ({"clip_norm": -1.0}, ["--clip_norm", "not be negative", "-1.0"]),
    "negative interval": (
        {"checkpoint_minutes": -1.0},
        ["--checkpoint_minutes", "not be negative", "-1.0"],
    ),
    "no budget": ({"budget_minutes": 0.0}, ["--budget_minutes", "positive", "0.0"]),
    "negative values": ({"value_scale": -0.02}, ["--value_scale", "positive", "-0.02"]),
    "learning rate": ({"outer_learning_rate": -1.0}, ["learning rate", "positive", "-1.0"]),
    "inner learning rate": (
        {"student": "mlp", "inner_learning_rate": 0.0},
        ["learning rate", "positive", "0.0"],
    ),
    "momentum": ({"student": "mlp", "inner_momentum": 1.0}, ["momentum", "[0, 1)", "1.0"]),
    "an average of unknown steps": (
        {"average": 0.25, "budget_minutes": 1.0},
        ["--average needs a known number of steps", "--outer_steps", "--average=0"],
    ),
    "more than all sets": ({"average": 1.5}, ["--average", "[0, 1]", "1.5"]),
    "density of no states": ({"density_states": 0}, ["--density_states", "at least 1", "got 0"]),
    "more than the best": ({"least_return": 1.5}, ["--least_return", "[0, 1]", "1.5"]),
    "passes of a density that has none": (
        {"density_epochs": 3},
        ["--density_epochs is for --density=maf, not gaussian"],
    ),
    "ridge of an MLP": (
        {"student": "mlp", "ridge": 0.1},
        ["--ridge is for --student=kernel or random_features or pool, not mlp"],
    ),
    "window of all steps": (
        {"student": "mlp", "window": 3},
        ["--window is for --meta_gradient=truncated or random_truncated, not reverse"],
    ),
    "empty window": (
        {"student": "mlp", "meta_gradient": "truncated", "window": 0},
        ["--window", "at least 1", "got 0"],
    ),
    "values of another objective": (
        {"objective": "pbc", "value_scale": 0.02},
        ["--value_scale is for --objective=av_pbc, not pbc"],
    ),
    "linear MLP of another optimiser": (
        {"student": "mlp", "lazy_weight": 0.5, "inner_optimizer": "adam"},
        ["--lazy_weight", "--inner_optimizer=sgd", "no --residual"],
    ),
    "linear MLP of another network": (
        {"student": "mlp", "lazy_weight": 0.5, "residual": True},
        ["--lazy_weight", "--inner_optimizer=sgd", "no --residual"],
    ),
    "negative points": ({"curve_points": -1}, ["--curve_points", "not be negative", "-1"]),
    "unknown service": ({"writers": "mlflow"}, ["'mlflow'", "tensorboard, wandb"]),
    "an option that there is not": ({"temprature": 0.1}, ["'temprature'", "temperature"]),
    "text for a number": ({"pairs": "many"}, ["--pairs takes int, got 'many'"]),
    "no pass over the data": (
        {"density": "maf", "density_epochs": 0},
        ["--density_epochs", "at least 1", "0"],
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_unusable_options_are_refused_with_what_is_accepted(inputs, case):
    changes, parts = OPTIONS[case]
    message = refusal(inputs, **changes)
    assert all(part in message for part in parts), message
    assert not (inputs.parent / "run").exists()


def test_a_truncated_file_is_refused(inputs):
    path = inputs / "data.hdf5"
    path.write_bytes(path.read_bytes()[:2000])
    assert "not an HDF5 file, or truncated" in refusal(inputs)
    assert not (inputs.parent / "run").exists()


def test_a_checkpoint_with_a_foreign_class_is_refused_by_name(inputs):
    checkpoint = Checkpoint(D, A)
    checkpoint.others["actor_optimizer"] = name("os", "system")
    checkpoint.write(inputs / "teacher.pt")
    message = refusal(inputs)
    assert "os.system" in message
    assert not (inputs.parent / "run").exists()


def test_a_run_folder_that_holds_another_run_is_refused_and_left_alone(inputs):
    folder = inputs.parent / "run"
    folder.mkdir()
    (folder / "results.json").write_text("{}")
    assert "already holds a finished run" in refusal(inputs)
    assert [file.name for file in folder.iterdir()] == ["results.json"]


def test_an_unwritable_run_folder_is_refused_before_anything_is_read(inputs, monkeypatch):
    # Tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(MODULE, "load_problem", lambda *_: pytest.fail("read the input first"))
    assert "cannot be written" in refusal(inputs)
    assert not (inputs.parent / "run").exists()


def test_a_start_of_another_task_is_refused(inputs):
    path = artefacts.save(
        inputs,
        artefacts.DistilledSet(
            SyntheticData(np.zeros((4, 5)), np.zeros((4, 2))),
            Normalizer(np.zeros(5), np.ones(5)),
            {},
        ),
    )
    message = refusal(inputs, start=str(path))
    assert "has 5 observations and 2 actions; the data has" in message
