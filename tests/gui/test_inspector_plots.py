"""The inspector's plots: cuts, histogram and outliers, and nothing is cut off or lies over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QGraphicsView, QMenu, QWidget

from napari_imagefit import models
from napari_imagefit.gui.inspector.inspect_bar import HISTOGRAM, PLOTS, InspectBar
from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.inspector.inspector_dock import Inspection
from napari_imagefit.gui.parameter_table.parameter_tree import VALUES
from napari_imagefit.gui.plots.plotting import pg
from napari_imagefit.gui.plots.styles import CHOSEN as CHOSEN_FIT
from napari_imagefit.gui.plots.styles import CURSOR, ON_SCREEN
from napari_imagefit.imaging.inspection.surface_cuts import smoothed
from napari_imagefit.layers.geometry.output_layers import put
from napari_imagefit.layers.inspection.marks import CHOSEN, PINS, find_mark
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome

from .inspector_help import fit, lines, run_all
from .pointer import click, move, until

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def test_what_is_of_the_plots_alone_stands_over_them_alone(qtbot: Any) -> None:
    bar = InspectBar()
    qtbot.addWidget(bar)
    bar.show()
    bar.offer_plots(profile=True)
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (True, False)
    bar.tabs.setCurrentIndex(HISTOGRAM)
    bar.offer_plots(profile=False, exclude=True)  # such as another fit, while the histogram is looked at
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (False, False)
    bar.tabs.setCurrentIndex(PLOTS)
    assert (bar.profile.isVisible(), bar.exclude.isVisible()) == (False, True)


def test_nothing_lies_over_the_plots(inspected: tuple[Any, Inspector, Outcome]) -> None:
    _, inspector, _ = inspected
    assert not [menu for menu in inspector.findChildren(QMenu) if menu.isVisible()]


def test_the_histogram_selects_and_is_marked(inspected: tuple[Any, Inspector, Outcome], qtbot: Any) -> None:
    viewer, inspector, outcome = inspected
    assert outcome.result is not None
    panel = inspector.histogram
    tabs = inspector.bar.tabs
    qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(1).center())
    assert panel.isVisible()
    panel.maps.setCurrentIndex(panel.maps.findData("param:slope"))
    slopes = outcome.result.params["slope"]
    move(viewer, inspector, (0, 3, 4))
    click(viewer, (0, 6, 2))
    assert panel._lines["A"].value() == pytest.approx(slopes[6, 2])
    assert CURSOR not in panel._lines, "what is pinned and looked at is marked once"
    edges, heights = panel.bars.getData()
    np.testing.assert_array_equal(heights, np.histogram(slopes[np.isfinite(slopes)], edges)[0])

    panel.select.click()
    labels = find_mark(viewer.layers, CHOSEN)
    before = np.array(labels.data)
    panel.range.setRegion((20, 40))
    until(lambda: not np.array_equal(labels.data, before), "the range is highlighted")
    assert find_mark(viewer.layers, CHOSEN) is labels
    chosen = (slopes >= 20) & (slopes <= 40)
    np.testing.assert_array_equal(np.asarray(labels.data), chosen)
    assert f"{chosen.sum()} of 79 voxels selected" in inspector.note.text()
    panel.low.setText("70")
    panel.high.setText("75")
    qtbot.keyClick(panel.high, Qt.Key.Key_Return)
    until(lambda: not np.array_equal(labels.data, chosen), "the typed range is highlighted")
    assert find_mark(viewer.layers, CHOSEN) is labels, "in place, not piled up"
    np.testing.assert_array_equal(np.asarray(labels.data), (slopes >= 70) & (slopes <= 75))

    again = fit(viewer, viewer.layers["lines"])
    inspector.looking.take(again)
    assert panel.range.getRegion() == pytest.approx((70, 75)), "a new fit keeps the range"
    panel.log.click()
    logarithms = panel.bars.getData()[1]
    np.testing.assert_allclose(logarithms, np.log10(np.histogram(slopes, edges)[0]))
    viewer.layers.remove(labels)
    assert not panel.select.isChecked()


def test_the_theme_is_followed(inspected: tuple[Any, Inspector, Outcome]) -> None:
    viewer, inspector, _ = inspected
    dark = inspector.curves.upper.getAxis("left").textPen().color().lightness()
    viewer.theme = "light"
    light = inspector.curves.upper.getAxis("left").textPen().color().lightness()
    assert dark > 200 > 60 > light
    assert inspector.curves.views[0].backgroundBrush().color().lightness() > 200
    # those that are not there yet, of regions, follow it as they are made
    assert "surfaces" not in vars(inspector)
    assert inspector.surfaces.cuts[0].views[0].backgroundBrush().color().lightness() > 200


def test_a_fit_of_one_frame_shows_no_other(viewer: Any) -> None:
    """What was looked at of all frames is not there any more, and is not chosen."""
    y, x = np.mgrid[0:24, 0:30]
    data = np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30) + np.zeros((2, 1, 1))
    image = viewer.add_image(data, name="clouds")
    every = Choices(image, "region", "gaussian_2d", tuple(Row(name) for name in models["gaussian_2d"].names))
    inspection = Inspection(viewer)
    inspection.feed(run_all(every))
    inspector = inspection.open()
    assert inspector.looking is not None
    inspector.looking.look_at((0, 0))
    assert inspector.shown_places() == {CHOSEN_FIT: (0, 0)}
    inspection.feed(run_all(replace(every, frames="current", current=(1, 0, 0))))
    assert inspector.shown_places() == {ON_SCREEN: (1, 0)}
    inspector.looking.look_at((0, 0))
    assert inspector.shown_places() == {ON_SCREEN: (1, 0)}
    inspection.close()


def test_numbers_are_of_the_fit_that_is_looked_at(viewer: Any) -> None:
    """One of other frames comes: its place is none of the fit before."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    y, x = np.mgrid[0:24, 0:30]
    data = np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30) + np.zeros((2, 1, 1))
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    images = [viewer.add_image(values, name=name) for name, values in (("series", data), ("picture", 3 * data[0]))]
    widget.data.set_job("region")
    widget.model.set_model("gaussian_2d")
    for image, place, amplitude in zip(images, ((0, 0), (0,)), (1, 3), strict=True):
        widget.show_outcome(run_all(Choices(image, "region", "gaussian_2d", rows)), 0.1)
        assert widget.inspection.place == place
        assert widget.parameters.tree.item_of("amplitude").text(VALUES).startswith(f"{amplitude} ±")


