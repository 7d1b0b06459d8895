"""What the documentation shows runs as users run it."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _rank_promotion_as_users_have_it():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module", autouse=True)
def _unoptimised(unoptimised):
    """Compiling is most of what the examples take."""
