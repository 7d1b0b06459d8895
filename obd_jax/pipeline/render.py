"""Pictures of a distilled set's student beside the teacher."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from obd_jax import artefacts, data, distill, environments, evaluation, teachers
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline.preparation import split_key
from obd_jax.pipeline.problem import load_problem
from obd_jax.pipeline.rescore import entry, environment_of_card, precision_of, recipe_of_card
from obd_jax.pipeline.settings import RunSettings
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, at_least, from_options, option, positive
from obd_jax.types import Array, InvalidInputError, SyntheticData, Teacher

FRAMES_PER_SECOND = 20
HEIGHT, WIDTH = 210, 280


@dataclasses.dataclass(frozen=True)
class RenderSettings:
    """What is shown.

    path:         of the distilled set.
    out:          folder of the pictures, new or empty.
    student:      name; None: that of the set's card.
    random_pairs: whether a student on random pairs of the data is shown too.
    episodes:     one below the other.
    first:        number of the first one.
    seconds:      of each episode at most, in the task's time.
    """

    path: str | None = option(
        None, "The distilled set: distilled.npz of a run, or its folder. Required."
    )
    out: str | None = option(None, "Folder for the pictures, new or empty. Required.")
    student: str | None = option(None, "Name of a student; absent: the one in the set's card.")
    random_pairs: bool = option(
        False, "Also show a student trained on as many random pairs; this loads the data."
    )
    episodes: int = option(2, "Number of episodes to show, one below the other.")
    first: int = option(
        0, "Number of the first episode. A kernel student repeats the episodes of its run."
    )
    seconds: float = option(4.0, "Maximum length of an episode, in simulated seconds.")

    def __post_init__(self) -> None:
        positive(episodes=self.episodes, seconds=self.seconds)
        at_least(0, first=self.first)


class Episode(NamedTuple):
    """One that was rolled out.

    positions: [frames, nq] of the body.
    earned:    return in the time shown.
    ended:     seconds after which the task ended it, as by a fall; None: it did not.
    """

    positions: np.ndarray
    earned: float
    ended: float | None


def render(settings: RenderSettings, reporter: Reporter = CONSOLE) -> dict[str, list[float]]:
    """Roll out in Gymnasium and write `episodes.gif`; returns what was earned in the time shown.

    Raises:
        InvalidInputError: the input cannot be used, or MuJoCo has no OpenGL to draw with.
    """
    if not (settings.path and settings.out):
        raise OptionError("{path}, the distilled set, and {out}, a folder, are required")
    out = pathlib.Path(settings.out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"{{out}} {out} is not a new or empty folder")
    distilled = artefacts.load(settings.path)
    card = distilled.card
    observation_size, action_size = (array.shape[1] for array in distilled.synthetic)
    environment = environment_of_card(card)
    evaluation.check_environment(environment, observation_size, action_size)
    changes = {} if settings.student is None else {"student": settings.student}
    student = recipe_of_card(card, changes).student(action_size)
    key = split_key(jax.random.key(entry(card, "provenance").get("seed", 0)))["students"]
    precision, pairs = precision_of(card), len(distilled.synthetic.actions)

    def fitted(synthetic: SyntheticData) -> Callable[[Any], Any]:
        return evaluation.trained_policy(key, student, synthetic, distilled.normalizer)

    with jax.default_matmul_precision(precision):
        policies: dict[str, Callable[[Any], Any]] = {}
        if settings.random_pairs:
            chosen = random_pairs_of_card(card, pairs, reporter)
            policies[f"{pairs} random pairs"] = fitted(chosen)
        policies[f"{pairs} distilled pairs"] = fitted(distilled.synthetic)
    teacher = teacher_of_card(card, reporter)
    if teacher is not None:
        policies["teacher"] = teacher.act

    with (
        jax.default_matmul_precision(precision),
        environments.make(environment) as made,
        open_renderer(made.unwrapped) as renderer,
    ):
        task: Any = made.unwrapped
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"{{out}} {out} cannot be written: {error}") from error
        shown = {
            name: roll_out(name, act, made, settings, reporter) for name, act in policies.items()
        }
        frames = draw(renderer, task, shown, reporter)
        artefacts.write_gif(out / "episodes.gif", frames, task.dt * frame_every(task))
    return {name: [episode.earned for episode in episodes] for name, episodes in shown.items()}


def random_pairs_of_card(card: dict[str, Any], pairs: int, reporter: Reporter) -> SyntheticData:
    """Random pairs of the data that a run's set was distilled from, which are loaded.

    Raises:
        InvalidInputError: the card names no data, or they are others now.
    """
    config, recorded = entry(card, "config"), entry(entry(card, "provenance"), "data")
    if "dataset" not in config:
        raise OptionError("{random_pairs}: the card names no data; it is not of a run")
    offline = load_problem(from_options(RunSettings, config), reporter).data
    if offline.provenance.sha256 != recorded.get("sha256"):
        raise InvalidInputError(f"the data, {recorded.get('name')}, are not those of the set")
    key = split_key(jax.random.key(entry(card, "provenance").get("seed", 0)))["random_real"]
    own = distill.dbc(offline, data.normalizer(offline.observations))
    return distill.choose(key, distill.uniform, own, pairs)


def teacher_of_card(card: dict[str, Any], reporter: Reporter) -> Teacher | None:
    """The teacher of the set, where the package or this machine still has it."""
    provenance = entry(card, "provenance")
    recorded = entry(provenance, "teacher")
    name = str(recorded.get("name"))
    found = None
    if name.startswith("bundled "):
        found = teachers.bundled_teacher(name.removeprefix("bundled "))
    elif recorded.get("source") == "behaviour policy":
        found = teachers.behavior_teacher(provenance["environment"]["name"])
    elif pathlib.Path(name).is_file():
        config = entry(card, "config")
        stats, stats_key = (config.get(f"teacher_{part}") for part in ("stats", "stats_key"))
        read = teachers.load_file(name, stats, stats_key)
        found = read if isinstance(read, Teacher) else None
    if found is None or found.provenance.sha256 != recorded.get("sha256"):
        reporter.note(
            f"the teacher is not shown: {name} is missing, has changed, or is a function or ONNX "
            "file, which are not drawn"
        )
        return None
    return found


def roll_out(
    name: str,
    act: Callable[[Array], Array],
    made: Any,
    settings: RenderSettings,
    reporter: Reporter,
) -> list[Episode]:
    """Episodes of a policy."""
    compiled = jax.jit(act)
    task: Any = made.unwrapped
    every, progress = frame_every(task), reporter.progress(f"roll out {name}, episode")
    shown = []
    for number in range(settings.episodes):
        observation, _ = made.reset(seed=FINAL_SEED + settings.first + number)
        positions, total, over, terminated, step = [], 0.0, False, False, 0
        while not over and step * task.dt < settings.seconds:
            if step % every == 0:
                positions.append(task.data.qpos.copy())
            action = np.asarray(compiled(np.float32(observation)))
            observation, reward, terminated, truncated, _ = made.step(action)
            total, over, step = total + float(reward), terminated or truncated, step + 1
        shown.append(Episode(np.array(positions), total, step * task.dt if terminated else None))
        progress(number + 1, settings.episodes)
    return shown


def frame_every(task: Any) -> int:
    """Control steps from one frame to the next."""
    return max(1, round(1 / FRAMES_PER_SECOND / task.dt))


def open_renderer(task: Any) -> Any:
    """MuJoCo's renderer of a task, without what makes a GIF large: shadows and mirrors.

    Raises:
        InvalidInputError: the task is none of MuJoCo, or there is no OpenGL.
    """
    import mujoco

    if not isinstance(getattr(task, "model", None), mujoco.MjModel):
        raise InvalidInputError(f"{task.spec.id} is no task of MuJoCo, which draws the pictures")
    try:
        renderer = mujoco.Renderer(task.model, HEIGHT, WIDTH)
    except Exception as error:  # Every platform of OpenGL fails in its own way.
        raise InvalidInputError(
            f"no OpenGL to draw the GIF with (MUJOCO_GL={os.environ.get('MUJOCO_GL')}; egl, osmesa "
            f"and glfw are known): {error}"
        ) from error
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = False
    return renderer


def draw(
    renderer: Any, task: Any, policies: Mapping[str, list[Episode]], reporter: Reporter
) -> list[np.ndarray]:
    """Frames [height, width, 3]: a column for each policy; what has ended keeps its last state.

    Args:
        renderer: of the task.
        task: in Gymnasium.
        policies: name -> episodes, as many of each.
        reporter: for progress.
    """
    import mujoco

    tracks = mujoco.mj_name2id(task.model, mujoco.mjtObj.mjOBJ_CAMERA, "track") >= 0

    def image(episode: Episode, number: int) -> np.ndarray:
        last = len(episode.positions) - 1
        task.data.qpos[:] = episode.positions[min(number, last)]
        mujoco.mj_forward(task.model, task.data)
        renderer.update_scene(task.data, camera="track" if tracks else -1)
        drawn = renderer.render()
        drawn[-2:], drawn[:, -2:] = 255, 255  # From one to the next.
        if episode.ended is None or number <= last:
            return drawn
        return artefacts.with_text(drawn, f"ended after {episode.ended:.1f} s")

    top = artefacts.heading(list(policies), WIDTH)
    rows = list(zip(*policies.values(), strict=True))
    count = max(len(episode.positions) for row in rows for episode in row)
    progress, frames = reporter.progress("draw, frame"), []
    for number in range(count):
        drawn = [np.hstack([image(episode, number) for episode in row]) for row in rows]
        frames.append(np.vstack([top, *drawn]))
        progress(number + 1, count)
    return frames
