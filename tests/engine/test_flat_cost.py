"""A paraboloid that is larger than its window has no edge in it, from which alone its height could be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit import Flag, Status, fit_image, fit_spots, models
from napari_imagefit.engine.drive import run

PARABOLA = models["parabola_2d"]
Y, X = np.mgrid[0:40, 0:56].astype(float)


def clouds(radius_y: float, radius_x: float, count: int = 12) -> np.ndarray:
    cloud = np.asarray(PARABOLA.function((Y, X), 1.0, 19.5, 27.5, radius_y, radius_x, 0.1))
    return cloud + np.random.default_rng(1).normal(0, 0.02, (count, *Y.shape))


@pytest.mark.parametrize("requested", [12, run.WIDE_FROM])
@pytest.mark.parametrize("radii", [(29, 38), (30, 40), (35, 50), (60, 80)])
def test_no_edge_in_the_window(fit: Any, radii: tuple[float, float], requested: int) -> None:
    """In half of the frames its edge comes to rest at a pixel in a corner, with a height that is ten errors off."""
    found = fit(PARABOLA, (Y.ravel(), X.ravel()), clouds(*radii).reshape(12, -1).T, requested=requested)
    assert (found.status == Status.SINGULAR).all()
    assert (found.flags & Flag.POORLY_DETERMINED).all()
    assert np.isnan(found.params).all()


@pytest.mark.parametrize("name", ["parabola_2d", "thomas_fermi_2d"])
@pytest.mark.parametrize(
    "noise", ["even", *(pytest.param(n, marks=pytest.mark.slow) for n in ("known", "counts", "large"))]
)
def test_an_edge_that_noise_makes(name: str, noise: str) -> None:
    """Some 6 times as large as its window: in a third of the frames an edge was found there, many errors off."""
    y, x = np.mgrid[0:300, 0:300] / 7.5 if noise == "large" else (Y[:, :40], X[:, :40])
    sigma = 0.02 * (7.5 if noise == "large" else 1)
    cloud = np.asarray(models[name].function((y, x), 1.0, 19.5, 20.2, 120.0, 132.0, 0.1))
    draw = np.random.default_rng(3)
    if noise == "counts":
        result = fit_image(draw.poisson(2000 * cloud, (20, *y.shape)), name, noise="poisson")
    else:
        known = {"sigma": sigma} if noise == "known" else {}
        data = cloud + draw.normal(0, sigma, (3 if noise == "large" else 20, *y.shape))
        result = fit_image(data, name, **known)
    # counts hold the background at 0 where the edge is far enough for that
    remarked = (result.flags & (Flag.POORLY_DETERMINED | Flag.AT_LOWER)) > 0
    assert not (result.converged & ~remarked).any()


@pytest.mark.parametrize("name", ["parabola_2d", "thomas_fermi_2d"])
@pytest.mark.parametrize("radius", [8.0, 19.0, 22.0])
def test_a_dim_cloud_whose_edge_is_in_the_window(name: str, radius: float) -> None:
    """At 2.5 times the noise of a pixel its edge is seen, and its height is as far off as its error says."""
    y, x = Y[:, :40], X[:, :40]
    cloud = np.asarray(models[name].function((y, x), 0.05, 19.5, 20.2, radius, radius, 0.1))
    result = fit_image(cloud + np.random.default_rng(5).normal(0, 0.02, (20, *y.shape)), name)
    assert result.converged.all()
    assert not (result.flags & Flag.POORLY_DETERMINED).any()
    away = (result.params["amplitude"] - 0.05) / result.stderr["amplitude"]
    assert (np.abs(away) < 5).all()


@pytest.mark.parametrize("radii", [(26, 36), (18, 60), (18, 24), (6, 9)])
@pytest.mark.parametrize("tied", [None, {"radius_x": "radius_y*{}"}])
def test_an_edge_in_the_window(radii: tuple[float, float], tied: Any) -> None:
    tied = tied and {"radius_x": tied["radius_x"].format(radii[1] / radii[0])}
    result = fit_image(clouds(*radii), PARABOLA, tied=tied)
    assert result.converged.all()
    assert not (result.flags & Flag.POORLY_DETERMINED).any()
    for name, truth in {"amplitude": 1.0, "radius_y": radii[0], "radius_x": radii[1], "offset": 0.1}.items():
        away = (result.params[name] - truth) / result.stderr[name]
        assert (np.abs(away) < 5).all()


def test_in_windows_and_sums() -> None:
    points = np.array([[20.0, 28.0], [20.0, 29.0]])
    assert (fit_spots(clouds(30, 40)[2], points, PARABOLA, window=39).status == Status.SINGULAR).all()
    summed = fit_image(clouds(30, 40), models["plane_2d"] + PARABOLA)
    assert (summed.flags & Flag.POORLY_DETERMINED).all()


def test_other_ways_to_say_how_large_the_noise_is() -> None:
    for noise in ({"sigma": 0.02}, {"dtype": "float32"}):
        assert (fit_image(clouds(30, 40), PARABOLA, **noise).status == Status.SINGULAR).all()
        assert fit_image(clouds(18, 24), PARABOLA, **noise).converged.all()
