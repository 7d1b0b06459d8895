"""Students, teacher and data judged on held-out episodes, without an environment."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import density, evaluation
from obd_jax.evaluation import Transitions
from obd_jax.numerics import map_in_chunks, some_rows
from obd_jax.pipeline.preparation import Prepared
from obd_jax.reporting import ProgressCallback, Reporter
from obd_jax.teachers.train import discounted_returns
from obd_jax.types import SyntheticData

DISCOUNT = 0.99
MEMBERS = 4
# States that actions are compared in, and numbers of the observations that critics are fitted to.
_STATES, _NUMBERS = 20_000, 20_000_000
# Neighbours tell little of the density of fewer states.
_FOR_NEIGHBOURS = 100

# Raw observations [B, D] -> actions [K, B, A] of K policies.
Act = Callable[[np.ndarray], np.ndarray]


def judge(
    prepared: Prepared,
    sets: Mapping[str, SyntheticData],
    students: int,
    fqe_steps: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Measures of students, teacher and data, in plain values.

    Args:
        prepared: with held-out episodes.
        sets: by name; students of each are judged.
        students: K, trained on each set; one, where they have no initialisation.
        fqe_steps: of fitted Q evaluation; 0: none.
        reporter: for progress.

    Returns:
        Those of `measure`.

    Raises:
        evaluation.NotFiniteError: a student is not finite.
    """
    acts = {name: students_of(prepared, synthetic, students) for name, synthetic in sets.items()}
    return measure(prepared, acts, fqe_steps, reporter)


def measure(
    prepared: Prepared, acts: Mapping[str, Act], fqe_steps: int, reporter: Reporter
) -> dict[str, Any]:
    """Measures of policies, the teacher and the data, in plain values.

    Args:
        prepared: with held-out episodes.
        acts: the policies, by name.
        fqe_steps: of fitted Q evaluation; 0: none.
        reporter: for progress.

    Returns:
        held_out: what is judged on. error_to: "teacher", or "data" where there is none.
        policies: name -> action_error, mean squared; by_density, the same in ten equal parts of
        the states, the rarest first; teacher_preferred and advantage_lost, where there is a
        critic; fitted_q, by `evaluation.estimate`. discounted_return: of the held-out episodes.
    """
    held = prepared.held_out
    assert held is not None
    policies: dict[str, Act] = dict(acts)
    teacher = prepared.teacher
    if teacher is not None:
        policies["teacher"] = lambda observations: map_in_chunks(teacher.act, observations)[None]
    rows = some_rows(len(held), _STATES)
    states = held.observations[rows]
    actions = {name: act(states) for name, act in policies.items()} | {
        "data": held.actions[rows][None]
    }
    reference = "data" if teacher is None else "teacher"
    log_density = log_density_of(prepared, states)
    found: dict[str, dict[str, Any]] = {}
    for name, own in actions.items():
        found[name] = {}
        if name == reference:
            continue
        errors = evaluation.action_errors(own, actions[reference][0])
        found[name]["action_error"] = float(errors.mean())
        if len(errors) >= evaluation.DENSITY_PARTS:
            parts = evaluation.by_density(errors, log_density)
            found[name]["by_density"] = parts.tolist()
    if teacher is not None and teacher.value is not None:
        value = teacher.value
        best = map_in_chunks(value, states, actions["teacher"][0])
        for name in found.keys() - {"teacher"}:
            own = np.stack([map_in_chunks(value, states, each) for each in actions[name]])
            chosen = evaluation.preference(best, own)
            found[name] |= {"teacher_preferred": chosen.share, "advantage_lost": chosen.lost}
    if fqe_steps and np.ptp(prepared.data.rewards) == 0:
        reporter.note("all rewards are alike: fitted Q evaluation is left out")
    elif fqe_steps:
        for name, estimate in _fitted_q(prepared, policies, fqe_steps, reporter).items():
            found[name]["fitted_q"] = estimate
    returns = discounted_returns(held.rewards, held.episode_starts, DISCOUNT)
    return {
        "held_out": {
            "name": held.provenance.name,
            "sha256": held.provenance.sha256,
            "states": len(held),
            "episodes": len(held.episode_starts),
        },
        "error_to": reference,
        "discount": DISCOUNT,
        "discounted_return": float(returns[held.episode_starts].mean()),
        "policies": found,
    }


