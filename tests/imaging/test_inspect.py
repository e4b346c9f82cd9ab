"""What the inspector shows of one fit, against closed forms, SciPy and the result itself."""

from __future__ import annotations

import dataclasses

import dask.array as da
import numpy as np
import pytest
from scipy.optimize import curve_fit

from napari_imagefit import FitResult, Status, fit_image, fit_voxels
from napari_imagefit.imaging.fitting.fit_report import covariance_at, facts
from napari_imagefit.imaging.inspection.curves import voxel_curve
from napari_imagefit.imaging.inspection.fit_grid import FitGrid
from napari_imagefit.imaging.inspection.surface_cuts import PATCH, smoothed, surface_cuts

T = np.linspace(8, 256, 32)


def decay(t: np.ndarray, amplitude: float, tau: float, offset: float) -> np.ndarray:
    return amplitude * np.exp(-t / tau) + offset


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    """Echoes first, then 3 × 4 voxels; one of NaN, one of zeros, one with a NaN sample."""
    rng = np.random.default_rng(1)
    tau = rng.uniform(40, 90, (3, 4))
    data = decay(T[:, None, None], 100, tau, 5) + rng.normal(0, 1, (32, 3, 4))
    data[:, 0, 0] = np.nan
    data[:, 0, 1] = 0
    data[4, 1, 1] = np.nan
    return data


@pytest.fixture(scope="module")
def result(stack: np.ndarray) -> FitResult:
    mask = np.ones((3, 4), bool)
    mask[2, 3] = False
    return fit_voxels(stack, "exponential_decay", x=T, mask=mask)


@pytest.mark.parametrize("place", [(1, 2), (2, 0)])
def test_the_curve_is_that_of_the_voxel(stack: np.ndarray, result: FitResult, place: tuple[int, int]) -> None:
    curve = voxel_curve(result, place)
    values = [result.params[name][place] for name in ("amplitude", "tau", "offset")]
    np.testing.assert_array_equal(curve.data, stack[(slice(None), *place)])
    assert curve.used.all()
    np.testing.assert_allclose(curve.fine, decay(curve.fine_x, *values), rtol=1e-12)
    np.testing.assert_allclose(curve.residual, result.residual()[(slice(None), *place)], rtol=0, atol=1e-10)
    assert curve.fine_x[0] == T[0]
    assert curve.fine_x[-1] == T[-1]


def test_the_band_is_scipy_s_covariance_carried_over(stack: np.ndarray, result: FitResult) -> None:
    """SciPy's covariance and derivatives in closed form; both stop where the cost changes by 1e-8 of itself, so that
    their errors agree to some 1e-4.
    """
    curve = voxel_curve(result, (1, 2))
    popt, pcov = curve_fit(decay, T, stack[:, 1, 2], p0=(90, 60, 0), xtol=1e-12, ftol=1e-12)
    e = np.exp(-curve.fine_x / popt[1])
    slopes = np.stack([e, popt[0] * curve.fine_x / popt[1] ** 2 * e, np.ones_like(e)])
    np.testing.assert_allclose(curve.error, np.sqrt(np.einsum("im,ij,jm->m", slopes, pcov, slopes)), rtol=1e-3)


def test_what_is_fixed_adds_nothing_to_the_band(stack: np.ndarray) -> None:
    result = fit_voxels(stack[:, 1:, 2:], "exponential_decay", x=T, fixed={"offset": 5.0})
    curve = voxel_curve(result, (0, 0))
    popt, pcov = curve_fit(lambda t, a, tau: decay(t, a, tau, 5), T, stack[:, 1, 2], p0=(90, 60))
    e = np.exp(-curve.fine_x / popt[1])
    slopes = np.stack([e, popt[0] * curve.fine_x / popt[1] ** 2 * e])
    np.testing.assert_allclose(curve.error, np.sqrt(np.einsum("im,ij,jm->m", slopes, pcov, slopes)), rtol=1e-3)
    offset = facts(result, (0, 0)).parameters[2]
    assert (offset.value, offset.remark) == (5.0, "fixed")
    assert np.isnan(offset.error)


def test_a_voxel_without_an_answer_has_data_but_no_curve(stack: np.ndarray, result: FitResult) -> None:
    nan, zero, masked = (voxel_curve(result, place) for place in ((0, 0), (0, 1), (2, 3)))
    assert not nan.has_fit
    assert not nan.used.any()
    assert facts(result, (0, 0)).status == Status.TOO_FEW_SAMPLES
    np.testing.assert_array_equal(zero.data, 0)
    assert not np.isfinite(zero.error).any(), "the data do not determine the curve, so its error is not known"
    assert facts(result, (0, 1)).status == Status.SINGULAR
    np.testing.assert_array_equal(masked.data, stack[:, 2, 3])
    assert not masked.has_fit
    assert np.isnan(masked.residual).all()
    found = facts(result, (2, 3))
    assert found.status == Status.NOT_FITTED
    assert all(np.isnan(p.value) and np.isnan(p.start) for p in found.parameters)


