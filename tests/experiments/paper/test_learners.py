"""Many learners on distilled sets: their records, the table, and what they have in common."""

import dataclasses
import json
import sys
import warnings

import content
import foreign
import host_rollouts
import jax
import jax.numpy as jnp
import judged_sets
import judging
import learners
import learners_table
import numpy as np
import own_learners
import pytest

from obd_jax import artefacts, data, environments, evaluation, toy
from obd_jax.evaluation import FINAL_SEED, RolloutSettings
from obd_jax.pipeline import RescoreSettings, RunSettings, load_problem, rescore
from obd_jax.reporting import SILENT
from obd_jax.settings import with_options
from obd_jax.students import KernelRecipe, MLPRecipe, to_card
from obd_jax.types import InvalidInputError, Normalizer, SyntheticData

PAIRS = 64
KINDS = ("random", "coreset")


def save_set(folder, seed=0, recipe=None, data_card=None):
    """A set of random states of the toy's data with its teacher's actions."""
    offline = toy.offline_data(jax.random.key(seed), PAIRS)
    normalizer = data.normalizer(offline.observations)
    chosen = SyntheticData(
        normalizer.normalize(offline.observations), toy.teacher().act(offline.observations)
    )
    card = {
        "provenance": artefacts.provenance(environment=toy.SPEC, seed=seed),
        "config": {"dataset": "toy"} if data_card is None else data_card,
        "student": to_card(recipe or KernelRecipe(ridge=0.01, depth=2)),
    }
    folder.mkdir(parents=True)
    artefacts.save(folder, artefacts.DistilledSet(chosen, normalizer, card))
    return folder


def path_of(folder):
    return str(folder / "distilled.npz")


def settings_for(folder, *names, **changes):
    given = {"learners": names, "seeds": (0, 1), "episodes": 2, "out": str(folder / "out")}
    return learners.LearnersSettings(**{**given, **changes})


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return save_set(folder / "one"), save_set(folder / "two", seed=1)


