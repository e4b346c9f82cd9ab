"""Grids, masks, labels, coordinates and types of images."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import FitResult, Flag, Model, Parameter, Status, fit_image

Y, X = np.mgrid[:24.0, :28.0]
NAMES = ("amplitude", "y", "x", "sigma", "offset")


def frames(n: int) -> np.ndarray:
    """Peaks that move from frame to frame."""
    rng = np.random.default_rng(0)
    peaks = [5 * np.exp(-0.5 * ((Y - 11 - 0.1 * i) ** 2 + (X - 13 + 0.2 * i) ** 2) / 9) for i in range(n)]
    return np.array(peaks) + 1 + rng.normal(0, 0.1, (n, *X.shape))


FRAMES = frames(4)


@pytest.fixture(scope="module")
def whole() -> FitResult:
    return fit_image(FRAMES, "gaussian_2d")


def test_one_frame_gives_scalars(whole: FitResult) -> None:
    result = fit_image(FRAMES[0], "gaussian_2d")
    assert result.shape == result.params["x"].shape == result.status.shape == ()
    assert result.covariance.shape == (5, 5)
    assert result.fitted().shape == (24, 28)
    assert len(result.to_dataframe()) == 1
    # one fit and four are two programs, whose sums are in another order
    assert float(result.params["x"]) == pytest.approx(whole.params["x"][0], rel=1e-9)


def test_the_grid_is_that_of_the_leading_axes(whole: FitResult) -> None:
    assert whole.shape == (4,)
    np.testing.assert_allclose(whole.params["y"], 11 + 0.1 * np.arange(4), atol=0.1)
    result = fit_image(FRAMES.reshape(2, 2, 24, 28), "gaussian_2d")
    assert result.shape == (2, 2)
    assert result.covariance.shape == (2, 2, 5, 5)
    assert list(result.to_dataframe().columns[:2]) == ["frame_0", "frame_1"]
    for name in NAMES:
        np.testing.assert_array_equal(result.params[name].ravel(), whole.params[name])


def test_residual_is_data_minus_fitted(whole: FitResult) -> None:
    np.testing.assert_array_equal(whole.residual(), FRAMES - whole.fitted())
    np.testing.assert_allclose(0.5 * np.sum(whole.residual() ** 2, axis=(1, 2)), whole.cost, rtol=1e-10)
    np.testing.assert_allclose(whole.r2, 1 - 2 * whole.cost / (FRAMES.var(axis=(1, 2)) * X.size), rtol=1e-10)


@pytest.mark.slow
def test_boolean_mask_of_the_plane_and_of_every_frame() -> None:
    plane = np.hypot(Y - 11, X - 13) < 8
    result = fit_image(FRAMES, "gaussian_2d", mask=plane)
    assert result.shape == (4,)
    assert (result.n_used == plane.sum()).all()
    assert (result.n_left_out == 0).all()
    assert (np.isfinite(result.fitted()) == plane).all()
    assert (np.isfinite(result.residual()) == plane).all()
    alike = fit_image(FRAMES, "gaussian_2d", mask=np.broadcast_to(plane, FRAMES.shape))
    for name in NAMES:
        np.testing.assert_allclose(alike.params[name], result.params[name], rtol=1e-9)
    own = np.broadcast_to(plane, FRAMES.shape).copy()
    own[2] = False
    own[3, 5:] = True
    result = fit_image(FRAMES, "gaussian_2d", mask=own)
    assert result.status[2] == Status.NOT_FITTED
    assert np.isnan(result.params["x"][2])
    assert np.isnan(result.fitted()[2]).all()
    assert result.n_used.tolist() == [*own.sum(axis=(1, 2))]


def test_labels_that_are_missing_in_some_frames() -> None:
    labels = np.zeros(FRAMES.shape, np.uint16)
    labels[:, 3:20, 4:14] = 7
    labels[:, 3:20, 14:26] = 300
    labels[1][labels[1] == 300] = 0
    labels[2] = 0
    result = fit_image(FRAMES, "gaussian_2d", mask=labels)
    assert result.shape == (4, 2)
    np.testing.assert_array_equal(
        result.status == Status.NOT_FITTED, [[False, False], [False, True], [True, True], [False, False]]
    )
    table = result.to_dataframe()
    assert table["label"].tolist() == [7, 300] * 4
    assert table["frame"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    fitted = np.isfinite(result.fitted())
    np.testing.assert_array_equal(fitted, labels > 0)


def test_negative_labels_are_background() -> None:
    labels = np.full(X.shape, -1)
    labels[5:18, 6:20] = 4
    result = fit_image(FRAMES, "gaussian_2d", mask=labels)
    assert result.shape == (4, 1)
    assert (result.n_used == 13 * 14).all()


@pytest.mark.parametrize("shape", [1, 2])
def test_coordinates_along_axes_and_of_the_plane(whole: FitResult, shape: int) -> None:
    y, x = 100 - 0.5 * np.arange(24), 3 + 0.5 * np.arange(28)
    coords = (y, x) if shape == 1 else tuple(np.meshgrid(y, x, indexing="ij"))
    result = fit_image(FRAMES, "gaussian_2d", coords=coords)
    np.testing.assert_allclose(result.params["y"], 100 - 0.5 * whole.params["y"], rtol=1e-6)
    np.testing.assert_allclose(result.params["x"], 3 + 0.5 * whole.params["x"], rtol=1e-6)
    np.testing.assert_allclose(result.params["sigma"], 0.5 * whole.params["sigma"], rtol=1e-6)


def test_coordinates_outside_the_mask_need_not_be_finite() -> None:
    y, x = Y.copy(), X.copy()
    y[0, 0] = np.nan
    mask = np.ones(X.shape, bool)
    mask[0, 0] = False
    assert fit_image(FRAMES, "gaussian_2d", coords=(y, x), mask=mask).converged.all()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "<i8", ">f4", "f2", "f4", "f8", ">f8"])
def test_types(dtype: str) -> None:
    counts = np.clip(np.round(FRAMES * 20), 0, 255)
    expected = fit_image(counts, "gaussian_2d")
    image = counts.astype(dtype)
    result = fit_image(image, "gaussian_2d")
    for name in NAMES:
        np.testing.assert_array_equal(result.params[name], expected.params[name])
    np.testing.assert_array_equal(result.residual(), counts - result.fitted())
    assert image.dtype == np.dtype(dtype)


def test_boolean_image() -> None:
    result = fit_image(np.hypot(Y - 11, X - 13) < 5, "gaussian_2d")
    assert result.converged.all()
    assert float(result.params["x"]) == pytest.approx(13, abs=1e-4)
    assert np.isfinite(result.residual()).all()


def test_views_and_read_only_arrays_are_taken_and_left_alone(whole: FitResult) -> None:
    big = np.zeros((8, 48, 56))
    big[::2, ::2, ::-2] = FRAMES
    view = big[::2, ::2, ::-2]
    fixed = FRAMES.copy()
    fixed.flags.writeable = False
    for image in (view, fixed, np.asfortranarray(FRAMES)):
        before = image.copy()
        result = fit_image(image, "gaussian_2d")
        for name in NAMES:
            np.testing.assert_array_equal(result.params[name], whole.params[name])
        result.to_layers()
        np.testing.assert_array_equal(image, before)


def test_pixels_that_are_not_finite_are_left_out() -> None:
    image = FRAMES.copy()
    image[0, 3, 4:9] = np.nan
    image[1, 10, 12] = np.inf
    result = fit_image(image, "gaussian_2d")
    assert result.n_left_out.tolist() == [5, 1, 0, 0]
    assert (result.flags > 0).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(np.isnan(result.residual()), ~np.isfinite(image))
    assert np.isfinite(result.fitted()).all()


@pytest.mark.parametrize("sigma", [0.1, "rows", "plane", "full"])
def test_sigma_broadcasts_and_makes_errors_absolute(whole: FitResult, sigma: object) -> None:
    shapes = {"rows": (24, 1), "plane": (24, 28), "full": FRAMES.shape}
    value = np.full(shapes[sigma], 0.1) if isinstance(sigma, str) else sigma
    result = fit_image(FRAMES, "gaussian_2d", sigma=value)
    np.testing.assert_allclose(result.params["x"], whole.params["x"], rtol=1e-7)
    np.testing.assert_allclose(result.chi2, whole.chi2 / 0.01, rtol=1e-7)
    absolute = whole.stderr["x"] * 0.1 / np.sqrt(whole.reduced_chi2)
    np.testing.assert_allclose(result.stderr["x"], absolute, rtol=1e-5)


def test_arrays_for_parameters_broadcast_to_the_grid() -> None:
    stack = FRAMES.reshape(2, 2, 24, 28)
    sigma = np.array([[2.9], [3.1]])
    result = fit_image(
        stack, "gaussian_2d", init={"x": np.array([12.0, 14.0])}, fixed={"sigma": sigma},
        bounds={"offset": (0, np.array([[0.9, 5], [5, 5]])), "y": (5, 20)},
    )  # fmt: skip
    np.testing.assert_array_equal(result.params["sigma"], np.broadcast_to(sigma, (2, 2)))
    assert np.isnan(result.stderr["sigma"]).all()
    np.testing.assert_array_equal(result.start["x"], [[12, 14], [12, 14]])
    assert result.at_bound["offset"].tolist() == [[1, 0], [0, 0]]
    assert result.flags[0, 0] & Flag.AT_UPPER
    assert (result.n_free == 4).all()


@pytest.mark.slow
def test_volumes() -> None:
    ball = Model(
        "ball",
        lambda c, a, z, y, x, s: a * jnp.exp(-0.5 * ((c[0] - z) ** 2 + (c[1] - y) ** 2 + (c[2] - x) ** 2) / s**2),
        [Parameter(n) for n in ("a", "z", "y", "x", "s")],
        3,
        lambda _c, d, _w: jnp.broadcast_to(jnp.asarray([[1.0], [4], [5], [6], [2]]), (5, d.shape[1])),
    )
    z, y, x = np.mgrid[:8, :10, :12]
    volume = 2 * np.exp(-0.5 * ((z - 3.5) ** 2 + (y - 4.5) ** 2 + (x - 6.5) ** 2) / 4)
    labels = np.zeros(volume.shape, int)
    labels[1:7, 1:9, 2:11] = 1
    result = fit_image(np.stack([volume, 2 * volume]), ball, mask=labels)
    assert result.shape == (2, 1)
    # exact data
    np.testing.assert_allclose(result.params["z"][:, 0], 3.5, rtol=1e-7)
    np.testing.assert_allclose(result.params["a"][:, 0], [2, 4], rtol=1e-7)
    assert result.residual().shape == (2, 8, 10, 12)
    assert len(result.to_layers()) >= 3
