"""The inspector's dock: how it opens, what it says at first, and what it lets go of when it is closed."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.inspector.inspector_dock import ROOMY, Inspection
from napari_imagefit.gui.plots.styles import CHOSEN as CHOSEN_FIT
from napari_imagefit.layers.geometry.output_layers import role_of
from napari_imagefit.layers.inspection.marks import PINS, find_mark
from napari_imagefit.layers.request.fit_request import Outcome

from .inspector_help import assert_shows, fit, lines
from .pointer import click, pixel_of, until

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
# Compiling on a busy machine with two cores has taken 15 s.
PATIENCE = 120_000


def test_a_closed_dock_lets_go_of_everything(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    callbacks = len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    viewer.reset_view()
    click(viewer, (0, 2, 2))
    assert len(viewer.mouse_move_callbacks) == callbacks[0] + 1
    assert [str(key) for key in viewer.keymap] == ["Escape"]
    viewer.window.remove_dock_widget(inspector)
    assert inspection.pinned == {"A": (2, 2)}, "the dock's numbers are still about them"
    assert find_mark(viewer.layers, PINS) is not None
    viewer.window.resize(1600, 900)
    until(lambda: viewer.window.geometry()[2] >= ROOMY, "the window is wide")
    inspection.feed(outcome)
    assert not inspection.inspectors(), "whoever closed it does not want it back with the next fit"
    gone = weakref.ref(inspector)
    del inspector
    until(lambda: gc.collect() is not None and gone() is None, "the inspector is let go of")
    again = inspection.open()
    assert again.looking is inspection, "the button brings it back, with the last fit"
    assert inspection.open() is again
    inspection.tidy()
    inspection.close()
    assert inspection.outcome is outcome, "an inspector that is open goes on"
    viewer.window.remove_dock_widget(again)
    assert (len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)) == callbacks
    assert inspection.outcome is None
    assert not viewer.keymap
    assert find_mark(viewer.layers, PINS) is None


def test_it_opens_by_itself_only_in_a_wide_window_and_crops_nothing(viewer: Any) -> None:
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    outcome = fit(viewer, image)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    assert not inspection.inspectors()
    height = viewer.canvas.size[0]
    viewer.window.resize(1560, 900)
    until(lambda: viewer.window.geometry()[2] >= ROOMY, "the window is wide")
    pixel_of(viewer, (0, 0, 0))
    viewer.reset_view()
    inspection.feed(outcome)
    (inspector,) = inspection.inspectors()
    until(lambda: abs(inspector.parentWidget().height() - 300) < 40, "the dock has a third of the height")
    until(lambda: viewer.canvas.size[0] < 0.8 * height, "the canvas has made room")
    pixel_of(viewer, (0, 0, 0))
    zoom = viewer.scene.camera.zoom
    viewer.reset_view()
    assert viewer.scene.camera.zoom == pytest.approx(zoom), "the whole image is in view without Home"
    inspection.close()


def test_opened_from_the_menu_it_finds_the_last_fit(viewer: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    image = viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    _, inspector = viewer.window.add_plugin_dock_widget("napari-imagefit", "Inspect fits")
    assert "Nothing has been fitted yet" in inspector.hint.text()
    assert not inspector.note.text(), "it is said once"
    outcome = fit(viewer, image)
    widget.session.finished.emit(outcome)
    assert inspector.looking.outcome.result is outcome.result
    assert widget.inspection.inspectors() == [inspector], "not a second one"


def test_after_the_widget_s_own_fit_a_real_click_shows_the_voxel(viewer: Any, qtbot: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(lines(), name="lines", contrast_limits=(0, 400))
    qtbot.mouseClick(widget.data._buttons["voxels"], Qt.MouseButton.LeftButton)
    widget.model.set_model("linear")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    inspector = widget.inspection.open()
    viewer.reset_view()
    click(viewer, (0, 3, 8))
    assert_shows(inspector, widget.inspection.outcome, "A", (3, 8))
    assert {role_of(layer, widget.inspection.outcome.request.group) for layer in viewer.layers} >= {"param:slope"}


def test_without_anything_to_look_at_it_says_what_to_do(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, outcome = inspected
    inspector.looking.look_at(None)  # the pointer may stand over the canvas already
    assert inspector.hint.isVisible()
    assert inspector.hint.text().startswith("Move the pointer over the fit")
    inspector.looking.look_at((3, 3))
    assert not inspector.hint.isVisible()
    assert_shows(inspector, outcome, CHOSEN_FIT, (3, 3))
    viewer.layers.remove(viewer.layers["lines"])
    assert inspector.hint.isVisible()
    assert not inspector.bar.pin.isEnabled()
