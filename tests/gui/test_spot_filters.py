"""Filters of spots dim what they reject and stand in the recipe; colours and sizes tell of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint

from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.imaging.spots.filters import SpotFilter

from .pointer import until
from .spot_help import LEFT, choose, click_fit, dock_of, fit_beads, write

WIDTH = "sigma [px]"


@pytest.fixture
def fitted(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    return fit_beads(qtbot, make_napari_viewer)


def test_filters_dim_and_tell_why(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    panel = dock.filters
    choose(qtbot, panel.column, WIDTH)
    qtbot.mouseClick(panel.on, LEFT, pos=QPoint(8, panel.on.height() // 2))
    assert dock.summary.text() == "16 spots · 15 count · ✚ 1 failed", "a new filter lets all pass"
    write(qtbot, panel.high, "1.75")
    wide = layer.features[WIDTH] > 1.75
    assert wide.sum() == 6
    assert dock.summary.text() == "16 spots · 9 count · × 6 filtered out · ✚ 1 failed"
    reasons = layer.features["reason"][wide]
    assert all(reason.startswith("filtered out: sigma [px] 1.") for reason in reasons)
    assert all(reason.endswith("is above 1.75") for reason in reasons)
    assert {symbol.value for symbol in layer.symbol[wide.to_numpy()]} == {"x"}
    assert (layer.border_color[wide, 3] < 0.5).all()
    assert layer.metadata["napari_imagefit"]["recipe"]["filters"] == [{"column": WIDTH, "high": 1.75}], (
        "an end that nobody has set is no limit"
    )

    # dragging the range is the same, and of what is dragged the last counts
    panel.range.setRegion((1.55, 1.85))
    qtbot.waitUntil(lambda: panel.low.text() == "1.55")
    assert dock.summary.text() == "16 spots · 9 count · × 6 filtered out · ✚ 1 failed"
    assert panel.items.item(0).text() == f"{WIDTH} from 1.55 to 1.85"
    # an end that is drawn out of the data is none
    panel.range.setRegion((1.55, 9))
    qtbot.waitUntil(lambda: panel.high.text() == "")
    assert panel.filters == (SpotFilter(WIDTH, 1.55),)
    panel.range.setRegion((1.55, 1.85))
    qtbot.waitUntil(lambda: panel.high.text() == "1.85")

    # the next fit has them, and so has the recipe that is exported
    click_fit(qtbot, widget)
    assert widget.choices().spots.filters == (SpotFilter(WIDTH, 1.55, 1.85),)
    assert dock.summary.text() == "16 spots · 9 count · × 6 filtered out · ✚ 1 failed"
    assert "9 count; filters leave 6 out" in widget.message.text()
    assert widget.follow_ups.outcome.request.filters == (SpotFilter(WIDTH, 1.55, 1.85),)

    panel.items.setCurrentRow(0)
    qtbot.mouseClick(panel.remove, LEFT)
    assert dock.summary.text() == "16 spots · 15 count · ✚ 1 failed"
    assert "filters" not in layer.metadata["napari_imagefit"]["recipe"]
    assert widget.choices().spots.filters == ()


def test_an_empty_range_is_a_sentence(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    dock = dock_of(viewer)
    choose(qtbot, dock.filters.column, WIDTH)
    qtbot.mouseClick(dock.filters.on, LEFT, pos=QPoint(8, dock.filters.on.height() // 2))
    write(qtbot, dock.filters.low, "2")
    write(qtbot, dock.filters.high, "0.1")
    assert dock.summary.text().startswith("⚠ The filter of 'sigma [px]' goes from")


def test_colours_and_sizes_by_columns(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    layer, dock = viewer.layers["beads · Gaussian · fitted spots"], dock_of(viewer)
    plain = layer.size.copy()
    assert len(np.unique(layer.border_color[:15], axis=0)) == 1
    choose(qtbot, dock.colour_by, WIDTH)
    choose(qtbot, dock.size_by, "amplitude")
    colours = layer.border_color[:15]
    assert len(np.unique(colours, axis=0)) > 5
    # brighter with every step, as viridis is
    order = np.argsort(layer.features[WIDTH][:15])
    assert (np.diff(colours[order, :3].sum(axis=1)) >= -0.15).all()
    assert np.argmax(layer.size[:15]) in list(np.argsort(layer.features["amplitude"][:15])[-2:])
    choose(qtbot, dock.size_by, "fitted width")
    np.testing.assert_array_equal(layer.size, plain)


def test_what_spots_are_coloured_and_sized_by_is_not_cut(fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    dock = dock_of(viewer)
    until(lambda: dock.parentWidget().width() <= 330, "the dock is as narrow as the one beside it")
    for combo in (dock.colour_by, dock.size_by):
        arrow = 40
        assert combo.width() >= combo.fontMetrics().horizontalAdvance(combo.currentText()) + arrow


def test_a_filter_without_its_column_says_so(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, _ = fitted
    panel = dock_of(viewer).filters
    panel.set_filters([SpotFilter("fwhm [nm]", 0, 390), SpotFilter(WIDTH, 0, 9)])
    assert panel.items.item(0).text() == "fwhm [nm] from 0 to 390: not applied, no such column"
    assert panel.items.item(1).text() == f"{WIDTH} from 0 to 9"
    panel.items.setCurrentRow(0)
    qtbot.mouseClick(panel.remove, LEFT)
    assert panel.filters == (SpotFilter(WIDTH, 0, 9),)


def test_a_filter_that_changed_while_spots_were_fitted_holds(qtbot: Any, fitted: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = fitted
    dock = dock_of(viewer)
    begun = widget.spots._outcome
    choose(qtbot, dock.filters.column, WIDTH)
    qtbot.mouseClick(dock.filters.on, LEFT, pos=QPoint(8, dock.filters.on.height() // 2))
    write(qtbot, dock.filters.high, "1.75")
    # one that began before
    outcome = widget.spots.take(begun)
    assert outcome.request.filters == widget.spots.filters == dock.filters.filters
    assert dock.summary.text() == "16 spots · 9 count · × 6 filtered out · ✚ 1 failed"
