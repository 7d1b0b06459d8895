"""The main job from end to end, on the toy task."""

import html
import importlib
import json
import re

import jax
import numpy as np
import pytest

import obd_jax
from obd_jax import artefacts, distill, evaluation, runs, students
from obd_jax.data.cache import sha256
from obd_jax.pipeline import RunSettings, problem, run, targets
from obd_jax.pipeline.scores import run_summary
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, to_options, with_options
from obd_jax.types import InvalidInputError
from tests.pipeline.toy_runs import KERNEL, REAL, TINY, few_transitions, lines_of

MODULE = importlib.import_module("obd_jax.pipeline.run")  # Its name is the function's too.
ROWS = ("synthetic", "random_real", "data", "teacher")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and returned results of one real run."""
    folder = tmp_path_factory.mktemp("runs") / "nested" / "run"
    return folder, run(with_options(REAL, out=str(folder)), SILENT)


@pytest.fixture(scope="module")
def finished_kernel(tmp_path_factory):
    """The same with a student in closed form."""
    folder = tmp_path_factory.mktemp("kernel") / "run"
    return folder, run(with_options(KERNEL, out=str(folder)), SILENT)


def test_a_run_leaves_its_files_and_no_other(finished):
    assert sorted(file.name for file in finished[0].iterdir()) == [
        "card.json",
        "config.json",
        "curve.png",
        "distilled.npz",
        "metrics.jsonl",
        "report.html",
        "results.json",
    ]
    assert (finished[0] / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_results_have_the_fixed_interface(finished):
    folder, returned = finished
    results = json.loads((folder / "results.json").read_text())
    assert results == json.loads(json.dumps(returned))
    assert list(results["returns"]) == list(ROWS)
    for row in results["returns"].values():
        low, high = row["ci95"]
        assert low <= row["mean"] <= high
        assert min(row["per_student"]) <= row["iqm"] or len(row["per_student"]) == 1
        assert np.mean(row["per_student"]) == pytest.approx(row["mean"])
    students = {name: len(row["per_student"]) for name, row in results["returns"].items()}
    assert students == {"synthetic": 5, "random_real": 5, "data": 1, "teacher": 1}
    assert {"load", "density", "references", "distil", "evaluate"} <= set(results["seconds"])
    assert all(value >= 0 for value in results["seconds"].values())
    assert results["outer_steps"] == 100


def test_provenance_says_what_a_result_depends_on(finished):
    provenance = finished[1]["provenance"]
    assert provenance["data"]["source"] == "toy task"
    assert all(len(provenance[name]["sha256"]) == 64 for name in ("data", "teacher"))
    assert provenance["environment"] == {"name": "point-mass", "backend": "jax"}
    assert provenance["seed"] == 0
    assert provenance["software"] == {**artefacts.software(), "matmul_precision": "highest"}


def test_distilled_pairs_beat_real_ones(finished):
    returns = finished[1]["returns"]
    assert returns["synthetic"]["mean"] > returns["random_real"]["mean"] + 20
    assert returns["teacher"]["mean"] == pytest.approx(100.0, abs=5.0)
    assert 40 < returns["data"]["mean"] < 80


def test_the_distilled_set_is_readable_with_numpy_alone(finished):
    with np.load(finished[0] / "distilled.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert arrays["observations"].shape == (32, 4)
    assert arrays["actions"].shape == (32, 2)
    assert np.abs(arrays["actions"]).max() <= 1.0
    assert arrays["observation_mean"].shape == arrays["observation_scale"].shape == (4,)
    data = problem.load_problem(REAL, SILENT).data
    np.testing.assert_allclose(
        arrays["observation_mean"], data.observations.mean(axis=0, dtype=np.float64), atol=1e-5
    )
    # Raw units: within reach of the data, whose positions and velocities are of order 1.
    assert np.abs(arrays["observations"]).max() < 10


def test_the_card_says_where_the_set_comes_from_and_how_to_use_it(finished):
    folder, results = finished
    card = json.loads((folder / "card.json").read_text())
    assert card["provenance"] == results["provenance"]
    expected = {"name": "mlp", "hidden_sizes": [32], "steps": 50}
    assert card["student"] | expected == card["student"]
    assert card["config"] == json.loads((folder / "config.json").read_text())
    assert 0 < card["density"]["effective_sample_fraction"] <= 1
    assert card["density"]["estimator"] == "gaussian"


def test_the_configuration_written_repeats_the_run(finished, finished_kernel):
    for (folder, _), settings in ((finished, REAL), (finished_kernel, KERNEL)):
        written = json.loads((folder / "config.json").read_text())
        assert from_options(RunSettings, written) == with_options(settings, out=str(folder))
    # Options of students that were not chosen are not in it.
    assert "inner_steps" not in written
    assert "ridge" not in json.loads((finished[0] / "config.json").read_text())


def test_metrics_hold_losses_and_scores_along_the_way(finished):
    metrics = lines_of(finished[0] / "metrics.jsonl")
    losses = [record for record in metrics if "loss" in record]
    scores = [record for record in metrics if "return" in record]
    assert [record["step"] for record in losses] == list(range(10, 101, 10))
    assert losses[-1]["loss"] < 0.7 * losses[0]["loss"]
    assert [record["step"] for record in scores] == [0, 50, 100]
    assert all(record["low"] <= record["return"] <= record["high"] for record in scores)


def test_the_pairs_of_a_kernel_student_are_the_policy(finished_kernel):
    """One student, no training, all episodes."""
    results = finished_kernel[1]
    row = results["returns"]["synthetic"]
    assert len(row["per_student"]) == 1
    assert row["episodes"] == REAL.scores.students * REAL.scores.episodes
    assert row["mean"] > 90
    assert results["student"] == {
        "name": "kernel",
        "kernel": "ntk",
        "depth": 3,
        "bias_scale": 0.3,
        "ridge": 1e-3,
        "length_scale": 1.0,
    }


def test_the_report_shows_the_run_and_loads_nothing(finished, finished_kernel):
    for folder, results in (finished, finished_kernel):
        page = (folder / "report.html").read_text()
        assert f"{results['returns']['synthetic']['mean']:.1f}" in page
        titles = re.findall(r"<h[23]>(.*?)</h", page)
        shown = ["Loss", "Learning curve", "Where the synthetic states lie", "Actions"]
        assert titles[: titles.index("Use the set")] == [
            *("Scores", "Figures", *shown, "Errors by density", "Ten worst episodes")
        ]
        assert page.count("<tr>") == 1 + 4 + 1 + 10 + 1 + len(results["seconds"]) - 1
        assert page.count("data:image/png;base64,") == 5
        assert not re.findall(r"https?://|<script|<link|@import|url\(", page)


def test_the_code_of_the_report_acts_from_the_set(finished_kernel, monkeypatch):
    folder, _ = finished_kernel
    monkeypatch.chdir(folder)
    blocks = re.findall(r"<pre><code>(.*?)</code>", (folder / "report.html").read_text(), re.DOTALL)
    states = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    expected = obd_jax.load_distilled(folder).policy()(states)
    acted = 0
    for block in blocks:
        code = html.unescape(block)
        if "import torch" in code:
            continue  # By tests/artefacts/test_snippets.py, where torch is.
        names = {}
        exec(code, names)
        np.testing.assert_allclose(names["policy"](states), expected, atol=2e-4)
        acted += 1
    assert (len(blocks), acted) == (3, 2)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Runs without rollouts, on little data; returns results and the distilled set."""

    def no_rollouts(*_, students, episodes, lengths, **__):
        if lengths is not None:
            lengths(np.ones((students, episodes), int))
        return np.zeros((students, episodes))

    def no_rollouts_of_one(*_, episodes, **__):
        return np.zeros((1, episodes))

    monkeypatch.setattr(evaluation, "score_students", no_rollouts)
    monkeypatch.setattr(evaluation, "score_act", no_rollouts_of_one)
    monkeypatch.setattr(MODULE, "write_report", lambda *_: None)
    few_transitions(monkeypatch)
    count = iter(range(100))

    def quick(**changes):
        out = tmp_path / f"run {next(count)}"
        results = run(with_options(TINY, out=str(out), **changes))
        return results, artefacts.load(out / "distilled.npz")

    quick.folder = tmp_path / "run 0"
    return quick


