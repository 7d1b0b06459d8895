"""Pictures of a distilled set's student beside the teacher."""

import dataclasses
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from obd_jax import artefacts, environments, evaluation, teachers
from obd_jax.evaluation import FINAL_SEED
from obd_jax.pipeline.preparation import split_key
from obd_jax.pipeline.rescore import entry, environment_of_card, precision_of, recipe_of_card
from obd_jax.reporting import CONSOLE, Reporter
from obd_jax.settings import OptionError, option, positive
from obd_jax.types import Array, InvalidInputError, Teacher

FRAMES_PER_SECOND = 25
HEIGHT, WIDTH = 180, 240


@dataclasses.dataclass(frozen=True)
class RenderSettings:
    """What is shown.

    path:     of the distilled set.
    out:      folder of the pictures, new or empty.
    student:  name; None: that of the set's card.
    episodes: side by side.
    seconds:  of each episode at most, in the task's time.
    """

    path: str | None = option(
        None, "The distilled set: distilled.npz of a run, or its folder. Required."
    )
    out: str | None = option(None, "Folder for the pictures, new or empty. Required.")
    student: str | None = option(None, "Name of a student; absent: the one in the set's card.")
    episodes: int = option(3, "Episodes to show next to each other.")
    seconds: float = option(4.0, "Maximum length of an episode, in simulated seconds.")

    def __post_init__(self) -> None:
        positive(episodes=self.episodes, seconds=self.seconds)


def render(settings: RenderSettings, reporter: Reporter = CONSOLE) -> dict[str, list[float]]:
    """Roll out in Gymnasium v4 and write; returns what was earned in the time shown.

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
    in_viewer = environments.simulated_by(environment, "mjx")  # Refuses what the viewer lacks.
    evaluation.check_environment(environment, observation_size, action_size)
    changes = {} if settings.student is None else {"student": settings.student}
    student = recipe_of_card(card, changes).student(action_size)
    seed = entry(card, "provenance").get("seed", 0)
    precision = precision_of(card)
    with jax.default_matmul_precision(precision):
        policy = evaluation.trained_policy(
            split_key(jax.random.key(seed))["students"],
            student,
            distilled.synthetic,
            distilled.normalizer,
        )
    policies: dict[str, Callable[[Any], Any]] = {"student": policy}
    teacher = teacher_of_card(card, reporter)
    if teacher is not None:
        policies["teacher"] = teacher.act

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{{out}} {out} cannot be written: {error}") from error
    shown, earned = {}, {}
    with environments.make(environment) as made, jax.default_matmul_precision(precision):
        for name, act in policies.items():
            shown[name], earned[name] = roll_out(act, made, settings)
            (out / f"{name}.html").write_text(page(in_viewer, made.unwrapped, shown[name]))
        frames = draw(made.unwrapped, list(shown.values()))
    import imageio.v3 as imageio

    imageio.imwrite(out / "episodes.gif", frames, duration=1000 / FRAMES_PER_SECOND, loop=0)
    return earned


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
        reporter.note(f"the teacher is not shown: {name} is missing or has changed")
        return None
    return found


def roll_out(
    act: Callable[[Array], Array], made: Any, settings: RenderSettings
) -> tuple[list[np.ndarray], list[float]]:
    """Positions [frames, nq] and return of each episode."""
    compiled = jax.jit(act)
    task: Any = made.unwrapped
    every = frame_every(task)
    shown, earned = [], []
    for episode in range(settings.episodes):
        observation, _ = made.reset(seed=FINAL_SEED + episode)
        positions, total, ended, step = [], 0.0, False, 0
        while not ended and step * task.dt < settings.seconds:
            if step % every == 0:
                positions.append(task.data.qpos.copy())
            action = np.asarray(compiled(np.float32(observation)))
            observation, reward, terminated, truncated, _ = made.step(action)
            total, ended, step = total + float(reward), terminated or truncated, step + 1
        shown.append(np.array(positions))
        earned.append(total)
    return shown, earned


def frame_every(task: Any) -> int:
    """Control steps from one frame to the next."""
    return max(1, round(1 / FRAMES_PER_SECOND / task.dt))


def page(environment: environments.EnvironmentSpec, task: Any, episodes: list[np.ndarray]) -> str:
    """Brax's viewer with the episodes one after another, as a page that needs no server."""
    system = evaluation.brax_environment(environment).sys
    import mujoco
    from brax.base import Transform
    from brax.io import html

    states = []
    for position in np.concatenate(episodes):
        task.data.qpos[:] = position
        mujoco.mj_kinematics(task.model, task.data)
        links = Transform(pos=task.data.xpos[1:].copy(), rot=task.data.xquat[1:].copy())
        states.append(types.SimpleNamespace(x=links))
    return html.render(system.tree_replace({"opt.timestep": task.dt * frame_every(task)}), states)


def draw(task: Any, policies: list[list[np.ndarray]]) -> np.ndarray:
    """Frames [T, height, width, 3] of a row for each policy; who has ended stays where it fell."""
    import mujoco

    try:
        renderer = mujoco.Renderer(task.model, HEIGHT, WIDTH)
    except Exception as error:  # Every platform of OpenGL fails in its own way.
        raise InvalidInputError(
            f"no OpenGL to draw the GIF with (MUJOCO_GL={os.environ.get('MUJOCO_GL')}; egl, osmesa "
            f"and glfw are known): {error}"
        ) from error

    def image(positions, number):
        task.data.qpos[:] = positions[min(number, len(positions) - 1)]
        mujoco.mj_forward(task.model, task.data)
        renderer.update_scene(task.data, camera="track")
        return renderer.render()

    with renderer:
        return np.array(
            [
                np.vstack(
                    [np.hstack([image(one, number) for one in episodes]) for episodes in policies]
                )
                for number in range(max(len(one) for episodes in policies for one in episodes))
            ]
        )
