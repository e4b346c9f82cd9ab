"""What the window says of samples that were cut off, and of residuals that do not look like the noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_imagefit as nif
from napari_imagefit.gui.messages import describe, describe_outcome
from napari_imagefit.imaging.fitting.fit_report import facts
from napari_imagefit.imaging.inspection.saturation_value import saturation_value
from napari_imagefit.layers.inspection.spot_table import flag_words

Y, X = np.mgrid[0:21, 0:21].astype(float)
SPOT = np.exp(-((Y - 10) ** 2 + (X - 10) ** 2) / (2 * 2.5**2))
OFFER = "samples are at the limit of what the camera or file can hold; a saturation of 255 leaves them out"


@pytest.fixture
def bright() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, (3, 21, 21))
    return np.clip(np.rint(600 * SPOT + 20 + noise), 0, 255).astype(np.uint8)


def test_the_value_that_leaves_cut_samples_out_is_offered(bright: NDArray[np.uint8]) -> None:
    points = [[k, 10, 10] for k in range(3)]
    region = (np.hypot(Y - 10, X - 10) < 8).astype(int)
    for result in (
        nif.fit_image(bright, "gaussian_2d"),
        nif.fit_image(bright, "gaussian_2d", mask=region),
        nif.fit_spots(bright, points, "gaussian_2d", window=15),
    ):
        assert saturation_value(result) == 255
        assert f"3 × {OFFER}" in describe(result)
        assert nif.Flag.SATURATED.message in flag_words(result.flags.ravel())[0]
        assert nif.Flag.SATURATED.message in facts(result, (0,) * result.flags.ndim).remarks
    left = nif.fit_spots(bright, points, "gaussian_2d", window=15, saturation=255)
    assert saturation_value(left) is None
    assert "limit" not in describe(left)


def voxels(result: nif.FitResult) -> str:
    outcome: Any = SimpleNamespace(
        result=result, note="", facts=None, request=SimpleNamespace(job="voxels", filters=None)
    )
    return describe_outcome(outcome)


def test_curves() -> None:
    t = np.linspace(10, 320, 8)
    decays = 500 * np.exp(-t / 20) + 500 * np.exp(-t / 150)
    data = decays[:, None] + np.random.default_rng(1).normal(0, 2, (8, 100))
    said = voxels(nif.fit_voxels(data, "exponential_decay", x=t))
    assert "\nThe residuals of all curves have a pattern in common" in said
    cut = np.minimum(np.rint(data), 255)
    result = nif.fit_voxels(cut, "exponential_decay", x=t, select=nif.Selection(skip_last=1))
    assert saturation_value(result) == 255
    assert f"100 × {OFFER}" in voxels(result)


def test_counts_that_were_not_said_to_be_counts() -> None:
    counts = np.random.default_rng(2).poisson(100 * SPOT + 10, (4, 21, 21))
    assert f"4 × {nif.Flag.UNEVEN_NOISE.message}" in describe(nif.fit_image(counts, "gaussian_2d"))
    said = describe(nif.fit_image(counts, "gaussian_2d", noise="poisson"))
    assert "×" not in said
