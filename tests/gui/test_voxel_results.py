"""From a click on Fit to everything that can be done with the maps, in a real viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_imagefit import Status, fit_voxels
from napari_imagefit.gui.parameter_table.parameter_tree import VALUES
from napari_imagefit.gui.plots.styles import MEAN
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.imaging.voxels import maps as voxel_maps
from napari_imagefit.layers.geometry.output_layers import is_output, role_of
from napari_imagefit.layers.request import fit_request as requests

from .save_help import answer_save

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 120_000
T = np.arange(0, 128.0, 8)
TAU = np.linspace(20, 60, 120).reshape(10, 12)
DECAYS = 5 * np.exp(-T[:, None, None] / TAU) + 1 + np.random.default_rng(4).normal(0, 0.02, (16, 10, 12))
DECAYS[:, 2:4, 3:5] = np.nan


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(DECAYS, name="decays", scale=(8, 2, 2), units=("ms", "um", "um"))
    widget.data.set_job("voxels")
    return viewer, widget


def click(qtbot: Any, widget: ImageFitWidget, button: Any) -> str:
    """Click, wait until it is done, and return what the widget says."""
    widget.column.reveal(button)
    assert button.isVisible()
    assert button.isEnabled()
    qtbot.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running and not widget.follow_ups.exports.busy, timeout=PATIENCE)
    return str(widget.message.text())


def named(viewer: Any, part: str) -> Any:
    return next(layer for layer in viewer.layers if part in layer.name)


@pytest.mark.slow
def test_maps_and_what_is_done_with_them(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    results = widget.results
    assert not results.isVisible()

    said = click(qtbot, widget, widget.region.mean_button)
    assert said.startswith("Mean curve of 116 voxels, 16 samples")
    assert widget.parameters.tree.headerItem().text(VALUES) == "Mean curve"
    assert not [layer for layer in viewer.layers if is_output(layer)]
    inspector = widget.inspection.open()
    qtbot.waitUntil(lambda: inspector.curves.drawn(MEAN) is not None)
    drawn = inspector.curves.drawn(MEAN)
    assert drawn is not None
    np.testing.assert_allclose(drawn.points.getData()[1], np.nanmean(DECAYS, axis=(1, 2)))
    assert drawn.line.isVisible()

    assert click(qtbot, widget, widget.fit_bar.fit).startswith("120 voxels · ")
    assert results.isVisible()
    assert widget.parameters.tree.headerItem().text(VALUES) == "median of 116"
    table = results.reasons
    rows = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}
    assert rows[Status.TOO_FEW_SAMPLES.message] == "4"
    row = list(rows).index(Status.TOO_FEW_SAMPLES.message)
    table.scrollToItem(table.item(row, 0))
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(table.item(row, 0)).center())
    status = named(viewer, "status")
    assert status.selected_label == 3
    assert status.data[widget.inspection.place] == 3

    results.expression.setFocus()
    qtbot.keyClicks(results.expression, "1/tau")
    assert "120 voxels" in click(qtbot, widget, results.map_button)
    rate = named(viewer, "1/tau [1/ms]")
    np.testing.assert_allclose(rate.data, 1 / named(viewer, "· τ [ms]").data)

    results.other.setCurrentIndex(results.other.findData("linear"))
    assert "Exponential decay is better in 116" in click(qtbot, widget, results.compare_button)
    winner = named(viewer, "better: ")
    assert (winner.data[DECAYS[0] == DECAYS[0]] == 1).all()

    click(qtbot, widget, results.paint_button)
    paint = named(viewer, "paint")
    assert viewer.layers.selection.active is paint
    assert "Nothing that was fitted is painted" in click(qtbot, widget, results.painted_button)
    paint.data[0, 0], paint.data[9, 9:11] = 1, 2
    assert "1 voxels fitted again" in click(qtbot, widget, results.painted_button)
    assert np.isnan(named(viewer, "· τ [ms]").data[9, 9:11]).all()
    # painted out is out of the next fit, too
    assert click(qtbot, widget, widget.fit_bar.fit).startswith("118 voxels")
    assert np.isnan(named(viewer, "1/tau [1/ms]").data[9, 9:11]).all()

    assert "A script" in click(qtbot, widget, results.script_button)
    script = QGuiApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", DECAYS)
    monkeypatch.setattr("sys.argv", ["fit.py"])
    names: dict[str, Any] = {}
    exec(script, names)
    np.testing.assert_array_equal(names["result"].params["tau"], named(viewer, "· τ [ms]").data)

    target = tmp_path / "maps"
    answer_save(monkeypatch, target, "CSV")
    assert "Exported to" in click(qtbot, widget, results.export_button)
    assert (tmp_path / "maps.csv").is_file()
    steps = json.loads((tmp_path / "maps.recipe.json").read_text())["steps"]
    assert [step["model"] for step in steps if step["step"] == "fit"] == ["exponential_decay"]
    answer_save(monkeypatch, None)
    click(qtbot, widget, results.export_button)

    entries, tau = widget.past.history.entries, named(viewer, "· τ [ms]")
    before, n, values = entries[0], len(entries), tau.data
    widget.options.iterations.setValue(2)
    click(qtbot, widget, widget.fit_bar.fit)
    assert (len(entries), named(viewer, "· τ [ms]")) == (n + 1, tau)
    assert not np.array_equal(tau.data, values, equal_nan=True)
    np.testing.assert_array_equal(before.outputs["param:tau"][0], values)


def test_a_slip_is_a_sentence(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    click(qtbot, widget, widget.fit_bar.fit)
    for text, sentence in (
        ("", "⚠ Type an expression of the parameters amplitude, tau, offset"),
        ("1/tauu", "⚠ '1/tauu' has 'tauu', which is no parameter; use amplitude, tau, offset."),
    ):
        widget.results.expression.setText(text)
        assert click(qtbot, widget, widget.results.map_button).startswith(sentence)


@pytest.mark.slow
def test_a_map_fills_in_is_stopped_and_goes_on(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    monkeypatch.setattr(requests, "MANY_VALUES", 1000)
    for name, value in (("BETWEEN", 0.0), ("SHARE", 1e9), ("FEWEST", 4), ("BATCH_VALUES", 64)):
        monkeypatch.setattr(f"napari_imagefit.imaging.voxels.coarse_to_fine.{name}", value)
    monkeypatch.setattr("napari_imagefit.layers.tasks.voxel_tasks.BETWEEN", 0.0)
    seen: list[int] = []
    clicked = Event()
    make = voxel_maps.unfinished_layers

    def make_when_clicked(*args: Any, **more: Any) -> Any:
        """From the second time on the worker waits, or it would be done before anyone can click."""
        if made:
            clicked.wait(PATIENCE / 1000)
        made.append(True)
        return make(*args, **more)

    made: list[bool] = []
    monkeypatch.setattr(voxel_maps, "unfinished_layers", make_when_clicked)

    def on_showing() -> None:
        assert named(viewer, "· τ [ms]").name.endswith("(so far)")
        seen.append(np.unique(named(viewer, "· τ [ms]").data).size)
        if len(seen) == 1:
            qtbot.mouseClick(widget.fit_bar.cancel, LEFT)
            assert widget.fit_bar.note.text() == "stopping…"
            clicked.set()

    widget.session.showing.connect(on_showing, check_nargs=False)
    said = click(qtbot, widget, widget.fit_bar.fit)
    assert said.startswith("Cancelled; what had been fitted is kept. 'Resume' fits the rest.\n")
    tau, status = named(viewer, "· τ [ms]"), named(viewer, "status")
    left = status.data == 6
    assert 0 < seen[0] < 116
    assert left.any()
    assert tau.visible
    assert tau.name == "decays · Exp. decay · τ [ms]"
    assert np.isnan(tau.data[left]).all()
    assert np.isfinite(tau.data[status.data == 1]).all()

    assert widget.results.resume_button.isVisible()
    assert "Cancelled" not in click(qtbot, widget, widget.results.resume_button)
    assert named(viewer, "· τ [ms]") is tau
    assert not (status.data == 6).any()
    assert not widget.results.resume_button.isVisible()
    free = fit_voxels(DECAYS, "exponential_decay", x=T)
    np.testing.assert_allclose(tau.data, free.params["tau"], rtol=1e-6)


def test_other_data_other_results(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    click(qtbot, widget, widget.fit_bar.fit)
    viewer.add_image(DECAYS[:, :4, :4], name="other")
    widget.data.layers.setCurrentText("other")
    assert not widget.results.export_button.isVisible()
    qtbot.waitUntil(widget.results.history.isVisible)
    assert widget.follow_ups.outcome is None
    assert any(role_of(layer, widget.past.history.entries[0].group) == "param:tau" for layer in viewer.layers)