def test_the_seed_decides_the_set(quick):
    sets = [quick(seed=seed)[1].synthetic for seed in (0, 0, 1)]
    jax.tree.map(np.testing.assert_array_equal, sets[0], sets[1])
    assert np.abs(sets[0].observations - sets[2].observations).max() > 0.1


@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize("objective", distill.OBJECTIVES)
def test_every_objective_runs_with_and_without_density_weights(quick, objective, temperature):
    results, distilled = quick(objective=objective, temperature=temperature)
    assert np.isfinite(results["loss"])
    assert results["outer_steps"] == 12
    assert (results["density"] is not None) == (temperature > 0)
    assert distilled.card["config"]["objective"] == objective


SMALL_STUDENTS = {
    "kernel": {},
    "mlp": {},
    "random_features": {"hidden_sizes": (8,)},
    "lazy_mlp": {"inner_steps": 5},
}


@pytest.mark.parametrize("student", students.RECIPES)
def test_every_student_distils(quick, student):
    results, distilled = quick(student=student, **SMALL_STUDENTS[student])
    assert np.isfinite(results["loss"])
    assert distilled.card["student"]["name"] == student


def test_a_set_for_a_pool_recommends_the_kernel_student_and_says_who_was_in_the_pool(quick):
    results, distilled = quick(student="pool", pool_depths=(1,), pool_width=4, ridge=0.1)
    assert np.isfinite(results["loss"])
    assert list(results["returns"]) == ["synthetic", "networks", "random_real", "data", "teacher"]
    assert len(results["returns"]["networks"]["per_student"]) == TINY.scores.students
    assert distilled.card["student"] == students.to_card(students.KernelRecipe(ridge=0.1))
    config = distilled.card["config"]
    assert (config["student"], config["pool_depths"], config["pool_width"]) == ("pool", [1], 4)


