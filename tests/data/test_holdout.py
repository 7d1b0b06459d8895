"""Episodes that are kept apart."""

import numpy as np
import pytest

from obd_jax import data
from obd_jax.types import InvalidInputError


def recording(lengths, last_ends=True, seed=0):
    """Episodes of these lengths; observations are (episode, step), rewards the episode's number."""
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.concatenate([np.arange(length) for length in lengths])
    terminals = np.append(np.diff(episodes) > 0, last_ends)
    observations = np.stack([episodes, steps], 1).astype(np.float32)
    return data.from_arrays(
        observations,
        np.random.default_rng(seed).uniform(-1, 1, (len(steps), 1)),
        episodes.astype(float),
        observations + NEXT,
        terminals,
        np.zeros(len(steps)),
        note=lambda _: None,
    )


LENGTHS = np.arange(3, 28)
NEXT = np.array([0, 1], np.float32)


def split(offline, share, **kwargs):
    notes = []
    return *data.hold_out(offline, share, note=notes.append, **kwargs), notes


def test_whole_episodes_are_held_out():
    offline = recording(LENGTHS)
    kept, held, notes = split(offline, 0.2)
    parts = [set(part.observations[:, 0].tolist()) for part in (kept, held)]
    assert len(parts[1]) == 5
    assert parts[0] | parts[1] == set(range(25))
    assert not parts[0] & parts[1]
    assert len(kept) + len(held) == len(offline)
    assert notes == []
    for part in (kept, held):
        starts = part.observations[part.episode_starts]
        np.testing.assert_array_equal(starts[:, 1], 0)
        lengths = np.diff(part.episode_starts, append=len(part))
        np.testing.assert_array_equal(lengths, LENGTHS[starts[:, 0].astype(int)])
        np.testing.assert_array_equal(part.episode_returns, starts[:, 0] * lengths)
        np.testing.assert_array_equal(part.next_observations, part.observations + NEXT)
        np.testing.assert_array_equal(part.rewards, part.observations[:, 0])
        assert part.terminals.sum() == len(starts)


def test_the_seed_decides_which():
    offline = recording(LENGTHS)
    first, again, other = (split(offline, 0.2, seed=seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.observations, again.observations)
    assert set(first.observations[:, 0]) != set(other.observations[:, 0])


def test_parts_are_told_from_the_whole_and_from_each_other():
    offline = recording(LENGTHS)
    hashes = {offline.provenance.sha256}
    for share, seed in ((0.2, 0), (0.2, 1), (0.4, 0)):
        kept, held, _ = split(offline, share, seed=seed)
        hashes |= {kept.provenance.sha256, held.provenance.sha256}
        assert kept.provenance.name == f"arrays, without {share:g} held out"
    assert len(hashes) == 7


def test_an_episode_without_an_end_has_no_return():
    offline = recording(LENGTHS, last_ends=False)
    assert len(offline.episode_returns) == 24
    parts = split(offline, 0.5)[:2]
    for part in parts:
        numbers = part.observations[part.episode_starts, 0]
        expected = (numbers * LENGTHS[numbers.astype(int)])[numbers < 24]
        np.testing.assert_array_equal(part.episode_returns, expected)
    assert sum(len(part.episode_returns) for part in parts) == 24


def test_of_few_episodes_rows_at_the_end_are_held_out():
    offline = recording([10, 12, 8])
    kept, held, (note,) = split(offline, 0.3)
    assert "3 episodes are too few to hold out whole ones: the last 9 rows are held out" in note
    np.testing.assert_array_equal(
        np.concatenate([kept.observations, held.observations]), offline.observations
    )
    assert len(held) == 9
    np.testing.assert_array_equal(kept.episode_starts, [0, 10])
    np.testing.assert_array_equal(held.episode_starts, [0, 1])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, np.nan])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(InvalidInputError, match=r"must be in \(0, 1\)"):
        split(recording(LENGTHS), share)


def test_parts_of_less_than_two_transitions_are_refused():
    with pytest.raises(InvalidInputError, match="leaves 9 and 1; two of each are needed"):
        split(recording([10]), 0.1)
