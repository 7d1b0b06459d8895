"""The main job from end to end, on the toy task."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import evaluate_synthetic
import inputs
import jax
import numpy as np
import pytest
import run_sdw
import scoring
import setup_run
from config import Config, preset, stages

from obd_jax import artefacts, data, distill, evaluation, students
from obd_jax.command_line import Clock
from obd_jax.types import InvalidInputError, SyntheticData

ROWS = ("synthetic", "random_real", "data", "teacher")
TINY = Config(
    dataset="toy",
    density="gaussian",
    pairs=8,
    student="mlp",
    hidden_sizes=(8,),
    inner_steps=5,
    outer_learning_rate=0.02,
    clip_norm=1.0,
    outer_steps=12,
    batch_size=64,
    students=2,
    episodes=3,
    curve_points=2,
)
# As many students and episodes as along the curve: one program serves both.
REAL = dataclasses.replace(
    TINY,
    pairs=32,
    initializer="random",
    hidden_sizes=(32,),
    inner_steps=50,
    outer_steps=100,
    batch_size=256,
    students=scoring.CURVE_STUDENTS,
    episodes=scoring.CURVE_EPISODES,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and returned results of one real run."""
    folder = tmp_path_factory.mktemp("runs") / "nested" / "run"
    results = run_sdw.run(dataclasses.replace(REAL, out=str(folder)))
    return folder, results


@pytest.fixture(scope="module")
def finished_kernel(tmp_path_factory):
    """The same with a student in closed form."""
    folder = tmp_path_factory.mktemp("kernel") / "run"
    kernel = dataclasses.replace(REAL, student="kernel", outer_learning_rate=0.01)
    return folder, run_sdw.run(dataclasses.replace(kernel, out=str(folder)))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_its_files_and_no_other(finished):
    assert sorted(file.name for file in finished[0].iterdir()) == [
        "card.json",
        "config.json",
        "curve.png",
        "distilled.npz",
        "metrics.jsonl",
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
    assert arrays["observation_mean"].shape == arrays["observation_std"].shape == (4,)
    data = setup_run.load(REAL)[1]
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


def test_the_configuration_written_repeats_the_run(finished):
    written = json.loads((finished[0] / "config.json").read_text())
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in written.items()}
    assert Config(**plain) == dataclasses.replace(REAL, out=str(finished[0]))


def test_metrics_hold_losses_and_scores_along_the_way(finished):
    metrics = lines_of(finished[0] / "metrics.jsonl")
    losses = [record for record in metrics if "loss" in record]
    scores = [record for record in metrics if "return" in record]
    assert [record["step"] for record in losses] == list(range(10, 101, 10))
    assert losses[-1]["loss"] < 0.7 * losses[0]["loss"]
    assert [record["step"] for record in scores] == [0, 50, 100]
    assert all(record["low"] <= record["return"] <= record["high"] for record in scores)


def test_scoring_a_set_again_repeats_the_score_of_its_run(finished, tmp_path, capsys):
    folder, results = finished
    config = evaluate_synthetic.Config(
        path=str(folder / "distilled.npz"),
        out=str(tmp_path / "scores.json"),
        students=REAL.students,
        episodes=REAL.episodes,
    )
    again = evaluate_synthetic.run(config)
    row, expected = again["returns"]["synthetic"], results["returns"]["synthetic"]
    assert set(row) == set(expected)
    np.testing.assert_allclose(row["per_student"], expected["per_student"], rtol=1e-3, atol=0.1)
    assert "synthetic" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads(json.dumps(again))
    assert again["provenance"]["environment"]["name"] == "point-mass"
    assert again["card"] == json.loads((folder / "card.json").read_text())
    assert evaluate_synthetic.precision_of(again["card"]) == REAL.precision
    assert again["provenance"]["software"]["matmul_precision"] == REAL.precision

    with pytest.raises(InvalidInputError, match=r"scores\.json exists already"):
        evaluate_synthetic.run(config)


@pytest.mark.parametrize("software", [None, {}, {"matmul_precision": None}, {"jax": "0.4"}])
def test_an_older_card_leaves_the_precision_to_jax(software):
    assert evaluate_synthetic.precision_of({"provenance": {"software": software}}) is None


