"""The controls for voxels, used with mouse and keyboard: what they say becomes what is fitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QLineEdit,
    QMenu,
    QTableWidget,
    QTreeWidget,
    QWidget,
)

from napari_imagefit import Selection
from napari_imagefit.gui.parameter_table.parameter_tree import NAME
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.request.choices import Computing, Coordinates, NoiseChoice

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 120_000  # ms


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    """Echoes of 4 × 5 voxels, to be fitted along the first of three axes."""
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    t = np.arange(6.0)[:, None, None]
    data = 2 * np.exp(-t / np.linspace(1, 3, 20).reshape(1, 4, 5))
    viewer.add_image(data, name="echoes", scale=(8, 1, 1), units=("ms", "um", "um"), axis_labels=("echo", "y", "x"))
    widget.data.set_job("voxels")
    return viewer, widget


def pick(qtbot: Any, combo: QComboBox, text: str) -> None:
    """Choose an entry with the keyboard, as one that is searched for."""
    combo.setFocus()
    for _ in range(combo.count()):
        if combo.currentText() == text:
            return
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    if combo.currentText() != text:
        for _ in range(combo.count()):
            qtbot.keyClick(combo, Qt.Key.Key_Up)
            if combo.currentText() == text:
                return
    assert combo.currentText() == text


def write(qtbot: Any, edit: QLineEdit, text: str) -> None:
    """Type into a field, in place of what is there."""
    qtbot.mouseClick(edit, LEFT)
    edit.selectAll()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def open_fold(qtbot: Any, fold: Any) -> None:
    assert not fold.content.isVisible()
    qtbot.mouseClick(fold.button, LEFT)
    assert fold.content.isVisible()


def test_coordinates_by_each_way(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget = opened
    edit = widget.data.coordinates
    tau = widget.parameters.tree.item_of("tau")
    assert edit.preview.text() == "0, 8, 16 … 40 ms"
    assert tau.text(NAME) == "τ [ms]"

    pick(qtbot, edit.kinds, "index")
    assert edit.preview.text() == "0, 1, 2 … 5"
    assert tau.text(NAME) == "τ"

    pick(qtbot, edit.kinds, "start + step")
    write(qtbot, edit.start, "10")
    write(qtbot, edit.step, "2.5")
    write(qtbot, edit.unit, "s")
    assert widget.choices().coordinates == Coordinates("steps", 10, 2.5, unit="s")
    assert edit.preview.text() == "10, 12.5, 15 … 22.5 s"
    assert tau.text(NAME) == "τ [s]"

    pick(qtbot, edit.kinds, "typed or pasted values")
    write(qtbot, edit.values, "1, 2 4;8 16")
    assert edit.preview.text().startswith("⚠ 5 coordinates were typed, but the stack has 6 samples")
    write(qtbot, edit.values, "1, 2 4;8 16 32")
    assert widget.choices().coordinates == Coordinates("typed", values=(1, 2, 4, 8, 16, 32), unit="s")

    table = tmp_path / "times.csv"
    table.write_text("shot,time\n" + "".join(f"{i},{i / 2}\n" for i in range(6)))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(table), ""))
    pick(qtbot, edit.kinds, "column of a file")
    qtbot.mouseClick(edit.file_button, LEFT)
    assert edit.file_button.text() == "times.csv"
    # the name is not cut off, nor is that of the column
    qtbot.wait(50)
    assert widget.width() < 340
    for control, name in ((edit.file_button, "a name of 20 letters"), (edit.column, "column 3")):
        assert control.width() > control.fontMetrics().horizontalAdvance(name) + 20
    pick(qtbot, edit.column, "time")
    assert widget.choices().coordinates == Coordinates("column", values=(0, 0.5, 1, 1.5, 2, 2.5), unit="s")
    table.write_text("nothing\n")
    qtbot.mouseClick(edit.file_button, LEFT)
    assert edit.preview.text() == "⚠ times.csv has no column of numbers only; choose another file."


def test_axes_have_names_and_numbers(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    axis = widget.data.axis
    assert [axis.itemText(i) for i in range(3)] == [
        "echo (axis 0) · 6 samples · ms",
        "y (axis 1) · 4 samples · µm",
        "x (axis 2) · 5 samples · µm",
    ]
    axis.setFocus()
    qtbot.keyClick(axis, Qt.Key.Key_Down)
    assert widget.choices().axis == 1
    assert widget.data.coordinates.preview.text() == "0, 1, 2 … 3 µm"


def test_samples(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    samples = widget.samples
    assert widget.choices().select is None
    open_fold(qtbot, widget.samples_fold)
    qtbot.keyClick(samples.first, Qt.Key.Key_Up)
    write(qtbot, samples.exclude, "20..30")
    write(qtbot, samples.floor, "0.1")
    write(qtbot, samples.saturation, "3")
    write(qtbot, samples.signal, "0.5")
    assert widget.choices().select == Selection(1, 0, ((20, 30),), 0.1, 3, 0.5)
    title = "Samples · without the first 1, ranges excluded, ≥ 0.1, < 3, signal ≥ 0.5"
    assert widget.samples_fold.button.text() == title
    write(qtbot, samples.exclude, "30..20")
    assert "'30..20' is no range" in widget.samples_fold.button.text()
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert widget.message.text().startswith("⚠ '30..20' is no range of coordinates")


def test_options(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    options = widget.options
    open_fold(qtbot, widget.options_fold)
    assert not options.sigma.isVisible()
    assert not options.gain.isVisible()
    pick(qtbot, options.noise, "Gaussian, known σ")
    write(qtbot, options.sigma, "0.2")
    pick(qtbot, options.loss, "huber")
    write(qtbot, options.f_scale, "2.5")
    qtbot.keyClick(options.iterations, Qt.Key.Key_Up)
    write(qtbot, options.tolerance, "1e-6")
    pick(qtbot, options.precision, "single (float32)")
    pick(qtbot, options.device, "cpu")
    choices = widget.choices()
    assert choices.noise == NoiseChoice("sigma", 0.2)
    assert choices.computing == Computing("huber", 2.5, 101, 1e-6, "float32", "cpu")
    assert widget.options_fold.button.text() == "Options · Gaussian, known σ, huber, float32, cpu"

    level = viewer.add_image(np.full((4, 5), 0.3), name="level")
    pick(qtbot, options.sigma_layer, "level")
    assert not options.sigma.isVisible()
    assert widget.choices().noise.sigma is level
    pick(qtbot, options.noise, "Camera: gain, offset, read noise")
    assert options.loss.currentText() == "linear"
    assert not options.loss.isEnabled()
    write(qtbot, options.gain, "2")
    write(qtbot, options.read_noise, "1.5")
    assert widget.choices().noise == NoiseChoice("camera", None, 2, 0, 1.5)
    write(qtbot, options.gain, "two")
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert widget.message.text() == "⚠ The gain is 'two', which is no finite number; type one, or clear the field."


def test_rician_noise_is_for_curves(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    open_fold(qtbot, widget.options_fold)
    pick(qtbot, widget.options.noise, "Rician magnitude (MRI)")
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert "Rician noise was chosen without a σ" in widget.message.text()
    qtbot.mouseClick(widget.data._buttons["region"], LEFT)
    assert widget.options.kind == "unknown"


def test_a_layer_is_offered_for_a_parameter(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    background = viewer.add_image(np.zeros((4, 5)), name="background")
    fields = widget.parameters.unfold("offset")
    qtbot.mouseClick(fields.layer_button, LEFT)
    menu = next(menu for menu in fields.findChildren(QMenu) if menu.isVisible())
    assert [action.text() for action in menu.actions()] == [
        "Fix offset to layer", "Start offset from layer", "Estimate offset from the data",
    ]  # fmt: skip
    fix = menu.actions()[0].menu()
    fix.popup(menu.mapToGlobal(QPoint(20, 20)))
    qtbot.mouseClick(fix, LEFT, pos=fix.actionGeometry(fix.actions()[0]).center())
    menu.close()
    row = widget.choices().rows[2]
    assert row.fixed
    assert row.start is background
    assert fields.lines["start"].text() == "layer:background"

    viewer.layers.remove(background)
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert widget.message.text().startswith("⚠ There is no layer 'background'")


def test_ties_are_checked_as_they_are_typed(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    fields = widget.parameters.unfold("offset")
    write(qtbot, fields.lines["tie"], "= 0.1*amplitude")
    assert widget.choices().rows[2].tied == "0.1*amplitude"
    write(qtbot, fields.lines["tie"], "0.1*height")
    assert "height" in fields.lines["tie"].toolTip()
    assert "height" in fields.trouble.text()
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert widget.message.text().startswith("⚠")
    assert "height" in widget.message.text()


def test_starts_from_the_mean_curve(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    assert widget.choices().mean == "no"
    assert not widget.region.factor.isVisible()
    pick(qtbot, widget.region.means, "near the mean curve")
    write(qtbot, widget.region.factor, "2")
    assert (widget.choices().mean, widget.choices().factor) == ("bounds", 2)


def test_draw_turns_the_view_to_the_plane(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.layers.clear()
    viewer.add_image(np.ones((3, 4, 5, 16)), name="dwi")
    widget.data.set_axis(3)
    qtbot.mouseClick(widget.region.draw_button, LEFT)
    assert viewer.dims.displayed == (1, 2)
    drawn = widget.region.layer
    assert drawn is not None
    assert drawn.ndim == 4
    drawn.add([[1, 0, 1, 0], [1, 0, 3, 0], [1, 2, 3, 0], [1, 2, 1, 0]], shape_type="rectangle")
    mask = widget._request().mask
    assert mask is not None
    assert np.argwhere(mask[0]).tolist() == [[r, c] for r in range(3) for c in range(1, 4)]
    # that layer lies over another plane
    widget.data.set_axis(0)
    qtbot.mouseClick(widget.region.draw_button, LEFT)
    assert widget.region.layer is not drawn
    assert widget.region.layer.ndim == 2


def test_every_control_says_what_it_does_and_is_reached_by_the_keyboard(opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    widget.results_fold.show()
    for fold in (widget.samples_fold, widget.options_fold, widget.results_fold):
        fold.set_open(True)
    widget.parameters.unfold("offset")
    controls = [
        control
        for control in widget.findChildren(QWidget)
        if control.isVisible()
        and isinstance(control, QAbstractButton | QAbstractSpinBox | QComboBox | QLineEdit)
        and not isinstance(control.parent(), QHeaderView | QTableWidget | QTreeWidget)
        and not (
            isinstance(control, QLineEdit)
            and isinstance(control.parent(), QWidget)
            and "SpinBox" in type(control.parent()).__name__
        )
    ]
    assert len(controls) > 30
    for control in controls:
        what = getattr(control, "text", str)() or control.accessibleName() or control.objectName()
        assert control.toolTip(), what
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, what


def test_the_column_scrolls_where_the_window_is_low(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.window.resize(1280, 620)
    widget.samples_fold.set_open(True)
    widget.options_fold.set_open(True)
    qtbot.waitUntil(lambda: widget.column.verticalScrollBar().maximum() > 0, timeout=PATIENCE)
    assert widget.fit_bar.fit.isVisible()

    def bottom() -> int:
        return int(widget.fit_bar.mapTo(widget, widget.fit_bar.rect().bottomLeft()).y())

    qtbot.waitUntil(lambda: bottom() < widget.height(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: widget.column.widget().width() <= widget.column.viewport().width(), timeout=PATIENCE)
    # longer names need no more room
    widget.data.set_job("region")
    widget.model.set_model("bimodal_2d")
    widget.results_fold.show()
    widget.results_fold.set_open(True)
    qtbot.wait(50)
    assert widget.column.widget().width() <= widget.column.viewport().width()
