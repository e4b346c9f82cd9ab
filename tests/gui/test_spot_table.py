"""The dock of spots: table and viewer show the same selection, and pictures of beads are those of the spots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_imagefit.gui.plots.panel import NAMED
from napari_imagefit.gui.spots.bead_view import BeadView
from napari_imagefit.gui.spots.docks import bring_forward, find_dock
from napari_imagefit.gui.spots.table import SpotTable, SpotTableModel
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.inspection.marks import PINS, find_mark

from .pointer import move, until
from .spot_help import LEFT, PATIENCE, choose, click_fit, dock_of, fit_beads, write

WIDTH = "sigma [px]"


@pytest.fixture
def fitted(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    return fit_beads(qtbot, make_napari_viewer)


def click_row(qtbot: Any, table: SpotTable, row: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    cell = table.visualRect(table.rows.index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), LEFT, modifier, cell)


def column_of(table: SpotTable, name: str) -> list[str]:
    column = table.rows.names.index(name)
    return [table.rows.index(row, column).data() for row in range(table.rows.rowCount())]


def test_a_failed_spot_stays_with_its_reason(fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    assert dock.summary.text() == "16 spots · 15 count · ✚ 1 failed"
    assert layer.symbol[15].value == "cross"
    assert layer.features["reason"][15] == "not fitted: fewer usable samples than free parameters"
    np.testing.assert_array_equal(layer.data[15], [0, 47, 56])
    assert np.isnan(layer.features[WIDTH][15])
    assert (layer.features["reason"][:15] == "").all()


def test_a_row_shows_its_spot(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    layer, table = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer).table
    viewer.reset_view()
    centre = viewer.scene.camera.center
    click_row(qtbot, table, 11)
    assert set(layer.selected_data) == {11}
    assert viewer.dims.current_step[0] == layer.data[11, 0] == 2
    assert viewer.scene.camera.center == centre, "it is in sight"
    viewer.scene.camera.center = (0, 500, 500)
    table.clearSelection()
    click_row(qtbot, table, 11)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], layer.data[11, 1:], atol=1e-6)
    inspector = widget.inspection.open()
    assert inspector.place == (11,)
    qtbot.waitUntil(lambda: inspector.note.text().startswith("chosen · spot 11: converged"))
    click_row(qtbot, table, 13, Qt.KeyboardModifier.ShiftModifier)
    assert set(layer.selected_data) == {11, 12, 13}
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:2] == ["frame", "amplitude"]
    assert len(lines) == 4


def test_a_row_of_another_frame_shows_its_spot_wherever_the_pointer_was(
    qtbot: Any, fitted: tuple[Any, ImageFitWidget]
) -> None:
    viewer, widget = fitted
    layer, inspection = viewer.layers["beads · Gaussian · fitted spots"], widget.inspection
    viewer.dims.set_current_step(0, 0)
    viewer.reset_view()
    first = next(spot for spot in range(len(layer.data)) if layer.data[spot, 0] == 0)
    inspector = inspection.open()
    qtbot.waitUntil(inspector.isVisible)
    move(viewer, inspector, layer.data[first])
    assert inspection.place == (first,)
    qtbot.wait(200)  # until the screen, too, has told of the pointer's last move
    click_row(qtbot, dock_of(viewer).table, 11)
    assert viewer.dims.current_step[0] == 2
    qtbot.wait(200)  # in which a slider's move is followed
    assert inspection.place == inspector.place == (11,)
    assert "spot 11" in inspector.note.text()


def test_a_table_with_fewer_spots_than_were_selected_in_the_last(qtbot: Any) -> None:
    table = SpotTable()
    qtbot.addWidget(table)
    for n in (60, 6):
        facts = pd.DataFrame({"frame": np.arange(n), "reason": [""] * n})
        table.set_table(facts, np.full(n, "counts", object), np.ones(n, bool))
        if n == 60:
            table.select_spots(np.array([2, 50]))
    assert table.selected_spots().tolist() == [2]


def test_spots_that_are_selected_have_selected_rows(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    dock.table.sortByColumn(dock.table.rows.names.index(WIDTH), Qt.SortOrder.DescendingOrder)
    layer.selected_data = {2, 7, 8}
    assert set(dock.table.selected_spots()) == {2, 7, 8}
    dock.table.sortByColumn(dock.table.rows.names.index(WIDTH), Qt.SortOrder.AscendingOrder)
    assert set(dock.table.selected_spots()) == set(layer.selected_data) == {2, 7, 8}, "spots, not rows"
    choose(qtbot, dock.show_rows, "selected spots")
    assert set(dock.table.rows.order) == {2, 7, 8}
    choose(qtbot, dock.show_rows, "rejected and failed")
    assert column_of(dock.table, "reason") == ["not fitted: fewer usable samples than free parameters"]


def test_a_click_on_a_spot_selects_its_row(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    viewer.dims.set_current_step(0, 0)
    viewer.reset_view()
    spot = int(np.flatnonzero(layer.data[:, 0] == 0)[2])
    canvas = viewer.window._qt_viewer.canvas
    x, y = (canvas.view.transform * canvas.view.scene.transform).map([layer.data[spot, 2], layer.data[spot, 1]])[:2]
    where = QPoint(round(float(x)), round(float(y)))
    qtbot.mouseMove(canvas.native, where)
    qtbot.mouseClick(canvas.native, LEFT, pos=where)
    assert set(layer.selected_data) == {spot}
    assert list(dock.table.selected_spots()) == [spot]
    assert find_mark(viewer.layers, PINS) is not None, "the inspector pins it"


def test_sorting(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    dock = dock_of(viewer)
    column = dock.table.rows.names.index(WIDTH)
    header = dock.table.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(column) + header.sectionSize(column) // 2, header.height() // 2)
    qtbot.mouseClick(header.viewport(), LEFT, pos=where)
    values = column_of(dock.table, WIDTH)
    assert values[-1] == "—", "what has no value comes last"
    numbers = [float(value) for value in values[:-1]]
    assert numbers == sorted(numbers)
    qtbot.mouseClick(header.viewport(), LEFT, pos=where)
    values = column_of(dock.table, WIDTH)
    assert values[-1] == "—"
    assert [float(value) for value in values[:-1]] == numbers[::-1]


def test_pictures_of_beads(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    dock = dock_of(viewer)
    qtbot.mouseClick(dock.widths, LEFT)
    assert dock.summary.text() == "⚠ Widths are those of one spot; select one row."
    qtbot.mouseClick(dock.average, LEFT)
    qtbot.waitUntil(lambda: not widget.spots.beads.busy, timeout=PATIENCE)
    (view,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, BeadView))
    assert view.note.text().startswith("average of 15 spots · full width at half maximum: y ")
    click_row(qtbot, dock.table, 4)
    qtbot.mouseClick(dock.widths, LEFT)
    qtbot.waitUntil(lambda: view.note.text().startswith("spot 4 · "), timeout=PATIENCE)
    fwhm = viewer.layers["beads · Gaussian · fitted spots"].features["fwhm [px]"][4]
    assert f"y {fwhm:.3g} (fit)" in view.note.text()


def test_a_bead_is_high_enough_to_be_read_beside_the_inspector(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    viewer.window.resize(1280, 720)
    inspector = widget.inspection.open()
    until(lambda: abs(inspector.parentWidget().height() - 240) < 20, "the inspector has a third of the height")
    qtbot.mouseClick(dock_of(viewer).average, LEFT)
    qtbot.waitUntil(lambda: not widget.spots.beads.busy, timeout=PATIENCE)
    (view,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, BeadView))
    until(lambda: view.cuts[0].height() >= NAMED, "the axes have their names")
    assert viewer.window._qt_window.height() == 720


# napari's canvas answers a move of the pointer some milliseconds later, when its viewer may be gone
@pytest.mark.filterwarnings("ignore:Method has been garbage collected:RuntimeWarning")
def test_a_layer_that_was_edited_is_no_longer_linked(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    before = viewer.scene.camera.center
    layer.selected_data = {0}
    layer.remove_selected()
    layer.selected_data = set()
    click_row(qtbot, dock.table, 4)
    assert not layer.selected_data
    assert viewer.scene.camera.center == before, "another spot is not shown in its place"
    assert dock.summary.text().startswith("⚠ Points of the layer were added or deleted")
    assert dock.chosen().sum() == 15


def test_spots_too_scattered_for_rows_leave_no_others_selected(qtbot: Any) -> None:
    n = 10_000
    table = pd.DataFrame({"a": np.arange(float(n)), "reason": [""] * n})
    view = SpotTable()
    qtbot.addWidget(view)
    view.set_table(table, np.full(n, "counts", object), np.ones(n, bool))
    assert view.select_spots(np.array([3, 4, 5]))
    assert not view.select_spots(np.arange(0, n, 2))
    assert not view.selected_spots().size


def test_a_widget_that_is_opened_again_has_the_dock_again(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    dock = dock_of(viewer)
    viewer.window.remove_dock_widget(widget)
    assert dock.summary.text() == "The widget Image Fit was closed; open it and fit again."
    assert dock.outcome is None
    assert not dock.isEnabled()
    _, other = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    qtbot.mouseClick(other.data._buttons["spots"], LEFT)
    other.spots.section.layers.choose(viewer.layers["beads · detected points"])
    click_fit(qtbot, other)
    assert dock_of(viewer) is dock
    bring_forward(dock)
    choose(qtbot, dock.filters.column, WIDTH)
    qtbot.mouseClick(dock.filters.on, LEFT, pos=QPoint(8, dock.filters.on.height() // 2))
    write(qtbot, dock.filters.high, "1.75")
    assert dock.summary.text() == "16 spots · 9 count · × 6 filtered out · ✚ 1 failed"
    assert other.spots.filters == dock.filters.filters != ()
    assert other.follow_ups.outcome.request.filters == other.spots.filters
    qtbot.mouseClick(dock.average, LEFT)
    qtbot.waitUntil(lambda: not other.spots.beads.busy, timeout=PATIENCE)
    (view,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, BeadView))
    assert view.note.text().startswith("average of 9 spots")
    click_fit(qtbot, other)
    assert view.note.text().startswith("Of an earlier fit: average of 9 spots")


def test_closing_the_dock_lets_go(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    dock = dock_of(viewer)
    viewer.window.remove_dock_widget(dock)
    assert find_dock(viewer) is None
    viewer.layers["beads · Gaussian · fitted spots"].selected_data = {1}
    assert dock.outcome is None
    qtbot.mouseClick(widget.spots.section.table_button, LEFT)
    again = dock_of(viewer)
    assert again.summary.text() == "16 spots · 15 count · ✚ 1 failed"
    bring_forward(again)


def test_no_row_number_is_cut_off_and_other_columns_get_their_widths(qtbot: Any) -> None:
    table, many = SpotTable(), np.full(1200, "counts", object)
    qtbot.addWidget(table)
    table.resize(400, 300)
    table.show()
    table.set_table(pd.DataFrame({"a": np.arange(1200.0)}), many, np.ones(1200, bool))
    many = np.full(1200, "filtered", object)
    table.set_table(pd.DataFrame({"a": np.arange(1200.0)}), many, np.ones(1200, bool))
    header = table.verticalHeader()
    assert header.width() >= header.fontMetrics().horizontalAdvance("× 1199") + 8
    long = "a column with a long name [px]"
    table.set_table(pd.DataFrame({long: np.arange(1200.0)}), many, np.ones(1200, bool))
    assert table.columnWidth(0) >= header.fontMetrics().horizontalAdvance(long)


def test_a_hundred_thousand_rows_are_sorted_at_once(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt's own sorting asks Python for 10⁶ pairs of cells; this one only for those that are drawn."""
    asked = 0
    cell = SpotTableModel.data

    def counted(model: SpotTableModel, *args: Any) -> Any:
        nonlocal asked
        asked += 1
        return cell(model, *args)

    monkeypatch.setattr(SpotTableModel, "data", counted)
    rng = np.random.default_rng(0)
    n = 100_000
    table = pd.DataFrame({f"column {i}": rng.normal(size=n) for i in range(20)} | {"reason": [""] * n})
    view = SpotTable()
    qtbot.addWidget(view)
    view.set_table(table, np.full(n, "counts", object), np.ones(n, bool))
    view.show()
    view.sortByColumn(3, Qt.SortOrder.AscendingOrder)
    view.select_spots(np.arange(1000))
    view.selectAll()
    assert view.selected_spots().size == n
    assert (np.diff(table["column 3"].to_numpy()[view.rows.order]) >= 0).all()
    assert asked < 50_000


def test_a_bead_can_be_a_layer_and_goes_with_its_image(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    qtbot.mouseClick(dock_of(viewer).average, LEFT)
    qtbot.waitUntil(lambda: not widget.spots.beads.busy, timeout=PATIENCE)
    (view,) = (w for w in viewer.window.dock_widgets.values() if isinstance(w, BeadView))
    qtbot.mouseClick(view.add, LEFT)
    bead = viewer.layers["bead · average of 15 spots"]
    np.testing.assert_array_equal(bead.data, view.picture.values)
    middle = np.array(bead.data.shape) // 2
    np.testing.assert_allclose(bead.data_to_world(middle), 0, atol=1e-12)
    assert bead.data[tuple(middle)] == pytest.approx(1, abs=0.1), "of amplitudes"
    viewer.layers.remove(viewer.layers["beads"])
    assert view.picture is None
    assert not view.add.isVisible()
    assert view.hint.isVisible()
    assert view.hint.text().startswith("No bead is shown")
    assert view.hint.wordWrap()
