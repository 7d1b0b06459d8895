"""Log densities: read from the cache where all that they depend on is the same."""

import functools

import jax
import numpy as np
import pytest

from obd_jax import density
from obd_jax.data import default_cache
from obd_jax.density import DensitySettings
from obd_jax.density.settings import Kde, Maf
from obd_jax.pipeline import densities
from obd_jax.pipeline.densities import fit_or_read
from obd_jax.reporting import SILENT
from obd_jax.types import InvalidInputError

KEY = jax.random.key(3)
SETTINGS = DensitySettings(Maf(epochs=20), states=80)
STATES = np.random.default_rng(0).exponential(size=(100, 2)).astype(np.float32) ** 3


class Case:
    """Log densities as a run asks for them; counts fits and keeps notes."""

    def __init__(self, monkeypatch):
        self.fits, self.notes = 0, []
        monkeypatch.setattr(density, "fit", self._fit)

    def _fit(self, *args, fit=density.fit, **kwargs):
        self.fits += 1
        return fit(*args, **kwargs)

    def __call__(self, key=KEY, settings=SETTINGS, states=STATES):
        self.fits = 0
        self.notes.clear()
        return fit_or_read(key, settings, states, SILENT._replace(note=self.notes.append))


@pytest.fixture
def case(tmp_path, monkeypatch):
    monkeypatch.setenv("OBD_JAX_CACHE", str(tmp_path / "cache"))
    return Case(monkeypatch)


def kept():
    """The files that are kept, without locks and whatever is half-written."""
    return sorted(path for path in (default_cache() / "densities").iterdir() if path.name[0] != ".")


@pytest.mark.parametrize("estimator", density.DENSITIES)
def test_what_is_read_is_what_was_fitted_bit_for_bit(case, estimator):
    kind = density.settings.SETTINGS[estimator]
    settings = DensitySettings(Maf(epochs=20) if kind is Maf else kind(), states=80)
    expected, card = densities._fit(KEY, settings, STATES, SILENT)
    first = case(settings=settings)
    assert case.fits == 1
    second = case(settings=settings)
    assert case.fits == 0
    assert case.notes == [f"density: log densities read from {kept()[0]}"]
    for log_density, recorded in (first, second):
        assert log_density.dtype == expected.dtype
        np.testing.assert_array_equal(log_density, expected)
        assert recorded == card


def test_whatever_changes_the_densities_is_another_fit(case, monkeypatch):
    changes = [
        {},
        {"key": jax.random.key(4)},
        {"settings": DensitySettings(Maf(epochs=21), states=80)},
        {"settings": DensitySettings(Maf(epochs=20), states=70)},
        {"settings": DensitySettings(Kde(), states=80)},
        {"states": STATES[::-1].copy()},
        {"states": STATES[:90]},
        {"states": (STATES - 1) / 2},  # As by another normaliser.
    ]
    for number, change in enumerate(changes):
        case(**change)
        assert case.fits == 1
        assert len(kept()) == number + 1
    for change in changes:
        case(**change)
        assert case.fits == 0
    # What the weights become of them is not theirs.
    case(settings=DensitySettings(Maf(epochs=20), 80, temperature=0.5, floor_quantile=0.1))
    assert case.fits == 0
    monkeypatch.setattr(densities, "code_hash", lambda: "another")
    case()
    assert case.fits == 1
    monkeypatch.setenv("XLA_FLAGS", "--another")
    case()
    assert case.fits == 1


def _cut(content):
    return content[:-40]


def _flip(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flip, lambda content: b"", lambda content: b"text"])
def test_a_damaged_file_is_fitted_again(case, damage):
    expected, card = case()
    (path,) = kept()
    path.write_bytes(damage(path.read_bytes()))
    found, recorded = case()
    assert case.fits == 1
    np.testing.assert_array_equal(found, expected)
    assert recorded == card
    (note,) = case.notes
    assert "damaged and is regenerated" in note
    case()
    assert case.fits == 0


def test_a_file_of_other_states_is_fitted_again(case):
    case(states=STATES[:90])
    (other,) = kept()
    case()
    path = next(path for path in kept() if path != other)
    path.write_bytes(other.read_bytes())
    assert len(case()[0]) == 100
    assert "(90,) log densities of 100 states; the file is damaged" in case.notes[0]


def test_a_fit_that_stops_leaves_nothing_behind(case, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(densities, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            case()
    assert kept() == []
    case()
    assert case.fits == 1


def test_without_a_cache_densities_are_fitted_all_the_same(case, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(densities, "_write", full)
        expected, _ = case()
    assert case.fits == 1
    assert "log densities are not kept: " in case.notes[0]
    assert "No space left" in case.notes[0]
    default_cache().rename(default_cache().with_name("other"))
    default_cache().write_text("a file")
    found, _ = case()
    assert case.fits == 1
    assert "not kept" in case.notes[0]
    np.testing.assert_array_equal(found, expected)


def test_states_that_cannot_be_fitted_are_refused_once(case):
    with pytest.raises(InvalidInputError, match="finite"):
        case(states=np.full((100, 2), np.nan, np.float32))
    assert (case.fits, case.notes) == (1, [])


@pytest.mark.parametrize("made", [lambda: density.kde(), functools.partial(density.kde, 0.5)])
def test_a_density_from_outside_the_package_is_not_kept(case, monkeypatch, made):
    monkeypatch.setitem(density.DENSITIES, "kde", made)
    density.make.cache_clear()
    for _ in range(2):
        case(settings=DensitySettings(Kde(), states=80))
        assert case.fits == 1
    density.make.cache_clear()
    assert not (default_cache() / "densities").exists()