def test_a_sample_left_out_is_told_apart(stack: np.ndarray, result: FitResult) -> None:
    raw = np.where(np.isnan(stack), 77.0, stack)  # as if a range had been excluded from it
    curve = voxel_curve(result, (1, 1), raw)
    assert np.flatnonzero(~curve.used).tolist() == [4]
    assert curve.data[4] == 77
    assert np.isnan(curve.residual[4])
    assert facts(result, (1, 1)).n_left_out == 1


def test_error_bars_where_the_noise_is_known(stack: np.ndarray) -> None:
    sigma = np.linspace(1, 2, 32)[:, None, None]
    known = fit_voxels(stack[:, 1:2, 2:3], "exponential_decay", x=T, sigma=sigma)
    np.testing.assert_array_equal(voxel_curve(known, (0, 0), sigma=sigma).sigma, sigma.ravel())
    counts = np.random.default_rng(2).poisson(decay(T, 90, 50, 4))[:, None]
    curve = voxel_curve(fit_voxels(counts, "exponential_decay", x=T, noise="poisson"), (0,))
    np.testing.assert_allclose(curve.sigma**2, curve.data - curve.residual, rtol=1e-12)


def test_facts_are_those_of_the_maps(result: FitResult) -> None:
    place = (1, 2)
    found = facts(result, place)
    for parameter in found.parameters:
        assert parameter.value == result.params[parameter.name][place]
        assert parameter.error == result.stderr[parameter.name][place]
        assert parameter.start == result.start[parameter.name][place]
        assert parameter.remark == ""
    assert found.reduced_chi2 == pytest.approx(result.reduced_chi2[place], rel=1e-15)
    assert found.r2 == pytest.approx(result.r2[place], rel=1e-15)
    assert (found.n_used, found.n_iterations) == (result.n_used[place], result.n_iterations[place])


def test_shared_parameters_count_their_share(stack: np.ndarray) -> None:
    result = fit_voxels(stack[:, 1:, 2], "exponential_decay", x=T, shared=["offset"])
    assert facts(result, (1,)).reduced_chi2 == pytest.approx(result.reduced_chi2[1], rel=1e-14)


def test_a_parameter_at_its_bound_is_named() -> None:
    data = decay(T, 100, 50, 5)[:, None] + np.random.default_rng(0).normal(0, 1, (32, 1))
    result = fit_voxels(data, "exponential_decay", x=T, bounds={"tau": (1, 30)})
    found = facts(result, (0,))
    assert "tau is at its upper bound" in found.remarks
    assert found.parameters[1].remark == "at its upper bound"
    assert np.isfinite(voxel_curve(result, (0,)).error).all(), "it counts as known there"
    assert covariance_at(result, (0,))[1, 1] == 0


def test_how_the_answer_was_found(result: FitResult) -> None:
    twice = dataclasses.replace(result, attempt=np.full(result.shape, 2, np.int8))
    assert facts(twice, (1, 2)).how == "second chance: started from several places"
    assert facts(twice, (2, 3)).how == "", "a voxel that was not fitted had no chance"


def test_curves_of_data_that_are_not_in_memory(stack: np.ndarray) -> None:
    lazy = fit_voxels(da.from_array(stack, chunks=(32, 3, 2)), "exponential_decay", x=T).compute(
        scheduler="synchronous"
    )
    here = fit_voxels(stack, "exponential_decay", x=T)
    found, expected = voxel_curve(lazy, (1, 2)), voxel_curve(here, (1, 2))
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.fine, expected.fine, rtol=1e-10)


Y, X = np.mgrid[0:60, 0:80]


def cloud(y: float, x: float) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, 0.02, Y.shape)
    return np.asarray(np.exp(-((Y - y) ** 2 / 50 + (X - x) ** 2 / 98)) + noise)


@pytest.fixture(scope="module")
def clouds() -> FitResult:
    """Two frames, two labels each; coordinates 0.5 · index + 10 along y, 2 · index along x."""
    labels = np.zeros((60, 80), int)
    labels[10:50, 5:40] = 1
    labels[20:30, 60:75] = 2
    image = np.stack([cloud(29, 21), cloud(33, 24)])
    image[0, 29, 8] = np.nan
    return fit_image(image, "gaussian_2d_elliptic", mask=labels, coords=(np.arange(60) * 0.5 + 10, np.arange(80) * 2.0))


