"""What is asked for the starts of a region on screen, and what is answered: plain layers, no window."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_imagefit import FitInputError, fit_image, models
from napari_imagefit.layers.request.choices import Choices, NoiseChoice, Row
from napari_imagefit.layers.tasks.starts import RegionAsked, SeenRegions, free_names, given_starts, limits_of

pytestmark = pytest.mark.slow  # many programs, or many windows

MODEL = "gaussian_2d"
NAMES = models[MODEL].names


def stack() -> np.ndarray:
    frame, y, x = np.mgrid[0:3, 0:40, 0:50]
    noise = np.random.default_rng(0).normal(0, 0.1, frame.shape)
    return np.asarray(6 * np.exp(-((y - 12 - 5 * frame) ** 2 + (x - 30) ** 2) / 32) + 2 + noise)


def choices(image: Image, current: int, rows: tuple[Row, ...] = (), **more: Any) -> Choices:
    said = {row.name: row for row in rows}
    every = tuple(said.get(name, Row(name)) for name in NAMES)
    return Choices(image, "region", MODEL, every, current=(current, 0, 0), **more)


def answer(asked: Choices, which: int = 0) -> dict[str, float]:
    seen = SeenRegions.of(asked)
    return RegionAsked(seen, seen.regions[which], asked.rows).answer()


@pytest.mark.parametrize("lazy", [False, True])
def test_the_frame_on_screen_is_asked_for(lazy: bool) -> None:
    data = stack()
    image = Image(da.from_array(data, chunks=(1, 40, 50)) if lazy else data, name="shots", scale=(1, 0.5, 0.5))
    found = answer(choices(image, 2))
    axes = np.arange(40) * 0.5, np.arange(50) * 0.5
    result = fit_image(data[2], MODEL, coords=axes)
    assert found == {name: float(start) for name, start in result.start.items()}


def test_a_sigma_of_each_sample_is_that_of_the_frame() -> None:
    data = stack()
    image = Image(data, name="shots")
    sigma = np.ones(data.shape)
    sigma[1, :20] = 9.0
    noise = NoiseChoice("sigma", Image(sigma, name="sigma"))
    result = fit_image(data[1], MODEL, sigma=sigma[1])
    assert answer(choices(image, 1, noise=noise)) == {name: float(start) for name, start in result.start.items()}


def test_regions_are_those_of_the_frame() -> None:
    image = Image(stack(), name="shots")
    square = np.array([[2, 2], [2, 12], [12, 12], [12, 2]])
    shapes = Shapes([_in_frame(0, square), _in_frame(1, square + 15)], ndim=3, name="ROI")
    seen = SeenRegions.of(choices(image, 1, region=shapes, frames="drawn"))
    assert [region.label for region in seen.regions] == [2]
    assert SeenRegions.of(choices(image, 2, region=shapes, frames="drawn")).regions == ()
    seen = SeenRegions.of(choices(image, 2, region=shapes, frames="all"))
    assert [region.label for region in seen.regions] == [1, 2]
    assert seen.holding(np.array([20.2, 21.9])).label == 2  # type: ignore[union-attr]
    assert seen.holding(np.array([39.0, 0.0])) is None
    assert seen.holding(np.array([-5.0, 70.0])) is None
    assert seen.nearest(np.array([0.0, 0.0])).label == 1  # type: ignore[union-attr]
    assert seen.nearest(np.array([39.0, 49.0])).label == 2  # type: ignore[union-attr]


def _in_frame(frame: int, corners: np.ndarray) -> np.ndarray:
    return np.insert(corners.astype(float), 0, frame, axis=1)


def test_pixels_without_a_number_have_no_start() -> None:
    data = stack()
    data[1] = np.nan
    with pytest.raises(FitInputError, match="all pixels of the region are NaN"):
        answer(choices(Image(data, name="shots"), 1))


def test_what_can_be_dragged_and_how_far() -> None:
    rows = (
        Row("amplitude", 4.0),
        Row("y", lower=3.0, upper=9.0),
        Row("x", 5.0, fixed=True),
        Row("sigma", tied="2*y"),
        Row("offset"),
    )
    assert free_names(rows) == {"amplitude", "y", "offset"}
    assert given_starts(rows) == {"amplitude": 4.0, "x": 5.0}
    limits = limits_of(models[MODEL], rows, counts=True)
    assert (limits.lower["y"], limits.upper["y"]) == (3.0, 9.0)
    assert limits.lower["offset"] == 0.0, "counts are not negative"
    assert limits_of(models[MODEL], rows, counts=False).lower["offset"] == -np.inf
