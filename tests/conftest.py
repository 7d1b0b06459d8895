"""Fixtures and strictness shared by all tests."""

import pathlib

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data and released policies that is never part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data and released policies are absent ({SHARED_DATA} does not exist)")
    return SHARED_DATA
