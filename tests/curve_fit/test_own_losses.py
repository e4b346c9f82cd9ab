"""A caller's own loss is called as SciPy calls it: with z of all samples of the fit, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import napari_imagefit as nif

# tight enough for parameters to 1e-7 or so, which single precision cannot give
TIGHT = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
LENGTH = 37
X = np.linspace(0, 4, LENGTH)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.1 * np.random.default_rng(0).normal(size=LENGTH)
Y[4] += 3
WEIGHTS = np.linspace(0.1, 1, LENGTH)


def with_weights(library: Any) -> Callable[[Any], Any]:
    """Soft L1 with a scale of its own for each sample."""

    def loss(z: Any) -> Any:
        root = library.sqrt(1 + WEIGHTS * z)
        return library.stack([2 * (root - 1), WEIGHTS / root, -0.5 * WEIGHTS**2 / root**3])

    return loss


def with_median(library: Any) -> Callable[[Any], Any]:
    """Soft L1 whose scale is the median of all."""

    def loss(z: Any) -> Any:
        scale = library.median(z)
        root = library.sqrt(1 + z / scale)
        return library.stack([2 * scale * (root - 1), 1 / root, -0.5 / scale / root**3])

    return loss


def in_rows(library: Any) -> Callable[[Any], Any]:
    """Soft L1, filled into an array for a vector z."""

    def loss(z: Any) -> Any:
        root = library.sqrt(1 + z)
        rows = (2 * (root - 1), 1 / root, -0.5 / root**3)
        if library is jnp:
            rho = jnp.zeros((3, z.size))
            for i, row in enumerate(rows):
                rho = rho.at[i].set(row)
            return rho
        rho = np.empty((3, z.size))
        for i, row in enumerate(rows):
            rho[i] = row
        return rho

    return loss


@pytest.mark.parametrize("f_library", [jnp, np], ids=["f jax", "f numpy"])
@pytest.mark.parametrize("library", [jnp, np], ids=["loss jax", "loss numpy"])
@pytest.mark.parametrize("make", [with_weights, with_median, in_rows])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_own_loss(make: Callable[..., Any], library: Any, f_library: Any, masked: bool) -> None:
    keep = np.ones(LENGTH, bool)
    y = Y
    if masked:
        if make is with_weights:
            pytest.skip("its weights are those of all samples")
        keep[::5] = False
        y = np.where(keep, Y, 50)

    def residual(p: np.ndarray) -> np.ndarray:
        return (p[0] * np.exp(-p[1] * X) + p[2] - Y)[keep]

    def slopes(p: np.ndarray) -> np.ndarray:
        e = np.exp(-p[1] * X)
        return np.stack([e, -p[0] * X * e, np.ones(LENGTH)], axis=1)[keep]

    best = least_squares(residual, [1, 1, 1], slopes, x_scale="jac", loss=make(np), f_scale=0.1, max_nfev=1000, **TIGHT)
    popt, _ = nif.curve_fit(
        lambda x, a, b, c: a * f_library.exp(-b * x) + c, X, y, loss=make(library), f_scale=0.1,
        data_mask=keep if masked else None, max_nfev=1000, **TIGHT,
    )  # fmt: skip
    # a scale that follows the data makes neither a minimiser: both stop where their steps no longer gain
    rtol = 1e-2 if make is with_median else 1e-6
    np.testing.assert_allclose(popt, best.x, rtol=rtol)
