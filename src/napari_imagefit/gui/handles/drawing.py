"""Drawing over the canvas without a layer: dotted outlines, and grips as large on screen at every zoom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from vispy.color import Color

if TYPE_CHECKING:
    from napari.viewer import Viewer

START_COLOUR = "#FF7FD4"  # of starts: no fitted outline has it
RIM = "#1A1A1A"
DOT, GRIP = 5, 11  # pixels on screen
GRIP_SYMBOLS = {"centre": "disc", "along": "square", "across": "square", "angle": "diamond"}
ABOVE = 1_000_000  # all layers

Points = NDArray[np.float64]


class StartDrawing:
    """Draws into the canvas of a viewer.

    A layer would stand in the list, take part in the extent of the data, and be anybody's to edit.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._nodes: tuple[Any, Any] | None = None
        self.dots: Points = np.empty((0, 2))
        self.grips: Points = np.empty((0, 2))

    @property
    def visible(self) -> bool:
        """Whether anything is drawn."""
        return self._nodes is not None and len(self.grips) > 0

    def draw(self, outlines: Sequence[Points], grips: Points, signs: Sequence[str], free: Sequence[bool]) -> None:
        """Draw outlines and grips, ``(x, y)`` in the scene; grips that are not free are hollow."""
        if self._nodes is None:
            self._nodes = self._make(), self._make()
        self.dots = np.concatenate([*outlines, np.empty((0, 2))])
        self.grips = grips
        lines, marks = self._nodes
        lines.visible = len(self.dots) > 0
        if len(self.dots):
            lines.set_data(self.dots, size=DOT, face_color=START_COLOUR, edge_color=RIM, edge_width=0.5)
        colour = Color(START_COLOUR).rgba
        faces = np.array([colour if one else (0, 0, 0, 0) for one in free])
        rims = np.array([(1, 1, 1, 1) if one else colour for one in free])
        marks.set_data(
            grips,
            size=GRIP,
            face_color=faces,
            edge_color=rims,
            edge_width=2,
            symbol=[GRIP_SYMBOLS[sign] for sign in signs],
        )
        marks.visible = True

    def hide(self) -> None:
        """Draw nothing."""
        self.dots = self.grips = np.empty((0, 2))
        for node in self._nodes or ():
            node.visible = False

    def remove(self) -> None:
        """Take everything out of the canvas."""
        self.hide()
        for node in self._nodes or ():
            node.parent = None
        self._nodes = None

    def _make(self) -> Any:
        from vispy.scene.visuals import Markers

        node = Markers(scaling="fixed", parent=self._viewer.window._qt_viewer.canvas.view.scene)
        node.order = ABOVE
        node.set_gl_state("translucent", depth_test=False)
        return node
