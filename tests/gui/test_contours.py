"""Contours over a map: as thin on screen for few voxels, or seen closely, as for many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit.gui.canvas.contours import COARSE_VOXEL, LINE, RIM, Contours
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.output_layers import METADATA_KEY

from .pointer import pixel_of, until

T = np.arange(12.0)
DECAYS = 5 * np.exp(-T[:, None, None] / np.linspace(2, 6, 100).reshape(10, 10))
DECAYS += np.random.default_rng(4).normal(0, 0.02, DECAYS.shape)
FAILED = (slice(5, 8), slice(4, 7))
DECAYS[:, *FAILED] = np.nan
GREY = np.array([0x99] * 3)  # of voxels with too few samples


@pytest.fixture
def fitted(shown: tuple[Any, ImageFitWidget]) -> tuple[Any, ImageFitWidget, Any]:
    """A viewer on the screen, the widget, and the status of a fit of 10 × 10 voxels."""
    viewer, widget = shown
    viewer.add_image(DECAYS, name="decays")
    widget.data._buttons["voxels"].click()
    widget.fit_bar.fit.click()
    until(lambda: not widget.session.running and not widget.follow_ups.shown.busy, "the fit has ended")
    status = next(layer for layer in viewer.layers if layer.metadata.get(METADATA_KEY, {}).get("role") == "status")
    assert status.visible
    viewer.reset_view()
    return viewer, widget, status


def greys(viewer: Any, place: tuple[float, float], around: int) -> int:
    """How many pixels on screen around a voxel's place have the colour of the status."""
    at = pixel_of(viewer, (0, *place))
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    ratio = picture.shape[1] / viewer.canvas.size[1]
    y, x = round(at.y() * ratio), round(at.x() * ratio)
    part = picture[y - around : y + around + 1, x - around : x + around + 1]
    return int(np.count_nonzero(np.abs(part - GREY).max(axis=-1) < 8))


def voxel(viewer: Any) -> float:
    """Pixels on screen of a voxel."""
    return float(viewer.scene.camera.zoom)


def test_the_map_is_seen_in_voxels_that_failed(fitted: tuple[Any, ImageFitWidget, Any]) -> None:
    viewer, _, _ = fitted
    quarter = round(voxel(viewer) / 4)
    assert quarter > 2 * RIM
    for y in range(5, 8):
        for x in range(4, 7):
            assert greys(viewer, (y, x), quarter) == 0, f"voxel {y}, {x} is covered"
    # the line along the left border crosses such a window from top to bottom
    found = greys(viewer, (6, 3.5), quarter)
    assert (2 * quarter + 1) * (LINE - 1) <= found <= (2 * quarter + 1) * (LINE + 1)


def test_lines_are_as_thin_and_as_near_at_another_zoom(fitted: tuple[Any, ImageFitWidget, Any]) -> None:
    viewer, widget, status = fitted
    contours = widget.follow_ups.shown.contours
    for factor in (1, 3):
        viewer.scene.camera.zoom *= factor
        ends = contours.lines_of(status)
        assert len(ends) == 12, "a side of each voxel along the border"
        np.testing.assert_allclose((3 - np.ptp(ends[..., 0])) / 2, RIM / 2 / voxel(viewer), rtol=1e-4)
        found = greys(viewer, (6, 3.5), 10)
        assert 21 * (LINE - 1) <= found <= 21 * (LINE + 1)
    # voxels so small that one of them is a thin line are left to napari
    viewer.scene.camera.zoom = 0.9 * COARSE_VOXEL
    assert not len(contours.lines_of(status))


def test_a_status_of_volumes_is_seen_in_planes_and_in_space(shown: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = shown
    viewer.add_image(np.stack([DECAYS] * 3, axis=1), name="decays of a volume")
    widget.data._buttons["voxels"].click()
    widget.fit_bar.fit.click()
    until(lambda: not widget.session.running and not widget.follow_ups.shown.busy, "the fit has ended")
    status = next(layer for layer in viewer.layers if layer.metadata.get(METADATA_KEY, {}).get("role") == "status")
    assert status.ndim == 3
    contours = widget.follow_ups.shown.contours
    viewer.reset_view()
    assert len(contours.lines_of(status)) == 12
    with pytest.warns(UserWarning, match="not displayed during 3D"):  # napari's own
        viewer.dims.ndisplay = 3
    assert not len(contours.lines_of(status))
    viewer.dims.ndisplay = 2
    assert len(contours.lines_of(status)) == 12


def test_they_follow_the_layer(fitted: tuple[Any, ImageFitWidget, Any]) -> None:
    viewer, widget, status = fitted
    contours = widget.follow_ups.shown.contours
    status.data = np.where(np.arange(100).reshape(10, 10) == 0, 3, 1).astype(np.uint8)
    assert len(contours.lines_of(status)) == 4
    status.contour = 0
    assert not len(contours.lines_of(status)), "whoever wants slabs has them"
    status.contour = 1
    viewer.dims.ndisplay = 3
    assert not len(contours.lines_of(status))
    viewer.dims.ndisplay = 2
    assert len(contours.lines_of(status)) == 4
    viewer.layers.remove(status)
    assert not len(contours.lines_of(status))


def test_without_the_dock_napari_draws_the_layer(fitted: tuple[Any, ImageFitWidget, Any]) -> None:
    viewer, widget, status = fitted
    assert greys(viewer, (5, 4), 3) == 0
    viewer.window.remove_dock_widget(widget)
    until(lambda: greys(viewer, (5, 4), 3) == 49, "the layer's own contours are back")
    again = Contours(viewer)
    assert len(again.lines_of(status)) == 12
    assert greys(viewer, (5, 4), 3) == 0
    again.stop()
