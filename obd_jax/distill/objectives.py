"""What a student should do on real states: the objectives as weighted regressions.

DBC, PBC and Av-PBC (Lei et al. 2024, section 4) differ only in which action is matched
and how much each state counts, and SDW (Lei et al. 2025) multiplies in one more weight.
So an objective is data, computed once: `Targets` for every state of the offline data.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax.numerics import map_in_chunks
from obd_jax.settings import OptionError, not_negative, one_of, option, positive, within
from obd_jax.types import Array, InvalidInputError, Key, Normalizer, OfflineData, Targets, Teacher


def weighted_squared_error(predicted: Array, batch: Targets) -> Array:
    """Mean over states [B] and action dimensions of weight times squared error.

    Args:
        predicted: [B, A] the student's actions.
        batch: the actions to match and the weights of their states.

    Returns:
        Scalar; Lei et al. (2024), equations of DBC, PBC and Av-PBC by the weights given.
    """
    return jnp.mean(batch.weights[:, None] * jnp.square(predicted - batch.actions))


def weighted_variance(predicted: Array, batch: Targets) -> Array:
    """Variance of students: the part of their squared error that an average of them would not have.

    Args:
        predicted: [K, B, A] actions of K >= 2 students, each from its own initialisation.
        batch: as in `weighted_squared_error`.

    Returns:
        Scalar, unbiased by Bessel's correction: mean over states and action dimensions of weight
        times variance over students. Over initialisations, the error of one student is on average
        that of infinitely many students' mean plus this.
    """
    variance = jnp.var(predicted, axis=0, ddof=1)
    return jnp.mean(batch.weights[:, None] * variance)


def dbc(data: OfflineData, normalizer: Normalizer) -> Targets:
    """Data-based cloning: match the data's own actions, every state alike."""
    return Targets(
        jnp.asarray(normalizer.normalize(data.observations), jnp.float32),
        jnp.asarray(data.actions),
        jnp.ones(len(data), jnp.float32),
    )


def pbc(
    data: OfflineData, normalizer: Normalizer, teacher: Teacher, own: Targets | None = None
) -> Targets:
    """Policy-based cloning: match the teacher's actions pi*(s), every state alike.

    `own` are the targets of `dbc` on the same data, where they are there already.
    """
    actions = map_in_chunks(teacher.act, data.observations)
    _refuse_non_finite(actions, "teacher's actions")
    own = dbc(data, normalizer) if own is None else own
    return own._replace(actions=jnp.asarray(actions))


def av_pbc(
    data: OfflineData,
    normalizer: Normalizer,
    teacher: Teacher,
    scale: float | None = None,
    own: Targets | None = None,
) -> Targets:
    """Action-value weighted PBC: match pi*(s), weighted by q*(s, pi*(s)).

    Args:
        data: the offline data.
        normalizer: what the students see observations through.
        teacher: pi* and q*.
        scale: None normalises the weights to mean 1, because value scales differ between
            environments; 0.02 is the OBD release's setting, which does not normalise.
        own: targets of `dbc` on the same data, where they are there already.

    Returns:
        Targets whose weights are max(q*, 0): a negative weight would reward errors.

    Raises:
        InvalidInputError: a teacher without a critic, no state has a positive value, or a value
            is not finite.
    """
    if teacher.value is None:
        raise InvalidInputError(
            f"Av-PBC needs a critic, and the teacher {teacher.provenance.name} has none; use PBC"
        )
    targets = pbc(data, normalizer, teacher, own)
    values = map_in_chunks(teacher.value, data.observations, np.asarray(targets.actions))
    _refuse_non_finite(values, "teacher's values")
    weights = np.maximum(values, 0.0)
    if weights.max() == 0.0:
        raise InvalidInputError(
            f"Av-PBC needs positive values, and the teacher's lie in "
            f"[{values.min():.4g}, {values.max():.4g}]; use PBC with this teacher"
        )
    weights = weights / weights.mean() if scale is None else scale * weights
    return targets._replace(weights=jnp.asarray(weights, jnp.float32))


def sdw(targets: Targets, density_weights: Array) -> Targets:
    """State density weighting of any objective (Lei et al. 2025).

    Args:
        targets: an objective.
        density_weights: [M] tempered reciprocal density, mean 1.

    Returns:
        The objective with both weights multiplied, and its mean weight unchanged.
    """
    return _reweigh(targets, density_weights)


def early(targets: Targets, episode_steps: np.ndarray, steps: float) -> Targets:
    """Give the start of episodes more weight: 1 / (1 + t / steps) at step t, in any objective.

    Every episode begins in these states, and one that falls early has no others. In data of long
    episodes they are few and rare.

    Args:
        targets: an objective on M states.
        episode_steps: [M] step t of every state in its episode.
        steps: the weight of a state after this many steps is half of the first one's.

    Returns:
        The objective with both weights multiplied, and its mean weight unchanged.

    Raises:
        InvalidInputError: steps not positive.
    """
    if not steps > 0:
        raise InvalidInputError(
            f"steps after which the weight of a state is halved must be positive, got {steps}"
        )
    return _reweigh(targets, jnp.asarray(1.0 / (1.0 + episode_steps / steps), jnp.float32))


