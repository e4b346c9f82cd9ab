"""Every command of the manifest, run by napari as its palette and menus run it: before, during and after a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from app_model import Application
from npe2 import PluginManifest
from qtpy.QtGui import QGuiApplication

from napari_imagefit.gui.menu_commands import find_widget
from napari_imagefit.gui.widgets.help import HelpWindow
from napari_imagefit.gui.widgets.save_dialog import SaveDialog
from napari_imagefit.imaging.simulation.simulate import cold_clouds

NAME = "napari-imagefit"
# The window's own; samples have tests of theirs, readers and writers take files.
OURS = ("fit", "cancel", "undo", "redo", "export", "copy_script", "help")


@pytest.fixture
def app() -> Application:
    from napari._app_model import get_app_model

    return get_app_model()


def run_all(app: Application, qtbot: Any) -> None:
    for name in OURS:
        app.commands.execute_command(f"{NAME}.{name}").result()
        qtbot.wait(1)


def test_commands_before_during_and_after_a_fit(
    qtbot: Any, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, app: Application
) -> None:
    viewer = make_napari_viewer(show=True)
    asked: list[str] = []
    monkeypatch.setattr(SaveDialog, "exec", lambda dialog: asked.append(dialog.windowTitle()) or 0)
    QGuiApplication.clipboard().setText("")
    app.commands.execute_command(f"{NAME}.cancel").result()
    assert find_widget(viewer) is None
    # no image, no result: sentences
    run_all(app, qtbot)
    widget = find_widget(viewer)
    assert widget is not None
    assert "Nothing has been fitted yet" in widget.message.text()
    assert not asked
    viewer.add_image(cold_clouds().data[:2], name="clouds")
    run_all(app, qtbot)
    app.commands.execute_command(f"{NAME}.fit").result()
    assert widget.session.running
    run_all(app, qtbot)
    assert not widget.session.running, "cancelled by the last command but some"
    app.commands.execute_command(f"{NAME}.fit").result()
    qtbot.waitUntil(lambda: not widget.session.running, timeout=120_000)
    assert "2 fits" in widget.message.text()
    for name in ("export", "copy_script", "help"):
        app.commands.execute_command(f"{NAME}.{name}").result()
    assert asked == ["Export the result"]
    assert "napari_imagefit" in QGuiApplication.clipboard().text()
    run_all(app, qtbot)
    assert find_widget(viewer) is widget
    window = HelpWindow.shown
    assert window is not None
    window.close()
    assert np.isfinite(widget.follow_ups.outcome.result.params["y"]).any()


def test_palette_and_menus_offer_them(make_napari_viewer: Callable[..., Any], app: Application) -> None:
    make_napari_viewer()
    manifest = PluginManifest.from_distribution(NAME)
    titles = {command.id: command.title for command in manifest.contributions.commands or ()}
    for name in OURS:
        assert titles[f"{NAME}.{name}"].startswith("Image Fit: ")
        assert f"{NAME}.{name}" in app.commands
    offered = {item.command.id for item in app.menus.get_menu("napari/layers/measure") if hasattr(item, "command")}
    assert {f"{NAME}.fit", f"{NAME}.help"} <= offered
    assert manifest.display_name == NAME, "docks would be called 'Image Fit (Image Fit)'"