def test_cuts_go_through_the_centre(clouds: FitResult) -> None:
    place = (0, 0)
    cuts = surface_cuts(clouds, place)
    assert cuts.at_centre
    along_y, along_x = cuts.along
    assert along_y.centre == pytest.approx(24.5, abs=0.1)
    assert along_x.centre == pytest.approx(42, abs=0.4)
    image = clouds.source.image  # type: ignore[attr-defined]
    np.testing.assert_array_equal(along_y.data, image[0, 10:50, 21])
    np.testing.assert_array_equal(along_x.data, image[0, 29, 5:40])
    np.testing.assert_allclose(along_y.residual, clouds.residual()[0, 10:50, 21], atol=1e-12)
    np.testing.assert_array_equal(along_x.x, np.arange(5, 40) * 2.0)
    assert np.flatnonzero(~along_x.used).tolist() == [3]
    names = ("amplitude", "y", "x", "sigma_y", "sigma_x", "offset")
    a, y, x, sy, sx, c = (clouds.params[name][place] for name in names)
    expected = a * np.exp(-((10 + 0.5 * 29 - y) ** 2) / (2 * sy**2) - (along_x.fine_x - x) ** 2 / (2 * sx**2)) + c
    np.testing.assert_allclose(along_x.fine, expected, rtol=1e-10)


def test_the_patch_is_the_residual_of_the_region(clouds: FitResult) -> None:
    cuts = surface_cuts(clouds, (1, 1))
    np.testing.assert_allclose(cuts.patch, smoothed(clouds.residual()[1, 20:30, 60:75]), atol=1e-12)
    assert cuts.extent == pytest.approx((10 + 0.5 * 19.5, 10 + 0.5 * 29.5, 2 * 59.5, 2 * 74.5))
    assert cuts.limit == pytest.approx(3 * 1.4826 * np.median(np.abs(cuts.patch)))


def test_a_residual_is_smoothed_by_a_pixel() -> None:
    noise = np.random.default_rng(3).normal(0, 1, (80, 90))
    noise[20:30, 40:50] = np.nan
    patch = smoothed(noise)
    np.testing.assert_array_equal(np.isnan(patch), np.isnan(noise))
    # of white noise a Gaussian of σ = 1 leaves 1/(2√π)
    assert np.nanstd(patch[5:-5, 5:35]) == pytest.approx(1 / (2 * np.sqrt(np.pi)), rel=0.05)
    flat = smoothed(np.where(np.isnan(noise), np.nan, 7.0))
    np.testing.assert_allclose(flat[np.isfinite(flat)], 7, rtol=1e-12)
    few = noise[:8, :8]
    assert np.std(smoothed(few) - few) < 0.1 * np.std(few), "what is small is not blurred away"


def test_outliers_do_not_make_the_colours(clouds: FitResult) -> None:
    image = np.array(clouds.source.image)  # type: ignore[attr-defined]
    image[0, 40, 30] = 1e4
    cuts = surface_cuts(fit_image(image[0], "gaussian_2d_elliptic", fixed={"amplitude": 1.0}), ())
    assert cuts.limit < 10, "one hot pixel of 10 000"


def test_a_mean_profile_is_the_mean_of_all_lines(clouds: FitResult) -> None:
    cuts = surface_cuts(clouds, (0, 0), np.full((2, 60, 80), 0.02), "mean")
    image, residual = clouds.source.image[0, 10:50, 5:40], clouds.residual()[0, 10:50, 5:40]  # type: ignore[attr-defined]
    for axis, curve in enumerate(cuts.along):
        np.testing.assert_allclose(curve.data, np.nanmean(image, axis=1 - axis), rtol=1e-12)
        np.testing.assert_allclose(curve.residual, np.nanmean(residual, axis=1 - axis), atol=1e-12)
        n = np.isfinite(image).sum(axis=1 - axis)
        np.testing.assert_allclose(curve.sigma, 0.02 / np.sqrt(n), rtol=1e-12)
        at = np.interp(curve.x, curve.fine_x, curve.fine)
        np.testing.assert_allclose(at, curve.data - curve.residual, rtol=1e-9)
    np.testing.assert_allclose(cuts.along[0].x, 10 + 0.5 * np.arange(10, 50))
    np.testing.assert_array_equal(cuts.along[1].x, np.arange(5, 40) * 2.0)
    assert cuts.along[0].centre == pytest.approx(24.5, abs=0.1)