@pytest.fixture(scope="module")
def judged(sets, tmp_path_factory):
    """Folder, settings and summary of a few learners on two sets and references of the first."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        # Fitting a density takes most of a minute, and other tests do.
        by_position = lambda _, prepared, *__: (prepared.own.observations[:, 0], {})  # noqa: E731
        patch.setattr(content, "log_densities", by_position)
        few = MLPRecipe((16,), 20, "adam", 1e-2, 0.9, "action")
        patch.setitem(judging.OWN, "mlp-1x256", own_learners.OwnLearner(few))
        patch.setitem(judging.OWN, "papers-ensemble", own_learners.OwnLearner(few, together=10))
        names = ("kernel", "mlp-1x256", "papers-ensemble", "sklearn-mlp", "sklearn-knn")
        wanted = settings_for(folder, *names, references=KINDS, sets=tuple(map(str, sets)))
        yield folder / "out", wanted, learners.run(wanted, SILENT)


def test_the_table_has_a_row_for_every_learner_and_a_column_for_every_set(judged, capsys):
    out, wanted, summary = judged
    lines = (out / "table.md").read_text().splitlines()
    references = [f"{kind}-toy-{PAIRS}-0" for kind in KINDS]
    assert lines[0] == f"| learner | one | two | {' | '.join(references)} |"
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
    whole = "mean of the 5 learners with a return on every set"
    assert names == [*wanted.learners, whole, "teacher", "share of the teacher"]
    row = summary["learners"]["mlp-1x256"]["one"]
    assert np.shape(row["returns"]) == (2, 2)
    assert row["mean"] == pytest.approx(np.mean(row["per_seed"]))
    assert row["worst_seed"] == min(row["per_seed"])
    assert row["share_of_teacher"] == row["mean"] / summary["teacher"]["one"]["mean"]
    seeds = " ".join(f"{value:.0f}" for value in row["per_seed"])
    assert lines[3].startswith(f"| mlp-1x256 | {row['mean']:.1f} ({seeds}) |")
    # The teacher is the optimum.
    assert np.shape(summary["teacher"]["one"]["returns"]) == (1, 4)
    assert summary["teacher"]["one"]["mean"] == pytest.approx(100, abs=10)


def test_the_summary_says_what_everything_was(judged, sets):
    out, _, summary = judged
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["sets"]["two"]["path"] == str(sets[1] / "distilled.npz")
    assert set(summary["provenance"]["libraries"]) == {"scikit-learn"}
    (path,) = out.glob("one-*/sklearn-mlp.json")
    record = json.loads(path.read_text())
    assert record["config"]["learner"] == "MLPRegressor()"
    assert record["provenance"]["set"]["sha256"] == summary["sets"]["one"]["sha256"]
    assert set(record["seconds"]) == {"train, roll out"}


def test_what_is_not_random_is_trained_once_and_has_all_episodes(judged):
    for learner in ("kernel", "sklearn-knn"):
        assert np.shape(judged[2]["learners"][learner]["one"]["returns"]) == (1, 4)


def test_the_row_of_the_kernel_is_that_of_rescore(judged, sets):
    wanted = RescoreSettings(path_of(sets[0]), rollouts=RolloutSettings(students=2, episodes=2))
    expected = rescore(wanted, reporter=SILENT)["returns"]["synthetic"]
    row = judged[2]["learners"]["kernel"]["one"]
    assert row["mean"] == pytest.approx(expected["mean"], abs=1e-3)
    # Its ridge and depth are those of the card.
    (path,) = judged[0].glob("one-*/kernel.json")
    assert json.loads(path.read_text())["config"]["learner"]["ridge"] == 0.01


def test_a_network_of_a_seed_is_that_of_rescore(sets):
    recipe = MLPRecipe((16,), 20, "adam", 1e-2, 0.9, "action")
    distilled = artefacts.load(sets[0])
    found = own_learners.scores(own_learners.OwnLearner(recipe), distilled, toy.SPEC, (3,), 2)
    own = {"student": "mlp", "inner_steps": 20, "inner_optimizer": "adam", "hidden_sizes": (16,)}
    own |= {"inner_learning_rate": 1e-2, "inner_momentum": 0.9, "cloning": "action"}
    rollouts = RolloutSettings(students=1, episodes=2)
    expected = rescore(RescoreSettings(path_of(sets[0]), seed=3, rollouts=rollouts), own, SILENT)
    assert found.mean() == pytest.approx(expected["returns"]["synthetic"]["mean"])


def test_sets_judged_together_have_the_returns_of_each_alone():
    """In a task of Gymnasium's, where students of all sets act side by side."""
    environment, key = environments.get("hopper"), jax.random.key(0)
    sets = []
    for each in jax.random.split(key, 2):
        states = jax.random.normal(each, (16, 11))
        pairs = SyntheticData(states, 0.5 * jnp.tanh(states[:, :3]))
        normalizer = Normalizer(jnp.zeros(11), jnp.full(11, 2.0))
        sets.append(artefacts.DistilledSet(pairs, normalizer, {}))
    few = MLPRecipe((8,), 3, "adam", 1e-2, 0.9, "action")
    for learner in (own_learners.OwnLearner(few), own_learners.OWN["kernel"]):
        together = own_learners.scores_together(learner, sets, environment, (3, 4), 2)
        alone = [own_learners.scores(learner, one, environment, (3, 4), 2) for one in sets]
        np.testing.assert_allclose(together, alone, rtol=1e-2)
    bad = sets[0].synthetic._replace(actions=jnp.full((16, 3), jnp.nan))
    sets[0] = dataclasses.replace(sets[0], synthetic=bad)
    first, second = own_learners.scores_together(learner, sets, environment, (3,), 1)
    assert first is None
    assert np.isfinite(second).all()


def test_records_are_not_made_again_and_other_settings_are_refused(judged, monkeypatch, capsys):
    out, wanted, summary = judged
    table = (out / "table.md").read_text()
    for name in ("_own_scores", "_foreign_scores", "teacher_scores"):
        monkeypatch.setattr(judging, name, None)
    monkeypatch.setattr(judged_sets, "load_problem", None)
    again = learners.run(wanted, SILENT)
    assert again["learners"] == json.loads(json.dumps(summary["learners"]))
    assert capsys.readouterr().out == f"{table}\nwritten to {out}\n"
    with pytest.raises(InvalidInputError, match="made with seeds=\\[0, 1\\], not \\[0\\]; give"):
        learners.run(dataclasses.replace(wanted, seeds=(0,), episodes=4), SILENT)


