"""Fixtures and strictness shared by all tests."""

import os
import pathlib
import subprocess

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


@pytest.fixture
def mount(tmp_path):
    """Mounts an empty file system with options, for the test; None where only root may."""
    mounted = []

    def mount(options):
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            return None
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)
