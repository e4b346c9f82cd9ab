"""What is said to be no rare value without a look at the tail of its distribution."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from napari_imagefit.engine.solver import rare_values
from napari_imagefit.engine.solver.rare_values import chi2_below, chi2_beyond, f_beyond

LEVELS = (1e-2, 1e-3, 1e-4)
FREEDOM = np.concatenate([[0.01, 0.5, 0.99], np.arange(1, 80), np.geomspace(80, 1e9, 60)])
# as dense as the deviations of the approximation, and far out
RATIO = np.concatenate([[0.0, 5e-324, 1e-300, 1e290, np.inf, np.nan], np.geomspace(1e-9, 1e9, 1500)])


@pytest.mark.parametrize("level", LEVELS)
def test_chi2_is_decided_as_by_its_distribution(level: float) -> None:
    freedom, ratio = (a.ravel() for a in np.meshgrid(FREEDOM, RATIO))
    # and some deviations around the mean, where many degrees of freedom leave little room
    near = (1 + np.linspace(-6, 6, 241) * np.sqrt(2 / FREEDOM[:, None])).clip(0)
    freedom = np.concatenate([freedom, np.repeat(FREEDOM, 241)])
    chi2 = freedom * np.concatenate([ratio, near.ravel()])
    np.testing.assert_array_equal(chi2_beyond(chi2, freedom, level), special.chdtrc(freedom, chi2) < level)
    np.testing.assert_array_equal(chi2_below(chi2, freedom, level), special.chdtr(freedom, chi2) < level)


@pytest.mark.parametrize("level", LEVELS)
def test_f_is_decided_as_by_its_distribution(level: float) -> None:
    above, below, ratio = (a.ravel() for a in np.meshgrid(FREEDOM[::4], FREEDOM[::4], RATIO[::5]))
    near = 1 + np.linspace(-6, 6, 121) * np.sqrt(2 / FREEDOM[:, None, None] + 2 / FREEDOM[:, None])
    every = np.broadcast_arrays(FREEDOM[:, None, None], FREEDOM[:, None], near.clip(0))
    above, below, ratio = (np.concatenate([a, b.ravel()]) for a, b in zip((above, below, ratio), every, strict=True))
    with np.errstate(invalid="ignore", over="ignore"):
        found = f_beyond(ratio, above, below, level)
    np.testing.assert_array_equal(found, special.fdtrc(above, below, ratio) < level)


@pytest.mark.parametrize(("freedom", "most"), [(4.0, 1.5), (10.0, 0.2), (40.0, 0.02), (400.0, 0.01)])
def test_only_what_hangs_on_a_hair_is_asked_about(freedom: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """To import what is asked takes as long as a first fit; `most` is how far from the level in its logarithm."""
    asked: list[float] = []

    def chance(above: np.ndarray, below: np.ndarray, ratio: np.ndarray) -> np.ndarray:
        found = special.fdtrc(above, below, ratio)
        asked.extend(found)
        return found

    monkeypatch.setattr(rare_values, "special", SimpleNamespace(fdtrc=chance))
    ratio, some = np.geomspace(0.5, 50, 100_000), np.full(100_000, freedom)
    f_beyond(ratio, some, 2 * some, 1e-4)
    assert asked
    assert np.abs(np.log(np.divide(asked, 1e-4))).max() < most