def students_of(prepared: Prepared, synthetic: SyntheticData, count: int) -> Act:
    """Students trained on a set, as many as differ."""
    count = 1 if prepared.student.deterministic else count
    params = evaluation.fit_students(prepared.keys["students"], prepared.student, synthetic, count)
    act = jax.vmap(
        evaluation.student_policy(prepared.student), in_axes=((0, None), None), out_axes=1
    )
    # Rows come first where rows are taken in chunks.
    return lambda observations: np.moveaxis(
        map_in_chunks(act, observations, first=((params, prepared.normalizer),)), 1, 0
    )


def log_density_of(prepared: Prepared, states: np.ndarray) -> np.ndarray:
    """Log density [B] of raw states by the states that were learned from."""
    normalize = prepared.normalizer.normalize
    name = "knn" if len(prepared.data) >= _FOR_NEIGHBOURS else "gaussian"
    estimator = density.make(name)
    key = jax.random.fold_in(prepared.keys["students"], 1)
    params = estimator.init(key, jnp.asarray(normalize(prepared.data.observations)))
    return np.asarray(density.log_prob_chunked(estimator, params, np.asarray(normalize(states))))


def _fitted_q(
    prepared: Prepared, policies: Mapping[str, Act], steps: int, reporter: Reporter
) -> dict[str, dict[str, Any]]:
    """Estimates of what policies and the data earn from the first states held out."""
    offline, held = prepared.data, prepared.held_out
    assert held is not None
    normalize = prepared.normalizer.normalize
    rows = some_rows(len(offline), _NUMBERS // offline.observation_size)
    transitions = Transitions(
        np.asarray(normalize(offline.observations[rows])),
        offline.actions[rows],
        offline.rewards[rows],
        np.asarray(normalize(offline.next_observations[rows])),
        offline.terminals[rows].astype(np.float32),
        discounted_returns(offline.rewards, offline.episode_starts, DISCOUNT)[rows],
    )
    starts = held.observations[held.episode_starts]
    first = np.asarray(normalize(starts))
    acted = {
        name: (act(offline.next_observations[rows])[:MEMBERS], act(starts)[:MEMBERS])
        for name, act in policies.items()
    }
    acted["data"] = (
        offline.next_actions[rows][None],
        held.actions[held.episode_starts][None],
    )
    found = {}
    for name, (following, own) in acted.items():
        progress = reporter.progress(f"fitted Q of {name}, step")

        def report(done: int, loss: float, progress: ProgressCallback = progress) -> None:
            progress(done, steps, note=f"loss {loss:.4f}")

        critics = evaluation.fitted_q(
            jax.random.fold_in(prepared.keys["students"], 2),
            transitions,
            following,
            members=MEMBERS,
            steps=steps,
            discount=DISCOUNT,
            callback=report,
        )
        own = own[np.arange(MEMBERS) % len(own)]
        found[name] = evaluation.estimate(np.asarray(critics.values(first, own)))
    return found


def measures_table(measures: dict[str, Any]) -> str:
    """Measures as a table."""
    about = measures["held_out"]
    heading = f"error to {measures['error_to']}"
    lines = [
        f"{about['states']:,} states of {about['episodes']:,} episodes held out",
        f"{heading:<20}{'mean':>9}{'rare':>9}{'common':>9}{'preferred':>11}{'lost':>9}"
        "  fitted Q, its spread",
    ]
    for name, row in measures["policies"].items():
        parts = row.get("by_density", [None, None])
        cells = [
            _cell(row.get("action_error"), 9, ".4f"),
            _cell(parts[0], 9, ".4f"),
            _cell(parts[-1], 9, ".4f"),
            _cell(row.get("teacher_preferred"), 11, ".0%"),
            _cell(row.get("advantage_lost"), 9, ".3g"),
        ]
        fitted = row.get("fitted_q")
        shown = "" if fitted is None else f"  {fitted['mean']:.4g}, {fitted['spread']:.2g}"
        lines.append(f"{name:<20}{''.join(cells)}{shown}")
    lines.append(
        f"recorded: a return of {measures['discounted_return']:.4g}, discounted by "
        f"{measures['discount']:g} up to the end of each episode"
    )
    return "\n".join(lines)


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'' if value is None else format(value, form):>{width}}"
