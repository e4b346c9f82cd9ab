"""What is said to be no rare value without a look at the tail of its distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

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