def test_the_pairs_of_a_kernel_student_are_the_policy(finished_kernel):
    """One student, no training, all episodes."""
    results = finished_kernel[1]
    row = results["returns"]["synthetic"]
    assert len(row["per_student"]) == 1
    assert row["episodes"] == REAL.students * REAL.episodes
    assert row["mean"] > 90
    assert results["student"] == {
        "name": "kernel",
        "kernel": "ntk",
        "depth": 3,
        "bias_scale": 0.3,
        "ridge": 1e-3,
        "length_scale": 1.0,
    }


def evaluated(folder, tmp_path, **changes):
    out = tmp_path / "scores.json"
    config = evaluate_synthetic.Config(
        path=str(folder / "distilled.npz"),
        out=str(out),
        **{"students": REAL.students, "episodes": REAL.episodes, **changes},
    )
    return evaluate_synthetic.run(config)


def test_the_card_alone_is_enough_to_act_as_the_kernel_student(finished_kernel, tmp_path):
    folder, results = finished_kernel
    again = evaluated(folder, tmp_path)
    row, expected = again["returns"]["synthetic"], results["returns"]["synthetic"]
    np.testing.assert_allclose(row["mean"], expected["mean"], rtol=1e-4)
    assert again["student"] == {**results["student"], "ensemble": 1}


def test_a_set_may_be_scored_with_another_student_than_its_own(finished_kernel, tmp_path):
    again = evaluated(
        finished_kernel[0], tmp_path, student="mlp", hidden_sizes=(32,), inner_steps=50
    )
    assert len(again["returns"]["synthetic"]["per_student"]) == REAL.students
    # What no flag gives is the default of that student, not of the card's.
    assert again["student"] == {
        "name": "mlp",
        "hidden_sizes": (32,),
        "steps": 50,
        "optimizer": "sgd",
        "learning_rate": Config.inner_learning_rate,
        "momentum": Config.inner_momentum,
        "cloning": "presquash",
        "centred": False,
        "residual": False,
        "ensemble": 1,
    }


