"""The table of results: its cells, one by one and several seeds in one program."""

import dataclasses
import json
import pathlib
import signal

import cells
import content
import numpy as np
import protocol
import pytest
import run_table
import seeds

from obd_jax import artefacts, runs
from obd_jax.pipeline import preset
from obd_jax.pipeline.presets import PAPER_STUDENT
from obd_jax.reporting import Reporter, note
from obd_jax.runs import Stopped
from obd_jax.settings import to_options
from obd_jax.types import InvalidInputError

ROWS = ("teacher", "random", "sdr", "sdw_av_pbc", "bc")


def table(folder, **changes):
    settings = cells.TableSettings(
        out=str(folder / "cells"),
        sets=str(folder / "sets"),
        datasets=("toy",),
        rows=ROWS,
        families=("kernel",),
        seeds=(0,),
        outer_steps=3,
    )
    return dataclasses.replace(settings, **changes)


def reporter_with(progress, of="distil seeds"):
    """Notes as usual, and a function in place of the progress of one kind of work."""

    def choose(label):
        return progress if label.startswith(of) else lambda *_, **__: None

    return Reporter(note, choose)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "CLONE_STEPS", 1000)
        assert run_table.run(table(folder)) == []
        # Forty networks of the papers' size take half a minute.
        patch.setitem(PAPER_STUDENT, "hidden_sizes", (32, 32))
        families = {"rows": ("random",), "families": ("kernel", "mlp")}
        assert run_table.run(table(folder, **families, seeds=(1,))) == []
    return folder


def cell(folder, name):
    return json.loads((folder / "cells" / "toy" / f"{name}.json").read_text())


def test_every_row_family_and_seed_is_a_file(made):
    names = {path.stem for path in (made / "cells/toy").iterdir()}
    rows = {f"{row}-kernel-0" for row in ("random", "sdr", "sdw_av_pbc")}
    assert names == rows | {"teacher", "bc-0", "random-kernel-1", "random-mlp-1"}
    found = cell(made, "sdw_av_pbc-kernel-0")
    assert np.shape(found["returns"]["kernel"]) == (1, protocol.EPISODES)
    assert found["density"]["estimator"] == "maf"
    assert found["provenance"]["environment"]["backend"] == "jax"
    shapes = {kind: np.shape(x) for kind, x in cell(made, "random-mlp-1")["returns"].items()}
    half = protocol.EPISODES // 2
    assert shapes == {"mlp": (10, half), "ensemble": (3, half)}


def test_the_set_is_kept_and_the_seed_decides_the_pairs(made):
    kept = artefacts.load(made / "sets/toy/sdw_av_pbc-kernel-0/distilled.npz")
    assert kept.card["config"]["objective"] == "av_pbc"
    returns = [cell(made, f"random-kernel-{seed}")["returns"]["kernel"] for seed in (0, 1)]
    assert returns[0] != returns[1]


def test_sets_have_as_many_pairs_as_asked_for(tmp_path):
    assert run_table.run(table(tmp_path, rows=("av_pbc",), pairs=8, outer_steps=1)) == []
    kept = artefacts.load(tmp_path / "sets/toy/av_pbc-kernel-0/distilled.npz")
    assert len(kept.synthetic.actions) == 8
    assert cell(tmp_path, "av_pbc-kernel-0")["config"]["pairs"] == 8


def test_a_cell_that_exists_is_not_made_again_and_other_settings_are_refused(made, monkeypatch):
    monkeypatch.setattr(run_table, "make", None)
    assert run_table.run(table(made)) == []
    with pytest.raises(InvalidInputError, match=r"made with outer_steps=3, not 4"):
        run_table.run(table(made, outer_steps=4))


def test_a_set_begun_with_other_settings_is_not_resumed(made, tmp_path):
    again = table(made, out=str(tmp_path), rows=("sdw_av_pbc",), outer_steps=4)
    with pytest.raises(InvalidInputError, match=r"outer_steps is 4, the run in .*0 has 3"):
        run_table.run(again)
    assert list(tmp_path.iterdir()) == []


def test_a_cell_stopped_while_it_is_scored_is_not_distilled_again(
    made, tmp_path, monkeypatch, capsys
):
    def stop(*_):
        raise KeyboardInterrupt

    wanted = table(tmp_path, rows=("sdw_av_pbc",))
    with monkeypatch.context() as patch:
        patch.setattr(content, "score_family", stop)
        with pytest.raises(KeyboardInterrupt):
            run_table.run(wanted)
    assert run_table.run(wanted) == []
    assert "resumes from step 3 in" in capsys.readouterr().err
    name = "sdw_av_pbc-kernel-0"
    for key in ("returns", "loss", "outer_steps"):
        assert cell(tmp_path, name)[key] == cell(made, name)[key]
    assert not (tmp_path / "sets/toy" / name / runs.CHECKPOINTS).exists()


