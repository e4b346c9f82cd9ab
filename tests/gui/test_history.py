"""The history, clicked and typed as a person does."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QCoreApplication, QEvent, Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication

from napari_imagefit.gui.parameter_table.parameter_tree import VALUES
from napari_imagefit.gui.sections.history import EYE, HIDDEN, SHOWN, WORDS
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.output_layers import role_of
from napari_imagefit.layers.history.entry_layers import layers_of
from napari_imagefit.layers.history.history import history_of
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.request.layer_names import remember, settings_of

from .history_help import clouds, open_clouds, open_dock
from .save_help import answer_save

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 120_000


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    return open_clouds(make_napari_viewer)


def settled(qtbot: Any, widget: ImageFitWidget) -> str:
    """Wait until fits, layers and rows are done; returns what is said."""
    entries = widget.past.entries
    qtbot.waitUntil(lambda: not widget.session.running and not entries._turns.busy, timeout=PATIENCE)
    qtbot.waitUntil(lambda: not entries._follow.isActive(), timeout=PATIENCE)
    return str(widget.message.text())


def fit(qtbot: Any, widget: ImageFitWidget, model: str) -> str:
    widget.model.set_model(model)
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    return settled(qtbot, widget)


def rows(widget: ImageFitWidget) -> list[tuple[str, str]]:
    """The eye and the first line of each row."""
    shown = widget.results.history.list
    items = [shown.topLevelItem(i) for i in range(shown.topLevelItemCount())]
    return [(item.text(EYE), item.text(WORDS).split("\n")[0]) for item in items]


def click_eye(qtbot: Any, widget: ImageFitWidget, row: int) -> None:
    entries = widget.results.history.list
    rect = entries.visualItemRect(entries.topLevelItem(row))
    qtbot.mouseClick(entries.viewport(), LEFT, pos=rect.topLeft() + type(rect.center())(6, rect.height() // 2))
    settled(qtbot, widget)


def press(qtbot: Any, widget: ImageFitWidget, key: Any, row: int) -> str:
    entries = widget.results.history.list
    entries.setCurrentItem(entries.topLevelItem(row))
    entries.setFocus()
    qtbot.keyClick(entries, key)
    return settled(qtbot, widget)


def menu_action(widget: ImageFitWidget, row: int, *words: str) -> Any:
    section = widget.results.history
    section.list.setCurrentItem(section.list.topLevelItem(row))
    assert section.chosen is not None
    menu: Any = section.menu_of(section.chosen)
    for word in words[:-1]:
        menu = next(action.menu() for action in menu.actions() if action.text() == word)
    return next(action for action in menu.actions() if action.text().startswith(words[-1]))


def test_two_models_side_by_side(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    """The second model replaced the first one's layers and numbers, unless they were kept before."""
    viewer, widget = opened
    assert not widget.results.history.isVisible()
    fit(qtbot, widget, "gaussian_2d_elliptic")
    fit(qtbot, widget, "gaussian_2d")
    second, first = widget.past.history.entries
    assert rows(widget) == [
        (SHOWN, "2 · Gaussian · whole image, all frames"),
        (HIDDEN, "1 · Gauss ellip. · whole image, all frames"),
    ]
    assert widget.results.history.isVisible()
    assert widget.results.history.list.currentItem().text(WORDS).startswith("2 ·")

    said = press(qtbot, widget, Qt.Key.Key_Return, 1)
    assert said.startswith("Fit 1: 3 fits")
    assert [eye for eye, _ in rows(widget)] == [HIDDEN, SHOWN]
    assert widget.follow_ups.outcome is first.outcome
    assert widget.inspection.outcome is first.outcome
    assert all(inspector.outcome is first.outcome for inspector in widget.inspection.inspectors())
    assert widget.past.history.current is first

    click_eye(qtbot, widget, 0)
    assert [eye for eye, _ in rows(widget)] == [SHOWN, SHOWN], "the eye hides no other"
    press(qtbot, widget, Qt.Key.Key_Space, 0)
    assert [eye for eye, _ in rows(widget)] == [HIDDEN, SHOWN]
    press(qtbot, widget, Qt.Key.Key_Delete, 0)
    assert [words[0] for _, words in rows(widget)] == ["1"]
    assert not any(role_of(layer, second.group) for layer in viewer.layers)
    press(qtbot, widget, Qt.Key.Key_Delete, 0)
    assert not widget.results.history.isVisible()
    assert widget.follow_ups.outcome is None
    assert not widget.results.is_about_fit


