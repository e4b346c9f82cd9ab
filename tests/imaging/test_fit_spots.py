"""Spots in small windows: what is found, at the edges too, and what each owes to the others: nothing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_imagefit import Camera, FitResult, Flag, Model, Status, fit_spots, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.spots.spot_fits import _can_be_moved
from napari_imagefit.imaging.spots.windows import find_neighbours

from .drawn_spots import CENTRES, CLEAN, NOISY, POINTS, SHAPE, draw

NAMES = ("amplitude", "y", "x", "sigma", "offset")
WINDOW = 9
FIRST, LAST = np.maximum(np.floor(POINTS + 0.5) - 4, 0), np.minimum(np.floor(POINTS + 0.5) + 4, np.array(SHAPE) - 1)
IN_WINDOW = np.prod(LAST - FIRST + 1, axis=1).astype(int)
CUT = IN_WINDOW < 81


@pytest.fixture(scope="module")
def found() -> FitResult:
    return fit_spots(NOISY, POINTS, "gaussian_2d", window=WINDOW)


def same(result: FitResult, other: FitResult, rows: Any = slice(None), others: Any = slice(None)) -> None:
    """Bit for bit."""
    for name in NAMES:
        for kind in ("params", "stderr", "start", "solution"):
            np.testing.assert_array_equal(getattr(result, kind)[name][rows], getattr(other, kind)[name][others])
    for kind in ("covariance", "status", "cost", "chi2", "n_used", "n_left_out", "n_iterations", "r2"):
        np.testing.assert_array_equal(getattr(result, kind)[rows], getattr(other, kind)[others])


def pulls(result: FitResult, **truth: Any) -> np.ndarray:
    return np.stack([(result.params[name] - value) / result.stderr[name] for name, value in truth.items()])


TRUTH = {"amplitude": 60, "y": CENTRES[:, 0], "x": CENTRES[:, 1], "sigma": 1.4, "offset": 5}


def test_finds_what_was_drawn(found: FitResult) -> None:
    assert found.shape == (len(POINTS),)
    assert found.converged.all()
    assert np.count_nonzero(CUT) > 10
    np.testing.assert_array_equal(found.n_used, IN_WINDOW)
    pull = pulls(found, **TRUTH)
    assert np.abs(pull).max() < 5.5
    assert 0.8 < np.sqrt(np.mean(pull**2)) < 1.25


def test_without_noise_no_place_within_a_pixel_is_preferred() -> None:
    steps = np.linspace(-0.5, 0.45, 7)
    centres = np.array(
        [(10 + 12 * i + a, 12 + 12 * j + b) for i, a in enumerate(steps[:6]) for j, b in enumerate(steps)]
    )
    result = fit_spots(draw(centres, 60, 5), np.floor(centres + 0.5), "gaussian_2d", window=WINDOW)
    # what others of 12 pixels away add is 60·exp(−(12/1.4)²/2)
    np.testing.assert_allclose(result.params["y"], centres[:, 0], atol=1e-7)
    np.testing.assert_allclose(result.params["x"], centres[:, 1], atol=1e-7)


def test_windows_at_edges_and_corners_are_what_scipy_makes_of_their_pixels(found: FitResult) -> None:
    pixels = np.indices(SHAPE).astype(float)
    for row in np.flatnonzero(CUT)[::3]:
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(FIRST[row], LAST[row], strict=True))
        y, x = pixels[(slice(None), *box)]

        def residual(p: np.ndarray, y: np.ndarray = y, x: np.ndarray = x, box: Any = box) -> np.ndarray:
            value = p[0] * np.exp(-0.5 * ((y - p[1]) ** 2 + (x - p[2]) ** 2) / p[3] ** 2) + p[4]
            return (value - NOISY[box]).ravel()

        there = least_squares(residual, [60, *CENTRES[row], 1.4, 5], x_scale="jac", ftol=1e-14, xtol=1e-14, gtol=1e-14)
        ours = np.array([found.params[name][row] for name in NAMES])
        np.testing.assert_allclose(ours, there.x, rtol=1e-5, atol=1e-6)
        assert found.cost[row] == pytest.approx(there.cost, rel=1e-7)
        scale = 2 * there.cost / (y.size - 5)
        errors = np.sqrt(scale * np.diag(np.linalg.inv(there.jac.T @ there.jac)))
        np.testing.assert_allclose([found.stderr[name][row] for name in NAMES], errors, rtol=1e-3)


def test_pixels_beyond_the_edge_are_not_left_out_but_masked_ones_are(found: FitResult) -> None:
    assert (found.n_left_out == 0).all()
    assert not (found.flags & Flag.MASKED_SAMPLES).any()
    np.testing.assert_array_equal((found.flags & Flag.CUT_BY_EDGE) > 0, CUT)
    image, mask = NOISY.copy(), np.ones(SHAPE, bool)
    one, corner = 20, 0
    image[tuple(FIRST[one].astype(int))] = np.nan
    mask[tuple(FIRST[corner].astype(int))] = False
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, mask=mask)
    expected = np.zeros(len(POINTS), int)
    expected[[one, corner]] = 1
    np.testing.assert_array_equal(result.n_left_out, expected)
    np.testing.assert_array_equal(result.n_used, IN_WINDOW - expected)
    np.testing.assert_array_equal((result.flags & Flag.MASKED_SAMPLES) > 0, expected > 0)
    others = expected == 0
    same(result, found, others, others)
    fitted = np.isfinite(result.fitted())
    assert fitted[corner].sum() == IN_WINDOW[corner] - 1
    assert fitted[one].all()
    np.testing.assert_array_equal(np.isfinite(result.residual()).sum(axis=(1, 2)), result.n_used)


def test_fitted_and_residual_are_windows(found: FitResult) -> None:
    fitted, residual = found.fitted(), found.residual()
    assert fitted.shape == residual.shape == (len(POINTS), 9, 9)
    np.testing.assert_array_equal(np.isfinite(fitted).sum(axis=(1, 2)), IN_WINDOW)
    np.testing.assert_allclose(0.5 * np.nansum(residual**2, axis=(1, 2)), found.cost, rtol=1e-9)
    row = np.flatnonzero(~CUT)[0]
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(FIRST[row], LAST[row], strict=True))
    np.testing.assert_allclose((fitted + residual)[row], NOISY[box], rtol=1e-12)


def test_no_answer_depends_on_the_company(found: FitResult) -> None:
    order = np.random.default_rng(0).permutation(len(POINTS))
    same(fit_spots(NOISY, POINTS[order], "gaussian_2d", window=WINDOW), found, slice(None), order)
    some = np.flatnonzero(~CUT)[5:8]
    same(fit_spots(NOISY, POINTS[some], "gaussian_2d", window=WINDOW), found, slice(None), some)
    for row in (int(np.flatnonzero(CUT)[3]), int(np.flatnonzero(~CUT)[3])):
        told: list[tuple[int, int]] = []
        alone = fit_spots(
            NOISY, POINTS[[row]], "gaussian_2d", window=WINDOW, progress=lambda *step, told=told: told.append(step)
        )
        same(alone, found, slice(None), [row])
        assert told[-1] == (1, 1)


def test_bad_spots_change_no_other(found: FitResult) -> None:
    image, bad = NOISY.copy(), [4, 20, 33]
    for row, value in zip(bad, (np.nan, 1e300, 7.0), strict=True):
        image[tuple(slice(int(a), int(b) + 1) for a, b in zip(FIRST[row], LAST[row], strict=True))] = value
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW)
    others = np.delete(np.arange(len(POINTS)), bad)
    same(result, found, others, others)
    assert result.status[4] == Status.TOO_FEW_SAMPLES
    assert result.n_left_out[4] == IN_WINDOW[4]
    assert result.status[33] == Status.SINGULAR
    assert np.isnan(result.params["y"][[4, 33]]).all()
    (places, _, _), *_ = result.to_layers()
    np.testing.assert_array_equal(places[[4, 33]], POINTS[[4, 33]])


def test_the_image_keeps_its_type() -> None:
    counts = np.round(NOISY).clip(0)
    expected = fit_spots(counts, POINTS, "gaussian_2d", window=WINDOW)
    for dtype in ("u1", ">u2", "f4"):
        same(fit_spots(counts.astype(dtype), POINTS, "gaussian_2d", window=WINDOW), expected)


def test_coordinates_of_windows_and_of_the_image_agree(found: FitResult) -> None:
    # a model that is not the catalogue's own is not moved
    copy = dataclasses.replace(models["gaussian_2d"])
    result = fit_spots(NOISY, POINTS, copy, window=WINDOW)
    for name in NAMES:
        for kind in ("params", "stderr", "start"):
            np.testing.assert_allclose(getattr(result, kind)[name], getattr(found, kind)[name], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(result.fitted(), found.fitted(), rtol=1e-6)
    np.testing.assert_array_equal(result.status > 0, found.status > 0)
    np.testing.assert_array_equal(result.flags, found.flags)
    np.testing.assert_array_equal(result.n_left_out, found.n_left_out)


def test_what_may_be_moved() -> None:
    model = models["gaussian_2d"]
    assert _can_be_moved(model, Settings(tied={"offset": "amplitude/10"}, shared=["sigma"]))
    for settings in (Settings(tied={"x": "3"}), Settings(tied={"sigma": "1 + x"}), Settings(shared=["y"])):
        assert not _can_be_moved(model, settings)
    for other in (models["plane_2d"], model + models["plane_2d"], Model.from_expression("a*y + x", ["u", "v"])):
        assert not _can_be_moved(other, Settings())


@pytest.mark.slow
def test_ties_of_positions_are_in_pixels_of_the_image() -> None:
    point = [[54.0, 53.0]]
    image = draw(np.array([[54.2, 52.2]]), 60, 5)
    result = fit_spots(image, point, "gaussian_2d", window=WINDOW, tied={"x": "y - 2"})
    assert result.params["y"][0] == pytest.approx(54.2, abs=1e-6)
    assert result.params["x"][0] == pytest.approx(52.2, abs=1e-6)


def test_wishes_for_positions_are_in_pixels_of_the_image(found: FitResult) -> None:
    n = len(POINTS)
    upper = CENTRES[:, 1] + np.where(np.arange(n) == 7, -0.3, 2)
    result = fit_spots(
        NOISY,
        POINTS,
        "gaussian_2d",
        window=WINDOW,
        init={"x": CENTRES[:, 1] - 0.4},
        bounds={"x": (0, upper)},
        fixed={"y": CENTRES[:, 0], "offset": 5},
    )
    np.testing.assert_array_equal(result.params["y"], CENTRES[:, 0])
    np.testing.assert_allclose(result.start["x"], CENTRES[:, 1] - 0.4, rtol=1e-14)
    assert (result.params["x"] <= upper).all()
    assert result.params["x"][7] == pytest.approx(upper[7], rel=1e-12)
    np.testing.assert_array_equal(result.at_bound["x"], np.arange(n) == 7)
    assert (np.abs(result.params["x"] - found.params["x"]) < 0.5)[np.arange(n) != 7].all()
    assert np.isnan(result.stderr["y"]).all()


def test_frames() -> None:
    stack = np.zeros((2, 2, *SHAPE), np.float32)
    stack[1, 0] = NOISY
    frames = np.broadcast_to([1, 0], POINTS.shape)
    result = fit_spots(stack, np.concatenate([frames, POINTS], axis=1), "gaussian_2d", window=WINDOW)
    expected = fit_spots(NOISY.astype(np.float32), POINTS, "gaussian_2d", window=WINDOW)
    same(result, expected)
    np.testing.assert_array_equal(result.flags, expected.flags)
    table = result.to_dataframe()
    assert list(table.columns[:4]) == ["frame_0", "frame_1", "point_y", "point_x"]
    np.testing.assert_array_equal(table["frame_0"], 1)
    np.testing.assert_array_equal(table[["point_y", "point_x"]], POINTS)


def test_sigma_of_each_pixel() -> None:
    sigma = np.random.default_rng(4).uniform(0.5, 3, SHAPE)
    # what lies at the edge of the image stands for nothing beyond it
    sigma[0] = sigma[:, 0] = np.inf
    image = CLEAN + np.random.default_rng(5).normal(0, np.where(np.isfinite(sigma), sigma, 1))
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, sigma=sigma)
    assert result.converged.all()
    assert (result.n_left_out == 0).all()
    lost = (FIRST == 0) * (LAST - FIRST + 1)[:, ::-1]
    np.testing.assert_array_equal(result.n_used, IN_WINDOW - lost.sum(axis=1) + (FIRST == 0).all(axis=1))
    assert 0.8 < np.sqrt(np.mean(pulls(result, **TRUTH) ** 2)) < 1.25


def test_counts() -> None:
    image = np.random.default_rng(6).poisson(CLEAN)
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, noise="poisson")
    assert result.converged.all()
    assert 0.8 < np.sqrt(np.mean(pulls(result, **TRUTH) ** 2)) < 1.25
    # counts below 0 matter where they are used
    image[tuple(FIRST[20].astype(int))] = -3
    points = np.delete(POINTS, 20, axis=0)
    assert fit_spots(image, points, "gaussian_2d", window=WINDOW, noise="poisson").converged.all()
    with pytest.raises(FitInputError, match="-3"):
        fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, noise="poisson")


def test_a_camera_with_pixels_of_their_own() -> None:
    rng = np.random.default_rng(7)
    gain, read = rng.uniform(1.8, 2.2, SHAPE), rng.uniform(0.5, 3, SHAPE)
    image = gain * (rng.poisson(CLEAN) + rng.normal(0, read)) + 100
    result = fit_spots(image, POINTS, "gaussian_2d", window=WINDOW, noise=Camera(gain, 100.0, read))
    assert result.converged.all()
    mean = gain.mean()
    pull = pulls(result, **(TRUTH | {"amplitude": 60 * mean, "offset": 100 + 5 * mean}))
    assert 0.8 < np.sqrt(np.mean(pull**2)) < 1.25


@pytest.fixture(scope="module")
def volume() -> FitResult:
    centres = np.array([(1.2, 5.3, 6.8), (9.6, 15.4, 20.3), (10.2, 4.1, 22.7)])
    z, y, x = np.indices((14, 20, 28))
    image = np.full(z.shape, 3.0)
    for a, b, c in centres:
        image += 50 * np.exp(-0.5 * (((z - a) / 1.1) ** 2 + ((y - b) / 1.6) ** 2 + ((x - c) / 1.5) ** 2))
    image += np.random.default_rng(8).normal(0, 0.2, z.shape)
    return fit_spots(np.stack([image, image]), np.insert(centres.round(), 0, 1, axis=1), "gaussian_3d_elliptic",
                     window=(5, 7, 7))  # fmt: skip


def test_volumes(volume: FitResult) -> None:
    assert volume.converged.all()
    truth = {"z": [1.2, 9.6, 10.2], "y": [5.3, 15.4, 4.1], "x": [6.8, 20.3, 22.7], "sigma_z": 1.1, "sigma_y": 1.6}
    for name, values in truth.items():
        np.testing.assert_allclose(volume.params[name], values, atol=0.05)
    assert volume.fitted().shape == (3, 5, 7, 7)
    assert volume.n_used.tolist() == [4 * 49, 5 * 49, 5 * 49]
    assert ((volume.flags & Flag.CUT_BY_EDGE) > 0).tolist() == [True, False, False]


def test_every_model_with_positions_may_be_moved() -> None:
    """It takes other coordinates and other positions for the same."""
    from napari_imagefit.imaging.fitting.positions import find_positions

    moved = [model for model in models.values() if model.ndim > 1 and find_positions(model)]
    assert len(moved) == 10
    for model in moved:
        coords = tuple(np.random.default_rng(0).uniform(-3, 3, (model.ndim, 30)))
        params = {name: 0.6 + 0.3 * i for i, name in enumerate(model.names)}
        by = dict(zip(find_positions(model), (700.0, 300.0, 40.0), strict=False))
        here = model.function(coords, *params.values())
        there = model.function(
            tuple(c + d for c, d in zip(coords, by.values(), strict=True)),
            *(value + by.get(name, 0) for name, value in params.items()),
        )
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)  # JAX's single precision


def test_neighbours() -> None:
    rng = np.random.default_rng(0)
    for reach in ((5, 5), (2, 7), (1, 2, 3), (0, 0)):
        for n, size in ((1, 9), (40, 60), (200, 60)):
            centres, frames = rng.integers(0, size, (n, len(reach))), rng.integers(0, 2, n)
            near = (np.abs(centres[:, None] - centres) <= reach).all(axis=2) & (frames[:, None] == frames)
            expected = (near & ~np.eye(n, dtype=bool)).any(axis=1)
            np.testing.assert_array_equal(find_neighbours(frames, centres, np.array(reach)), expected)


def test_flags_of_company_and_of_a_centre_that_left(found: FitResult) -> None:
    assert not (found.flags & Flag.NEIGHBOUR_OVERLAP).any()
    points = np.array([POINTS[20], POINTS[20] + (0, 4), POINTS[30] + (0, 5), POINTS[40]])
    result = fit_spots(NOISY, points, "gaussian_2d", window=WINDOW)
    assert ((result.flags & Flag.NEIGHBOUR_OVERLAP) > 0).tolist() == [True, True, False, False]
    # its spot is one pixel outside
    assert ((result.flags & Flag.CENTRE_OUTSIDE) > 0).tolist() == [False, False, True, False]
    # beyond the edge of the image, within the window
    beyond = draw(np.array([[-1.5, 40.0]]), 60, 5) + np.random.default_rng(0).normal(0, 0.1, SHAPE)
    result = fit_spots(beyond, [[0, 40]], "gaussian_2d", window=WINDOW)
    assert result.params["y"][0] == pytest.approx(-1.5, abs=0.2)
    assert result.flags[0] & Flag.CENTRE_OUTSIDE
    assert result.to_layers()[0][0].tolist() == [[0, 40]]


@pytest.mark.parametrize("which", ["found", "volume"])
def test_layer(which: str, request: pytest.FixtureRequest) -> None:
    from napari.layers import Layer, Points

    result: FitResult = request.getfixturevalue(which)
    ((data, options, kind),) = result.to_layers()
    layer = Layer.create(data, options, kind)
    assert isinstance(layer, Points)
    assert layer.ndim == result.source.image.ndim  # type: ignore[attr-defined]
    np.testing.assert_array_equal(layer.data[:, -1], result.params["x"])
    if which == "volume":
        np.testing.assert_array_equal(layer.data[:, 0], 1)
    for name in result.model.names:
        np.testing.assert_array_equal(layer.features[name], result.params[name])
        np.testing.assert_array_equal(layer.features[f"{name}_stderr"], result.stderr[name])
    assert layer.features["status"].str.startswith("converged").all()
    np.testing.assert_array_equal(layer.features["flags"], result.flags)
    texts = layer.features["remarks"][(result.flags & Flag.CUT_BY_EDGE) > 0]
    assert texts.str.contains("cut by the edge").all()
    assert (np.asarray(layer.size) > 0).all()
    recipe = json.loads(json.dumps(layer.metadata["napari_imagefit"]["recipe"], allow_nan=False))
    assert recipe["verb"] == "fit_spots"
    assert recipe["window"] == list(result.fitted().shape[1:])


def test_windows_larger_than_the_image() -> None:
    image = draw(np.array([[3.2, 3.7]]), 60, 5, (7, 8))
    result = fit_spots(image, [[3, 4]], "gaussian_2d", window=WINDOW)
    assert result.n_used[0] == 56
    assert result.params["x"][0] == pytest.approx(3.7, abs=1e-6)


def test_stopping() -> None:
    result = fit_spots(NOISY, POINTS, "gaussian_2d", window=WINDOW, should_stop=lambda: True)
    stopped = result.status == Status.STOPPED
    # cut windows come last, and what was never begun has no answer
    assert stopped[CUT].all()
    assert np.isnan(result.params["y"][CUT]).all()
    assert (result.n_left_out == 0).all()
