"""Labels of fits drawn as lines that are as thin on screen at every zoom, so that the map below stays in sight.

napari's own contours are whole pixels of the data: of a map of few voxels, or of one that is looked at closely, they
leave nothing to see. The layers stay what they are; what is drawn of them is replaced while somebody listens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...imaging.inspection.label_edges import Edges, label_edges
from ...layers.geometry.output_layers import METADATA_KEY, PAINT, is_output

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

COARSE_VOXEL = 5.0  # pixels on screen from which on a voxel is too large for napari's contours
LINE, RIM = 2, 4  # pixels on screen of a line, and of the dark one below it that makes it stand out of any map
DEEPEST = 0.3  # of a voxel, that a line lies inside
RIM_COLOUR = (0.0, 0.0, 0.0, 0.75)
MOST_LINES = 300_000  # lines; more take too long, and would be a slab again
REDRAWN = ("set_data", "contour", "opacity", "colormap", "scale", "affine", "rotate", "shear")


class Contours:
    """Draws the borders of the labels of fits.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._shown: WeakKeyDictionary[Layer, _Lines] = WeakKeyDictionary()
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.scene.camera.events.zoom.connect(self._on_zoom)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay, position="last")
        for layer in viewer.layers:
            self._follow(layer)

    def stop(self) -> None:
        """Leave the layers to napari, and hear no more of them."""
        events = self._viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        for layer in list(self._shown):
            self._leave(layer)

    def lines_of(self, layer: Layer) -> NDArray[np.float32]:
        """Return what is drawn of a layer, ``(n, 2, 2)``: both ends of each line, ``(y, x)`` in its pixels."""
        lines = self._shown.get(layer)
        return np.empty((0, 2, 2), np.float32) if lines is None else lines.ends

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _on_removed(self, event: Any) -> None:
        if event.value in self._shown:
            self._leave(event.value)

    def _on_ndisplay(self, _event: object = None) -> None:
        # napari draws planes and volumes with nodes of their own
        for layer in list(self._shown):
            self._leave(layer)
            self._follow(layer)

    def _on_zoom(self, _event: object = None) -> None:
        for lines in self._shown.values():
            lines.draw()

    def _on_layer(self, event: Any) -> None:
        lines = self._shown.get(event.source)
        if lines is not None:
            lines.update()

    def _follow(self, layer: Any) -> None:
        if layer._type_string != "labels" or not is_output(layer) or layer.metadata[METADATA_KEY].get("role") == PAINT:
            return
        visual = self._viewer.window._qt_viewer.canvas.layer_to_visual.get(layer)
        # volumes are napari's to draw
        node = None if visual is None or self._viewer.dims.ndisplay != 2 else visual.node
        self._shown[layer] = _Lines(self._viewer, layer, node)
        for name in REDRAWN:
            getattr(layer.events, name).connect(self._on_layer)
        self._shown[layer].update()

    def _leave(self, layer: Any) -> None:
        for name in REDRAWN:
            getattr(layer.events, name).disconnect(self._on_layer)
        self._shown.pop(layer).remove()


class _Lines:
    """The lines of one layer, below the node that napari draws it with: they move, hide and go with it."""

    def __init__(self, viewer: Viewer, layer: Labels, node: Any) -> None:
        self._viewer, self._layer, self._node = viewer, layer, node
        self._nodes: list[Any] = []
        self._edges: Edges | None = None
        self._colours = np.empty((0, 4))
        self.ends = np.empty((0, 2, 2), np.float32)

    def update(self) -> None:
        """Look for borders again."""
        self._edges = None
        self.draw()

    def draw(self) -> None:
        """Draw what there is at the present zoom."""
        if self._node is None:
            return
        pixels = self._pixels()
        lines = self._layer.contour > 0 and pixels.min() >= COARSE_VOXEL and self._find()
        # what napari draws of it is out of sight beside lines
        self._node.opacity = 0.0 if lines else self._layer.opacity
        if not lines:
            self.ends = np.empty((0, 2, 2), np.float32)
            for node in self._nodes:
                node.visible = False
            return
        assert self._edges is not None
        self.ends = self._edges.inset(np.minimum(RIM / 2 / pixels, DEEPEST))
        if not self._nodes:
            self._nodes = [self._make(order) for order in range(2)]
        rims = np.broadcast_to(np.multiply(RIM_COLOUR, (1, 1, 1, self._layer.opacity)), self._colours.shape)
        colours = self._colours * (1, 1, 1, self._layer.opacity)
        thicker = self._layer.contour - 1
        for node, of, width in zip(self._nodes, (rims, colours), (RIM, LINE), strict=True):
            node.visible = len(self.ends) > 0
            if node.visible:
                at = self.ends[..., ::-1].reshape(-1, 2)
                node.set_data(at, color=np.repeat(of, 2, axis=0), width=width + thicker, connect="segments")

    def remove(self) -> None:
        """Take the lines out of the canvas."""
        for node in self._nodes:
            node.parent = None
        self._nodes = []
        if self._node is not None:
            self._node.opacity = self._layer.opacity

    def _pixels(self) -> NDArray[np.float64]:
        """Return how high and wide a voxel is on screen."""
        matrix = np.asarray(self._node.transform.matrix)[:2, :2]
        return np.asarray(np.linalg.norm(matrix, axis=1)[::-1] * self._viewer.scene.camera.zoom)

    def _find(self) -> bool:
        """Look for borders, unless they are known; False where there are too many."""
        if self._edges is None:
            plane = np.asarray(self._layer._slice.image.raw)
            if plane.ndim != 2:
                return False  # a volume, which napari is about to draw
            found = {int(label): self._layer.get_color(int(label)) for label in np.unique(plane)}
            colours = {label: colour for label, colour in found.items() if colour is not None and colour[3] > 0}
            self._edges = label_edges(plane, colours)
            which = {label: n for n, label in enumerate(colours)}
            table = np.array([*colours.values()]).reshape(-1, 4)
            self._colours = table[[which[int(label)] for label in self._edges.labels]].reshape(-1, 4)
        return len(self._edges.labels) <= MOST_LINES

    def _make(self, order: int) -> Any:
        from vispy.scene.visuals import Line
        from vispy.visuals.transforms import MatrixTransform

        node = Line(method="gl", antialias=False, parent=self._node)
        # napari moves whatever lies below an image's node by half a pixel, once the layer moves
        node.transform = MatrixTransform()
        node.transform.translate((0.5, 0.5))
        node.order = order
        node.set_gl_state("translucent", depth_test=False)
        return node
