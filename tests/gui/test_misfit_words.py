"""What the window says of samples that were cut off, and of residuals that do not look like the noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_imagefit as nif
from napari_imagefit.gui.sections.results import ResultsSection
from napari_imagefit.gui.state.messages import describe_outcome
from napari_imagefit.imaging.fitting.fit_report import facts
from napari_imagefit.imaging.fitting.status_labels import remark_words
from napari_imagefit.imaging.inspection.saturation_value import saturation_value
from napari_imagefit.layers.inspection.state_counts import remarks_of

Y, X = np.mgrid[0:21, 0:21].astype(float)
SPOT = np.exp(-((Y - 10) ** 2 + (X - 10) ** 2) / (2 * 2.5**2))
LIMIT = "samples are at the limit of what the camera or file can hold"


@pytest.fixture
def bright() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, (3, 21, 21))
    return np.clip(np.rint(600 * SPOT + 20 + noise), 0, 255).astype(np.uint8)


def test_the_value_that_leaves_cut_samples_out_is_offered(bright: NDArray[np.uint8], qtbot: Any) -> None:
    section = ResultsSection()
    qtbot.addWidget(section)
    asked: list[float] = []
    section.leave_out.connect(asked.append)
    points = [[k, 10, 10] for k in range(3)]
    region = (np.hypot(Y - 10, X - 10) < 8).astype(int)
    for result in (
        nif.fit_image(bright, "gaussian_2d"),
        nif.fit_image(bright, "gaussian_2d", mask=region),
        nif.fit_spots(bright, points, "gaussian_2d", window=15),
    ):
        assert saturation_value(result) == 255
        section.show_result(result)
        assert LIMIT in said_in(section)
        assert nif.Flag.SATURATED.message in remark_words(result)[0]
        assert nif.Flag.SATURATED.message in facts(result, (0,) * result.flags.ndim).remarks
        # a region has no option for it
        assert section.saturation_button.isHidden() == hasattr(result.source, "regions")
    assert section.saturation_button.text() == "Leave out samples ≥ 255"
    section.saturation_button.click()
    assert asked == [255.0]
    left = nif.fit_spots(bright, points, "gaussian_2d", window=15, saturation=255)
    assert saturation_value(left) is None
    section.show_result(left)
    assert LIMIT not in said_in(section)
    assert section.saturation_button.isHidden()


def said_in(section: ResultsSection) -> dict[str, str]:
    """The statements on the fits, and how many fits each has."""
    table = section.reasons
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}


def voxels(result: nif.FitResult, note: str = "") -> str:
    outcome: Any = SimpleNamespace(
        result=result, note=note, facts=None, request=SimpleNamespace(job="voxels", filters=None)
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
    assert {said.words: said.fits for said in remarks_of(result)}[LIMIT] == 100


def test_what_was_done_comes_first_and_warnings_last() -> None:
    t = np.arange(6.0)
    result = nif.fit_voxels(3 * np.exp(-t / 2)[:, None], "exponential_decay", x=t)
    counts = voxels(result)
    assert counts.startswith("1 voxel · 1 converged")
    assert voxels(result, "Refit 1 voxel.").splitlines()[0] == "Refit 1 voxel."
    assert voxels(result, "⚠ A long sentence.") == f"{counts}\n⚠ A long sentence."


def test_counts_that_were_not_said_to_be_counts() -> None:
    counts = np.random.default_rng(2).poisson(100 * SPOT + 10, (4, 21, 21))
    said = {one.words: one.fits for one in remarks_of(nif.fit_image(counts, "gaussian_2d"))}
    assert said[nif.Flag.UNEVEN_NOISE.message] == 4
    assert remarks_of(nif.fit_image(counts, "gaussian_2d", noise="poisson")) == []
