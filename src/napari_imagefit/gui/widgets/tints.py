"""Colours of remarks that can be read on napari's dark and on its light background."""

from __future__ import annotations

from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

ON_DARK, ON_LIGHT = "#ff9d5c", "#9a3c00"  # 5.5 : 1 and more on napari's backgrounds


def problem_tint(widget: QWidget) -> str:
    """Return the colour of what is wrong, or worth a look, where that widget stands."""
    light_text = widget.palette().color(QPalette.ColorRole.WindowText).lightness() > 127
    return ON_DARK if light_text else ON_LIGHT
