"""Commands of the palette and of napari's menus: they press the buttons of the widget, and open it where needed."""

from __future__ import annotations

# resolved by app-model when a command is run: it hands over the viewer by this type
from napari.viewer import Viewer
from qtpy.QtWidgets import QPushButton

from .widget import ImageFitWidget
from .widgets.help import HelpWindow, show_help

PLUGIN, WIDGET = "napari-imagefit", "Image Fit"


def find_widget(viewer: Viewer) -> ImageFitWidget | None:
    """Return the widget of a viewer's window, if it is open."""
    docked = viewer.window.dock_widgets.values()
    return next((widget for widget in docked if isinstance(widget, ImageFitWidget)), None)


def open_widget(viewer: Viewer) -> ImageFitWidget:
    """Return the widget, opened or brought forward."""
    widget = find_widget(viewer)
    if widget is None:
        _, made = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        assert isinstance(made, ImageFitWidget)
        return made
    dock = widget.parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()
    return widget


def fit(viewer: Viewer) -> None:
    """Fit what is chosen in the widget."""
    open_widget(viewer).fit()


def cancel(viewer: Viewer) -> None:
    """Stop the fit under way, if there is one."""
    widget = find_widget(viewer)
    if widget is not None:
        widget.cancel()


def undo(viewer: Viewer) -> None:
    """Undo the last change of a setting of the widget."""
    open_widget(viewer).past.undo.undo_button.click()


def redo(viewer: Viewer) -> None:
    """Do the change of a setting again that was undone last."""
    open_widget(viewer).past.undo.redo_button.click()


def export(viewer: Viewer) -> None:
    """Ask where the fit that is shown is to be saved."""
    widget = open_widget(viewer)
    _press(widget, widget.results.export_button)


def copy_script(viewer: Viewer) -> None:
    """Put a script of the fit that is shown into the clipboard."""
    widget = open_widget(viewer)
    _press(widget, widget.results.script_button)


def help_pages() -> HelpWindow:
    """Show the help pages."""
    return show_help()


def _press(widget: ImageFitWidget, button: QPushButton) -> None:
    """Do what a button does, where there is a result for it."""
    if widget.follow_ups.outcome is None:
        widget.say("Nothing has been fitted yet; choose an image and click Fit.", problem=True)
    else:
        button.click()
