"""Colours that can be read in napari's themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

if TYPE_CHECKING:
    from napari.viewer import Viewer

READABLE = 4.5  # contrast of text, as WCAG 2 asks for it
STEPS = 20


def contrast(one: QColor, other: QColor) -> float:
    """Return the contrast of two colours, from 1 to 21, as WCAG 2 defines it.

    Examples
    --------
    >>> contrast(QColor("black"), QColor("white"))
    21.0
    """
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: QColor, text: QColor, background: QColor) -> QColor:
    """Return the colour, moved towards that of plain text as far as it takes to be read on the background.

    Examples
    --------
    >>> readable(QColor("#ffff00"), QColor("black"), QColor("black")).name()
    '#ffff00'
    """
    for step in range(STEPS + 1):
        share = step / STEPS
        pairs = zip(colour.getRgbF()[:3], text.getRgbF()[:3], strict=True)
        mixed = QColor.fromRgbF(*((1 - share) * own + share * plain for own, plain in pairs))
        if contrast(mixed, background) >= READABLE:
            return mixed
    return text


def warning_colour(viewer: Viewer) -> str:
    """Return the colour of a sentence that says what is wrong, in the viewer's theme."""
    theme = get_theme(viewer.theme)
    warning, text, background = (QColor(c.as_hex("long")) for c in (theme.warning, theme.text, theme.background))
    return readable(warning, text, background).name()


def _luminance(colour: QColor) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.getRgbF()[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
