"""A part that the data lack takes nothing from the others: a thermal cloud without a condensate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit import Flag, Status, fit_image, models
from napari_imagefit.engine.drive import run

BIMODAL, GAUSSIAN = models["bimodal_2d"], models["gaussian_2d_elliptic"]
CONDENSATE = ("amplitude_condensate", "radius_y", "radius_x")
THERMAL = ("amplitude_thermal", "sigma_y", "sigma_x")
Y, X = np.mgrid[0:40, 0:56].astype(float)
# between the pixels a condensate of a tenth of a pixel is nowhere
PLACE = {"y": 19.5, "x": 27.5}
NOWHERE = {"amplitude_condensate": 0.1, "radius_y": 0.1, "radius_x": 0.1}
WIDTHS = {"sigma_y": 6.0, "sigma_x": 9.0}


def clouds(count: int, noise: float = 0.02) -> np.ndarray:
    cloud = GAUSSIAN.function((Y, X), 1.0, 19.5, 27.5, 6.0, 9.0, 0.3)
    return np.asarray(cloud) + np.random.default_rng(1).normal(0, noise, (count, *Y.shape))


@pytest.mark.parametrize("requested", [4, run.WIDE_FROM])
def test_a_condensate_that_is_not_there(fit: Any, requested: int) -> None:
    data, coords = clouds(4).reshape(4, -1).T, (Y.ravel(), X.ravel())
    init = NOWHERE | PLACE | WIDTHS
    found = fit(BIMODAL, coords, data, init=init, requested=requested)
    right = fit(GAUSSIAN, coords, data, init=PLACE | WIDTHS, requested=requested)
    assert (found.status > 0).all()
    assert (found.flags & Flag.POORLY_DETERMINED).all()
    rows = {name: BIMODAL.index("amplitude_thermal" if name == "amplitude" else name) for name in GAUSSIAN.names}
    here = list(rows.values())
    np.testing.assert_allclose(found.params[here], right.params, rtol=1e-6)
    np.testing.assert_allclose(
        found.covariance[:, np.array(here)[:, None], here], right.covariance, rtol=1e-5, atol=1e-9
    )
    gone = [BIMODAL.index(name) for name in CONDENSATE]
    assert np.isnan(found.params[gone]).all()
    assert np.isnan(found.covariance[:, gone]).all()


def test_no_thermal_cloud() -> None:
    condensate = models["thomas_fermi_2d"].function((Y, X), 1.0, 19.5, 27.5, 8.0, 12.0, 0.3)
    image = np.asarray(condensate) + np.random.default_rng(1).normal(0, 0.02, Y.shape)
    init = {"amplitude_thermal": 0.1, "sigma_y": 0.01, "sigma_x": 0.01} | PLACE
    result = fit_image(image, BIMODAL, init=init | {"radius_y": 8, "radius_x": 12})
    assert result.converged
    assert result.params["radius_x"] == pytest.approx(12, abs=0.2)
    assert np.isnan([result.params[name] for name in THERMAL]).all()


def test_a_height_that_cannot_be_told_from_the_background() -> None:
    """A condensate that is wide everywhere is a constant: then the level is not known either, but the cloud is."""
    init = {"amplitude_condensate": 1e-9, "radius_y": 4000, "radius_x": 4000} | PLACE | WIDTHS
    found, right = fit_image(clouds(1)[0], BIMODAL, init=init), fit_image(clouds(1)[0], GAUSSIAN)
    assert found.converged
    for name in ("sigma_y", "sigma_x", "y", "x"):
        assert found.params[name] == pytest.approx(float(right.params[name]), rel=1e-6)
        assert found.stderr[name] == pytest.approx(float(right.stderr[name]), rel=1e-3)
    assert np.isnan([found.params[name] for name in (*CONDENSATE, "offset")]).all()


def test_nothing_is_there() -> None:
    """Neither part, or data that do not vary: no answer."""
    init = NOWHERE | PLACE | {"amplitude_thermal": 0.1, "sigma_y": 0.01, "sigma_x": 0.01}
    noise = np.random.default_rng(1).normal(0, 0.02, Y.shape)
    for image in (noise, np.full(Y.shape, 2.0)):
        assert fit_image(image, BIMODAL, init=init).status == Status.SINGULAR


def test_tied_and_in_a_sum() -> None:
    init, images = NOWHERE | PLACE | WIDTHS, clouds(2)
    del init["radius_x"]
    result = fit_image(images, BIMODAL, init=init, tied={"radius_x": "1.5*radius_y"})
    assert result.converged.all()
    assert all(np.isnan(result.params[name]).all() for name in CONDENSATE)
    result = fit_image(images, BIMODAL + models["plane_2d"], init=NOWHERE | PLACE | WIDTHS)
    assert result.converged.all()
    np.testing.assert_allclose(result.params["sigma_x"], 9, atol=0.2)


def test_no_thermal_cloud_is_lost() -> None:
    """From the model's own starts, some of which lead to condensates that are nowhere, or everywhere."""
    result = fit_image(clouds(80, 0.03), BIMODAL)
    assert not (result.status < 0).any()
    good = result.converged
    assert good.mean() > 0.95
    np.testing.assert_allclose(result.params["sigma_x"][good], 9, atol=0.5)
    assert np.isfinite(np.stack([result.stderr[name][good] for name in THERMAL])).all()
    # nowhere in part is nowhere as a whole
    lacking = np.isnan(result.params["amplitude_condensate"][good])
    assert lacking.any()
    for name in CONDENSATE:
        assert np.isnan(result.params[name][good][lacking]).all()
