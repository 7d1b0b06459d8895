"""Names of arrays in recordings, as several libraries spell them."""

from collections.abc import Iterable

from obd_jax.data.episodes import FLAGS

# Field -> spellings; where a recording has several of one field, the first counts.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "observations": ("observations", "observation", "obs", "states", "state"),
    "actions": ("actions", "action", "acts", "act"),
    "rewards": ("rewards", "reward", "rews", "rew"),
    "next_observations": (
        *("next_observations", "next_observation", "next_obs", "obs_next"),
        *("next_states", "next_state", "obs2"),
    ),
    **{flag: (flag,) for flag in FLAGS},
    "terminals": ("terminals", "terminal"),
    "terminations": ("terminations", "termination"),
    "timeouts": ("timeouts", "timeout"),
    "truncations": ("truncations", "truncation"),
}
ALL_SPELLINGS = tuple(name for names in SPELLINGS.values() for name in names)


def fields_among(found: Iterable[str]) -> dict[str, str]:
    """Fields that a recording has: field -> its name there.

    Args:
        found: names of all arrays of the recording.
    """
    known = set(found)
    return {
        field: next(name for name in names if name in known)
        for field, names in SPELLINGS.items()
        if known & set(names)
    }


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names as text, not more than a line of them."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
