"""Updates per second of CORL's TD3+BC, from a copy of its `td3_bc.py`; needs PyTorch.

    python benchmarks/corl_td3_bc.py algorithms/offline/td3_bc.py

Called by teacher_step.py. What that file imports for its data, flags and logs is not needed
here and replaced by mocks.
"""

import argparse
import runpy
import sys
import time
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch


def load(path: str) -> dict[str, Any]:
    """What CORL's file defines."""
    for name in ("d4rl", "gym", "pyrallis", "wandb"):
        sys.modules[name] = MagicMock()
    return runpy.run_path(path)


def main() -> None:
    """Print updates per second, the first fifth of them not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice.")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    corl = load(options.path)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    rows, d, a = options.rows, 17, 6
    buffer = corl["ReplayBuffer"](d, a, rows, "cpu")
    buffer.load_d4rl_dataset(
        {
            "observations": rng.normal(size=(rows, d)).astype(np.float32),
            "actions": rng.uniform(-1, 1, (rows, a)).astype(np.float32),
            "rewards": rng.normal(size=rows).astype(np.float32),
            "next_observations": rng.normal(size=(rows, d)).astype(np.float32),
            "terminals": np.zeros(rows, np.float32),
        }
    )
    networks = [corl["Actor"](d, a, 1.0), corl["Critic"](d, a), corl["Critic"](d, a)]
    pairs = [x for net in networks for x in (net, torch.optim.Adam(net.parameters(), lr=3e-4))]
    trainer = corl["TD3_BC"](1.0, *pairs, device="cpu")
    uncounted = options.updates // 5
    for update in range(options.updates):
        if update == uncounted:
            start = time.perf_counter()
        trainer.train(buffer.sample(256))
    print((options.updates - uncounted) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