def test_a_row_follows_its_layers(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    fit(qtbot, widget, "gaussian_2d")
    (entry,) = widget.past.history.entries
    for layer in layers_of(viewer.layers, entry).values():
        layer.visible = False
    qtbot.waitUntil(lambda: rows(widget)[0][0] == HIDDEN, timeout=PATIENCE)
    viewer.layers.remove("clouds")
    qtbot.waitUntil(lambda: "data removed" in widget.results.history.list.topLevelItem(0).text(WORDS), timeout=PATIENCE)
    menu_action(widget, 0, "Copy as Python").trigger()
    assert "fit_image" in QGuiApplication.clipboard().text()


def test_entries_are_compared_exported_and_copied(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    fit(qtbot, widget, "gaussian_2d")
    fit(qtbot, widget, "gaussian_2d_elliptic")
    menu_action(widget, 0, "Compare with", "1 ·").trigger()
    qtbot.waitUntil(lambda: "Δresidual" in str(viewer.layers), timeout=PATIENCE)
    assert "fit 2 (Gaussian, elliptic) is better in 3" in settled(qtbot, widget)
    layer = next(layer for layer in viewer.layers if "differences" in layer.name)
    assert layer.visible
    assert "ΔAICc" in layer.features
    press(qtbot, widget, Qt.Key.Key_Space, 0)
    assert not layer.visible

    target = tmp_path / "first"
    answer_save(monkeypatch, target, "CSV")
    menu_action(widget, 1, "Export").trigger()
    qtbot.waitUntil(lambda: not widget.follow_ups.exports.busy, timeout=PATIENCE)
    assert widget.message.text().startswith(f"Exported to {target}.csv")
    table = pd.read_csv(tmp_path / "first.csv")
    assert not table.columns.str.startswith("sigma_y").any(), "of the entry whose menu it was, not the current one"
    menu_action(widget, 1, "Copy as Python").trigger()
    assert "'gaussian_2d'," in QGuiApplication.clipboard().text()


def test_what_was_let_go_is_restored_and_fitted_again(
    qtbot: Any, opened: tuple[Any, ImageFitWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget = opened
    widget.model.set_model("gaussian_2d_elliptic")
    widget.parameters.set_row(Row("offset", 0.0, fixed=True))
    fit(qtbot, widget, "gaussian_2d_elliptic")
    monkeypatch.setattr("napari_imagefit.layers.history.history.budget", lambda: 0)
    fit(qtbot, widget, "gaussian_2d")
    assert "arrays let go" in widget.results.history.list.topLevelItem(1).text(WORDS)
    assert not menu_action(widget, 1, "Show fit").isEnabled()
    assert "were let go" in press(qtbot, widget, Qt.Key.Key_Space, 1)
    menu_action(widget, 1, "Restore settings").trigger()
    assert widget.model.model.name == "gaussian_2d_elliptic"
    offset = widget.parameters.rows()[-1]
    assert (offset.start, offset.fixed) == (0.0, True)
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    settled(qtbot, widget)
    assert widget.past.history.entries[0].facts.chi2 == widget.past.history.entries[2].facts.chi2
    qtbot.mouseClick(widget.past.undo.undo_button, LEFT)
    assert widget.model.model.name == "gaussian_2d", "restoring can be undone"


def test_while_it_fits_no_entry_is_shown(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    _, widget = opened
    fit(qtbot, widget, "gaussian_2d")
    press(qtbot, widget, Qt.Key.Key_Space, 0)
    widget.fit()
    assert widget.session.running
    entries = widget.results.history.list
    entries.setFocus()
    qtbot.keyClick(entries, Qt.Key.Key_Return)
    assert "A fit is under way" in widget.message.text()
    settled(qtbot, widget)
    assert [words[0] for _, words in rows(widget)] == ["2", "1"]


def test_a_closed_dock_loses_nothing(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    """Model, bounds, region, result and export were forgotten."""
    viewer, widget = opened
    drawn = viewer.add_shapes([[[4, 4], [4, 35], [25, 35], [25, 4]]], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    widget.model.set_model("gaussian_2d_elliptic")
    widget.parameters.set_row(Row("sigma_y", 3.5, 0.25, 17.0))
    fit(qtbot, widget, "gaussian_2d_elliptic")
    fit(qtbot, widget, "gaussian_2d")
    press(qtbot, widget, Qt.Key.Key_Return, 1)
    menu_action(widget, 1, "Restore settings").trigger()
    settings = settings_of(remember(widget.choices()))
    inspectors = widget.inspection.inspectors()
    viewer.window.remove_dock_widget(widget)
    for inspector in inspectors:
        viewer.window.remove_dock_widget(inspector)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    n = len(viewer.layers)

    again = open_dock(viewer)
    assert settings_of(remember(again.choices())) == settings
    assert again.parameters.rows()[3] == Row("sigma_y", 3.5, 0.25, 17.0)
    assert again.follow_ups.outcome is again.past.history.entries[1].outcome
    assert again.results_fold.isVisible()
    assert again.results.export_button.isVisible()
    assert [words[0] for _, words in rows(again)] == ["2", "1"]
    assert len(viewer.layers) == n
    assert not again.inspection.inspectors(), "no dock that was closed comes back by itself"
    qtbot.mouseClick(again.results.inspect_button, LEFT)
    assert again.inspection.outcome is again.past.history.entries[1].outcome
    again.past.undo.undo()
    assert again.model.model.name == "gaussian_2d", "what was set before can be undone"


def test_another_image_brings_its_last_results(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    fit(qtbot, widget, "gaussian_2d")
    other = viewer.add_image(clouds()[:2], name="other")
    widget.data.layers.choose(other)
    assert widget.follow_ups.outcome is None
    assert widget.past.history.current is None
    assert not widget.results.export_button.isVisible()
    assert rows(widget), "the history stays in sight"
    widget.data.layers.choose(viewer.layers["clouds"])
    assert widget.follow_ups.outcome is widget.past.history.entries[0].outcome
    assert widget.results.export_button.isVisible()


@pytest.fixture
def no_collector() -> Any:
    """Nothing may wait until garbage is collected."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_docks_that_come_and_go_leave_nothing(
    qtbot: Any, make_napari_viewer: Callable[..., Any], no_collector: None
) -> None:
    del no_collector
    viewer = make_napari_viewer(strict_qt=False)
    image = viewer.add_image(clouds(), name="clouds")

    def count() -> dict[str, int]:
        for _ in range(3):
            QApplication.processEvents()
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        emitters = [*viewer.layers.events.emitters.values(), *viewer.dims.events.emitters.values()]
        emitters += [*viewer.events.emitters.values(), *image.events.emitters.values(), viewer.layers.events]
        return {
            "widgets": len(QApplication.allWidgets()),
            "timers": len(viewer.window._qt_window.findChildren(QTimer)),
            "threads": threading.active_count(),
            "callbacks": sum(len(emitter.callbacks) for emitter in emitters),
            "history": len(history_of(viewer).changed),
            "filters": len(viewer.mouse_move_callbacks) + len(viewer.mouse_drag_callbacks),
        }

    widget = open_dock(viewer)
    fit(qtbot, widget, "gaussian_2d")
    for inspector in widget.inspection.inspectors():
        viewer.window.remove_dock_widget(inspector)
    viewer.window.remove_dock_widget(widget)
    del widget
    first = count()
    threads = first.pop("threads")
    for _ in range(20):
        widget = open_dock(viewer)
        assert rows(widget)
        viewer.window.remove_dock_widget(widget)
        del widget
        now = count()
        # napari's pool ends its threads when they have had nothing to do for a while
        assert now.pop("threads") <= threads
        assert now == first


def test_the_fit_of_a_mean_curve_is_an_entry(
    qtbot: Any, make_napari_viewer: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer(show=True)
    t = np.arange(12.0)[:, None, None]
    noise = np.random.default_rng(2).normal(0, 0.01, (12, 4, 5))
    viewer.add_image(2 * np.exp(-t / np.linspace(2, 5, 20).reshape(1, 4, 5)) + noise, name="decays")
    widget = open_dock(viewer)
    widget.data.set_job("voxels")
    qtbot.mouseClick(widget.region.mean_button, LEFT)
    said = settled(qtbot, widget)
    assert said.startswith("Mean curve of 20 voxels")
    value = widget.parameters.tree.item_of("tau").text(VALUES)
    ((_, words),) = rows(widget)
    assert words.startswith("1 · Exp. decay · mean of whole image")
    assert widget.results.history.isVisible()

    fit(qtbot, widget, "exponential_decay")
    assert len(rows(widget)) == 2
    assert widget.parameters.tree.item_of("tau").text(VALUES) != value
    assert not widget.results.history.others_of(1)
    press(qtbot, widget, Qt.Key.Key_Return, 1)
    assert settled(qtbot, widget) == said
    assert widget.parameters.tree.item_of("tau").text(VALUES) == value
    assert widget.follow_ups.outcome.result.shape == (4, 5), "results stay about the map"
    press(qtbot, widget, Qt.Key.Key_Space, 1)
    assert "no layers" in widget.message.text()

    target = tmp_path / "mean"
    answer_save(monkeypatch, target, "CSV")
    menu_action(widget, 1, "Export").trigger()
    qtbot.waitUntil(lambda: not widget.follow_ups.exports.busy, timeout=PATIENCE)
    assert widget.message.text() == f"Exported to {target}.csv."
    table = pd.read_csv(tmp_path / "mean.csv")
    entry = widget.past.history.entries[1]
    (column,) = (name for name in table if name.split(" ")[0] == "tau")
    assert table[column].tolist() == [float(entry.outcome.mean.result.params["tau"])]
    assert table["voxels"].tolist() == [20]
    assert [path.name for path in tmp_path.iterdir()] == ["mean.csv"]
    menu_action(widget, 1, "Copy as Python").trigger()
    assert "no script of a mean curve" in widget.message.text()

    menu_action(widget, 1, "Restore settings").trigger()
    menu_action(widget, 1, "Remove").trigger()
    qtbot.waitUntil(lambda: len(rows(widget)) == 1, timeout=PATIENCE)
    assert all(layer.visible for layer in viewer.layers if layer.name.startswith("decays · Exp. decay · τ"))
