"""Look at a distilled set's student, beside the teacher: a page of Brax's viewer and a GIF.

python experiments/render_policy.py --path=runs/hopper/distilled.npz --out=pictures
"""

import dataclasses
import os
import pathlib
import sys
import types

if sys.platform == "linux":  # MuJoCo looks once, when it is imported.
    os.environ.setdefault("MUJOCO_GL", "egl")

from collections.abc import Callable
from typing import Any

import evaluate_synthetic
import gymnasium
import imageio.v3 as imageio
import jax
import numpy as np
from config import Config as RunConfig
from evaluate_synthetic import mapping, precision_of, recipe_of, task_named
from scoring import FINAL_SEED
from setup_run import load_file, split_seed

from obd_jax import artefacts, environments, evaluation, students, teachers
from obd_jax.command_line import config_from_flags, define_flags, field, note, run_main
from obd_jax.types import Array, InvalidInputError, Teacher

FRAMES_PER_SECOND = 25
HEIGHT, WIDTH = 180, 240


@dataclasses.dataclass(frozen=True)
class Config:
    """What is shown; each field is a flag of the same name."""

    path: str | None = field(None, "The distilled set, distilled.npz of a run. Required.")
    out: str | None = field(None, "Folder of the pictures, new or empty. Required.")
    student: str | None = field(
        None, f"One of {', '.join(students.RECIPES)}; absent: that of the set's card."
    )
    episodes: int = field(3, "Episodes, side by side.")
    seconds: float = field(4.0, "Of each episode at most, in the task's time.")


def run(config: Config) -> dict[str, list[float]]:
    """Roll out in Gymnasium v4 and write; returns what was earned in the time shown.

    Raises:
        InvalidInputError: the input cannot be used, or MuJoCo has no OpenGL to draw with.
    """
    if not (config.path and config.out):
        raise InvalidInputError("--path, the distilled set, and --out, a folder, are required")
    for name in ("episodes", "seconds"):
        if not getattr(config, name) > 0:
            raise InvalidInputError(f"--{name} must be positive, got {getattr(config, name)}")
    out = pathlib.Path(config.out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InvalidInputError(f"--out {out} is no new or empty folder")
    distilled = artefacts.load(pathlib.Path(config.path))
    card = distilled.card
    observation_size, action_size = (array.shape[1] for array in distilled.synthetic)
    provenance = mapping(card, "provenance")
    environment = task_named(mapping(provenance, "environment").get("name"))
    in_viewer = environments.simulated_by(environment, "mjx")  # Refuses what the viewer lacks.
    evaluation.check_environment(environment, observation_size, action_size)
    recipe = recipe_of(evaluate_synthetic.Config(student=config.student), mapping(card, "student"))
    student = recipe.student(action_size)
    key = split_seed(provenance.get("seed", 0))["students"]
    precision = precision_of(card)
    with jax.default_matmul_precision(precision):
        trained = evaluation.fit_students(key, student, distilled.synthetic, 1)
    params = jax.tree.map(lambda x: x[0], trained)
    policy = evaluation.student_policy(student)
    policies = {"student": lambda o: policy((params, distilled.normalizer), o)}
    teacher = teacher_of(card)
    if teacher is not None:
        policies["teacher"] = teacher.act

    assert environment.gymnasium_id is not None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"--out {out} cannot be written: {error}") from error
    shown, earned = {}, {}
    with environments.make(environment) as made, jax.default_matmul_precision(precision):
        for name, act in policies.items():
            shown[name], earned[name] = roll_out(act, made, config)
            (out / f"{name}.html").write_text(page(in_viewer, made.unwrapped, shown[name]))
            print(f"{name}: {' '.join(f'{value:.0f}' for value in earned[name])} earned")
        frames = draw(made.unwrapped, list(shown.values()))
    imageio.imwrite(out / "episodes.gif", frames, duration=1000 / FRAMES_PER_SECOND, loop=0)
    print(f"written to {out}: {', '.join(f'{name}.html' for name in policies)}, episodes.gif")
    return earned


def teacher_of(card: dict[str, Any]) -> Teacher | None:
    """The teacher of the set, where the package or this machine still has it."""
    provenance = mapping(card, "provenance")
    recorded = mapping(provenance, "teacher")
    name = str(recorded.get("name"))
    found = None
    if name.startswith("bundled "):
        found = teachers.bundled_teacher(name.removeprefix("bundled "))
    elif recorded.get("source") == "behaviour policy":
        found = teachers.behavior_teacher(provenance["environment"]["name"])
    elif pathlib.Path(name).is_file():
        config = mapping(card, "config")
        stats, stats_key = (config.get(f"teacher_{part}") for part in ("stats", "stats_key"))
        found = load_file(RunConfig(teacher=name, teacher_stats=stats, teacher_stats_key=stats_key))
    if found is None or found.provenance.sha256 != recorded.get("sha256"):
        note(f"without the teacher: {name} is not here, or is another by now")
        return None
    return found


def roll_out(
    act: Callable[[Array], Array], made: gymnasium.Env, config: Config
) -> tuple[list[np.ndarray], list[float]]:
    """Positions [frames, nq] and return of each episode."""
    compiled = jax.jit(act)
    task: Any = made.unwrapped
    every = frame_every(task)
    shown, earned = [], []
    for episode in range(config.episodes):
        observation, _ = made.reset(seed=FINAL_SEED + episode)
        positions, total, ended, step = [], 0.0, False, 0
        while not ended and step * task.dt < config.seconds:
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


def main() -> None:
    """Entry point."""
    run(config_from_flags(Config, {}))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
