"""Tables of the embedded data sets: size, returns, densities, diversity (docs/datasets.md).

    python experiments/recording/describe_data.py --out=runs/datasets

A data set that `--out` has a file of is not described again.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from obd_jax import analysis, artefacts, data, density, environments, recorded, runs
from obd_jax.cli import define_flags, run_main, settings_from_flags
from obd_jax.reporting import Progress, note
from obd_jax.settings import option

TYPES = ("random", "medium-replay", "medium", "medium-expert", "expert")
TEMPERATURES = (0.05, 0.1, 0.25)

# Rows and mean normalised returns of D4RL's v2 files, where they are known.
D4RL = {
    "halfcheetah-medium": (1_000_000, 40.7),
    "hopper-medium": (1_000_000, 44.3),
    "walker2d-medium": (1_000_000, 62.1),
    "halfcheetah-medium-replay": (202_000, None),
    "hopper-medium-replay": (402_000, None),
    "walker2d-medium-replay": (302_000, None),
    "halfcheetah-expert": (1_000_000, 88.1),
    "hopper-expert": (1_000_000, 108.5),
    "walker2d-expert": (1_000_000, 107.1),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is described; each field is a flag of the same name."""

    out: str = option("runs/datasets", "Folder of a file for each data set.")
    env: str | None = option(None, "Environment; absent: all that have policies.")
    data_rows: int | None = option(None, "Rows of each data set; absent: as many as D4RL has.")
    states: int = option(200_000, "States that densities are fitted to, at most.")
    epochs: int = option(10, "Passes over them.")
    seed: int = option(0, "Seed of everything random but the data.")


def describe(config: Config, name: str) -> dict[str, Any]:
    """Measures of one data set."""
    environment, _ = environments.parse_dataset(name)

    def load(full_name):
        return data.load(full_name, "embedded", rows=config.data_rows, note=note, progress=Progress)

    loaded = load(name)
    scores = environments.normalized_score(environment, loaded.episode_returns)
    # The broadest data set of an environment gives the units of distances.
    units = data.normalizer(load(f"{environment.name}-medium-replay").observations)
    diversity = analysis.state_diversity(loaded, units, seed=config.seed)

    generator = np.random.default_rng(config.seed)
    rows = generator.choice(len(loaded), min(config.states, len(loaded)), replace=False)
    states = data.normalizer(loaded.observations).normalize(loaded.observations[rows])
    estimator = density.make("maf")
    progress = Progress(f"{name}: fit density, epoch")
    params, history = density.fit(
        jax.random.key(config.seed),
        estimator,
        np.asarray(states),
        epochs=config.epochs,
        callback=lambda record: progress(record["epoch"], config.epochs),
    )
    log_density = density.log_prob_chunked(estimator, params, np.asarray(states))
    return {
        "name": name,
        "transitions": len(loaded),
        "episodes": len(scores),
        "score_mean": float(scores.mean()),
        "score_std": float(scores.std()),
        "held_out_log_likelihood": density.chosen(history)["held_out_mean"],
        "effective_sample_fraction": [
            float(density.reciprocal_weights(log_density, t).effective_sample_fraction)
            for t in TEMPERATURES
        ],
        "diversity": diversity,
        "provenance": {
            "data": dataclasses.asdict(loaded.provenance),
            "software": artefacts.software(),
        },
        "config": dataclasses.asdict(config),
    }


def described(config: Config, name: str) -> dict[str, Any]:
    """Measures of one data set, from its file if it is there.

    Raises:
        InvalidInputError: the file was made with other settings.
    """
    path = pathlib.Path(config.out) / f"{name}.json"
    wanted, defaults = (
        {k: v for k, v in dataclasses.asdict(one).items() if k not in ("out", "env")}
        for one in (config, Config())
    )
    found = runs.read_result(path, wanted, defaults)
    if found is not None:
        return found
    result = describe(config, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, result)
    return result


def table(results: list[dict[str, Any]]) -> str:
    """Rows as a table in Markdown."""
    temperatures = " | ".join(f"ESS {t}" for t in TEMPERATURES)
    lines = [
        "| embedded data set | transitions | episodes | score, mean | deviation | D4RL's mean "
        f"| log likelihood | {temperatures} | diversity |",
        "|" + "---|" * (8 + len(TEMPERATURES)),
    ]
    for result in results:
        _, theirs = D4RL.get(result["name"], (None, None))
        ess = " | ".join(f"{value:.2f}" for value in result["effective_sample_fraction"])
        lines.append(
            f"| {result['name']} | {result['transitions']:,} | {result['episodes']:,} "
            f"| {result['score_mean']:.1f} | {result['score_std']:.1f} "
            f"| {'' if theirs is None else theirs} "
            f"| {result['held_out_log_likelihood']:.2f} | {ess} | {result['diversity']:.2f} |"
        )
    return "\n".join(lines)


def run(config: Config) -> list[dict[str, Any]]:
    """Describe all data sets and print their table."""
    names = [config.env] if config.env else list(recorded.ROLES)
    results = [described(config, f"{name}-{kind}") for name in names for kind in TYPES]
    print(table(results))
    print(f"written to {config.out}")
    return results


def main() -> None:
    """Entry point."""
    run(settings_from_flags(Config))


if __name__ == "__main__":
    define_flags(Config)
    run_main(main)
