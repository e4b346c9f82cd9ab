"""Which pixels of a spot's window are used: masks of the image, and of each window by itself."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_imagefit import fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.status import Flag
from napari_imagefit.imaging.inspection.spot_cuts import spot_picture
from napari_imagefit.imaging.recipes.recipe import Recipe
from napari_imagefit.imaging.spot_analysis.beads import average_bead, orthogonal_cuts

POINTS = np.array([[12.0, 14.0], [20.0, 31.0], [2.0, 45.0], [25.0, 7.0]])
WINDOW = (9, 11)


def sheet(noise: float = 0.3) -> NDArray[np.float64]:
    y, x = np.mgrid[0:32, 0:48]
    rng = np.random.default_rng(4)
    places = POINTS + rng.uniform(-0.4, 0.4, POINTS.shape)
    spots = sum(40 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 1.4**2)) for cy, cx in places)
    return np.asarray(spots + 7 + noise * rng.standard_normal(y.shape))


def own_masks() -> NDArray[np.bool_]:
    return np.random.default_rng(9).random((len(POINTS), *WINDOW)) > 0.3


def test_each_window_uses_the_pixels_of_its_own_mask() -> None:
    """As each spot fitted by itself in an image whose other pixels are NaN, to the last digit."""
    image, masks = sheet(), own_masks()
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=masks)
    for row, (point, mask) in enumerate(zip(POINTS.astype(int), masks, strict=True)):
        alone = np.full_like(image, np.nan)
        for i, j in zip(*np.nonzero(mask), strict=True):
            y, x = point[0] - 4 + i, point[1] - 5 + j
            if 0 <= y < 32 and 0 <= x < 48:
                alone[y, x] = image[y, x]
        expected = fit_spots(alone, POINTS[[row, row]], "gaussian_2d", window=WINDOW)
        for name in result.model.names:
            assert result.params[name][row] == expected.params[name][0]
        assert result.n_used[row] == expected.n_used[0]
        assert result.n_left_out[row] == expected.n_left_out[0]
    usable = np.isfinite(result.residual())
    assert not usable[~masks].any()
    assert usable[0][masks[0]].all()


def test_lazily_as_in_memory() -> None:
    image, masks = sheet(), own_masks()
    direct = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=masks)
    lazy = fit_spots(da.from_array(image, chunks=(16, 16)), POINTS, "gaussian_2d", window=WINDOW, mask=masks)
    for name in direct.model.names:
        np.testing.assert_array_equal(np.asarray(lazy.params[name]), direct.params[name])
    np.testing.assert_array_equal(np.asarray(lazy.n_left_out), direct.n_left_out)
    np.testing.assert_array_equal(np.asarray(lazy.residual()), direct.residual())


def test_a_picture_shows_what_was_fitted() -> None:
    masks = own_masks()
    result = fit_spots(sheet(), POINTS, "gaussian_2d", window=WINDOW, mask=masks)
    np.testing.assert_array_equal(np.isfinite(spot_picture(result, (0,)).window), masks[0])


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("by", ["saturation", "mask", "masks of windows"])
def test_saturated_pixels_are_not_averaged(lazy: bool, by: str) -> None:
    """An average bead, and the cuts through one, hold no pixel that was left out of the fit."""
    image = np.minimum(sheet(noise=0), 40)
    mask: NDArray[np.bool_] | None = image < 40
    if by == "masks of windows":
        padded = np.pad(image < 40, 5)
        mask = np.stack([padded[y + 1 : y + 10, x : x + 11] for y, x in POINTS.astype(int)])
    wishes: dict[str, Any] = {"saturation": 40} if by == "saturation" else {"mask": mask}
    given = da.from_array(image, chunks=(16, 16)) if lazy else image
    result = fit_spots(given, POINTS, "gaussian_2d", window=WINDOW, **wishes)
    if lazy:
        result = result.compute()  # type: ignore[attr-defined]
    np.testing.assert_allclose(result.params["amplitude"], 40, rtol=1e-6)
    bead = average_bead(image, result, keep=np.ones(len(POINTS), bool))
    # what is left is the Gaussian: to the error of a spline between pixels
    y, x = np.mgrid[-4:5, -5:6]
    there = bead.count > 0
    assert not there[4, 5]
    np.testing.assert_allclose(bead.mean[there], np.exp(-(y**2 + x**2) / (2 * 1.4**2))[there], atol=0.02)
    for cut in orthogonal_cuts(image, result, 0):
        assert not np.nanmax(cut.data) > 40 - 1e-9


def test_beads_of_a_group_keep_their_shape_beside_what_is_saturated() -> None:
    """The light of the other one is taken out of what a spline sees in place of saturated pixels, and no more."""
    y, x = np.mgrid[0:30, 0:36]
    places = [(14.2, 14.3), (14.7, 20.1)]
    clean = sum(40 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 1.4**2)) for cy, cx in places) + 7
    image = np.minimum(clean, 38)
    result = fit_spots(image, np.round(places), "gaussian_2d", groups=2, saturation=38)
    np.testing.assert_allclose(result.params["sigma"], 1.4, rtol=1e-5)
    bead = average_bead(image, result, keep=np.ones(2, bool))
    dy, dx = np.mgrid[-5:6, -5:6]
    there = bead.count > 0
    assert not there.all()
    # to the error of a spline between pixels
    np.testing.assert_allclose(bead.mean[there], np.exp(-(dy**2 + dx**2) / (2 * 1.4**2))[there], atol=0.02)


@pytest.mark.parametrize("lazy", [False, True])
def test_saturation_is_a_mask(lazy: bool) -> None:
    """The same numbers, the same remark and count; and the recipe tells it."""
    image = np.minimum(sheet(), 38)
    given = da.from_array(image, chunks=(16, 16)) if lazy else image
    by_mask = fit_spots(given, POINTS, "gaussian_2d", mask=(image < 38) & (image > 6.5))
    result = fit_spots(given, POINTS, "gaussian_2d", mask=image > 6.5, saturation=38)
    for name in ("y", "sigma", "amplitude"):
        np.testing.assert_array_equal(np.asarray(result.params[name]), np.asarray(by_mask.params[name]))
    np.testing.assert_array_equal(np.asarray(result.n_left_out), np.asarray(by_mask.n_left_out))
    assert (np.asarray(result.flags) & Flag.MASKED_SAMPLES).all()
    np.testing.assert_array_equal(np.asarray(result.residual()), np.asarray(by_mask.residual()))
    recipe = Recipe.of(fit_spots(given, POINTS, "gaussian_2d", saturation=38).recipe())
    assert recipe.fit.saturation == 38
    with_mask = Recipe.of_result(result)
    assert with_mask.fit.saturation == 38
    again = with_mask.run(image, points=POINTS)
    for name in ("y", "sigma", "amplitude"):
        np.testing.assert_array_equal(again.params[name], np.asarray(result.params[name]))


def test_masks_that_fit_nothing_are_refused() -> None:
    image = sheet()
    with pytest.raises(FitInputError, match=r"shape \(4, 5, 5\).*one for each window, \(4, 9, 11\)"):
        fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=np.ones((4, 5, 5), bool))
    with pytest.raises(FitInputError, match="leave groups out"):
        fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=own_masks(), groups=3)
    with pytest.raises(FitInputError, match="saturation='much'"):
        fit_spots(image, POINTS, "gaussian_2d", saturation="much")  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match="boolean"):
        fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=own_masks().astype(int))
    lazy = da.from_array(image, chunks=16)
    with pytest.raises(FitInputError, match="load it"):
        fit_spots(lazy, POINTS, "gaussian_2d", window=WINDOW, mask=da.from_array(own_masks()))
