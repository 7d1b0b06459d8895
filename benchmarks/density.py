"""Speed and memory of the density room, and of flowjax at the same architecture.

Prints one JSON line. Seconds of a fit are those of a second one, with compiled code reused;
`*_first_*` is the first, with compilation. Both libraries train 5 blocks of 2 hidden layers of
100 by Adam at the same batch size and number of epochs, with 10% of the states held out.

    python benchmarks/density.py --json [--dataset_path=walker2d-medium-expert.hdf5]
"""

import argparse
import json
import resource
import sys
import time
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax

from obd_jax import density

NUM_BLOCKS = 5
HIDDEN = 100
DEPTH = 2


def synthetic_states(rows: int, size: int) -> np.ndarray:
    """Correlated, skewed states [rows, size]."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((rows, size), dtype=np.float32)
    return np.tanh(noise) @ rng.standard_normal((size, size), dtype=np.float32) + noise**2


def timed(name: str, function) -> tuple[dict, Any]:
    """Wall-clock and processor seconds of a call, and what it returns.

    Processor seconds compare programs on a machine that others use too.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {f"{name}_seconds": wall, f"{name}_cpu_seconds": cpu}, result


def peak_memory() -> int:
    """Peak resident memory of the process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_ours(states: np.ndarray, evaluated: np.ndarray, args) -> dict:
    """Fit twice, then evaluate."""
    estimator = density.maf(NUM_BLOCKS, (HIDDEN,) * DEPTH)
    optimizer = optax.adam(args.learning_rate)

    def fit():
        return density.fit(
            jax.random.key(0),
            estimator,
            states,
            epochs=args.epochs,
            batch_size=args.batch_size,
            optimizer=optimizer,
            patience=args.epochs,
        )

    first, _ = timed("fit_first", fit)
    again, (params, history) = timed("fit", fit)
    density.log_prob_chunked(estimator, params, evaluated[:1])
    scored, _ = timed("log_density", lambda: density.log_prob_chunked(estimator, params, evaluated))
    return {
        **first,
        **again,
        **scored,
        "held_out_log_likelihood": density.chosen(history)["held_out_mean"],
        "peak_memory_bytes": peak_memory(),
    }


def measure_flowjax(states: np.ndarray, evaluated: np.ndarray, args) -> dict:
    """The same with flowjax, on states that are standardised for it."""
    from flowjax.distributions import StandardNormal
    from flowjax.flows import masked_autoregressive_flow
    from flowjax.train import fit_to_data

    mean, std = states.mean(0), states.std(0)
    standardised = jnp.asarray((states - mean) / std)
    untrained = masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=StandardNormal((states.shape[1],)),
        flow_layers=NUM_BLOCKS,
        nn_width=HIDDEN,
        nn_depth=DEPTH,
    )
    optimizer = optax.adam(args.learning_rate)

    def fit():
        return fit_to_data(
            jax.random.key(1),
            untrained,
            standardised,
            optimizer=optimizer,
            max_epochs=args.epochs,
            max_patience=args.epochs,
            batch_size=args.batch_size,
            val_prop=0.1,
            show_progress=False,
        )

    first, _ = timed("flowjax_fit_first", fit)
    again, (flow, losses) = timed("flowjax_fit", fit)
    log_prob = jax.jit(lambda x: flow.log_prob(x))

    def evaluate():
        chunks = range(0, len(evaluated) - args.chunk_size + 1, args.chunk_size)
        return [
            np.asarray(log_prob((evaluated[start : start + args.chunk_size] - mean) / std))
            for start in chunks
        ]

    jax.block_until_ready(log_prob((evaluated[: args.chunk_size] - mean) / std))
    scored, _ = timed("flowjax_log_density", evaluate)
    return {
        **first,
        **again,
        **scored,
        "flowjax_held_out_log_likelihood": -min(losses["val"]) - float(np.log(std).sum()),
    }


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark and prints its results."""
    parser = argparse.ArgumentParser(description="Speed and memory of the density room.")
    parser.add_argument("--json", action="store_true", help="Print one line of JSON.")
    parser.add_argument("--dataset_path", help="D4RL-layout HDF5 file; synthetic states if none.")
    parser.add_argument("--rows", type=int, default=100_000, help="States to fit.")
    parser.add_argument("--size", type=int, default=17, help="Synthetic observation size.")
    parser.add_argument("--evaluated_rows", type=int, default=1_000_000, help="States to score.")
    parser.add_argument("--epochs", type=int, default=10, help="Passes over the states.")
    parser.add_argument("--batch_size", type=int, default=512, help="States per step.")
    parser.add_argument("--learning_rate", type=float, default=1e-3, help="Adam's step size.")
    parser.add_argument("--chunk_size", type=int, default=4096, help="States per flowjax call.")
    parser.add_argument("--noflowjax", action="store_true", help="Leave flowjax out.")
    args = parser.parse_args(argv)

    if args.dataset_path:
        with h5py.File(args.dataset_path) as file:
            dataset = file["observations"]
            assert isinstance(dataset, h5py.Dataset)
            states = np.asarray(dataset[: args.rows], np.float32)
    else:
        states = synthetic_states(args.rows, args.size)
    evaluated = np.resize(states, (args.evaluated_rows, states.shape[1]))
    results = {
        "rows": len(states),
        "observation_size": states.shape[1],
        "evaluated_rows": args.evaluated_rows,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        # Ours runs first, so that the peak memory is its own.
        **measure_ours(states, evaluated, args),
    }
    if not args.noflowjax:
        results |= measure_flowjax(states, evaluated, args)
        for kind in ("fit", "fit_cpu", "log_density_cpu"):
            ratio = results[f"flowjax_{kind}_seconds"] / results[f"{kind}_seconds"]
            results[f"{kind}_speedup"] = ratio
    if args.json:
        print(json.dumps(results))
    else:
        for name, value in results.items():
            print(f"{name:34s} {value:,.4g}")


if __name__ == "__main__":
    main()
