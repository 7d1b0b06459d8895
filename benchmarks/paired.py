"""Two programs timed in turn, so that what else the machine does falls on both alike."""

import json
import subprocess
from collections.abc import Mapping, Sequence

import numpy as np

from obd_jax.types import InvalidInputError


def run_in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """What each command measured in each round.

    Args:
        commands: by name; each prints one number on its last line.
        rounds: how often each is run.

    Raises:
        InvalidInputError: a command failed; with the end of what it said.
    """
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            try:
                done = subprocess.run(command, capture_output=True, text=True)
            except OSError as error:
                raise InvalidInputError(f"{name}: {error}") from error
            if done.returncode:
                raise InvalidInputError(f"{name} failed: {done.stderr.strip()[-500:]}")
            found[name].append(float(json.loads(done.stdout.strip().splitlines()[-1])))
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of the quotient over rounds."""
    quotients = np.asarray(ours) / np.asarray(theirs)
    return {
        "median": float(np.median(quotients)),
        "least": float(quotients.min()),
        "largest": float(quotients.max()),
    }