def test_a_run_may_start_from_a_distilled_set(quick):
    _, first = quick(seed=0)
    path = quick.folder / "distilled.npz"
    results, second = quick(seed=1, start=str(path), outer_learning_rate=1e-9)
    for found, expected in zip(second.synthetic, first.synthetic, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert results["provenance"]["start"] == {"name": str(path), "sha256": sha256(path)}


def test_noise_on_states_and_the_linear_student_take_part(quick):
    losses = {
        name: quick(**changes)[0]["loss"]
        for name, changes in {
            "plain": {},
            "noise": {"state_noise": 0.3},
            "lazy": {"lazy_weight": 0.5},
        }.items()
    }
    assert losses["noise"] != losses["plain"]
    assert losses["lazy"] > losses["plain"]  # A second loss is added.


def test_narrow_students_stand_in_first(quick):
    changes = {"narrow_widths": (2, 4), "narrow_steps": (20, 10), "curve_points": 3}
    results, distilled = quick(**changes)
    metrics = lines_of(quick.folder / "metrics.jsonl")
    losses = [record for record in metrics if "loss" in record]
    assert [record["step"] for record in losses] == [10, 20, 30, 40, 42]
    assert results["outer_steps"] == 42
    seconds, progress = ([record[name] for record in losses] for name in ("seconds", "progress"))
    assert seconds == sorted(seconds)
    np.testing.assert_allclose(progress, [1 / 6, 1 / 3, 2 / 3, (2 + 10 / 12) / 3, 1.0])
    assert [r["step"] for r in metrics if "return" in r] == [0, 20, 30, 42]
    assert distilled.card["student"]["hidden_sizes"] == [8]
    assert not distilled.card["student"]["centred"]


def test_the_density_is_fitted_to_no_more_states_than_asked_for(quick):
    results, _ = quick(density="gaussian", temperature=0.05, density_states=300)
    assert results["density"]["fitted_states"] == 300


def test_a_data_set_by_name_needs_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = from_options(
        RunSettings,
        {
            "dataset": "hopper-random",
            "data_rows": 1600,
            "temperature": 0.0,
            "pairs": 8,
            "outer_steps": 3,
            "students": 1,
            "episodes": 1,
            "curve_points": 0,
        },
    )
    results = run(settings)
    card = results["provenance"]
    assert card["data"]["source"] == "embedded"
    assert card["data"]["name"] == "hopper-random, 1600 rows, seed 0"
    assert card["data"]["environment"] == "Hopper-v4"
    assert card["environment"] == {"name": "hopper", "backend": "gymnasium Hopper-v4"}
    assert card["teacher"]["source"] == "behaviour policy"
    assert results["objective"] == "pbc"
    assert results["returns"]["teacher"]["mean"] > 90
    # The run folder was named after the time.
    (folder,) = (tmp_path / "runs").iterdir()
    assert results["config"]["out"] == f"runs/{folder.name}"
    assert json.loads((folder / "results.json").read_text())["returns"] == results["returns"]
    assert "data: embedded" in run_summary(results, folder / "distilled.npz")
    said = capsys.readouterr()
    assert said.out == ""  # The library prints nothing.
    assert "data: embedded, by policies of this package" in said.err
    assert "teacher: behaviour policy, hopper expert" in said.err


IN_STAGES = {"narrow_widths": (4,), "narrow_steps": (20,), "outer_steps": 15}
# Networks that start anew several times between the stops.
WITH_A_POOL = {
    "student": "pool",
    "pool_depths": (1, 2),
    "pool_width": 4,
    "pool_age": 12,
    "average": 0.5,
    "pool_count": 2,
    "outer_steps": 35,
}


@pytest.mark.parametrize("options", [IN_STAGES, WITH_A_POOL], ids=["stages", "pool"])
def test_a_run_stopped_anywhere_resumes_to_the_same_end(
    quick, tmp_path, monkeypatch, capsys, options
):
    options = {**options, "checkpoint_minutes": 0.0}
    expected, whole = quick(**options)
    settings = with_options(TINY, out=str(tmp_path / "stopped"), **options)
    add = runs.RunFolder.add_metrics
    for stop in (20, 30, 35):

        def stop_at(folder, record, stop=stop):
            if record["step"] == stop:
                raise KeyboardInterrupt
            add(folder, record)

        monkeypatch.setattr(runs.RunFolder, "add_metrics", stop_at)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    monkeypatch.setattr(runs.RunFolder, "add_metrics", add)
    results = run(settings)
    said = capsys.readouterr().err
    assert re.findall("resumes from step (.*) in", said) == ["10", "20", "30"]
    for found, same in zip(
        artefacts.load(tmp_path / "stopped/distilled.npz").synthetic, whole.synthetic, strict=True
    ):
        np.testing.assert_array_equal(found, same)
    assert (results["loss"], results["outer_steps"]) == (expected["loss"], 35)
    found, same = (
        lines_of(folder / "metrics.jsonl") for folder in (tmp_path / "stopped", quick.folder)
    )
    assert [(r["step"], r.get("loss"), r.get("return")) for r in found] == [
        (r["step"], r.get("loss"), r.get("return")) for r in same
    ]


def test_a_run_resumes_with_its_own_inputs_alone(quick, tmp_path, monkeypatch):
    settings = with_options(TINY, out=str(tmp_path / "run"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "initial_set", stop)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    with pytest.raises(InvalidInputError, match=r"^seed is 1, the run in .*run has 0$"):
        run(with_options(settings, seed=1))
    with monkeypatch.context() as patch:
        few_transitions(patch, 600)
        with pytest.raises(InvalidInputError, match="SHA-256 of the data is"):
            run(settings)
    # Neither density nor references are made again.
    monkeypatch.setattr(targets, "density_weights", stop)
    monkeypatch.setattr(MODULE, "score_references", stop)
    results = run(with_options(settings, checkpoint_minutes=5.0))
    assert results["density"]["estimator"] == "gaussian"
    assert {"density", "references"} <= set(results["seconds"])


def test_a_tiny_budget_caps_the_steps_and_still_ends_with_results(quick):
    results, _ = quick(budget_minutes=1e-6, outer_steps=100_000)
    assert results["outer_steps"] == 10  # One compiled block, without which there is no result.
    assert list(results["returns"]) == list(ROWS)
    assert (quick.folder / "curve.png").exists()


def test_divergence_keeps_the_last_good_set(quick, capsys):
    with pytest.raises(distill.DivergedError, match="at outer step"):
        quick(outer_optimizer="sgd", outer_learning_rate=1e38, constraint="free")
    distilled = artefacts.load(quick.folder / "distilled.npz")
    assert all(np.isfinite(array).all() for array in distilled.synthetic)
    assert "last good set is in" in capsys.readouterr().err
    assert not (quick.folder / "results.json").exists()


def test_data_without_a_complete_episode_have_no_row_of_their_own(quick, monkeypatch):
    few_transitions(monkeypatch, 60)
    results, _ = quick(temperature=0.0, batch_size=16)
    assert results["returns"]["data"] is None
    summary = run_summary(results, quick.folder / "distilled.npz")
    assert "the data has no complete episode" in summary
    assert f"written to {quick.folder} " in summary


def test_a_run_asks_for_the_precision_of_its_settings(quick):
    before = jax.config.jax_default_matmul_precision
    results, _ = quick(precision="high", outer_steps=1)
    assert results["provenance"]["software"]["matmul_precision"] == "high"
    assert to_options(TINY)["precision"] == "highest"
    assert jax.config.jax_default_matmul_precision == before
