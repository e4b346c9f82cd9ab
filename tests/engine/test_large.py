"""Fits of more samples than one part: the minimum of all samples, whatever finds the start."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import napari_imagefit as nif
from napari_imagefit.engine.core.grid_coordinates import lattice
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.engine.drive import few
from napari_imagefit.engine.noise.samples import TILE

SHAPE = (300, 290)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
NAMES = ("amplitude", "y", "x", "sigma_y", "sigma_x", "offset")
TRUTH = np.array([50.0, 150.3, 120.8, 31.0, 44.0, 8.0])


def surface(p: np.ndarray, y: np.ndarray = Y, x: np.ndarray = X) -> np.ndarray:
    return np.asarray(p[0] * np.exp(-0.5 * (((y - p[1]) / p[3]) ** 2 + ((x - p[2]) / p[4]) ** 2)) + p[5])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    assert Y.size > TILE
    return surface(TRUTH) + np.random.default_rng(0).normal(0, 4, SHAPE)


@pytest.fixture(params=[False, True], ids=["from the guess", "from binned pixels"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the start, whatever the number of pixels from which the other one is taken."""
    monkeypatch.setattr(few, "DESCEND_FROM", 0 if request.param else 1 << 40)


def found(result: nif.FitResult) -> np.ndarray:
    return np.array([float(result.params[name]) for name in NAMES])


def scipys(data: np.ndarray, used: np.ndarray, weights: Any = 1.0, **options: Any) -> np.ndarray:
    w = np.broadcast_to(weights, data.shape)[used]
    return least_squares(
        lambda p: w * (surface(p, Y[used], X[used]) - data[used]), TRUTH, x_scale=TRUTH, xtol=1e-13, ftol=1e-13,
        gtol=1e-13, **options,
    ).x  # fmt: skip


EVERY = np.ones(SHAPE, bool)
DISK = (Y - 145) ** 2 + (X - 135) ** 2 < 149**2


@pytest.mark.usefixtures("start")
def test_the_minimum_and_errors_are_those_of_all_pixels(image: np.ndarray) -> None:
    result = nif.fit_image(image, "gaussian_2d_elliptic")
    best = scipys(image, EVERY)
    # SciPy's differences find it to the root of rounding
    np.testing.assert_allclose(found(result), best, rtol=1e-6)
    assert int(result.n_used) == image.size
    residual = surface(found(result)) - image
    assert float(result.cost) == pytest.approx(0.5 * np.sum(residual**2), rel=1e-12)
    columns = [(surface(best + d) - surface(best - d)).ravel() / 2e-5 for d in np.eye(6) * 1e-5]
    J = np.stack(columns, axis=1)
    exact = np.sqrt(np.diag(np.linalg.inv(J.T @ J)) * np.sum(residual**2) / (image.size - 6))
    np.testing.assert_allclose([float(result.stderr[n]) for n in NAMES], exact, rtol=1e-5)
    np.testing.assert_allclose(result.residual(), -residual, atol=1e-9)


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("what", ["disk", "nan", "sigma", "camera", "huber", "float32"])
def test_all_that_a_fit_can_be(image: np.ndarray, what: str) -> None:
    rng = np.random.default_rng(1)
    data, used, weights, options = image.copy(), EVERY, 1.0, {}
    wishes: dict[str, Any] = {}
    if what == "disk":
        used = DISK
        assert used.sum() > TILE
        wishes = {"mask": DISK}
    elif what == "nan":
        data[40:90, 30:200] = np.nan
        data[::7, ::5] = np.inf
        used = np.isfinite(data)
    elif what == "sigma":
        weights = 1 / rng.uniform(2, 6, SHAPE)
        wishes = {"sigma": 1 / weights}
    elif what == "huber":
        data[rng.uniform(size=SHAPE) < 0.02] += 300
        wishes, options = {"loss": "huber", "f_scale": 6.0}, {"loss": "huber", "f_scale": 6.0}
    elif what == "camera":
        data = rng.poisson(surface(TRUTH)).astype(float)
        wishes = {"noise": "poisson"}
    elif what == "float32":
        wishes = {"dtype": "float32"}
    result = nif.fit_image(data, "gaussian_2d_elliptic", **wishes)
    assert int(result.status) > 0
    assert int(result.n_used) == used.sum()
    if what == "camera":
        # at the maximum of the likelihood weighted least squares with its own variances is at its minimum
        p = found(result)
        rate = surface(p)
        slopes = [(surface(p + d) - surface(p - d)) / 2e-5 for d in np.eye(6) * 1e-5]
        score = np.array([np.sum((data / rate - 1) * s) for s in slopes])
        size = np.array([np.sqrt(np.sum(s * s / rate)) for s in slopes])
        assert (np.abs(score / size) < 1e-3).all()
        return
    best = scipys(data, used, weights, **options)
    error = np.array([float(result.stderr[n]) for n in NAMES])
    # far below the error; single precision sums 80 000 terms to some 1e-5 of the cost
    assert (np.abs(found(result) - best) < (0.05 if what == "float32" else 1e-3) * error).all()


