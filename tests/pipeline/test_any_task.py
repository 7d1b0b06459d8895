"""Tasks, teachers and bounds of the user's own, from recorded data to a scored set."""

import json

import gymnasium
import jax
import numpy as np
import pytest
import train_behavior

from obd_jax import Problem, artefacts, data, environments, evaluation, recorded, synthesize
from obd_jax.pipeline import RescoreSettings, rescore, run
from obd_jax.pipeline.settings import RunSettings
from obd_jax.reporting import SILENT
from obd_jax.settings import from_options, with_options
from obd_jax.types import InvalidInputError

# Policies in NumPy, in the units of each task, as a user would write them.
POLICIES = '''
import numpy as np

def pendulum(states):
    """Pumps energy and brakes near the top."""
    cos, sin, speed = np.asarray(states).T
    angle = np.arctan2(sin, cos)
    energy = 0.5 * speed**2 + 10 * (cos - 1)
    swing = np.where(np.abs(speed) < 0.1, 2.0, -np.sign(speed * energy) * 2.0)
    balance = -10 * angle - 2 * speed
    return np.clip(np.where(cos > 0.9, balance, swing), -2, 2)[:, None]

def cart(states):
    """Keeps the pole up and the cart near the middle."""
    x, angle, velocity, turning = np.asarray(states).T
    return np.clip(0.5 * x + 8 * angle + 0.6 * velocity + 1.2 * turning, -3, 3)[:, None]

def value(states, actions):
    assert (np.abs(actions) <= 3).all() and np.abs(actions).max() > 1
    return 10 - np.square(states[:, 1])
'''
TASKS = {
    "Pendulum-v1": {"policy": "pendulum", "bound": 2.0, "kwargs": '{"max_episode_steps": 60}'},
    "InvertedPendulum-v5": {"policy": "cart", "bound": 3.0, "kwargs": '{"max_episode_steps": 50}'},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a module of policies, and recordings of them with noise."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_policies.py").write_text(POLICIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        import own_policies

        for name, task in TASKS.items():
            policy = getattr(own_policies, task["policy"])
            np.savez(folder / f"{name}.npz", **record(name, policy, task["bound"]))
        yield folder


def record(name, policy, bound, episodes=12, steps=50, seed=0):
    """Rows in the environment's units, a fifth of the actions at random."""
    rng = np.random.default_rng(seed)
    rows = {"observations": [], "actions": [], "rewards": [], "terminals": [], "timeouts": []}
    with gymnasium.make(name) as made:
        for episode in range(episodes):
            state, _ = made.reset(seed=seed + episode)
            for step in range(steps):
                action = policy(state[None])[0].astype(np.float32)
                if rng.uniform() < 0.2:
                    action = rng.uniform(-bound, bound, 1).astype(np.float32)
                following, reward, terminated, *_ = made.step(action)
                ended = terminated or step == steps - 1
                for key, item in zip(
                    rows, (state, action, reward, terminated, ended and not terminated), strict=True
                ):
                    rows[key].append(item)
                state = following
                if ended:
                    break
    return {key: np.array(items) for key, items in rows.items()}


def settings_of(name, folder, **changes):
    task = TASKS[name]
    options = {
        "dataset_path": str(folder / f"{name}.npz"),
        "env": name,
        "env_kwargs": task["kwargs"],
        "teacher": f"own_policies:{task['policy']}",
        "density": "gaussian",
        "pairs": 32,
        "outer_learning_rate": 0.02,
        "outer_steps": 20,
        "batch_size": 128,
        "students": 1,
        "episodes": 4,
        "curve_points": 0,
        "fqe_steps": 100,
    }
    return from_options(RunSettings, {**options, **changes})


@pytest.fixture(scope="module", params=TASKS)
def finished(request, folder):
    """Name of the task, run folder, results and notes."""
    name, notes = request.param, []
    out = folder / f"run-{name}"
    reporter = SILENT._replace(note=notes.append)
    results = run(with_options(settings_of(name, folder), out=str(out)), reporter)
    return name, out, results, notes


def test_a_task_of_the_registry_goes_from_data_to_a_score(finished):
    name, _, results, notes = finished
    bound = TASKS[name]["bound"]
    assert f"actions are rescaled from [-{bound:g}, {bound:g}] to [-1, 1]" in notes
    assert results["unit"] == "return"
    provenance = results["provenance"]
    assert provenance["action_bounds"] == {"low": [-bound], "high": [bound]}
    assert provenance["environment"]["name"] == name
    assert provenance["environment"]["kwargs"]["max_episode_steps"] > 0
    assert provenance["teacher"]["source"] == "function"
    assert set(results["returns"]) == {"synthetic", "random_real", "data", "teacher"}
    assert results["objective"] == "pbc"  # The function has no critic.


def test_the_teacher_earns_what_it_earns_in_the_task_itself(finished):
    """Its row is that of the function in the environment's own units, without any rescaling."""
    import own_policies

    name, _, results, _ = finished
    policy = getattr(own_policies, TASKS[name]["policy"])
    steps = results["provenance"]["environment"]["kwargs"]["max_episode_steps"]
    returns = []
    for episode in range(results["returns"]["teacher"]["episodes"]):
        with gymnasium.make(name, max_episode_steps=steps) as made:
            state, _ = made.reset(seed=20_000 + episode)
            total, ended = 0.0, False
            while not ended:
                action = policy(state[None].astype(np.float32))[0].astype(np.float32)
                state, reward, terminated, truncated, _ = made.step(action)
                total, ended = total + float(reward), terminated or truncated
            returns.append(total)
    assert results["returns"]["teacher"]["mean"] == pytest.approx(np.mean(returns), rel=1e-3)


def test_the_policy_of_a_set_acts_in_the_units_of_the_task(finished):
    name, out, results, _ = finished
    distilled, bound = artefacts.load(out), TASKS[name]["bound"]
    assert np.abs(distilled.synthetic.actions).max() <= 1
    states = np.asarray(distilled.normalizer.denormalize(distilled.synthetic.observations))
    actions = distilled.policy()(states)
    assert 1 < np.abs(actions).max() <= bound
    # It earns in the plain environment what the run says that the student earns.
    spec = environments.from_card(results["provenance"]["environment"])
    act, returns = distilled.policy(), []
    for episode in range(4):
        with gymnasium.make(name, **spec.make_kwargs) as made:
            state, _ = made.reset(seed=20_000 + episode)
            total, ended = 0.0, False
            while not ended:
                state, reward, terminated, truncated, _ = made.step(act(state.astype(np.float32)))
                total, ended = total + float(reward), terminated or truncated
            returns.append(total)
    assert results["returns"]["synthetic"]["mean"] == pytest.approx(np.mean(returns), rel=1e-2)


def test_a_set_of_any_task_is_scored_again_by_its_card(finished):
    _, out, results, _ = finished
    settings = from_options(RescoreSettings, {"path": str(out), "students": 1, "episodes": 4})
    again = rescore(settings, reporter=SILENT)
    assert again["unit"] == "return"
    mean = results["returns"]["synthetic"]["mean"]
    assert again["returns"]["synthetic"]["mean"] == pytest.approx(mean, rel=1e-3)


def test_references_normalise_returns(finished, folder):
    name, out, results, _ = finished
    options = {"path": str(out), "students": 1, "episodes": 4, "env": name}
    options |= {"env_kwargs": TASKS[name]["kwargs"], "reference_returns": (-100.0, 100.0)}
    again = rescore(from_options(RescoreSettings, options), reporter=SILENT)
    assert again["unit"] == "normalised return"
    raw = results["returns"]["synthetic"]["mean"]
    assert again["returns"]["synthetic"]["mean"] == pytest.approx((raw + 100) / 2, rel=1e-3)


def test_own_data_and_teacher_need_no_environment(folder):
    settings = settings_of(
        "InvertedPendulum-v5",
        folder,
        env="none",
        env_kwargs=None,
        teacher_value="own_policies:value",
        action_low=(-3.0,),
        action_high=(3.0,),
    )
    out = folder / "run-none"
    results = run(with_options(settings, out=str(out)), SILENT)
    assert results["objective"] == "av_pbc"
    assert results["returns"] == {}
    assert "environment" not in results["provenance"]
    assert results["provenance"]["action_bounds"] == {"low": [-3.0], "high": [3.0]}
    policies = results["offline"]["policies"]
    assert policies["synthetic"]["action_error"] < policies["random_real"]["action_error"]
    assert policies["synthetic"]["teacher_preferred"] == 0.5  # Its critic knows no actions.
    assert 1 < np.abs(artefacts.load(out).policy()(np.float32([[0, 0.2, 0, 0]]))).max() <= 3


# Steps of soft actor-critic, as few as make a policy that is far from a random one.
TRAINED = {
    "Pendulum-v1": 10_000,
    "InvertedPendulum-v5": 10_000,
    "InvertedDoublePendulum-v5": 15_000,
    "Reacher-v5": 15_000,
    "Swimmer-v5": 20_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_policy_trained_here_is_recorded_and_distilled(name, tmp_path):
    """Data and teacher are of the project's own soft actor-critic; the set earns as its teacher."""
    spec, out = environments.get(name), str(tmp_path / "sac")
    train_behavior.train(
        train_behavior.Config(
            env=name,
            out=out,
            steps=TRAINED[name],
            random_steps=1000,
            interval=TRAINED[name],
            checkpoint_interval=TRAINED[name],
        )
    )
    policy = recorded.load(f"{out}/policies/{TRAINED[name]:08d}.npz")
    rows = recorded.roll_out(policy.sample, spec, 20_000, seed=1)
    uniform = recorded.roll_out(None, spec, 20_000, seed=1)

    def act(observations):
        mean = np.tanh(policy.gaussian(np.asarray(observations))[0])
        return mean if spec.action_bounds is None else spec.action_bounds.denormalize(mean)

    outside = rows["actions"]
    if spec.action_bounds is not None:
        outside = spec.action_bounds.denormalize(outside)
    fields = {**rows, "actions": outside}
    offline = data.from_arrays(**fields, action_bounds=spec.action_bounds, note=lambda _: None)
    result = synthesize(
        jax.random.key(0), Problem(offline, act, spec), density="gaussian", reporter=SILENT
    )
    ends = np.flatnonzero(uniform["terminals"] | uniform["timeouts"])
    random = np.add.reduceat(uniform["rewards"], np.append(0, ends[:-1] + 1)).mean()
    student = result.score(students=1, episodes=20, reporter=SILENT)["mean"]
    teacher = evaluation.score_untraced(act_inside(act, spec), spec, episodes=20, seed=20_000)
    share = (student - random) / (teacher.mean() - random)
    print(json.dumps({name: [float(random), student, float(teacher.mean()), float(share)]}))
    assert share > 0.7


def act_inside(act, spec):
    """The policy in [-1, 1]."""
    if spec.action_bounds is None:
        return act
    return lambda observations: spec.action_bounds.normalize(act(observations))


REFUSED = {
    "in units that nothing names": (
        {"env": "none", "env_kwargs": None},
        r"they must lie in \[-1, 1\], but do not in \d+ of \d+ transitions",
    ),
    "of another task": ({"env": "Pendulum-v1", "env_kwargs": None}, r"lie in \[-2, 2\]"),
    "bounds of other actions": (
        {"action_low": (-3.0, -3.0), "action_high": (3.0, 3.0)},
        "has 1 actions; bounds of 2 are given",
    ),
    "a teacher of the other task": ({"teacher": "own_policies:pendulum"}, "teacher pendulum fails"),
    "a simulator without the task": ({"eval_backend": "mjx"}, "mjx has hopper"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_written(case, folder):
    changes, words = REFUSED[case]
    out = folder / "refused"
    settings = settings_of("InvertedPendulum-v5", folder, **changes)
    with pytest.raises(InvalidInputError, match=words):
        run(with_options(settings, out=str(out)), SILENT)
    assert not out.exists()
