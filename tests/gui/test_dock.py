"""The dock's frame: its width, its bar, regions drawn and typed, and which values it shows."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, QRect, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QWidget,
)

from napari_imagefit import _lazy
from napari_imagefit.gui.canvas.draw_once import TOO_SMALL
from napari_imagefit.gui.parameter_table.parameter_tree import VALUES
from napari_imagefit.gui.spots import controller
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.gui.widgets.theme import READABLE, contrast, warning_colour

from .cloud_help import clouds
from .pointer import canvas_of, drag, pixel_of, until

PATIENCE = 120_000
LEFT = Qt.MouseButton.LeftButton
LONG = "a long name, " * 9 + "end"
SAMPLES = ("clouds", "phantom", "spots", "hubble")


def fit_and_wait(qtbot: Any, widget: ImageFitWidget) -> None:
    widget.fit_bar.asked.emit()
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)


def out_of_place(widget: ImageFitWidget) -> list[str]:
    """Every visible control that is not within the dock's width, or not within the column that scrolls."""
    found = []
    for control in widget.findChildren(QWidget):
        if not control.isVisible() or not isinstance(
            control, QAbstractButton | QComboBox | QLineEdit | QAbstractSpinBox
        ):
            continue
        frame: QWidget = widget
        above = control.parentWidget()
        while above is not None and above is not widget:
            if isinstance(above, QScrollArea):
                frame = above.widget()
            if above is widget.parameters:  # its cells scroll
                break
            above = above.parentWidget()
        if above is widget.parameters:
            continue
        place = QRect(control.mapTo(frame, QPoint(0, 0)), control.size())
        if place.left() < 0 or place.right() > frame.width() or place.bottom() > frame.height() or place.width() < 18:
            found.append(f"{type(control).__name__} {control.accessibleName() or control.toolTip()} {place}")
    return found


def open_all(widget: ImageFitWidget) -> None:
    widget.results_fold.show()
    widget.region.numbers_button.setChecked(True)
    for fold in (widget.data_card, widget.model_card, widget.results_fold, widget.options_fold):
        fold.set_open(True)
    widget.samples_fold.set_open(True)
    widget.spots.fold.set_open(True)
    widget.options.noise.setCurrentIndex(widget.options.noise.findData("camera"))


# each sample in a window of its own: napari on Mesa ends in a crash when shapes come after others went
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("size", [(1100, 700), (1280, 720)])
def test_every_control_lies_in_the_window_whatever_it_is_told(
    shown: tuple[Any, ImageFitWidget], size: tuple[int, int], sample: str
) -> None:
    viewer, widget = shown
    viewer.window.resize(*size)
    window = viewer.window._qt_window
    viewer.open_sample("napari-imagefit", sample)
    open_all(widget)
    for kind in range(widget.data.coordinates.kinds.count()):
        widget.data.coordinates.kinds.setCurrentIndex(kind)
        QTest.qWait(20)
        assert not out_of_place(widget), sample
        assert widget.column.widget().width() <= widget.column.viewport().width()
    viewer.layers[0].name = LONG
    widget.samples.exclude.setText("no range " * 40)
    widget.options.tolerance.setText("1e999")
    widget.samples.changed.emit()
    widget.options.changed.emit()
    for text in ("W" * 300, "word " * 60, "🎈" * 300, "line\n" * 40):
        widget.say(text, problem=True)
        QTest.qWait(20)
        assert widget.width() <= 340
        assert (window.width(), window.height()) == size
        assert widget.message.height() <= 110
        assert widget.fit_bar.fit.isVisible()
        bottom = widget.message.mapTo(window, widget.message.rect().bottomLeft()).y()
        assert bottom <= window.height()
        assert not out_of_place(widget), sample
    assert widget.message.text().startswith("⚠ Line")