def test_a_stopped_command_resumes_with_what_is_missing(sets, tmp_path, monkeypatch):
    made = []
    scores = judging._foreign_scores

    def stopping(learner, *args):
        if learner in made:
            pytest.fail(f"{learner} is made again")
        if learner == "sklearn-svr" and not made[1:]:
            made.append("stop")
            raise KeyboardInterrupt
        made.append(learner)
        return scores(learner, *args)

    monkeypatch.setattr(judging, "_foreign_scores", stopping)
    wanted = settings_for(tmp_path, "sklearn-knn", "sklearn-svr", sets=(str(sets[0]),))
    with pytest.raises(KeyboardInterrupt):
        learners.run(wanted, SILENT)
    assert not (tmp_path / "out/table.md").exists()
    learners.run(wanted, SILENT)
    assert made == ["sklearn-knn", "stop", "sklearn-svr"]


def test_another_set_of_the_same_name_has_records_of_its_own(sets, tmp_path):
    first = learners.run(settings_for(tmp_path, "sklearn-knn", sets=(str(sets[0]),)), SILENT)
    other = save_set(tmp_path / "one", seed=2)
    second = learners.run(settings_for(tmp_path, "sklearn-knn", sets=(str(other),)), SILENT)
    rows = [one["learners"]["sklearn-knn"]["one"]["returns"] for one in (first, second)]
    assert rows[0] != rows[1]
    assert len(list((tmp_path / "out").glob("one-*"))) == 2


