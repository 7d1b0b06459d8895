"""Seconds of an outer step of the released PyTorch code, from a copy of it; needs PyTorch.

    python benchmarks/released_outer_step.py OBD

Called by outer_step.py. The papers' setting: 256 pairs, 100 training steps of SGD, ten batches of
256 states. What the code imports for data, environments and logs is not needed here and replaced
by mocks; its policies and critics start from random weights instead of files.
"""

import argparse
import importlib
import sys
import time
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import torch

D, A = 17, 6


def main() -> None:
    """Print the median of an outer step's seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sys.path.insert(0, options.folder)
    for name in ("d4rl", "gym", "wandb", "sklearn", "sklearn.cluster"):
        sys.modules[name] = MagicMock(__spec__=ModuleSpec(name, None))
    bptt = importlib.import_module("data_lib.data_bptt")
    pairs = importlib.import_module("data_lib.syndset")
    utils = importlib.import_module("utils")

    def critic(owner, path):
        return bptt.FullyConnectedQFunction(D, A)

    bptt.SynSetBPTT.load_policy = lambda owner, path: owner._create_policy("gaussian")
    bptt.SynSetBPTT.load_critic = pairs.Net.load_critic = critic
    config = SimpleNamespace(
        policy_type="gaussian",
        device="cpu",
        offline_policy_path="",
        match_objective="offline_policy",
        q_weight=True,
        beta_weight=0.02,
        bptt=SimpleNamespace(inner_steps=100, test_batch_num=10),
        bptt_optim=SimpleNamespace(optimizer="SGD", lr=0.1, momentum=0.0, weight_decay=0.0),
        synset_optim=SimpleNamespace(optimizer="SGD", lr=0.1, momentum=0.9, weight_decay=0.0),
    )
    torch.manual_seed(0)
    synset = pairs.Net(256, (D,), (A,), config, "cpu")
    model = bptt.SynSetBPTT(synset, (D,), (A,), 1.0, config)
    optimizer = utils.get_optimizer(model.synset.parameters(), config.synset_optim)
    batches = [{"obs": torch.randn(256, D)} for _ in range(10)]

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        _, gradient, _ = model.forward(test_dataloader=batches)
        synset.assign_grads(grads=[model.flatten(each) for each in gradient])
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=2)
        optimizer.step()
        return time.perf_counter() - start

    step()
    print(float(np.median([step() for _ in range(options.repeats)])))


if __name__ == "__main__":
    main()
