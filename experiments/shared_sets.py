"""The three shared rollout sets: where they are, and what the paper reports on D4RL."""

import pathlib
from typing import Any

# Data set -> normalised return of SDW in Lei et al. (2025) on the D4RL set of that name.
PAPER = {"hopper-medium": 38.4, "walker2d-medium-expert": 44.6, "halfcheetah-medium": 39.5}


def settings(name: str, folder: str) -> dict[str, Any]:
    """Data, environment and teacher of a set, as settings of a run."""
    data = pathlib.Path(folder)
    return {
        "dataset_path": str(data / "calql_rollouts" / f"{name}.hdf5"),
        "env": name.split("-")[0],
        "teacher": str(data / "obd_calql" / f"Cal-QL-{name}-v2.pt"),
        "teacher_stats": str(data / "d4rl_stats.json"),
        "teacher_stats_key": f"{name}-v2",
    }
