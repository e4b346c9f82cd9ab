"""Pictures of colours given for images of one channel."""

from __future__ import annotations

from collections.abc import Callable

import dask.array
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.imaging.spots.detection import Detection, find_spots

Y, X = np.mgrid[:32, :40]
GREY = 200 * np.exp(-((Y - 15.3) ** 2 + (X - 21.6) ** 2) / 18) + 20
CALLS: dict[str, Callable[[object], object]] = {
    "fit_image": lambda image: nif.fit_image(image, "gaussian_2d"),
    "fit_spots": lambda image: nif.fit_spots(image, [[15, 21, 0]], "gaussian_2d"),
    "find_spots": lambda image: find_spots(image, Detection()),
    "fit_image of Dask": lambda image: nif.fit_image(dask.array.from_array(image), "gaussian_2d"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("channels", [3, 4])
def test_refused(call: str, dtype: str, channels: int) -> None:
    picture = np.stack([GREY] * channels, axis=-1).astype(dtype)
    with pytest.raises(nif.FitInputError, match=rf"shape \(32, 40, {channels}\), as one of colours has; give one"):
        CALLS[call](picture)


def test_remedies_work() -> None:
    picture = np.stack([GREY] * 3, axis=-1)
    assert nif.fit_image(picture[..., 0], "gaussian_2d").params["x"] == pytest.approx(21.6, abs=1e-6)
    assert nif.fit_image(picture.mean(axis=-1), "gaussian_2d").params["x"] == pytest.approx(21.6, abs=1e-6)
    assert nif.fit_image(picture.swapaxes(-1, -2), "plane_2d").shape == (32,)


@pytest.mark.parametrize("shape", [(32, 30, 4), (8, 40, 3), (32, 40, 5), (40, 4)])
def test_other_shapes_are_fitted(shape: tuple[int, ...]) -> None:
    assert (nif.fit_image(np.random.default_rng(0).normal(size=shape), "plane_2d").status > 0).all()


def test_volumes_of_few_columns_are_fitted() -> None:
    z, y, x = np.mgrid[:32, :32, :4]
    volume = 9 * np.exp(-((z - 15) ** 2 + (y - 16) ** 2 + (x - 1.5) ** 2) / 8) + 1
    assert nif.fit_image(volume, "gaussian_3d").params["z"] == pytest.approx(15, abs=1e-6)


def test_curves_of_each_channel() -> None:
    """Axes that are no curves are kept apart anyway."""
    t = np.linspace(0, 3, 32)
    movie = np.exp(-t[:, None, None] / np.array([0.5, 1.0, 1.5])) * np.ones((32, 40, 1))
    found = nif.fit_voxels(movie, "exponential_decay", x=t, fixed={"offset": 0}).params["tau"]
    np.testing.assert_allclose(found, np.broadcast_to([0.5, 1.0, 1.5], (40, 3)), rtol=1e-6)