def test_a_region_is_shown_by_cuts_through_its_centre(viewer: Any, qtbot: Any) -> None:
    y, x = np.mgrid[0:24, 0:30]
    data = np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30) + np.random.default_rng(0).normal(0, 0.02, (2, 24, 30))
    image = viewer.add_image(data, name="clouds", scale=(1, 2, 2), units=("s", "um", "um"))
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    outcome = run_all(Choices(image, "region", "gaussian_2d", rows))
    for output in outcome.outputs:
        put(viewer.layers, output)
    inspection = Inspection(viewer)
    inspection.feed(outcome)
    inspector = inspection.open()
    viewer.reset_view()
    for frame in (1, 0):
        viewer.dims.set_current_step(0, frame)
        qtbot.waitUntil(lambda frame=frame: inspector.shown_places() == {ON_SCREEN: (frame, 0)})
        title = f"on screen · clouds, frame {frame}: converged"
        qtbot.waitUntil(lambda title=title: inspector.note.text().startswith(title))
        drawn = inspector.surfaces.cuts[0].drawn(ON_SCREEN)
        assert drawn is not None
        np.testing.assert_allclose(drawn.points.getData()[1], data[frame].mean(axis=1), rtol=1e-12)
    choose_profile(inspector, "cut")
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        move(viewer, inspector, (frame, 20, 30))
        assert inspector.place == (frame, 0)
        for plot, line in zip(inspector.surfaces.cuts, (data[frame, :, 14], data[frame, 11, :]), strict=True):
            drawn = plot.drawn(CURSOR)
            assert drawn is not None
            np.testing.assert_array_equal(drawn.points.getData()[1], line)
        residual = smoothed(outcome.result.residual()[frame])
        np.testing.assert_allclose(inspector.surfaces.residual.image.image, residual, atol=1e-12)
        assert inspector.note.text().startswith(f"clouds, frame {frame}: converged")
    for panel in inspector.surfaces.cuts:
        drawn = panel.drawn(CURSOR)
        assert drawn is not None
        for plot, points in zip(panel.plots, (drawn.points, drawn.residuals), strict=True):
            (low, high), values = plot.getViewBox().viewRange()[1], points.getData()[1]
            assert low < values.min() < values.max() < high
            assert np.ptp(values) > (high - low) / 4
    levels = inspector.surfaces.residual.image.levels
    assert levels[0] == -levels[1]
    click(viewer, (1, 20, 30))
    pins = find_mark(viewer.layers, PINS)
    np.testing.assert_array_equal(pins.data, [[1, 11, 14]])
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        qtbot.waitUntil(lambda frame=frame: inspector.place == (frame, 0))
        assert inspector.looking.pinned == {"A": (1, 0)}, "pins stay where they are"
    inspection.close()


def choose_profile(inspector: Inspector, key: str) -> None:
    inspector.bar.profile.setCurrentIndex(inspector.bar.profile.findData(key))


SIZES = [(300, 150), (300, 420), (440, 200), (700, 160), (640, 300), (1000, 240), (1590, 330)]


