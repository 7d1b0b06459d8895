"""Code that acts from a `distilled.npz`, to copy: the same as in `docs/use_a_set.md`."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Snippet(NamedTuple):
    """Code to copy.

    title: what it is for.
    note:  what to know of it.
    code:  it runs in the folder of `distilled.npz` and ends with a function `policy`, or is a
           command of a shell.
    """

    title: str
    note: str
    code: str


def snippets(card: Mapping[str, Any]) -> list[Snippet]:
    """How to act from a set, in NumPy, PyTorch and JAX.

    Args:
        card: of the set; the code for NumPy is that of its student.
    """
    student = card.get("student")
    chosen = student if isinstance(student, dict) else {}
    numpy = Snippet(
        "NumPy, without this package",
        "This command writes the fitted student as one file of NumPy, with a function "
        "act(observations).",
        EXPORT,
    )
    if (chosen.get("name"), chosen.get("kernel")) == ("kernel", "ntk"):
        numpy = numpy._replace(note="The student that the set was made for, exactly.", code=NUMPY)
    torch_note = "The papers' network, trained on all pairs."
    if chosen.get("name") != "mlp":
        torch_note += " The set was made for another student, which acts better from it."
    return [
        numpy,
        Snippet("PyTorch, without this package", torch_note, PYTORCH),
        Snippet(
            "JAX, with this package",
            "The student that the set was made for, fitted now. JAX arrays give JAX arrays; it can "
            "be traced.",
            JAX,
        ),
    ]


EXPORT = "obd-jax export . --format=numpy --out=policy\n"

NUMPY = '''\
import json

import numpy as np

with np.load("distilled.npz") as file:
    states, actions = file["normalized_observations"].astype(float), file["actions"].astype(float)
    mean, scale = file["observation_mean"], file["observation_scale"]
    student = json.loads(str(file["card"]))["student"]
assert (student["name"], student["kernel"]) == ("kernel", "ntk")


def ntk(x, y):
    """Neural tangent kernel of a ReLU network between rows of x and of y."""
    x, y = (z / (student["length_scale"] * np.sqrt(z.shape[1])) for z in (x, y))
    bias = student["bias_scale"] ** 2
    nngp = tangent = 2 * x @ y.T + bias
    x_variance, y_variance = (2 * np.sum(z * z, axis=1) + bias for z in (x, y))
    for _ in range(student["depth"]):
        deviations = np.sqrt(np.outer(x_variance, y_variance))
        angle = np.arccos(np.clip(nngp / deviations, -1, 1))
        step = (np.pi - angle) / np.pi
        nngp = deviations * (np.sin(angle) / np.pi + step * np.cos(angle)) + bias
        tangent = nngp + step * tangent
        x_variance, y_variance = x_variance + bias, y_variance + bias
    return tangent


matrix = ntk(states, states)
matrix += student["ridge"] * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
labels = np.arctanh(np.clip(actions, -0.999, 0.999))
coefficients = np.linalg.solve(matrix, labels)


def policy(observations):
    """Raw observations [B, D] -> actions [B, A]."""
    return np.tanh(ntk((observations - mean) / scale, states) @ coefficients)
'''

PYTORCH = '''\
import numpy as np
import torch
from torch import nn

with np.load("distilled.npz") as file:
    states, actions = (torch.tensor(file[name]) for name in ("normalized_observations", "actions"))
    mean, scale = (torch.tensor(file[f"observation_{name}"]) for name in ("mean", "scale"))

sizes = [states.shape[1], 256, 256, 256]
layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())]
network = nn.Sequential(*layers, nn.Linear(256, actions.shape[1]), nn.Tanh())
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
for _ in range(1_000):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(network(states), actions)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def policy(observations):
    """Raw observations [B, D] -> actions [B, A]."""
    return network((torch.as_tensor(observations, dtype=torch.float32) - mean) / scale).numpy()
'''

JAX = """\
import obd_jax

policy = obd_jax.load_distilled("distilled.npz").policy()  # raw observations [B, D] -> actions
"""
