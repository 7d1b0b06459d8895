"""How far apart the states of a data set are."""

import numpy as np

from obd_jax.types import InvalidInputError, Normalizer, OfflineData

_CHUNK = 500


def state_diversity(
    data: OfflineData, normalizer: Normalizer, states: int = 10_000, seed: int = 0
) -> float:
    """Mean distance of a state to the nearest one of another episode, among random states.

    States of the same episode do not count, because they lie close together in any data set: the
    more states are drawn, the closer.

    Args:
        data: of at least two episodes.
        normalizer: units of the distance; the same for all data sets that are compared.
        states: number of states drawn; the distance decreases with this number.
        seed: seed of the draw.

    Returns:
        Euclidean distance of normalised states.

    Raises:
        InvalidInputError: all states drawn are of one episode.
    """
    from scipy.spatial.distance import cdist  # Takes a while, and most commands measure no data.

    generator = np.random.default_rng(seed)
    drawn = generator.choice(len(data), min(states, len(data)), replace=False)
    episodes = np.searchsorted(data.episode_starts, drawn, side="right")
    if len(np.unique(episodes)) < 2:
        raise InvalidInputError(f"{data.provenance.name}: states of two episodes are needed")
    points = np.asarray(normalizer.normalize(data.observations[drawn]), np.float64)
    nearest = np.zeros(len(drawn))
    for start in range(0, len(drawn), _CHUNK):
        part = slice(start, start + _CHUNK)
        distances = cdist(points[part], points)
        distances[episodes[part, None] == episodes] = np.inf
        nearest[part] = distances.min(axis=1)
    return float(nearest.mean())
