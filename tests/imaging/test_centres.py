"""Positions where nothing was fitted are flagged."""

from __future__ import annotations

import numpy as np

import napari_imagefit as nif

Y, X = np.mgrid[0:32, 0:32]


def blob(y: float, x: float) -> np.ndarray:
    return 5 * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * 4**2)) + 1


def test_a_centre_outside_the_region() -> None:
    image = np.stack([blob(15, 16), blob(15, 25)])
    mask = np.zeros(image.shape[1:], bool)
    mask[5:26, 8:22] = True
    result = nif.fit_image(image, "gaussian_2d", mask=mask)
    assert result.converged.all()
    np.testing.assert_allclose(result.params["x"], [16, 25], atol=1e-5)
    assert ((result.flags & nif.Flag.CENTRE_OUTSIDE) > 0).tolist() == [False, True]


def test_in_the_coordinates_of_the_caller() -> None:
    coords = 1e-6 * np.arange(32) - 5e-6, 1e-6 * np.arange(32)
    result = nif.fit_image(blob(2, 16), "gaussian_2d", coords=coords)
    assert not result.flags & nif.Flag.CENTRE_OUTSIDE


def test_a_peak_beyond_the_end_of_a_curve() -> None:
    x = np.linspace(0, 10, 40)
    curves = np.stack([3 * np.exp(-((x - at) ** 2) / 8) for at in (5, 12)], axis=1)
    result = nif.fit_voxels(curves, "gaussian_1d", x=x, fixed={"offset": 0})
    assert result.converged.all()
    assert ((result.flags & nif.Flag.CENTRE_OUTSIDE) > 0).tolist() == [False, True]


def test_a_slope_is_no_position() -> None:
    stack = np.linspace(500, 600, 10)[:, None] + np.random.default_rng(0).normal(0, 1, (10, 3))
    assert not (nif.fit_voxels(stack, "linear").flags & nif.Flag.CENTRE_OUTSIDE).any()