def test_a_learner_without_its_library_is_skipped_and_says_why(sets, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    wanted = settings_for(tmp_path, "sklearn-knn", "torch-bc", sets=tuple(map(str, sets)))
    summary = learners.run(wanted, SILENT)
    text = (tmp_path / "out/table.md").read_text()
    assert "| torch-bc | skipped | skipped |" in text
    assert "mean of the 1 learners" in text
    assert text.count("- torch-bc: skipped import of torch halted") == 1
    assert summary["learners"]["torch-bc"]["one"].keys() == {"skipped"}
    # It is not kept: the library may come.
    assert not list((tmp_path / "out").glob("*/torch-bc.json"))


def test_a_set_without_a_teacher_has_none_beside_it_and_no_random_pairs(tmp_path):
    folder = save_set(tmp_path / "alone", data_card={"dataset": "toy", "teacher": "none"})
    wanted = settings_for(tmp_path, "sklearn-knn", sets=(str(folder),))
    summary = learners.run(wanted, SILENT)
    assert summary["teacher"]["alone"] == {"skipped": "the set was made without a teacher"}
    with pytest.raises(InvalidInputError, match="references=random has the teacher's actions"):
        learners.run(dataclasses.replace(wanted, references=("random",)), SILENT)


def test_a_set_without_its_data_has_no_teacher_beside_it(tmp_path):
    alone = save_set(tmp_path / "alone", data_card={})
    wanted = settings_for(tmp_path, "sklearn-knn", sets=(str(alone),))
    summary = learners.run(wanted, SILENT)
    text = (tmp_path / "out/table.md").read_text()
    assert "| teacher | - |\n| share of the teacher | - |" in text
    assert "- teacher: skipped the card of the set names no data" in text
    assert summary["learners"]["sklearn-knn"]["alone"]["share_of_teacher"] is None
    with pytest.raises(InvalidInputError, match="names no data"):
        learners.run(dataclasses.replace(wanted, references=KINDS), SILENT)


def test_a_learner_that_diverges_is_a_finding(sets, tmp_path, monkeypatch):
    hot = MLPRecipe((16,), 20, "sgd", 1e30, 0.0, "presquash")
    monkeypatch.setitem(judging.OWN, "mlp-sgd", own_learners.OwnLearner(hot))
    bad = foreign.ForeignLearner("nothing", lambda *_: lambda raw: np.full((len(raw), 2), np.nan))
    monkeypatch.setitem(judging.FOREIGN, "sklearn-svr", bad)
    wanted = settings_for(tmp_path, "mlp-sgd", "sklearn-svr", sets=(str(sets[0]),))
    learners.run(wanted, SILENT)
    text = (tmp_path / "out/table.md").read_text()
    assert "| mlp-sgd | fails |\n| sklearn-svr | fails |\n| mean of the 0 learners" in text
    assert "- mlp-sgd: failed a student trained on this set is not finite" in text
    assert "- sklearn-svr: failed an action is not finite" in text
    monkeypatch.setattr(judging, "_own_scores", None)
    learners.run(wanted, SILENT)
    assert (tmp_path / "out/table.md").read_text() == text


def test_what_a_library_warns_of_is_recorded(sets):
    def fit(*_):
        warnings.warn("not converged", UserWarning, stacklevel=2)
        return lambda raw: raw

    pairs = foreign.read(sets[0] / "distilled.npz")
    learner = foreign.ForeignLearner("warns", fit, random=True)
    assert foreign.train(learner, pairs, (0, 1))[1] == ["UserWarning: not converged"]


def test_references_are_those_of_the_data_and_are_made_once(judged, sets, tmp_path):
    out = judged[0]
    found = {kind: artefacts.load(out / f"references/{kind}-toy-{PAIRS}-0") for kind in KINDS}
    for one in found.values():
        assert one.synthetic.observations.shape == (PAIRS, 4)
        assert one.recipe == KernelRecipe(ridge=0.01, depth=2)
    random = found["random"]
    raw = random.normalizer.denormalize(random.synthetic.observations)
    np.testing.assert_allclose(random.synthetic.actions, toy.teacher().act(raw), atol=1e-4)
    (first, *_), others = judged_sets.read_sets(sets[:1]), dict[str, bytes]()
    for path in (out / "references").glob("*/card.json"):
        others[path] = path.read_bytes()
    judged_sets.references(first, KINDS, out / "references", SILENT)
    assert all(path.read_bytes() == before for path, before in others.items())
    card = {**first.distilled.card, "config": {"dataset": "toy", "precision": "high"}}
    first = first._replace(distilled=dataclasses.replace(first.distilled, card=card))
    with pytest.raises(InvalidInputError, match="made with precision=highest, not high"):
        judged_sets.references(first, KINDS, out / "references", SILENT)


def test_all_rows_are_for_learners_that_train_on_parts(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "MOST_PAIRS", PAIRS)
    names = ("kernel", "sklearn-svr", "sklearn-knn")
    wanted = settings_for(tmp_path, *names, references=("all",), sets=(str(sets[0]),))
    summary = learners.run(wanted, SILENT)
    (label,) = (label for label in summary["sets"] if label.startswith("all-"))
    everything = artefacts.load(tmp_path / "out/references" / label)
    raw = everything.normalizer.denormalize(everything.synthetic.observations)
    config = {"dataset": "toy"}
    offline = load_problem(with_options(RunSettings(), **config), SILENT).data
    np.testing.assert_allclose(raw, offline.observations, atol=1e-4)
    np.testing.assert_array_equal(everything.synthetic.actions, offline.actions)
    for name in names[:2]:
        skipped = summary["learners"][name][label]["skipped"]
        assert skipped == f"{len(raw):,} pairs are too many for it"
    assert np.shape(summary["learners"]["sklearn-knn"][label]["returns"]) == (1, 4)


def test_every_learner_of_another_library_acts_on_a_small_set(sets, monkeypatch):
    monkeypatch.setattr(foreign, "STEPS", 20)
    pairs = foreign.read(sets[0] / "distilled.npz")
    distilled = artefacts.load(sets[0])
    np.testing.assert_allclose(pairs.observations, distilled.synthetic.observations, atol=1e-5)
    raw = np.float32(np.random.default_rng(0).normal(size=(5, 4)))
    for name, learner in foreign.FOREIGN.items():
        if foreign.missing(learner) is not None:
            continue
        policies, _ = foreign.train(learner, pairs, (0, 1) if learner.random else (0,))
        actions = [np.asarray(policy(raw)) for policy in policies]
        assert all(action.shape == (5, 2) for action in actions), name
        differ = not np.array_equal(actions[0], actions[-1])
        assert differ == learner.random, name
        again, _ = foreign.train(learner, pairs, (0,))
        np.testing.assert_array_equal(again[0](raw), actions[0], err_msg=name)


@pytest.mark.parametrize("environment", [toy.SPEC, environments.get("hopper")])
def test_functions_of_numpy_have_the_returns_of_compiled_policies(environment):
    size = 2 if environment is toy.SPEC else 3
    gains = np.float32([0.3, -0.2])

    def policy(gain):
        return lambda raw: np.tanh(gain * raw[:, :size])

    found = host_rollouts.host_scores(
        [policy(gain) for gain in gains], environment, episodes=2, seed=FINAL_SEED
    )
    expected = evaluation.score_policies(
        lambda gain, raw: jax.numpy.tanh(gain * raw[..., :size]),
        gains,
        environment,
        students=2,
        episodes=2,
        seed=FINAL_SEED,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_actions_beyond_the_bounds_are_clipped():
    def scored(size):
        return host_rollouts.host_scores(
            [lambda raw: np.full((len(raw), 3), size)],
            *[environments.get("hopper")],
            episodes=1,
            seed=0,
        )

    assert scored(7.0) == scored(1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sets": ()}, "sets is required"),
        ({"sets": ("nowhere",)}, "no distilled set at nowhere"),
        ({"learners": ("kernel", "giant")}, "unknown learners 'giant'; known: kernel, mlp-1x256"),
        ({"seeds": ()}, "seeds must be given"),
        ({"episodes": 0}, "episodes must be at least 1"),
    ],
)
def test_bad_input_is_refused(sets, tmp_path, changes, message):
    given = {"sets": (str(sets[0]),), "learners": ("kernel",), **changes}
    with pytest.raises(InvalidInputError, match=message):
        learners.run(settings_for(tmp_path, **given), SILENT)
    assert not (tmp_path / "out").exists()


def test_a_set_is_named_by_what_tells_it_from_the_others(sets, tmp_path):
    other = save_set(tmp_path / "one")
    found = judged_sets.read_sets([sets[0], other, sets[1] / "distilled.npz"])
    labels = [f"{path.parent.name}/{path.name}" for path in (sets[0], other, sets[1])]
    assert [each.label for each in found] == labels
    assert [each.label for each in judged_sets.read_sets([sets[1] / "distilled.npz"])] == ["two"]
    with pytest.raises(InvalidInputError, match="twice"):
        judged_sets.read_sets([sets[0], sets[0] / "distilled.npz"])


def test_a_card_without_an_environment_is_refused(tmp_path):
    ones = np.ones(4, np.float32)
    pairs = SyntheticData(np.ones((2, 4), np.float32), np.zeros((2, 2), np.float32))
    artefacts.save(tmp_path, artefacts.DistilledSet(pairs, Normalizer(ones, ones), {}))
    with pytest.raises(InvalidInputError, match="names no environment"):
        judged_sets.read_sets([tmp_path])


def test_a_learner_that_lacks_a_set_is_not_in_the_mean():
    def record(value):
        return {"returns": [[value]], "seconds": {}}

    records = {
        "good": {"a": record(50.0), "b": record(30.0)},
        "partial": {"a": record(90.0), "b": {"failed": "not finite"}},
    }
    teachers = {"a": record(100.0), "b": {"skipped": "no data"}}
    text = learners_table.table_of(learners_table.summary_of({"a": {}, "b": {}}, teachers, records))
    assert text.splitlines() == [
        "| learner | a | b |",
        "|---|---|---|",
        "| good | 50.0 | 30.0 |",
        "| partial | 90.0 | fails |",
        "| mean of the 1 learners with a return on every set | 50.0 | 30.0 |",
        "| teacher | 100.0 | - |",
        "| share of the teacher | 50% | - |",
        "",
        "- partial on b: failed not finite",
        "- teacher on b: skipped no data",
    ]
