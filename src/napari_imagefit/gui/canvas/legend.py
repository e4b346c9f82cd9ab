"""Legends on the canvas: unit and range beside a map's colour bar, the words of contours and outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components.overlays import TextOverlay
from qtpy.QtGui import QColor

from ...imaging.layer_data.drawn_fits import MEANINGS
from ...layers.geometry.output_layers import METADATA_KEY, is_output
from ...layers.request.naming import spaced
from ..widgets.numbers import format_range
from ..widgets.theme import contrast

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

CONTOUR_LINES = 4  # of contours; more would cover the image
LETTER = 8  # pixels of a character
SHORTEST, LONGEST = 12, 40  # characters of a line, whatever room there is
BESIDE = 170  # pixels of the canvas that contours' words leave to the colour bar
FONT_POINTS = 7  # points
BAR = (14, 110)  # pixels of a colour bar, beside an inspector below the canvas
PAD = 2 * "\N{NO-BREAK SPACE}"  # napari takes words for a little narrower than they are drawn, and so their boxes
LETTER_COLOURS = ("black", "white")
# what many words of reasons begin with
BEGINNINGS = ("converged, but the ", "converged, but ", "converged, with ", "not fitted: ")
# columns of a layer's features
WORDS, COUNTS = ("reason", "attempt", "better model"), ("fits", "voxels")
# events after which it may be another
LIFTED = {"inserted", "removed", "reordered", "moved", "visible", "features", "contrast_limits"}


class Legend:
    """Follows the layers of fits; everything else in the viewer is left alone.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._bar: Layer | None = None  # the one whose colour bar is on
        overlays = viewer.canvas.overlays
        self._title = overlays.setdefault(
            f"{METADATA_KEY}:title", TextOverlay(position="top_right", font_size=FONT_POINTS)
        )
        self._lines = [
            overlays.setdefault(f"{METADATA_KEY}:{n}", TextOverlay(position="top_left", font_size=FONT_POINTS))
            for n in range(CONTOUR_LINES)
        ]
        viewer.layers.events.connect(self._on_event)
        viewer.canvas.events.size.connect(self.update)
        self.update()

    def stop(self) -> None:
        """Take the words away, and hear no more of the layers."""
        self._viewer.layers.events.disconnect(self._on_event)
        self._viewer.canvas.events.size.disconnect(self.update)
        for overlay in (self._title, *self._lines):
            overlay.visible = False

    def update(self, _event: object = None) -> None:
        """Show the legend of what is visible now."""
        shown = [layer for layer in reversed(self._viewer.layers) if layer.visible and is_output(layer)]
        self._show_map(next((layer for layer in shown if layer._type_string == "image"), None))
        self._show_words(next((layer for layer in shown if entries(layer)), None))

    def _on_event(self, event: Any) -> None:
        if event.type in LIFTED:
            self.update()

    def _show_map(self, layer: Layer | None) -> None:
        if layer is not self._bar:
            # one below it is hidden, and its bar would be taken for this one's
            for other in self._viewer.layers:
                if is_output(other) and other._type_string == "image":
                    other.colorbar.visible = other is layer
            if layer is not None:
                layer.colorbar.size, layer.colorbar.font_size = BAR, FONT_POINTS
            self._bar = layer
        title = "" if layer is None else elided(str(layer.metadata[METADATA_KEY]["title"]), self._width() // 3)
        # of some ranges napari's bar has one number alone
        _say(self._title, title if layer is None else f"{title}\n{format_range(*layer.contrast_limits)}")

    def _show_words(self, layer: Layer | None) -> None:
        found = [] if layer is None else entries(layer, self._width() - BESIDE)
        for n, overlay in enumerate(self._lines):
            text, colour = found[n] if n < len(found) else ("", None)
            if colour is not None:
                text += PAD
                overlay.box_color = colour
                overlay.color = letters_on(colour)
            _say(overlay, text)

    def _width(self) -> int:
        """Return the pixels of the canvas, from left to right."""
        return int(self._viewer.canvas.size[1])


def entries(layer: Layer, room: int = LONGEST * LETTER) -> list[tuple[str, Any]]:
    """Return what the labels or outlines of an output mean, with their colours.

    Of labels those that any fit has, the most frequent first; of outlines nothing where all mean the same. Lines are no
    longer than so many pixels.
    """
    if layer._type_string == "shapes":
        return _outlines(layer)
    if layer._type_string != "labels":
        return []
    table = layer.features
    words, counts = (next((name for name in table if name in some), None) for some in (WORDS, COUNTS))
    if words is None or counts is None:
        return []  # such as one that a person paints in
    rows = sorted(zip(table["index"], table[words], table[counts], strict=True), key=lambda row: -row[2])
    found = []
    for label, text, count in rows:
        colour = layer.get_color(int(label))
        if count and colour is not None and colour[3] > 0:
            found.append((elided(f"{spaced(count)} × {_short(text)}", room), colour))
    return found


def _outlines(layer: Layer) -> list[tuple[str, Any]]:
    components = list(layer.features.get("component", ()))
    if len(components) != layer.nshapes:
        return []
    found = {MEANINGS[one]: layer.edge_color[row] for row, one in enumerate(components) if one in MEANINGS}
    return list(found.items()) if len(found) > 1 else []


def letters_on(colour: Any) -> str:
    """Return what is read better on a colour, black letters or white ones."""
    ground = QColor.fromRgbF(*map(float, colour[:3]))
    return max(LETTER_COLOURS, key=lambda letters: contrast(QColor(letters), ground))


def _short(words: str) -> str:
    """Return the words of a reason without what many begin with; the table of reasons has them whole."""
    return next((words.removeprefix(start) for start in BEGINNINGS if words.startswith(start)), words)


def elided(words: str, room: int) -> str:
    """Return words that cover no more than so many pixels of the canvas.

    Examples
    --------
    >>> elided("the residuals have structure", 150)
    'the residuals have…'
    """
    longest = min(max(room // LETTER, SHORTEST), LONGEST)
    return words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…"


def _say(overlay: TextOverlay, text: str) -> None:
    if text:
        overlay.text = text
    overlay.visible = bool(text)