def test_a_set_may_be_scored_with_changes_to_its_own_student(finished, tmp_path):
    again = evaluated(finished[0], tmp_path, inner_steps=10, ensemble=3, students=2, episodes=2)
    assert (
        again["student"] | {"steps": 10, "hidden_sizes": (32,), "ensemble": 3} == (again["student"])
    )
    assert len(again["returns"]["synthetic"]["per_student"]) == 2


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Runs without rollouts, on little data; returns results and the distilled set."""

    def no_rollouts(*_, students, episodes, **__):
        return np.zeros((students, episodes))

    monkeypatch.setattr(evaluation, "score_students", no_rollouts)
    monkeypatch.setattr(evaluation, "score_policies", no_rollouts)
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 500)
    count = iter(range(100))

    def quick(**changes):
        out = tmp_path / f"run {next(count)}"
        results = run_sdw.run(dataclasses.replace(TINY, out=str(out), **changes))
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


@pytest.mark.parametrize("student", students.RECIPES)
def test_every_student_distils(quick, student):
    results, distilled = quick(student=student)
    assert np.isfinite(results["loss"])
    assert distilled.card["student"]["name"] == student


def test_a_run_may_start_from_a_distilled_set(quick):
    _, first = quick(seed=0)
    path = quick.folder / "distilled.npz"
    results, second = quick(seed=1, start=str(path), outer_learning_rate=1e-9)
    for found, expected in zip(second.synthetic, first.synthetic, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert results["provenance"]["start"] == {"name": str(path), "sha256": data.sha256(path)}


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


def test_good_episodes_alone_are_distilled_in_the_normalisation_of_all():
    whole = setup_run.prepare(TINY)
    good = setup_run.prepare(dataclasses.replace(TINY, least_return=0.9))
    expected = data.best_episodes(whole.data, 0.9)
    assert 0 < len(expected) < len(whole.data)
    np.testing.assert_array_equal(good.data.observations, whole.data.observations)
    np.testing.assert_array_equal(good.best.observations, expected.observations)
    np.testing.assert_array_equal(good.normalizer.mean, whole.normalizer.mean)
    known = {}
    for setup, least in ((whole, 0.0), (good, 0.9)):
        config = dataclasses.replace(TINY, least_return=least)
        goal = setup_run.make_goal(config, setup, Clock(), known)
        assert len(goal.targets.weights) == len(goal.base.actions) == len(setup.best)
        log_density, _ = setup_run.log_densities(config, setup, known)
        assert len(log_density) == len(setup.best)


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


def test_narrow_students_are_centred_and_their_variance_counts_less():
    config = dataclasses.replace(
        TINY,
        hidden_sizes=(8, 8),
        narrow_widths=(2,),
        narrow_steps=(5,),
        lazy_weight=2.0,
        outer_learning_rate=0.1,
    )
    narrow, own = stages(config, 2)
    assert (narrow.steps, own.steps) == (5, 12)
    assert narrow.spread == Config.narrow_spread < 1
    assert narrow.learning_rate == pytest.approx(0.1 * 2)
    assert (own.spread, own.learning_rate) == (1.0, 0.1)
    pairs = SyntheticData(np.ones((3, 4), np.float32), np.zeros((3, 2), np.float32))
    (weight, student), (lazy_weight, lazy) = narrow.students
    assert (weight, lazy_weight) == (1.0, 2.0)
    assert lazy.deterministic
    params = student.fit(jax.random.key(0), pairs)
    assert [leaf.shape for leaf in jax.tree.leaves(params.trained)] == [
        (2,),
        (4, 2),
        (2,),
        (2, 2),
        (2,),
        (2, 2),
    ]
    # The pairs ask for the action zero, from which a centred student starts.
    np.testing.assert_array_equal(student.act(params, pairs.observations), 0.0)


def test_a_set_serves_students_of_other_depths_and_trainings_as_well():
    config = dataclasses.replace(
        TINY,
        hidden_sizes=(8, 8),
        inner_steps=3,
        inner_learning_rate=0.5,
        narrow_widths=(2,),
        narrow_steps=(5,),
        also_depths=(1, 3),
        also_steps=(6,),
    )
    alike = dataclasses.replace(config, also_depths=(), also_steps=())
    pairs = SyntheticData(np.ones((3, 4), np.float32), np.full((3, 2), 0.5, np.float32))
    for stage, plain, width in zip(stages(config, 2), stages(alike, 2), (2, 8), strict=True):
        assert [weight for weight, _ in stage.students] == [0.25] * 4
        assert stage[1:] == plain[1:]
        fitted = [student.fit(jax.random.key(0), pairs) for _, student in stage.students]
        trained = [getattr(params, "trained", params)["params"] for params in fitted]
        assert [len(params) - 1 for params in trained] == [2, 1, 3, 2]
        assert {params["Dense_0"]["kernel"].shape for params in trained} == {(4, width)}
        errors = [
            float(np.square(student.act(params, pairs.observations) - 0.5).mean())
            for (_, student), params in zip(stage.students, fitted, strict=True)
        ]
        assert errors[3] < 0.9 * errors[0]  # The same start, twice the steps.


def test_a_teacher_without_a_critic_is_imitated_without_weights(monkeypatch):
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 500)
    setup = setup_run.prepare(dataclasses.replace(TINY, temperature=0.0))
    config = dataclasses.replace(TINY, temperature=0.0)
    goal = setup_run.make_goal(config, setup, Clock())
    assert goal.objective == "av_pbc"
    assert np.ptp(goal.targets.weights) > 0
    blind = setup._replace(teacher=setup.teacher._replace(value=None))
    goal = setup_run.make_goal(config, blind, Clock())
    assert goal.objective == "pbc"
    np.testing.assert_array_equal(goal.targets.weights, 1.0)
    with pytest.raises(InvalidInputError, match="Av-PBC needs a critic"):
        setup_run.make_goal(dataclasses.replace(config, objective="av_pbc"), blind, Clock())


def test_the_teacher_of_embedded_data_comes_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path))
    config = Config(dataset="walker2d-medium", source="embedded", data_rows=400, pairs=8)
    setup = setup_run.prepare(config)
    assert setup.teacher.provenance.name == "bundled walker2d-medium"
    assert setup.teacher.value is not None
    other = setup_run.prepare(dataclasses.replace(config, teacher="behavior"))
    assert other.teacher.value is None


def test_a_data_set_by_name_needs_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = Config(
        dataset="hopper-random-v2",
        data_rows=1600,
        temperature=0.0,
        pairs=8,
        outer_steps=3,
        students=1,
        episodes=1,
        curve_points=0,
    )
    results = run_sdw.run(config)
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
    said = capsys.readouterr()
    assert "data: embedded" in said.out
    assert "data: embedded, by policies of this package" in said.err
    assert "teacher: behaviour policy, hopper expert" in said.err


def test_random_pairs_are_as_many_as_those_that_a_run_starts_from(monkeypatch):
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 500)
    setup = setup_run.prepare(TINY)
    start = SyntheticData(*(np.zeros((5, n)) for n in (setup.data.observation_size, 2)))
    sizes = []

    def score(_, label, synthetic, *__):
        sizes.append((label, len(synthetic.actions)))
        return np.zeros((1, 2))

    monkeypatch.setattr(scoring, "score", score)
    for given in (setup, setup._replace(start=start)):
        scoring.score_references(TINY, given)
    assert sizes == [("random_real", TINY.pairs), ("random_real", 5)]


@pytest.mark.parametrize("initializer", ["relabelled", "kmeans++", "density"])
def test_every_initializer_gives_real_pairs_to_start_from(monkeypatch, initializer):
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 500)
    setup = setup_run.prepare(dataclasses.replace(TINY, initializer=initializer))
    targets = distill.pbc(setup.data, setup.normalizer, setup.teacher)
    weights = np.linspace(0.0, 2.0, len(setup.data))
    goal = setup_run.Goal("pbc", targets, targets, weights, None)
    config = dataclasses.replace(TINY, initializer=initializer)
    pairs = setup_run.initial_set(config, setup, goal)
    raw = np.asarray(setup.normalizer.denormalize(pairs.observations))
    rows = [np.abs(setup.data.observations - state).max(axis=1).argmin() for state in raw]
    np.testing.assert_allclose(setup.data.observations[rows], raw, atol=1e-5)
    assert len(set(rows)) == TINY.pairs
    expected = targets.actions if initializer == "relabelled" else setup.data.actions
    np.testing.assert_allclose(expected[np.array(rows)], pairs.actions, atol=1e-6)


def test_a_run_stopped_in_any_stage_goes_on_to_the_same_end(quick, tmp_path, monkeypatch, capsys):
    options = {
        "narrow_widths": (4,),
        "narrow_steps": (20,),
        "outer_steps": 15,
        "checkpoint_minutes": 0.0,
    }
    expected, whole = quick(**options)
    config = dataclasses.replace(TINY, out=str(tmp_path / "stopped"), **options)
    add = artefacts.RunFolder.add_metrics
    for stop in (20, 30, 35):

        def stop_at(folder, record, stop=stop):
            if record["step"] == stop:
                raise KeyboardInterrupt
            add(folder, record)

        monkeypatch.setattr(artefacts.RunFolder, "add_metrics", stop_at)
        with pytest.raises(KeyboardInterrupt):
            run_sdw.run(config)
    monkeypatch.setattr(artefacts.RunFolder, "add_metrics", add)
    results = run_sdw.run(config)
    said = capsys.readouterr().err
    assert re.findall("goes on from step (.*) in", said) == ["10", "20", "30"]
    assert f"--out={config.out}" in said
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


def test_a_run_goes_on_with_its_own_inputs_alone(quick, tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, out=str(tmp_path / "run"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_sdw, "initial_set", stop)
        with pytest.raises(KeyboardInterrupt):
            run_sdw.run(config)
    with pytest.raises(InvalidInputError, match=r"--seed is 1, the run in .*run has 0$"):
        run_sdw.run(dataclasses.replace(config, seed=1))
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "TOY_TRANSITIONS", 600)
        with pytest.raises(InvalidInputError, match="SHA-256 of the data is"):
            run_sdw.run(config)
    # Neither density nor references are made again.
    monkeypatch.setattr(setup_run, "weigh_by_density", stop)
    monkeypatch.setattr(run_sdw, "score_references", stop)
    results = run_sdw.run(dataclasses.replace(config, checkpoint_minutes=5.0))
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


def test_data_without_a_complete_episode_have_no_row_of_their_own(quick, monkeypatch, capsys):
    monkeypatch.setattr(inputs, "TOY_TRANSITIONS", 60)
    results, _ = quick(temperature=0.0, batch_size=16)
    assert results["returns"]["data"] is None
    assert "the data has no complete episode" in capsys.readouterr().out


def test_the_paper_preset_is_the_papers_setting():
    # Lei et al. 2024 (arXiv 2410.22728), section 5, and its released code.
    paper = Config(**preset("paper", "kernel", "av_pbc", "walker2d"))
    expected = {
        "student": "mlp",
        "objective": "av_pbc",
        "value_scale": 0.02,
        "pairs": 256,
        "initializer": "random",
        "constraint": "free",
        "hidden_sizes": (256, 256, 256),
        "inner_steps": 100,
        "inner_optimizer": "sgd",
        "inner_learning_rate": 0.1,
        "inner_momentum": 0.0,
        "cloning": "action",
        "outer_optimizer": "sgd",
        "outer_learning_rate": 0.1,
        "outer_momentum": 0.9,
        "clip_norm": 2.0,
        "anneal": "constant",
        "outer_steps": 50_000,
        "batch_size": 10 * 256,
        "temperature": 0.0,
        "episodes": 10,
    }
    assert {name: getattr(paper, name) for name in expected} == expected


def test_the_transfer_preset_is_for_the_papers_students():
    paper, transfer = (
        Config(**preset(name, "kernel", "av_pbc", "walker2d")) for name in ("paper", "transfer")
    )
    for name in (
        "student",
        "hidden_sizes",
        "inner_steps",
        "inner_optimizer",
        "inner_learning_rate",
        "inner_momentum",
        "cloning",
    ):
        assert getattr(transfer, name) == getattr(paper, name), name
    assert min(transfer.state_noise, transfer.lazy_weight) > 0
    assert transfer.narrow_widths


def test_a_student_brings_its_outer_settings():
    assert Config(**preset("default", "kernel", "av_pbc", "walker2d")) == Config()
    mlp = Config(**preset("default", "mlp", "av_pbc", "walker2d"))
    assert (mlp.student, mlp.outer_learning_rate, mlp.outer_steps) == ("mlp", 0.02, 600)


@pytest.mark.parametrize(
    ("objective", "environment", "steps"),
    [
        ("av_pbc", "halfcheetah", 50_000),
        ("av_pbc", "hopper", 20_000),
        ("pbc", "walker2d", 200_000),
        ("dbc", "hopper", 50_000),
    ],
)
def test_the_papers_outer_steps_depend_on_objective_and_environment(objective, environment, steps):
    assert preset("paper", "mlp", objective, environment)["outer_steps"] == steps


@pytest.mark.parametrize("config", [Config, evaluate_synthetic.Config])
def test_every_flag_has_help_that_ends_in_a_period(config):
    for entry in dataclasses.fields(config):
        text = entry.metadata["help"]
        assert text.endswith("."), entry.name
        assert text[0].isupper(), entry.name


def test_the_flags_of_the_fixed_interface_exist():
    names = {entry.name for entry in dataclasses.fields(Config)}
    assert names >= {
        "dataset",
        "dataset_path",
        "env",
        "teacher",
        "teacher_stats",
        "teacher_stats_key",
        "seed",
        "budget_minutes",
        "outer_steps",
        "out",
    }


def test_the_density_is_fitted_to_no_more_states_than_asked_for(quick):
    results, _ = quick(density="gaussian", temperature=0.05, density_states=300)
    assert results["density"]["fitted_states"] == 300


def test_a_command_begins_without_what_only_few_use():
    """SciPy and Matplotlib doubled the time that every command took to begin."""
    program = "import sys, run_sdw, run_table; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(run_sdw.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "jax" in loaded
    assert not {"matplotlib", "scipy.stats", "scipy.signal", "brax"} & {*loaded}
