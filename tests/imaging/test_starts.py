"""Where a fit would start, without fitting: to the last digit where it does start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit import FitInputError, Selection, fit_image, fit_voxels, models
from napari_imagefit.engine.core.options import Options
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.inspection.starts import curve_starts, region_starts

pytestmark = pytest.mark.slow  # many programs, or many windows


def cloud(shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    rng = np.random.default_rng(3)
    part = np.array(shape) / (40, 50)
    dy, dx = (y - 18 * part[0]) / (4 * part[0]), (x - 30 * part[1]) / (6 * part[1])
    return np.asarray(5 * np.exp(-0.5 * (dy**2 + dx**2)) + 1 + rng.normal(0, 0.1, shape))


SAID: list[dict[str, Any]] = [
    {},
    {"init": {"y": 20.0, "sigma_x": 3.0}},
    {"bounds": {"x": (31.0, 60.0)}},
    {"fixed": {"offset": 1.5}},
    {"tied": {"sigma_y": "0.5*sigma_x"}},
    {"noise": "poisson"},
    {"loss": "soft_l1", "f_scale": 0.1},
    {"sigma": 0.1, "dtype": "float32"},
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: ", ".join(said) or "nothing")
def test_the_starts_of_a_region_are_those_of_its_fit(said: dict[str, Any]) -> None:
    image = np.abs(cloud())
    mask = np.zeros(image.shape, bool)
    mask[5:35, 8:46] = True
    coords = np.arange(40) * 0.5 + 10, np.arange(50) * 0.5 - 4
    scaled = {"y": 19.0, "x": 11.0} if "init" in said else {}
    said = {**said, "init": {**said["init"], **scaled}} if scaled else said
    said = {**said, "bounds": {"x": (11.5, 30.0)}} if "bounds" in said else said
    found = region_starts(
        image,
        models["gaussian_2d_elliptic"],
        np.flatnonzero(mask),
        coords=coords,
        settings=Settings.of(**said),
    )
    result = fit_image(image, "gaussian_2d_elliptic", mask=mask, coords=coords, **said)
    assert found == {name: float(start) for name, start in result.start.items()}


def test_the_starts_of_a_large_region_are_those_of_its_fit() -> None:
    image = cloud((300, 320))
    result = fit_image(image, "gaussian_2d_rotated")
    found = region_starts(image, models["gaussian_2d_rotated"], np.arange(image.size))
    assert found == {name: float(start) for name, start in result.start.items()}


@pytest.mark.parametrize(
    "said",
    [{}, {"init": {"tau": 3.0}}, {"fixed": {"offset": 0.0}}, {"select": Selection(skip_first=2)}, {"sigma": 0.02}],
    ids=str,
)
def test_the_starts_of_a_curve_are_those_of_its_fit(said: dict[str, Any]) -> None:
    t = np.arange(0, 40.0, 2)
    data = 2 * np.exp(-t / 9) + 0.3 + np.random.default_rng(1).normal(0, 0.02, t.size)
    select = said.get("select")
    settings = Settings.of(**{name: value for name, value in said.items() if name != "select"})
    found = curve_starts(t, data, models["exponential_decay"], select=select, settings=settings)
    result = fit_voxels(data[:, None], "exponential_decay", x=t, **said)
    assert found == {name: float(start[0]) for name, start in result.start.items()}


def test_what_cannot_be_fitted_has_no_starts() -> None:
    with pytest.raises(FitInputError, match="outside its bounds"):
        region_starts(
            cloud(),
            models["gaussian_2d"],
            np.arange(2000),
            settings=Settings(init={"sigma": -1.0}, options=Options()),
        )
