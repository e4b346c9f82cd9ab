"""The widget in a real viewer, clicked as a person clicks it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_imagefit import Status, fit_image, fit_voxels
from napari_imagefit.gui.parameter_table.parameter_tree import NAME, VALUES
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.tasks.result_layers import what_can_be_shown

from .cloud_help import clouds

# Compiling on a busy machine with two cores has taken 15 s.
PATIENCE = 120_000


def click_fit(qtbot: Any, widget: ImageFitWidget) -> None:
    """Click Fit, and wait until the results are in the viewer."""
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)


def test_a_click_fits_the_drawn_region(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    image = viewer.add_image(clouds(), name="clouds")
    drawn = viewer.add_shapes([[[4, 6], [4, 45], [34, 45], [34, 6]]], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    widget.model.set_model("gaussian_2d_elliptic")
    click_fit(qtbot, widget)

    assert widget.message.text().startswith("3 fits")
    assert "3 converged" in widget.message.text()
    mask = np.zeros((40, 50), bool)
    mask[4:35, 6:46] = True
    script = fit_image(image.data, "gaussian_2d_elliptic", mask=mask)
    outlines = viewer.layers["clouds · Gauss ellip. · outlines"]
    for name in script.model.names:
        column = next(c for c in outlines.features.columns if c.split(" ")[0] == name)
        np.testing.assert_array_equal(outlines.features[column], script.params[name])
    viewer.dims.set_current_step(0, 2)
    third = outlines.features[outlines.features["frame"] == 2].iloc[0]
    shown = widget.parameters.tree.item_of("y")
    qtbot.waitUntil(lambda: shown.text(VALUES).startswith(f"{third['y [px]']:.3f} ± "))

    image.data = clouds() + 1
    click_fit(qtbot, widget)
    assert viewer.layers["clouds · Gauss ellip. · outlines"] is outlines
    assert len(viewer.layers) == 3


def test_voxels_with_a_fixed_offset(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    t = np.arange(0, 80.0, 8)[:, None, None]
    data = 2 * np.exp(-t / np.linspace(20, 60, 12).reshape(1, 3, 4))
    viewer.add_image(data, name="echoes", scale=(8, 1, 1), units=("ms", "um", "um"))
    qtbot.mouseClick(widget.data._buttons["voxels"], Qt.MouseButton.LeftButton)
    assert widget.model.model.name == "exponential_decay"
    assert widget.parameters.tree.item_of("tau").text(NAME) == "τ [ms]"
    write(qtbot, widget.parameters.unfold("offset").lines["start"], "0")
    qtbot.mouseClick(widget.parameters.unfold("offset").fix, Qt.MouseButton.LeftButton)
    click_fit(qtbot, widget)
    script = fit_voxels(data, "exponential_decay", x=t.ravel(), fixed={"offset": 0})
    np.testing.assert_array_equal(viewer.layers["echoes · Exp. decay · τ [ms]"].data, script.params["tau"])
    assert "offset" not in what_can_be_shown(widget.follow_ups.outcome).values(), "one that is fixed has no map"


def test_cancel_keeps_what_was_there(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(), name="clouds")
    before = list(viewer.layers)
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    assert widget.session.running
    qtbot.mouseClick(widget.fit_bar.cancel, Qt.MouseButton.LeftButton)
    assert not widget.session.running
    assert "Cancelled" in widget.message.text()
    _drain()
    assert list(viewer.layers) == before
    assert gc.isenabled()


def _drain() -> None:
    """Wait for the worker threads to end and their last words to be delivered."""
    from napari._qt.qthreading import wait_for_workers_to_quit
    from qtpy.QtCore import QCoreApplication

    wait_for_workers_to_quit()
    QCoreApplication.processEvents()


def test_removing_the_layer_stops_its_fit(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    image = viewer.add_image(clouds(), name="clouds")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    viewer.layers.remove(image)
    assert "'clouds' was removed while it was being fitted" in widget.message.text()
    _drain()
    assert not viewer.layers


def test_closing_the_dock_stops_the_fit_and_lets_go(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    # not strict: after a dock was removed, napari itself leaves menus behind; here the widget is what counts
    viewer = make_napari_viewer(strict_qt=False)
    widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    viewer.add_image(clouds(), name="clouds")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    session = widget.session
    viewer.window.remove_dock_widget(widget)
    assert not session.running
    _drain()
    assert [layer.name for layer in viewer.layers] == ["clouds"]
    gone = weakref.ref(widget)
    del widget, session
    qtbot.waitUntil(lambda: gc.collect() is not None and gone() is None, timeout=PATIENCE)


def test_closing_the_viewer_while_it_fits(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(), name="clouds")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    viewer.close()
    _drain()
    assert not widget.session.running


def test_without_an_image_nothing_can_be_fitted(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    assert not widget.fit_bar.fit.isEnabled()
    assert widget.message.text() == "Open an image, or a sample from File → Open Sample."
    widget.fit()  # by a shortcut, say
    assert "There is no image to fit" in widget.message.text()
    viewer.add_image(clouds(1)[0], name="cloud")
    assert widget.fit_bar.fit.isEnabled()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda _q, v, _w: v.add_image(np.zeros((8, 9, 3)), rgb=True, name="photo"), "'photo' is an RGB image"),
        (lambda _q, v, _w: v.add_image(np.full((20, 30), np.nan), contrast_limits=(0, 1)), "are NaN or infinite"),
        (lambda q, v, w: _with(q, v, w, "lower", "9"), None),
        (lambda q, v, w: _with(q, v, w, "upper", "-1"), "is not below its upper bound"),
        (lambda q, v, w: _with(q, v, w, "start", "-2"), "is outside its bounds"),
        (lambda q, v, w: _with(q, v, w, "start", "two"), "'two', which is not a number"),
        (lambda q, v, w: _with(q, v, w) or w.region.draw_button.click(), "holds no shapes; draw"),
    ],
)
def test_a_mistake_is_a_sentence_in_the_widget(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], prepare: Callable[..., Any], sentence: str | None
) -> None:
    viewer, widget = opened
    prepare(qtbot, viewer, widget)
    click_fit(qtbot, widget)
    if sentence is None:
        assert widget.message.text().startswith("1 fit")
        return
    assert widget.message.text().startswith("⚠")
    assert sentence in widget.message.text()
    assert "\n" not in widget.message.text()


def _with(qtbot: Any, viewer: Any, widget: ImageFitWidget, field: str = "", text: str = "") -> None:
    viewer.add_image(clouds(1)[0], name="cloud")
    widget.model.set_model("gaussian_2d")
    if field:
        write(qtbot, widget.parameters.unfold("sigma").lines[field], text)  # type: ignore[index]


def write(qtbot: Any, line: QLineEdit, text: str) -> None:
    """Type into a field, in place of what is there."""
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def test_pixels_that_are_not_finite_are_counted(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    data = clouds(1)[0]
    data[3, 4:9] = np.nan
    data[20, 20] = np.inf
    viewer.add_image(data, name="cloud", contrast_limits=(0, 1))
    click_fit(qtbot, widget)
    assert "6 samples that are NaN or infinite were left out" in widget.message.text()


def test_combos_follow_the_layers(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    combo = widget.data.layers
    first = viewer.add_image(clouds(), name="a")
    second = viewer.add_image(clouds(), name="b")
    assert widget.data.image is first, "a choice is not lost to a newcomer"
    first.name = "renamed"
    assert combo.currentText() == "renamed"
    viewer.layers.move(0, 2)
    assert widget.data.image is first
    viewer.layers.remove(first)
    assert widget.data.image is second
    viewer.layers.clear()
    assert widget.data.image is None
    assert combo.count() == 0


def test_a_sample_is_not_fitted_in_the_region_of_another(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    for name in ("phantom", "trouble"):
        viewer.open_sample("napari-imagefit", name)
    assert widget.data.image.name == "decays with trouble"
    assert widget.region.layer is None
    widget.data.layers.choose(viewer.layers["multi-echo phantom"])
    assert widget.region.layer is viewer.layers["compartments"]
    # one that was drawn is nobody's but the user's
    own = viewer.add_labels(np.ones((4, 4), int), name="own")
    widget.region.layers.choose(own)
    widget.data.layers.choose(viewer.layers["decays with trouble"])
    assert widget.region.layer is own


def test_draw_makes_a_layer_to_draw_in(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(), name="clouds", scale=(1, 0.5, 0.5), translate=(0, 7, 9))
    widget.region.draw_button.click()
    drawn = widget.region.layer
    assert drawn is viewer.layers["ROI"]
    assert drawn.ndim == 2
    assert drawn.mode == "add_rectangle"
    np.testing.assert_array_equal(drawn.scale, [0.5, 0.5])
    np.testing.assert_array_equal(drawn.translate, [7, 9])


def test_what_was_typed_outlives_another_layer(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(), name="a")
    widget.model.set_model("gaussian_2d")
    write(qtbot, widget.parameters.unfold("sigma").lines["start"], "4.5")
    viewer.add_image(clouds(), name="b", units=("s", "um", "um"))
    widget.data.layers.setCurrentText("b")
    assert widget.parameters.unfold("sigma").lines["start"].text() == "4.5"
    assert widget.parameters.tree.item_of("sigma").text(NAME) == "σ [µm]"
    assert widget.choices().rows[3].start == 4.5


def test_status_of_every_value_has_words() -> None:
    assert all(status.message for status in Status)


def test_a_sample_forgets_what_was_typed_for_its_model(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    widget.model.set_model("bimodal_2d")
    widget.parameters.set_row(Row("offset", 5.0, fixed=True))
    viewer.open_sample("napari-imagefit", "clouds")
    assert widget.model.model.name == "bimodal_2d"
    assert widget.parameters.rows() == tuple(Row(name) for name in widget.model.model.names)