def assert_nothing_is_cut(widget: Any) -> None:
    """Every plot with its axes, and every control, lies within what holds it, and no two lie over each other."""
    for view in widget.findChildren(QGraphicsView):
        if not view.isVisible():
            continue
        for item in view.scene().items():
            if isinstance(item, (pg.PlotItem, pg.AxisItem)) and item.isVisible():
                rect, room = item.mapRectToScene(item.rect()), view.viewRect()
                # an axis without numbers has no height, and Qt's rectangles contain no such one
                assert room.left() - 1 <= rect.left(), (item, rect, room)
                assert room.top() - 1 <= rect.top(), (item, rect, room)
                assert rect.right() <= room.right() + 1, (item, rect, room)
                assert rect.bottom() <= room.bottom() + 1, (item, rect, room)
        for item in view.scene().items():
            if isinstance(item, pg.ViewBox):
                assert item.width() > 20, "data drop out last"
                assert item.height() > 12
    for child in widget.findChildren(QWidget):
        parent = child.parentWidget()
        if child.isVisible() and not child.isWindow() and parent is not None and parent.layout() is not None:
            assert parent.rect().contains(child.geometry()), (child, child.geometry(), parent.rect())
            for other in parent.children():
                if isinstance(other, QWidget) and other.isVisible() and other is not child:
                    assert not other.geometry().intersects(child.geometry()), (child, other)


@pytest.mark.parametrize("job", ["voxels", "region"])
def test_nothing_is_cut_at_any_size(qtbot: Any, job: Any) -> None:
    viewer = ViewerModel()
    if job == "voxels":
        outcome = fit(viewer, viewer.add_image(lines(), name="lines"))
    else:
        y, x = np.mgrid[0:24, 0:30]
        image = viewer.add_image(np.stack(2 * [np.exp(-((y - 11) ** 2 + (x - 14) ** 2) / 30)]), name="clouds")
        outcome = run_all(Choices(image, "region", "gaussian_2d", tuple(Row(n) for n in models["gaussian_2d"].names)))
    inspection = Inspection(viewer)
    inspection.take(outcome)
    inspector = Inspector(viewer)
    qtbot.addWidget(inspector)
    inspector.watch(inspection)
    for place in ((2, 3), (4, 4)) if job == "voxels" else ((1, 0),):
        inspection.pin(place)
    inspection.look_at((3, 3) if job == "voxels" else (0, 0))
    inspector.show()
    for size in SIZES:
        for tab in range(inspector.bar.tabs.count()):
            inspector.bar.tabs.setCurrentIndex(tab)
            inspector.histogram.select.setChecked(tab > 0)
            for _ in range(4):
                # a layout takes a round of events to narrow
                inspector.resize(*size)
                QTest.qWait(10)
            assert (inspector.width(), inspector.height()) == size
            assert_nothing_is_cut(inspector)
    inspector.shut_down()
    inspection.close()


def test_outliers_stand_at_the_edge(viewer: Any) -> None:
    data = lines()
    data[3, 4, 4] = 1e5
    image = viewer.add_image(data, name="lines", contrast_limits=(0, 400))
    inspection = Inspection(viewer)
    inspection.take(fit(viewer, image))
    inspector = inspection.open()
    until(inspector.isVisible, "the inspector is on the screen")
    inspection.look_at((4, 3))
    assert not inspector.curves.drawn(CHOSEN_FIT).beyond[0].getData()[0].size
    inspection.look_at((4, 4))
    low, high = inspector.curves.upper.getViewBox().viewRange()[1]
    others = np.delete(data[:, 4, 4], 3)
    assert low < others.min()
    assert others.max() < high < 1e4
    x, y = inspector.curves.drawn(CHOSEN_FIT).beyond[0].getData()
    assert x.tolist() == [3]
    assert others.max() < y[0] < high
    inspection.close()


def test_nonsense_in_the_range_is_a_sentence(inspected: tuple[Any, Inspector, Outcome], qtbot: Any) -> None:
    viewer, inspector, _ = inspected
    inspector.bar.tabs.setCurrentIndex(1)
    panel = inspector.histogram
    panel.select.click()
    until(lambda: not panel._settle.isActive() and bool(panel.low.text()), "the first range is highlighted")
    window, before = viewer.window.geometry(), panel.range.getRegion()
    for text in ("nan", "inf", "1e999", "9" * 400, "🙂", "-"):
        panel.low.setText(text)
        qtbot.keyClick(panel.low, Qt.Key.Key_Return)
        QTest.qWait(100)
        assert panel.range.getRegion() == before, text
        assert inspector.note.text().startswith("⚠ The lower end is "), text
        assert len(inspector.note.text()) < 150
        assert viewer.window.geometry() == window, text
    for text in ("", "-1e300"):
        panel.low.setText(text)
        qtbot.keyClick(panel.low, Qt.Key.Key_Return)
        until(lambda: not panel._settle.isActive(), "the range is highlighted")
        assert np.isfinite(panel.range.getRegion()).all()
        assert panel.range.getRegion()[0] < panel._histogram.edges[0], "no limit"
        assert "selected" in inspector.note.text()
    assert viewer.window.geometry() == window
