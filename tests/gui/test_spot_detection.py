"""Detection in the window: the preview follows settings and slider, Detect makes points, and these are fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_imagefit import fit_spots
from napari_imagefit.gui.sample_data import MOLECULES
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.imaging.spots.detection import Detection, find_spots
from napari_imagefit.layers.geometry.output_layers import is_output
from napari_imagefit.layers.request.spot_inputs import DETECTED
from napari_imagefit.layers.tasks.spot_detection import find_preview

from .spot_help import CENTRES, LEFT, choose, click_detect, click_fit, frames, preview_done, write


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(frames(), name="beads", scale=(1, 0.1, 0.1), units=("s", "um", "um"), rotate=(0, 0, 20))
    return viewer, widget


def choose_spots(qtbot: Any, widget: ImageFitWidget) -> None:
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    assert widget.data.job == "spots"


def test_the_preview_follows_settings_and_slider(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    choose_spots(qtbot, widget)
    detect = widget.spots.detect
    assert find_preview(viewer.layers) is None, "it is drawn while the section is open"
    viewer.dims.set_current_step(0, 0)
    qtbot.mouseClick(widget.spots.fold.button, LEFT)
    preview_done(qtbot, widget)
    shown = find_preview(viewer.layers)
    assert detect.note.text() == "5 spots in this frame"
    np.testing.assert_allclose(np.sort(shown.data[:, 1]), np.sort([y for y, _ in CENTRES]), atol=0.5)
    np.testing.assert_array_equal(shown.scale, viewer.layers["beads"].scale)
    np.testing.assert_array_equal(shown.rotate, viewer.layers["beads"].rotate)

    viewer.dims.set_current_step(0, 2)
    preview_done(qtbot, widget)
    assert find_preview(viewer.layers) is shown
    assert set(shown.data[:, 0]) == {2}

    write(qtbot, detect.threshold.lineEdit(), "100000")
    preview_done(qtbot, widget)
    assert not len(shown.data)
    assert detect.note.text().startswith("no spots in this frame; lower the threshold")

    qtbot.mouseClick(detect.preview, LEFT, pos=detect.preview.rect().center() - detect.preview.rect().center() / 1.2)
    assert not shown.visible, "it is hidden at once, and goes when the window has had its turn"
    qtbot.waitUntil(lambda: find_preview(viewer.layers) is None)


def test_a_preview_that_comes_again_stays(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    """One of the same moment as it is wanted no more, before it has gone."""
    viewer, widget = opened
    choose_spots(qtbot, widget)
    qtbot.mouseClick(widget.spots.fold.button, LEFT)
    preview_done(qtbot, widget)
    shown = find_preview(viewer.layers)
    search, spots = widget.spots._search(), widget.spots.finder.find(widget.spots._search())
    widget.spots._hide_preview()
    widget.spots._on_preview(search, spots)
    qtbot.wait(50)
    assert find_preview(viewer.layers) is shown
    assert shown.visible


def test_only_the_latest_setting_is_searched(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    choose_spots(qtbot, widget)
    searched = []
    preview = widget.spots.preview
    plain = preview._work
    preview._work = lambda search: (searched.append(search.detection.threshold), plain(search))[1]
    qtbot.mouseClick(widget.spots.fold.button, LEFT)
    spin = widget.spots.detect.threshold
    for _ in range(20):
        qtbot.keyClick(spin, Qt.Key.Key_Up)
    preview_done(qtbot, widget)
    assert searched[-1] == spin.value() == 15
    assert len(searched) < 20, "what is overtaken is left out"


def test_detect_and_fit(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    image = viewer.layers["beads"]
    choose_spots(qtbot, widget)
    click_fit(qtbot, widget)
    assert widget.message.text() == "⚠ There are no points to fit at; click Detect, or choose a Points layer."
    click_detect(qtbot, widget)
    assert widget.message.text() == "15 spots detected in 3 frames; click Fit."
    points = viewer.layers["beads · detected points"]
    assert widget.spots.section.layers.layer() is points
    found = find_spots(image.data, Detection())
    np.testing.assert_array_equal(points.data, found.points)
    np.testing.assert_array_equal(points.features["strength"], found.strengths)
    click_fit(qtbot, widget)
    assert widget.message.text().startswith("15 spots · ")
    fitted = viewer.layers["beads · Gaussian · fitted spots"]
    script = fit_spots(image.data, found.points, "gaussian_2d", window=11)
    np.testing.assert_array_equal(fitted.features["sigma [px]"], script.params["sigma"])
    np.testing.assert_allclose(fitted.features["fwhm [µm]"], 0.1 * 2.3548 * script.params["sigma"], rtol=1e-4)
    np.testing.assert_array_equal(fitted.data[:, 1:], np.stack([script.params["y"], script.params["x"]], axis=1))
    np.testing.assert_array_equal(fitted.rotate, image.rotate)
    assert not points.visible, "its rings would lie under those of the fits"

    # another search updates the same layer, and another fit its own
    write(qtbot, widget.spots.detect.border.lineEdit(), "20")
    click_detect(qtbot, widget)
    assert viewer.layers["beads · detected points"] is points
    assert points.visible
    assert len(points.data) == 3
    click_fit(qtbot, widget)
    assert viewer.layers["beads · Gaussian · fitted spots"] is fitted
    assert len(fitted.data) == len(fitted.features) == 3
    assert [layer.name for layer in viewer.layers if is_output(layer)] == ["beads · Gaussian · fitted spots"]
    assert points.metadata[DETECTED]["detection"] == {"border": 20, "ndim": 2}


def test_what_a_sample_has_set_goes_with_it(make_napari_viewer: Callable[..., Any]) -> None:
    """Another image has another camera; what was changed by hand stays."""
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    for typed, noise, threshold in (("", "unknown", Detection().threshold), ("3", "camera", Detection().threshold)):
        (sample,) = viewer.open_sample("napari-imagefit", "spots")
        assert widget.options.noise_choice().kind == "camera"
        assert widget.spots.detect.detection().threshold == MOLECULES["threshold"]
        if typed:
            widget.options.gain.setText(typed)
        viewer.layers.remove(sample)
        viewer.add_image(frames(), name="mine")
        assert widget.data.image is viewer.layers["mine"]
        assert widget.options.noise_choice().kind == noise
        assert widget.spots.detect.detection().threshold == threshold
        viewer.layers.clear()


def test_a_frame_without_spots_shows_nothing(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    """napari draws a point of size 0 at the origin, which is not to be kept visible."""
    viewer, widget = opened
    choose_spots(qtbot, widget)
    preview_done(qtbot, widget)
    viewer.dims.set_current_step(0, 0)
    place = {"scale": (1, 0.1, 0.1), "units": ("s", "um", "um"), "rotate": (0, 0, 20)}
    viewer.add_points(np.column_stack([np.zeros(5), CENTRES]), name="mine", **place)
    assert widget.spots.section.layers.layer() is viewer.layers["mine"], "points that come while there are none"
    click_fit(qtbot, widget)
    layer = viewer.layers["beads · Gaussian · fitted spots"]
    assert layer.canvas_size_limits[0] == 5
    viewer.dims.set_current_step(0, 2)
    assert layer.canvas_size_limits[0] == 0
    viewer.dims.set_current_step(0, 0)
    assert layer.canvas_size_limits[0] == 5


def test_points_of_the_user_in_the_frame_on_screen(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    image = viewer.layers["beads"]
    viewer.add_points(
        [[0, 12, 15], [1, 12, 15], [1, 26, 30]], scale=image.scale, units=image.units, rotate=image.rotate
    )
    viewer.dims.set_current_step(0, 1)
    choose_spots(qtbot, widget)
    choose(qtbot, widget.spots.section.layers, "Points")
    widget.fit_bar.set_frames("current")
    click_fit(qtbot, widget)
    assert widget.message.text().startswith("2 spots · ")
    np.testing.assert_allclose(
        viewer.layers["beads · Gaussian · fitted spots"].features["y [px]"], [12.6, 26.4], atol=0.1
    )


@pytest.mark.parametrize(
    ("window", "sentence"), [("12", "has no pixel in its middle"), ("x", "The window is 'x'"), ("9, 9, 9", "window")]
)
def test_a_wrong_window_is_a_sentence(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], window: str, sentence: str
) -> None:
    _, widget = opened
    choose_spots(qtbot, widget)
    click_detect(qtbot, widget)
    write(qtbot, widget.spots.section.window_size, window)
    click_fit(qtbot, widget)
    assert widget.message.text().startswith("⚠")
    assert sentence in widget.message.text()


def test_volumes_have_volumes_for_models(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    choose_spots(qtbot, widget)
    qtbot.mouseClick(widget.spots.fold.button, LEFT)
    detect = widget.spots.detect
    choose(qtbot, detect.space, "volumes (3-D)")
    assert widget.model.model.name == "gaussian_3d"
    assert detect.along_z.isVisible()
    write(qtbot, detect.along_z.lineEdit(), "1")
    assert widget.spots.choice().window == (7, 11, 11)
    choose(qtbot, widget.model.names, "Gaussian, round")
    assert detect.ndim == 2
    assert widget.spots.choice().window == (11, 11)


def test_nothing_is_left_behind(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    choose_spots(qtbot, widget)
    qtbot.mouseClick(widget.spots.fold.button, LEFT)
    preview_done(qtbot, widget)
    qtbot.mouseClick(widget.data._buttons["region"], LEFT)
    qtbot.waitUntil(lambda: find_preview(viewer.layers) is None)
    assert not widget.spots.section.isVisible()
    assert widget.region.isVisible()