@pytest.mark.usefixtures("start")
def test_given_starts_are_tried_where_binned_pixels_mislead() -> None:
    rng = np.random.default_rng(2)
    # a speck of less than a bin, and a broad cloud that is none of it
    y, x = np.mgrid[:700, :640].astype(float)
    image = 400 * np.exp(-0.5 * ((y - 99.4) ** 2 + (x - 501.7) ** 2) / 1.3**2) + rng.normal(0, 1, y.shape)
    image += 2 * np.exp(-0.5 * ((y - 400) ** 2 + (x - 200) ** 2) / 90**2)
    result = nif.fit_image(
        image, "gaussian_2d", init={"amplitude": 350, "y": 99, "x": 502, "sigma": 1.5, "offset": 0.0}
    )
    assert float(result.params["x"]) == pytest.approx(501.7, abs=0.02)
    assert float(result.params["sigma"]) == pytest.approx(1.3, abs=0.02)


def test_frames_and_rectangles(image: np.ndarray) -> None:
    stack = np.stack([image, image[::-1]])
    result = nif.fit_image(stack, "gaussian_2d_elliptic")
    alone = nif.fit_image(stack[1], "gaussian_2d_elliptic")
    for name in NAMES:
        assert result.params[name][1] == alone.params[name]
        assert result.stderr[name][1] == alone.stderr[name]
    mask = np.zeros(SHAPE, bool)
    mask[10:280, 5:262] = True
    part = nif.fit_image(image, "gaussian_2d_elliptic", mask=mask)
    cut = nif.fit_image(image[10:280, 5:262], "gaussian_2d_elliptic")
    assert float(part.params["y"]) == pytest.approx(float(cut.params["y"]) + 10, abs=1e-6)
    assert float(part.params["x"]) == pytest.approx(float(cut.params["x"]) + 5, abs=1e-6)


def test_no_size_is_compiled_for(image: np.ndarray) -> None:
    nif.fit_image(image, "gaussian_2d_elliptic")
    before = compiled_programs()
    for rows in (289, 271, 260, 250):
        nif.fit_image(image[:rows], "gaussian_2d_elliptic")
    assert compiled_programs() == before


def test_curve_fit_of_many_samples() -> None:
    rng = np.random.default_rng(3)
    x = np.linspace(0, 10, 200_000)
    y = 3 * np.exp(-x / 2.5) + 0.5 + rng.normal(0, 0.2, x.size)

    def decay(x: Any, a: Any, tau: Any, c: Any) -> Any:
        return a * jnp.exp(-x / tau) + c

    popt, pcov, info, _, ier = nif.curve_fit(decay, x, y, (1, 1, 0), full_output=True)
    best = least_squares(lambda p: p[0] * np.exp(-x / p[1]) + p[2] - y, popt, x_scale="jac", xtol=1e-14, ftol=1e-14)
    assert ier > 0
    np.testing.assert_allclose(popt, best.x, rtol=1e-6)
    cov = np.linalg.inv(best.jac.T @ best.jac) * 2 * best.cost / (x.size - 3)
    np.testing.assert_allclose(pcov, cov, rtol=1e-4)
    np.testing.assert_allclose(info["fvec"], best.fun, atol=1e-5)


def test_stopped_at_once_has_no_answer(image: np.ndarray) -> None:
    result = nif.fit_image(image, "gaussian_2d_elliptic", should_stop=lambda: True)
    assert int(result.status) == nif.Status.STOPPED
    assert np.isnan(result.params["x"])


def test_lattice_coordinates_are_arrays() -> None:
    axes = np.array([1.0, 2.5, 4.0]), np.array([0.0, 3.0]), np.array([7.0, 8.0, 9.0, 11.0])
    full = [a.ravel() for a in np.meshgrid(*axes, indexing="ij")]
    for lazy, wanted in zip(lattice(axes), full, strict=True):
        np.testing.assert_array_equal(np.asarray(lazy), wanted)
        assert lazy.shape == wanted.shape
        for first in range(24):
            for last in range(first, 25):
                np.testing.assert_array_equal(lazy[first:last], wanted[first:last])
        np.testing.assert_array_equal(lazy[[3, 0, 23]], wanted[[3, 0, 23]])
        np.testing.assert_array_equal(lazy[:, None], wanted[:, None])
        assert (lazy.min(), lazy.max()) == (wanted.min(), wanted.max())
