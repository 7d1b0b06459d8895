"""The three shared rollout sets: where they are, what the paper has on D4RL, and runs on them."""

import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from obd_jax import runs
from obd_jax.settings import OptionError

# Data set -> normalised return of SDW in Lei et al. (2025) on the D4RL set of that name.
PAPER = {"hopper-medium": 38.4, "walker2d-medium-expert": 44.6, "halfcheetah-medium": 39.5}

_RUN = pathlib.Path(__file__).parents[1] / "run_sdw.py"


def options_on(name: str, folder: str) -> dict[str, Any]:
    """Data, environment and teacher of a set, as options of a run."""
    data = pathlib.Path(folder)
    return {
        "dataset_path": str(data / "calql_rollouts" / f"{name}.hdf5"),
        "env": name.split("-")[0],
        "teacher": str(data / "obd_calql" / f"Cal-QL-{name}-v2.pt"),
        "teacher_stats": str(data / "d4rl_stats.json"),
        "teacher_stats_key": f"{name}-v2",
    }


def refuse_own(arguments: Sequence[str]) -> None:
    """Refuse flags for `run_sdw.py` that `result` sets itself.

    Raises:
        OptionError: one of them is given.
    """
    own = {*options_on("", ""), "dataset", "seed", "out"}
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        if name in own:
            raise OptionError(f"{{{name}}} cannot be given: this script sets it itself")


def result(
    name: str, folder: str, seed: int, out: pathlib.Path, arguments: Sequence[str]
) -> dict[str, Any]:
    """Results of `run_sdw.py` on a set of a folder, made now unless they are in `out`.

    Raises:
        InvalidInputError: the run in `out` has other flags, or it is not known which.
    """
    given = {**options_on(name, str(pathlib.Path(folder).resolve())), "seed": seed}
    chosen = [*(f"--{flag}={value}" for flag, value in given.items()), *arguments]
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in chosen)
    beside, results = out.with_name(f"{out.name}.flags.json"), out / "results.json"
    if results.exists() and not beside.exists():
        raise OptionError(f"{results} lacks {beside}, its flags; give another {{out}}")
    runs.check_same(out.parent, beside.name, flags)
    if not results.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        runs.write_json(beside, flags)
        run_child([sys.executable, str(_RUN), *chosen, f"--out={out}"])
    return json.loads(results.read_text())


def run_child(command: list[str]) -> None:
    """Run a command, which is to end in its own way upon SIGTERM and Ctrl-C.

    Raises:
        SystemExit: with the command's exit status, if that is not 0.
    """
    child = subprocess.Popen(command)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)  # A terminal sends Ctrl-C to the child as well.
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status:
        sys.exit(status if status > 0 else 128 - status)