def test_a_mean_profile_of_an_odd_shape_keeps_to_it() -> None:
    inside = (Y - 29) ** 2 / 400 + (X - 40) ** 2 / 900 < 1
    image = cloud(29, 41)
    result = fit_image(np.where(inside, image, 1e3), "gaussian_2d_elliptic", mask=inside)
    along_y, along_x = surface_cuts(result, (), None, "mean").along
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    for curve, lines, values in ((along_y, rows, image), (along_x, columns, image.T)):
        mask = inside if values is image else inside.T
        np.testing.assert_allclose(curve.data, [values[i][mask[i]].mean() for i in lines], rtol=1e-12)
        assert np.abs(curve.residual).max() < 0.03


def test_a_mean_profile_of_a_large_region_stays_quick() -> None:
    image = np.exp(-((np.arange(1500)[:, None] - 700) ** 2) / 1e5 - (np.arange(1500) - 800) ** 2 / 2e5)
    result = fit_image(image, "gaussian_2d_elliptic")
    for curve in surface_cuts(result, (), None, "mean").along:
        assert curve.x.size == 1500
        assert np.abs(curve.residual).max() < 1e-6


def test_a_large_region_is_thinned_out() -> None:
    y, x = np.mgrid[0:200, 0:300]
    image = np.exp(-((y - 90) ** 2 + (x - 140) ** 2) / 800) + np.random.default_rng(0).normal(0, 0.1, y.shape)
    result = fit_image(image, "gaussian_2d")
    cuts = surface_cuts(result, ())
    assert max(cuts.patch.shape) <= PATCH
    np.testing.assert_allclose(cuts.patch, smoothed(result.residual()[::3, ::4]), atol=1e-12)


def test_a_centre_outside_of_the_region(clouds: FitResult) -> None:
    """Label 2 holds a flank only."""
    y, x = clouds.params["y"][0, 1], clouds.params["x"][0, 1]
    inside = 20 <= y <= 24.5 and 120 <= x <= 148
    assert surface_cuts(clouds, (0, 1)).at_centre == inside


def test_a_surface_without_an_answer() -> None:
    image = np.full((2, 20, 20), np.nan)
    image[1] = np.exp(-((Y[:20, :20] - 9) ** 2 + (X[:20, :20] - 9) ** 2) / 18)
    cuts = surface_cuts(fit_image(image, "gaussian_2d"), (0,))
    assert not cuts.along[0].has_fit
    assert not surface_cuts(fit_image(image, "gaussian_2d"), (0,), None, "mean").along[0].has_fit
    assert np.isnan(cuts.patch).all()
    assert cuts.limit > 0


def test_grids_of_results_find_their_fits(clouds: FitResult, result: FitResult) -> None:
    grid = FitGrid.of(clouds)
    assert grid.places(np.array([[1, 22, 61], [0, 22, 61], [0, 0, 0], [0, 30, 30]])) == [(1, 1), (0, 1), (0, 0)]
    for place in np.ndindex(2, 2):
        assert grid.places(np.array([grid.sample_of(place)])) == [place]
    assert grid.in_frame((0, 1), (1.2, 0, 0)) == (1, 1)
    assert grid.in_frame((1, 0), (-3, 500, 0)) == (0, 0)
    chosen = np.array([[False, True], [False, False]])
    painted = grid.paint(chosen)
    assert painted.sum() == 10 * 15
    assert painted[0, 20:30, 60:75].all()
    voxels = FitGrid.of(result)
    assert voxels.sample_of((1, 2)) == (0, 1, 2)
    assert voxels.places(np.array([[7, 1, 2]])) == [(1, 2)]


def test_of_regions_that_overlap_the_smaller_one_is_meant() -> None:
    from napari_imagefit import models
    from napari_imagefit.engine.core.progress import drain
    from napari_imagefit.imaging.regions.region import Region
    from napari_imagefit.imaging.regions.region_fits import ImageRequest

    frame = np.array([0])
    large = Region(1, np.arange(60 * 80), frame, np.array([0]))
    small = Region(2, np.flatnonzero((np.abs(Y - 30) < 9) & (np.abs(X - 20) < 9)), frame, np.array([1]))
    request = ImageRequest(models["gaussian_2d"], regions=[large, small], labels=np.array([1, 2]))
    grid = FitGrid.of(drain(request.steps(cloud(30, 20)[None])))
    assert grid.places(np.array([[0, 30, 20]])) == [(0, 1)]
    assert grid.places(np.array([[0, 5, 70]])) == [(0, 0)]