def _reweigh(targets: Targets, factors: Array) -> Targets:
    """Weights times factors [M], of the same mean as before."""
    product = targets.weights * factors
    return targets._replace(weights=product * (jnp.mean(targets.weights) / jnp.mean(product)))


def with_state_noise(
    key: Key, targets: Targets, normalizer: Normalizer, teacher: Teacher, scale: float
) -> Targets:
    """A teacher's objective on its states and on noisy copies of them.

    By their errors, students leave the states of the data. The teacher labels the copies without
    any environment.

    Args:
        key: of the noise.
        targets: PBC or Av-PBC, weighted by density or not, on M states.
        normalizer: of the students' observations.
        teacher: pi*.
        scale: standard deviation of the noise, in normalised units.

    Returns:
        Targets on 2 M states; a state's noisy copy has the weight of the state.

    Raises:
        InvalidInputError: scale not positive, or the teacher's actions are not finite.
    """
    if not scale > 0:
        raise InvalidInputError(f"scale of the state noise must be positive, got {scale}")
    noise = scale * jax.random.normal(key, targets.observations.shape)
    observations = targets.observations + noise
    raw = np.asarray(normalizer.denormalize(observations))
    actions = map_in_chunks(teacher.act, raw)
    _refuse_non_finite(actions, "teacher's actions")
    noisy = Targets(observations, jnp.asarray(actions), targets.weights)
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), targets, noisy)


OBJECTIVES = ("dbc", "pbc", "av_pbc")


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings:
    """What a set is distilled for.

    name:         one of `OBJECTIVES`; None: av_pbc, pbc where the teacher has no critic, dbc
                  without a teacher.
    value_scale:  weight of Av-PBC per unit of q; None: weights of mean 1.
    least_return: share of the best return that an episode needs (`data.best_episodes`).
    early_steps:  a state weighs 1 / (1 + t / this) at step t; 0: all steps alike.
    state_noise:  standard deviation of the noise on a second copy of all states; 0: no copy.
    """

    name: str | None = option(
        None,
        f"Objective: one of {', '.join(OBJECTIVES)}. Absent: av_pbc; pbc if the teacher has no "
        "critic; dbc if there is no teacher.",
        "objective",
    )
    value_scale: float | None = option(
        None, "Scale of Av-PBC's weights: weight = scale * q. Absent: scaled to a mean of 1."
    )
    least_return: float = option(
        0.0,
        "Distil only episodes whose return is at least this share of the best return; 0: all. If "
        "no return is positive, shares are counted from the worst return to the best.",
    )
    early_steps: float = option(
        0.0, "N > 0: a state at step t of its episode has weight 1 / (1 + t / N); 0: equal weights."
    )
    state_noise: float = option(
        0.0,
        "Standard deviation, in normalised units, of Gaussian noise on a second copy of all "
        "states, which the teacher labels; 0: no copy.",
    )

    def __post_init__(self) -> None:
        if self.name is not None:
            one_of("objective", self.name, OBJECTIVES)
        positive(value_scale=self.value_scale)
        within(0, 1, least_return=self.least_return)
        not_negative(early_steps=self.early_steps, state_noise=self.state_noise)
        if self.value_scale is not None and self.name not in (None, "av_pbc"):
            raise OptionError(f"{{value_scale}} is for {{objective}}=av_pbc, not {self.name}")
        if self.state_noise > 0 and self.name == "dbc":
            raise OptionError("{state_noise} needs a teacher's actions: not {objective}=dbc")

    def chosen(self, teacher: Teacher | None) -> str:
        """Name of the objective with a teacher, or without one.

        Raises:
            OptionError: no teacher, and the objective or noise on states needs one.
        """
        if teacher is None and self.name not in (None, "dbc"):
            raise OptionError(
                f"{{objective}}={self.name} needs a near-expert policy: {{teacher}} takes "
                "an algorithm that is trained on the data (rebrac, td3_bc, iql, cal_ql), a file or "
                "a function; {objective}=dbc needs none and clones the data's own actions"
            )
        if teacher is None and self.state_noise > 0:
            raise OptionError("{state_noise} needs a teacher's actions, and there is no {teacher}")
        if self.name is not None:
            return self.name
        if teacher is None:
            return "dbc"
        return "pbc" if teacher.value is None else "av_pbc"


def make_objective(
    name: str,
    data: OfflineData,
    normalizer: Normalizer,
    teacher: Teacher | None,
    scale: float | None,
    own: Targets | None = None,
) -> Targets:
    """Objective by name.

    Raises:
        InvalidInputError: an unknown name, or no teacher for an objective that needs one.
    """
    one_of("objective", name, OBJECTIVES)
    if name == "dbc":
        return dbc(data, normalizer) if own is None else own
    if teacher is None:
        raise InvalidInputError(f"{name} needs a teacher")
    if name == "pbc":
        return pbc(data, normalizer, teacher, own)
    return av_pbc(data, normalizer, teacher, scale, own)


def _refuse_non_finite(array: np.ndarray, what: str) -> None:
    bad = np.argwhere(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(bad):
        raise InvalidInputError(
            f"the {what} are not finite on {len(bad)} of {len(array)} states "
            f"(first at row {bad[0, 0]})"
        )
