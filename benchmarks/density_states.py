"""How many states the density needs: seconds of a fit, and how close its weights come to others.

    python benchmarks/density_states.py --datasets=walker2d-medium-expert,hopper-medium-replay

Fits of the default density to fewer states, beside two fits to as many as the first size with
different keys: how far these two differ is what chance does. Weights are those of all states.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

from obd_jax import data, density
from obd_jax.density import DensitySettings

_TEMPERATURE = DensitySettings().temperature


def fitted(states: np.ndarray, size: int, key: int, epochs: int) -> tuple[float, float, np.ndarray]:
    """Seconds of fit and evaluation, held-out log likelihood, log densities of all states."""
    own = states[np.random.default_rng(key).permutation(len(states))[:size]]
    estimator, start = density.make("maf"), time.perf_counter()
    params, history = density.fit(jax.random.key(key), estimator, own, epochs=epochs)
    log_density = density.log_prob_chunked(estimator, params, states)
    seconds = time.perf_counter() - start
    return seconds, density.chosen(history)["held_out_log_likelihood"], np.asarray(log_density)


def weights_of(log_density: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of all states, and their effective sample size as a share."""
    found = density.reciprocal_weights(
        jnp.asarray(log_density), _TEMPERATURE, DensitySettings().floor_quantile
    )
    return np.asarray(found.weights), float(found.effective_sample_fraction)


def main(argv: list[str] | None = None) -> None:
    """Print a line for each fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", default="walker2d-medium-expert", help="Names, by commas.")
    parser.add_argument("--rows", type=int, default=200_000, help="Of each data set.")
    parser.add_argument("--sizes", default="200000,50000,20000", help="States, by commas.")
    parser.add_argument("--epochs", type=int, default=10, help="Passes over the states.")
    args = parser.parse_args(argv)
    sizes = [int(size) for size in args.sizes.split(",")]
    print("| data set | states | seconds | held-out, nats | ESS | rank correlation of weights |")
    print("|---|---|---|---|---|---|")
    for name in args.datasets.split(","):
        raw = data.load(name, "embedded", rows=args.rows).observations
        states = np.asarray(data.normalizer(raw).normalize(raw), np.float32)
        reference: np.ndarray | None = None
        for number, size in enumerate([sizes[0], *sizes]):
            seconds, likelihood, log_density = fitted(states, size, number, args.epochs)
            weights, share = weights_of(log_density)
            if reference is None:
                reference = weights
            rank = spearmanr(weights, reference)[0]
            other = ", another key" if number == 1 else ""
            print(
                f"| {name} | {size:,}{other} | {seconds:.1f} | {likelihood:.2f} | {share:.3f} | "
                f"{rank:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
