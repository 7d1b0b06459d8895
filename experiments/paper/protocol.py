"""The protocol of the papers' table: data sets, rows, students, steps and episodes."""

from typing import Any

from obd_jax import density

# Data sets in the papers' order.
DATASETS = tuple(
    f"{environment}-{kind}"
    for environment in ("halfcheetah", "hopper", "walker2d")
    for kind in ("medium-replay", "medium", "medium-expert")
)

# Steps of the preset "transfer" where each costs so many times as much.
SHORTER: dict[float, dict[str, Any]] = {
    3: {"narrow_steps": (667, 200), "outer_steps": 67},
    3.5: {"narrow_steps": (571, 171), "outer_steps": 57},
}
# Rows of distilled sets, as options of a run.
DISTILLED: dict[str, dict[str, Any]] = {
    "dbc": {"objective": "dbc", "temperature": 0.0, "state_noise": 0.0},
    "pbc": {"objective": "pbc", "temperature": 0.0},
    "av_pbc": {"objective": "av_pbc", "temperature": 0.0},
    "sdw_pbc": {"objective": "pbc"},
    "sdw_av_pbc": {"objective": "av_pbc"},
    "av_pbc_long": {
        "objective": "av_pbc",
        "temperature": 0.0,
        "outer_learning_rate": 0.03,
        "outer_steps": 8000,
    },
    "av_pbc_best": {"objective": "av_pbc", "temperature": 0.0, "least_return": 0.33},
    "sdw_av_pbc_best": {"objective": "av_pbc", "least_return": 0.33},
    "sdw_av_pbc_smooth": {"objective": "av_pbc", "ridge": 0.01},
    "av_pbc_best_smooth": {
        "objective": "av_pbc",
        "temperature": 0.0,
        "least_return": 0.33,
        "ridge": 0.01,
    },
    "sdw_av_pbc_best_smooth": {"objective": "av_pbc", "least_return": 0.33, "ridge": 0.01},
    "sdw_av_pbc_early": {"objective": "av_pbc", "early_steps": 50.0},
    "sdw_av_pbc_best_early": {
        "objective": "av_pbc",
        "least_return": 0.33,
        "early_steps": 100.0,
        "outer_optimizer": "adamw",
        "outer_learning_rate": 0.03,
        "clip_norm": 0.03,
    },
    "av_pbc_depths": {"temperature": 0.0, **SHORTER[3], "also_depths": (2, 4)},
    "av_pbc_steps": {"temperature": 0.0, **SHORTER[3.5], "also_steps": (50, 200)},
    "av_pbc_bounded": {"temperature": 0.0, "constraint": "squashed"},
    "av_pbc_early_long": {
        "temperature": 0.0,
        "early_steps": 50.0,
        "state_noise": 0.05,
        "outer_learning_rate": 0.03,
        "outer_steps": 8000,
    },
}
# Every density at every temperature, for the study of density weights.
GRID: dict[str, dict[str, Any]] = {
    f"{objective}_{estimator}_{temperature:g}": {
        "objective": objective,
        "density": estimator,
        "temperature": temperature,
    }
    for objective in ("pbc", "av_pbc")
    for estimator in density.DENSITIES
    for temperature in (0.05, 0.1, 0.25, 0.5)
}
# Rows whose options are the kernel student's alone.
FOR_KERNELS = (
    *("av_pbc_long", "av_pbc_early_long"),
    *("sdw_av_pbc_smooth", "av_pbc_best_smooth", "sdw_av_pbc_best_smooth"),
    *GRID,
)
# Rows whose options are the MLP's alone.
FOR_MLPS = ("sdw_av_pbc_best_early", "av_pbc_depths", "av_pbc_steps", "av_pbc_bounded")
# Rows of real pairs.
SELECTED = ("random", "sdr")
# Rows without a synthetic set: the policy itself is scored.
POLICIES = ("bc", "teacher")
ROWS = (*SELECTED, *DISTILLED, *POLICIES)

# Students that a set is made for, and that it is scored with. "mlp" is the papers' own, with
# their recipe; sets for it are made with the preset "transfer".
FAMILIES = ("kernel", "mlp")

# Options of kernel students that were the default before 0.2; rows say where they differ.
KERNEL = {"ridge": 1e-3, "least_return": 0.0}
# Of a set.
PAIRS = 256
# States that densities are fitted to, the default before 0.2.
DENSITY_STATES = 200_000
# Of a kernel student, a clone and a teacher; each MLP has half of them.
EPISODES = 20
# Training steps of "bc".
CLONE_STEPS = 50_000
# Steps of an episode that the coreset takes states from, from 0.
SDR_LAST_STEP = 100
