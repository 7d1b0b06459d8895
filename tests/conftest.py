"""Fixtures and strictness shared by all tests."""

import os
import pathlib
import subprocess

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """What processes that tests start keep, data and programs, is not the user's."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # One folder for all workers.
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBD_JAX_CACHE", str(folder / "cache"))
        yield


@pytest.fixture(scope="module")
def unoptimised(tmp_path_factory):
    """Each program of a module is compiled once and quickly, where compiling is nearly all it does.

    One level of optimisation for all, those of processes that it starts too, and no program kept
    from other tests: a run of which some programs are optimised and others not rounds differently
    from its repetition.
    """
    settings = {
        "jax_disable_most_optimizations": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    jax.clear_caches()


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