def test_the_button_fits_what_was_chosen_last(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    bar = widget.fit_bar
    assert not bar.fit.isEnabled()
    assert "no image" in bar.fit.toolTip()
    assert not bar.more.isVisible()
    viewer.add_image(clouds(), name="clouds")
    assert bar.fit.isEnabled()
    assert bar.fit.text() == "F&it all frames"
    viewer.dims.set_current_step(0, 1)
    bar.actions_of["current"].trigger()
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    assert widget.message.text().startswith("1 fit ·")
    assert bar.fit.text() == "F&it this frame"
    assert widget.choices().frames == "current"
    # each job has its own choice, and keeps it
    widget.data.set_job("voxels")
    assert bar.fit.text() == "F&it"
    assert widget.choices().frames == "all"
    widget.data.set_job("spots")
    assert [bar.actions_of[one].isVisible() for one in ("all", "current", "drawn")] == [True, True, False]
    widget.data.set_job("region")
    assert widget.choices().frames == "current"


def test_counts_lead_to_the_fits(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    data = clouds(4)
    data[[0, 2]] = np.random.default_rng(1).normal(0, 0.03, (2, 40, 50))  # nothing to be fitted there
    viewer.add_image(data, name="clouds")
    bar = widget.fit_bar
    assert not bar.line.isVisible()
    fit_and_wait(qtbot, widget)
    numbers = {kind: int(chip.text().split()[-1]) for kind, chip in bar.chips.items()}
    result = widget.follow_ups.outcome.result
    assert numbers["converged"] == result.converged.sum()
    assert numbers["converged"] + numbers["failed"] == 4
    assert bar.took.text().endswith(" s")
    assert bar.chips["converged"].accessibleName().startswith(f"{numbers['converged']} converged")
    for kind, chip in bar.chips.items():
        assert chip.isEnabled() == (numbers[kind] > 0)
        assert chip.focusPolicy() & Qt.FocusPolicy.TabFocus
    good = np.flatnonzero(result.converged.ravel()).tolist()
    seen = []
    for _ in range(len(good) + 1):
        qtbot.mouseClick(bar.chips["converged"], LEFT)
        seen.append(viewer.dims.current_step[0])
        assert widget.parameters.tree.headerItem().text(VALUES).endswith(f"frame {seen[-1]}")
    assert seen == [*good, good[0]]
    # of another image nothing is known
    viewer.add_image(clouds(2), name="other")
    widget.data.layers.setCurrentText("other")
    assert not bar.line.isVisible()


def test_a_drawn_shape_ends_the_drawing(qtbot: Any, shown: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = shown
    viewer.window.resize(1280, 720)
    viewer.add_image(clouds(), name="clouds")
    qtbot.mouseClick(widget.region.draw_button, LEFT)
    layer = widget.region.layer
    drag(viewer, (0, 10, 12), (0, 30, 32))
    until(lambda: layer.mode == "pan_zoom", "the tool is put back")
    assert layer.nshapes == 1

    # a further region is a further shape of the same layer, seen again
    layer.visible = False
    qtbot.mouseClick(widget.region.draw_button, LEFT)
    assert widget.region.layer is layer
    assert layer.visible
    drag(viewer, (0, 5, 36), (0, 30, 46))
    until(lambda: layer.mode == "pan_zoom", "the tool is put back")
    assert layer.nshapes == 2

    # a click that was no drag leaves nothing behind
    qtbot.mouseClick(widget.region.draw_button, LEFT)
    QTest.mouseClick(canvas_of(viewer).native, LEFT, pos=pixel_of(viewer, (0, 10, 12)))
    until(lambda: layer.mode == "pan_zoom", "the tool is put back")
    assert layer.nshapes == 2
    assert TOO_SMALL in widget.message.text()

    qtbot.mouseClick(widget.region.draw_button, LEFT)
    assert layer.mode == "add_rectangle"
    canvas_of(viewer).native.setFocus()
    QTest.keyClick(canvas_of(viewer).native, Qt.Key.Key_Escape)
    until(lambda: layer.mode == "pan_zoom", "Esc ends it")
    assert layer.nshapes == 2
    assert [layer for layer in viewer.layers if layer._type_string == "shapes"] == [widget.region.layer]


def test_maps_are_whole_in_view_when_the_inspector_opens(qtbot: Any, shown: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = shown
    viewer.window.resize(1600, 900)
    b = np.arange(8.0)
    viewer.add_image(3 * np.exp(-b / np.linspace(1, 4, 54).reshape(6, 9, 1)), name="diffusion")
    widget.data.set_job("voxels")
    widget.data.set_axis(2)
    fit_and_wait(qtbot, widget)
    until(lambda: bool(widget.inspection.inspectors()), "the inspector is open")
    canvas = canvas_of(viewer).native
    # it takes its place in several steps
    until(lambda: canvas.height() < 600, "there is room for it")
    assert viewer.dims.displayed == (0, 1)
    for corner in ((0, 0, 0), (5, 8, 0)):
        assert canvas.rect().contains(pixel_of(viewer, corner))


def test_regions_by_numbers(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(), name="clouds", scale=(1, 0.5, 0.5), translate=(0, 7, 9), units=("s", "um", "um"))
    numbers = widget.region.numbers

    def give(*typed: str) -> None:
        for edit, text in zip(numbers.edits.values(), typed, strict=True):
            edit.setText(text)

    for typed, words in [
        (("", "", "5", "5"), "type y and x."),
        (("nan", "1", "5", "5"), "'nan', which is no finite number"),
        (("1e999", "1", "5", "5"), "no finite number"),
        (("4", "6", "1", "5"), "The height must be at least 2 pixels, got 1."),
        (("400", "6", "9", "5"), "The region must lie in the image, which has 40 × 50 pixels"),
    ]:
        give(*typed)
        numbers.add_button.click()
        assert words in widget.message.text()
        assert widget.region.layer is None

    give("10", "20", "8", "6")
    numbers.add_button.click()
    assert widget.message.text() == ""
    layer = widget.region.layer
    assert layer.nshapes == 1
    request = widget._request()
    rows, columns = np.unravel_index(request.regions[0].pixels, (40, 50))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 17, 20, 25)

    numbers.place.setCurrentText("centre")
    assert [edit.text() for edit in numbers.edits.values()] == ["13.5", "22.5", "8", "6"]
    numbers.units.setCurrentText("µm")
    assert [edit.text() for edit in numbers.edits.values()] == ["13.75", "20.25", "4", "3"]
    numbers.edits["height"].setText("5")
    numbers.kinds.setCurrentText("ellipse")
    numbers.change_button.click()
    assert layer.nshapes == 1
    assert layer.shape_type == ["ellipse"]
    numbers.units.setCurrentText("px")
    numbers.place.setCurrentText("corner")
    assert [edit.text() for edit in numbers.edits.values()] == ["9", "20", "10", "6"]

    # a second one; the selected one is shown
    give("1", "2", "4", "4")
    numbers.add_button.click()
    assert layer.nshapes == 2
    layer.selected_data = {0}
    assert numbers.edits["y"].text() == "9"
    layer.selected_data = {0, 1}
    assert not numbers.change_button.isEnabled()


def test_values_are_those_of_one_fit_or_say_of_how_many(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(clouds(2), name="clouds")
    drawn = viewer.add_shapes(
        [[[4, 6], [4, 45], [34, 45], [34, 6]], [[0, 0], [0, 6], [6, 6], [6, 0]]], shape_type="rectangle", name="ROI"
    )
    widget.region.layers.choose(drawn)
    fit_and_wait(qtbot, widget)
    table = widget.parameters
    # of two regions no median: the one nearest to the middle of the screen
    assert table.tree.headerItem().text(VALUES) == f"ROI 1 · frame {viewer.dims.current_step[0]}"
    result = widget.follow_ups.outcome.result
    assert (
        table.tree.item_of("y").text(VALUES).startswith(f"{result.params['y'][viewer.dims.current_step[0], 0]:.3f}"[:5])
    )
    widget.inspection.look_at((0, 1))
    assert table.tree.headerItem().text(VALUES) == "ROI 2 · frame 0"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_problem_can_be_read_in_both_themes(opened: tuple[Any, ImageFitWidget], theme: str) -> None:
    from napari.utils.theme import get_theme
    from qtpy.QtGui import QColor

    viewer, widget = opened
    widget.say("something", problem=True)
    viewer.theme = theme
    background = QColor(get_theme(theme).background.as_hex("long"))
    assert contrast(QColor(warning_colour(viewer)), background) >= READABLE
    assert warning_colour(viewer) in widget.message.styleSheet()


def test_what_another_layer_or_noise_has_no_use_for_comes_back(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    options, detect = widget.options, widget.spots.detect
    viewer.add_image(clouds(), name="stack")
    viewer.add_image(clouds(1)[0], name="plane")

    widget.data.set_job("voxels")
    widget.data.set_axis(2)
    options.loss.setCurrentText("huber")
    options.noise.setCurrentIndex(options.noise.findData("rician"))
    options.sigma.setText("3")
    assert options.loss.currentText() == "linear"
    widget.data.layers.setCurrentText("plane")
    assert widget.data.chosen_axis == 0
    widget.data.layers.setCurrentText("stack")
    assert widget.data.chosen_axis == 2
    widget.data.set_job("spots")
    assert options.kind == "unknown"
    assert options.loss.currentText() == "huber"
    widget.data.set_job("voxels")
    assert (options.kind, options.sigma.text()) == ("rician", "3")

    widget.data.set_job("spots")
    detect.set_space(3)
    widget.data.layers.setCurrentText("plane")
    assert detect.ndim == 2
    widget.data.layers.setCurrentText("stack")
    assert detect.ndim == 3


def test_the_wheel_over_a_field_scrolls_and_changes_nothing(opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    for field in (widget.options.loss, widget.options.iterations):
        before = field.currentText() if isinstance(field, QComboBox) else field.text()
        turn = QWheelEvent(
            QPointF(5, 5),
            field.mapToGlobal(QPointF(5, 5)),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field, turn)
        assert (field.currentText() if isinstance(field, QComboBox) else field.text()) == before


def test_opening_waits_for_no_module(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only fits and other docks need is imported in the background."""
    viewer = make_napari_viewer()
    viewer.add_image(clouds())
    imported, asked = _lazy.imported, []

    def ask(name: str) -> Any:
        if threading.current_thread() is threading.main_thread():
            asked.append(name)
        return imported(name)

    monkeypatch.setattr(_lazy, "imported", ask)
    monkeypatch.setattr(controller, "is_imported", lambda _module: False)  # as in a new process
    viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    assert not asked
