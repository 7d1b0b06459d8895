"""States in two dimensions, to look at."""

from typing import NamedTuple

import numpy as np


class Plane(NamedTuple):
    """The two directions along which states vary most, by principal component analysis.

    mean:      [D].
    axes:      [2, D] orthonormal; a second one of zeros where D is 1.
    explained: [2] share of the variance along each.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def project(self, states: np.ndarray) -> np.ndarray:
        """States [B, D] -> [B, 2]."""
        return (np.asarray(states, np.float64) - self.mean) @ self.axes.T


def principal_plane(states: np.ndarray) -> Plane:
    """The plane of states [B, D], as they are scaled.

    The sign of each axis is the one with which its largest entry is positive.
    """
    states = np.asarray(states, np.float64)
    mean = states.mean(axis=0)
    centered = states - mean
    variances, columns = np.linalg.eigh(centered.T @ centered)  # In ascending order.
    axes, shares = np.zeros((2, states.shape[1])), np.zeros(2)
    found = min(2, states.shape[1])
    axes[:found] = columns.T[::-1][:found]
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.where(axes[[0, 1], largest] < 0, -1.0, 1.0)[:, None]
    shares[:found] = np.maximum(variances[::-1][:found], 0.0)
    return Plane(mean, axes, shares / max(np.trace(centered.T @ centered), np.finfo(float).tiny))
