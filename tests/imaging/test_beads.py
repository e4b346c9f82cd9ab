"""Average beads and cuts through them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from napari_imagefit import FitResult, fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.spot_analysis import beads as module
from napari_imagefit.imaging.spot_analysis.beads import average_bead, bead_cuts, full_width, orthogonal_cuts

TO_FWHM = 2 * np.sqrt(2 * np.log(2))
SCALE = (0.2, 0.065, 0.065)  # µm
SIGMAS = (1.6, 1.9, 1.75)  # pixels
RNG = np.random.default_rng(0)
CENTRES = np.array([(8, y, x) for y in (9, 27, 45) for x in (9, 27, 45, 63)]) + RNG.uniform(-0.5, 0.5, (12, 3))
SHAPE = (17, 56, 74)


def draw(seed: int | None = 1) -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    image = np.full(SHAPE, 100.0)
    for centre in CENTRES:
        square = sum(((p - c) / s) ** 2 for p, c, s in zip((z, y, x), centre, SIGMAS, strict=True))
        image += 800 * np.exp(-0.5 * square)
    return image if seed is None else np.random.default_rng(seed).poisson(image).astype(float)


IMAGE = draw()


@pytest.fixture(scope="module")
def found() -> FitResult:
    result = fit_spots(IMAGE, CENTRES.round(), "gaussian_3d_elliptic", window=(11, 13, 13))
    assert result.converged.all()
    return result


def test_widths_in_micrometres_by_fit_and_by_profile(found: FitResult) -> None:
    """Within 2 % of the truth by the fit, as the noise allows by the profile."""
    for row in range(len(CENTRES)):
        for cut, scale, sigma in zip(orthogonal_cuts(IMAGE, found, row, SCALE), SCALE, SIGMAS, strict=True):
            assert cut.fwhm_fit == pytest.approx(TO_FWHM * sigma * scale, rel=0.02)
            assert cut.fwhm_data == pytest.approx(TO_FWHM * sigma * scale, rel=0.15)
    first = orthogonal_cuts(IMAGE, found, 0, SCALE)
    assert [cut.axis for cut in first] == ["z", "y", "x"]
    exact = TO_FWHM * found.params["sigma_y"][0] * 0.065
    assert first[1].fwhm_fit == pytest.approx(exact, rel=1e-5)
    # the middle of the spot is at 0, where the curve has its top
    assert abs(first[0].fitted_at[np.argmax(first[0].fitted)]) < 0.2 * 10 / 1000


def test_an_average_knows_more_than_one_bead(found: FitResult) -> None:
    bead = average_bead(IMAGE, found, upsample=2)
    assert bead.mean.shape == (21, 25, 25)
    assert bead.n_beads == 12
    assert bead.count[10, 12, 12] == 12
    z, y, x = ((np.arange(n) - n // 2) / 2 for n in bead.mean.shape)
    square = (z[:, None, None] / SIGMAS[0]) ** 2 + (y[:, None] / SIGMAS[1]) ** 2 + (x / SIGMAS[2]) ** 2
    truth = np.exp(-0.5 * square)
    inner = (slice(2, -2),) * 3
    # the noise of a pixel is 30/800 at the top, a third of that in the mean of 12
    assert np.abs(bead.mean - truth)[inner].max() < 5 * 30 / 800 / np.sqrt(12)
    assert np.sqrt(np.mean((bead.mean - truth)[inner] ** 2)) < 30 / 800 / np.sqrt(12)
    for cut, scale, sigma in zip(bead_cuts(bead, SCALE), SCALE, SIGMAS, strict=True):
        assert cut.fwhm_data == pytest.approx(TO_FWHM * sigma * scale, rel=0.04)


def test_a_bad_spot_and_one_at_the_edge_count_where_they_have_data(found: FitResult) -> None:
    image = IMAGE.copy()
    image[:, :18, :18] = np.nan
    image[8, 27, 27] = np.nan
    result = fit_spots(image, CENTRES.round(), "gaussian_3d_elliptic", window=(11, 13, 13))
    bead = average_bead(image, result)
    assert bead.n_beads == 11
    assert bead.count.max() == 11
    assert 9 <= bead.count[5, 6, 6] <= 10
    assert np.isfinite(bead.mean[1:-1, 1:-1, 1:-1]).all()
    assert orthogonal_cuts(image, result, 0, SCALE) == ()
    some = average_bead(IMAGE, found, keep=np.arange(12) < 3)
    assert some.n_beads == 3


def test_dark_beads_on_a_slope_are_normalised_too() -> None:
    y, x = np.indices((30, 60))
    image = 50 + 0.8 * y - 0.3 * x
    for cy, cx in ((14.2, 14.7), (15.1, 44.4)):
        image -= 20 * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / 2**2)
    result = fit_spots(image, [[14, 15], [15, 44]], "gaussian_2d", background="sloping")
    bead = average_bead(image, result)
    assert bead.mean[5, 5] == pytest.approx(1, abs=5e-3)
    assert bead.mean[0, 5] == pytest.approx(np.exp(-0.5 * 25 / 4), abs=5e-3)
    cut = orthogonal_cuts(image, result, 0)[1]
    assert cut.fwhm_fit == pytest.approx(TO_FWHM * 2, rel=1e-4)
    assert cut.fwhm_data == pytest.approx(TO_FWHM * 2, rel=0.03)


def test_width_of_a_profile() -> None:
    at = np.arange(9.0)
    triangle = np.array([0, 1, 2, 3, 4, 3, 2, 1, 0.0])
    assert full_width(at, triangle) == pytest.approx(4)
    assert full_width(at, -triangle) == pytest.approx(4)
    assert np.isnan(full_width(at, np.arange(9.0)))
    assert np.isnan(full_width(at, np.full(9, np.nan)))
    assert np.isnan(full_width(at, np.zeros(9)))


def test_what_makes_no_sense(found: FitResult) -> None:
    with pytest.raises(FitInputError, match="no spot is left"):
        average_bead(IMAGE, found, keep=np.zeros(12, bool))
    with pytest.raises(FitInputError, match="upsample=0"):
        average_bead(IMAGE, found, upsample=0)
    with pytest.raises(FitInputError, match=r"keep has shape \(3,\)"):
        average_bead(IMAGE, found, keep=np.ones(3, bool))
    with pytest.raises(FitInputError, match="that which was fitted"):
        average_bead(IMAGE[:-1], found)
    with pytest.raises(FitInputError, match="that which was fitted"):
        orthogonal_cuts(IMAGE[0], found, 0)
    with pytest.raises(FitInputError, match="no spot 12; give one from 0 to 11"):
        orthogonal_cuts(IMAGE, found, 12)


def test_of_a_centre_that_left_its_window_there_is_no_cut() -> None:
    y, x = np.indices((41, 51))
    image = 300 * np.exp(-0.5 * ((y - 20) ** 2 + (x - 26) ** 2) / 1.4**2) + 20
    result = fit_spots(image, [(20, 30), (20, 26)], "gaussian_2d", window=5)
    assert result.converged.all()
    assert abs(result.params["x"][0] - 30) > 2
    assert orthogonal_cuts(image, result, 0) == ()
    assert len(orthogonal_cuts(image, result, 1)) == 2


def test_the_examples_run() -> None:
    assert doctest.testmod(module).failed == 0
