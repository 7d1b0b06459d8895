"""Runs are whole, so compiling is most of what their tests take."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _unoptimised(unoptimised):
    pass