NAMES = {"av_pbc_gaussian_0.1-kernel-0", "av_pbc_gaussian_0.1-kernel-1"}


def of_seeds(folder, **changes):
    given = {"rows": ("av_pbc_gaussian_0.1",), "seeds": (0, 1), "outer_steps": 20, **changes}
    return table(folder, **given)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    assert run_table.run(of_seeds(folder)) == []
    assert {path.name for path in (folder / "sets/toy").iterdir()} == NAMES
    return [cell(folder, f"av_pbc_gaussian_0.1-kernel-{seed}") for seed in (0, 1)]


@pytest.mark.slow
def test_seeds_in_one_program_are_those_one_by_one_even_if_it_is_stopped(
    one_by_one, tmp_path, capsys
):
    wanted = of_seeds(tmp_path, together=True)
    stopping = reporter_with(lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        run_table.run(wanted, stopping)
    assert not (tmp_path / "cells").exists()
    assert run_table.run(wanted) == []
    assert "resumes from step 10\n" in capsys.readouterr().err
    for alone in one_by_one:
        assert alone["seeds_together"] == [alone["seed"]]
        found = cell(tmp_path, f"av_pbc_gaussian_0.1-kernel-{alone['seed']}")
        assert found["seeds_together"] == [0, 1]
        assert found["outer_steps"] == 20
        assert found["density"] == alone["density"]
        assert found["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        np.testing.assert_allclose(
            found["returns"]["kernel"], alone["returns"]["kernel"], rtol=1e-3
        )
    assert {path.name for path in (tmp_path / "sets/toy").iterdir()} == NAMES


def assert_same_set(found, expected):
    one, other = (artefacts.load(place / "distilled.npz").synthetic for place in (found, expected))
    np.testing.assert_allclose(one.observations, other.observations, atol=1e-4)
    np.testing.assert_allclose(one.actions, other.actions, atol=1e-4)


@pytest.mark.slow
def test_stopped_while_sets_are_handed_over_none_is_distilled_again(
    one_by_one, tmp_path, monkeypatch, capsys
):
    wanted = of_seeds(tmp_path, together=True)
    keep_end = seeds.keep_end

    def keep_and_stop(*args):
        keep_end(*args)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(seeds, "keep_end", keep_and_stop)
        with pytest.raises(Stopped):
            run_table.run(wanted)
    with pytest.raises(
        InvalidInputError, match=r"-together is of seeds \[0, 1\]; ask for \[1\] too"
    ):
        run_table.run(dataclasses.replace(wanted, seeds=(0,)))
    # What was begun together is resumed together.
    assert run_table.run(dataclasses.replace(wanted, together=False)) == []
    assert "step 10/20" not in capsys.readouterr().err.split("resumes from step 20\n")[1]
    assert {path.name for path in (tmp_path / "sets/toy").iterdir()} == NAMES
    for seed in (0, 1):
        assert cell(tmp_path, f"av_pbc_gaussian_0.1-kernel-{seed}")["seeds_together"] == [0, 1]


def test_a_set_of_other_settings_is_refused_before_seeds_are_distilled(tmp_path, monkeypatch):
    made = tmp_path / "sets/toy/av_pbc_gaussian_0.1-kernel-1"
    made.mkdir(parents=True)
    (made / "config.json").write_text(json.dumps({"outer_steps": 30}))
    monkeypatch.setattr(seeds, "distil_together", None)
    with pytest.raises(InvalidInputError, match=r"outer_steps is 20, the run in .*-1 has 30"):
        run_table.run(of_seeds(tmp_path, together=True))


@pytest.mark.parametrize(
    ("backend", "changes", "expected"),
    [
        ("gpu", {}, [[0, 1]]),
        ("cpu", {}, []),
        ("cpu", {"together": True}, [[0, 1]]),
        ("gpu", {"together": False}, []),
        ("gpu", {"budget_minutes": 1.0}, []),
        ("gpu", {"seeds": (3,)}, []),
        ("gpu", {"rows": ("random",)}, []),
    ],
)
def test_seeds_are_distilled_together_on_accelerators(
    tmp_path, monkeypatch, backend, changes, expected
):
    found = []
    monkeypatch.setattr(run_table.jax, "default_backend", lambda: backend)
    monkeypatch.setattr(run_table, "make", lambda *_: {})
    monkeypatch.setattr(
        run_table, "distil_seeds", lambda same, *_: found.append([cell.seed for cell in same])
    )
    run_table.run(dataclasses.replace(of_seeds(tmp_path), **changes))
    assert found == expected


@pytest.mark.slow
def test_networks_of_several_stages_and_noise_are_those_one_by_one(tmp_path, monkeypatch):
    small = {"hidden_sizes": (16,), "narrow_widths": (8,), "narrow_steps": (12,), "pairs": 16}
    few = {"inner_steps": 5, "batch_size": 32, "lazy_weight": 0.0}
    monkeypatch.setitem(protocol.DISTILLED, "pbc", {"objective": "pbc", **small, **few})
    monkeypatch.setattr(content, "score_family", lambda *_: {"mlp": np.zeros((1, 1))})

    def stop_in_the_second_stage(step, total):
        if step == 22:
            signal.raise_signal(signal.SIGTERM)

    for name in ("alone", "together"):
        one = name == "alone"
        wanted = of_seeds(tmp_path / name, rows=("pbc",), families=("mlp",), together=not one)
        if not one:
            with pytest.raises(Stopped):
                run_table.run(wanted, reporter_with(stop_in_the_second_stage))
        assert run_table.run(wanted) == []
    for seed in (0, 1):
        places = [tmp_path / name / f"sets/toy/pbc-mlp-{seed}" for name in ("together", "alone")]
        assert_same_set(*places)
        card = artefacts.load(places[0] / "distilled.npz").card
        assert card["provenance"]["seeds_together"] == [0, 1]


@pytest.mark.slow
def test_a_seed_that_was_not_finite_in_one_program_is_distilled_alone(
    one_by_one, tmp_path, monkeypatch
):
    distil_together = seeds.distil_together

    def skips(*args):
        states, last = distil_together(*args)
        return states, {**last, "skipped": [0, 1]}

    monkeypatch.setattr(seeds, "distil_together", skips)
    assert run_table.run(of_seeds(tmp_path, together=True)) == []
    found = [cell(tmp_path, f"av_pbc_gaussian_0.1-kernel-{seed}") for seed in (0, 1)]
    assert [each["seeds_together"] for each in found] == [[0, 1], [1]]
    assert found[1]["loss"] == one_by_one[1]["loss"]


def test_a_cell_that_diverges_does_not_stop_the_others(tmp_path, monkeypatch):
    def make(cell, *_):
        if cell.row == "dbc":
            raise FloatingPointError("not finite")
        return {"row": cell.row}

    monkeypatch.setattr(run_table, "make", make)
    failed = run_table.run(table(tmp_path, rows=("dbc", "pbc"), seeds=(0,)))
    assert failed == ["toy/dbc-kernel-0"]
    assert [path.stem for path in (tmp_path / "cells/toy").iterdir()] == ["pbc-kernel-0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ("random", "sdq")}, "unknown rows 'sdq'; known: random, sdr, dbc"),
        ({"families": ("net",)}, "unknown families 'net'; known: kernel, mlp"),
        ({"datasets": ("hopper",)}, "unknown data set 'hopper'"),
        ({"together": True, "budget_minutes": 1.0}, "together takes no budget_minutes"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_made(tmp_path, change, message):
    with pytest.raises(InvalidInputError, match=message):
        run_table.run(table(tmp_path, **change))
    assert list(tmp_path.iterdir()) == []


def test_rows_of_one_family_are_for_that_family():
    rows = ("sdw_av_pbc_best_early", "av_pbc_long")
    wanted = cells.TableSettings(rows=rows, datasets=("toy",))
    found = {(cell.row, cell.family) for cell in cells.cells(wanted)["toy"]}
    assert found == {("sdw_av_pbc_best_early", "mlp"), ("av_pbc_long", "kernel")}
    for cell in cells.cells(wanted)["toy"]:
        if cell.family == "mlp":
            own = cell.settings.distillation
            assert own.students.narrow_widths == preset("transfer").students.narrow_widths
            assert (own.outer.optimizer, own.outer.clip_norm) == ("adamw", 0.03)


@pytest.mark.parametrize("row", ["av_pbc_depths", "av_pbc_steps"])
def test_a_set_for_several_students_costs_no_more_than_one_for_one(row):
    def work(options):
        depths = [len(options["hidden_sizes"]), *options["also_depths"]]
        trainings = [options["inner_steps"] * depth / depths[0] for depth in depths]
        each = sum(trainings) + sum(options["also_steps"])
        return np.array([*options["narrow_steps"], options["outer_steps"]]) * each

    wanted = cells.TableSettings(
        rows=("av_pbc", row), families=("mlp",), seeds=(0,), datasets=("toy",)
    )
    alone, several = (to_options(cell.settings) for cell in cells.cells(wanted)["toy"])
    np.testing.assert_allclose(work(several), work(alone), rtol=0.01)


def test_the_rows_are_still_those_of_the_committed_cells():
    """A default that moves must not change what a row is."""
    folder = pathlib.Path(run_table.__file__).parents[2] / "docs/results"
    paths = sorted(folder.glob("*/*.json"))
    assert len(paths) > 300
    table = cells.TableSettings(out=str(folder))
    for path in paths:
        found = json.loads(path.read_text())
        names = (found[name] for name in ("dataset", "row", "family", "seed"))
        assert cells.Cell(table, *names).done(), path
