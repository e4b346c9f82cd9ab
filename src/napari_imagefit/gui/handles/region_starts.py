"""The model at its starts, drawn over the image: what is dragged sets them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from ...engine.core.errors import FitInputError
from ...engine.models.handles import Ellipse, ellipses_of
from ...imaging.inspection.grips import Grip, Limits, dragged, grips_of, outline_of
from ...layers.geometry.transforms import to_data
from ...layers.inspection.pick import Sight
from ...layers.tasks.starts import RegionAsked, SeenRegions, free_names, given_starts, limits_of
from ..background.latest_worker import Latest
from ..background.timers import single_shot
from .dock import DRAW_DELAY_MS
from .drawing import StartDrawing
from .grabbing import Grabbing
from .scene_map import SceneMap

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from ...imaging.regions.region import Region
    from .dock import Dock, OneChange

APART = 9  # pixels on screen between two dots of an outline
FEWEST, MOST = 25, 400  # dots
LAYER_EVENTS = ("data", "paint", "scale", "translate", "rotate", "shear", "affine", "units", "visible")
PIXEL_STEP = 0.5  # pixels on screen that a start is a multiple of, about


class RegionStarts:
    """Follows the settings of the widget, and what is on screen.

    Where there are several regions, that is drawn of the one that was clicked last, else of the one nearest to the
    middle of the view.

    Parameters
    ----------
    widget : Dock
    viewer : Viewer
    undo : OneChange
    """

    def __init__(self, widget: Dock, viewer: Viewer, undo: OneChange) -> None:
        self._widget, self._viewer, self._undo = widget, viewer, undo
        self._seen: SeenRegions | None = None
        self._is_stale = True  # what was seen may be another by now
        self._clicked: NDArray[np.float64] | None = None  # where in the plane
        self._guessed: dict[str, float] = {}
        self._grips: list[Grip] = []
        # what is dragged, and when that began the starts, their bounds, and which of them are free
        self._held: tuple[Grip, dict[str, float], Limits, frozenset[str]] | None = None
        self._heard: list[tuple[Any, Callable[..., None]]] = []
        self.drawing = StartDrawing(viewer)
        self.grabbing = Grabbing(viewer)
        self._owner = QObject(widget.parameters)
        self._soon = single_shot(self._owner, DRAW_DELAY_MS, self._look)
        self._work = Latest(RegionAsked.answer, self._owner)
        self._work.done.connect(self._on_answer)
        self._work.refused.connect(self._on_refused)
        self.grabbing.begun.connect(self._on_begun)
        self.grabbing.moved.connect(self._on_moved)
        self.grabbing.ended.connect(self._on_ended)
        self.grabbing.clicked.connect(self._on_clicked)
        self._listen()
        self._look()

    @property
    def busy(self) -> bool:
        """Whether what is drawn is about to be another."""
        return self._soon.isActive() or self._work.busy

    def refresh(self, *_: object) -> None:
        """Look anew, soon, at what is chosen and on screen."""
        self._is_stale = True
        self._again()

    def stop(self) -> None:
        """Take everything out of the viewer, and let go of it."""
        self._soon.stop()
        self._work.forget()
        self.grabbing.stop()
        if self._held is not None:
            self._held = None
            self._undo.let_go()
        self.drawing.remove()
        self._follow(None, None)
        for signal, slot in self._heard:
            signal.disconnect(slot)
        self._heard = []
        self._seen = None
        self._owner.deleteLater()

    def _listen(self) -> None:
        dims, camera = self._viewer.dims.events, self._viewer.scene.camera.events
        self._heard = [
            (self._widget.parameters.edited, self._on_edited),
            (dims.current_step, self.refresh),
            (dims.order, self.refresh),
            (dims.ndisplay, self.refresh),
            (self._viewer.canvas.grid.events.enabled, self.refresh),
            (camera.center, self._on_camera),
            (camera.zoom, self._on_zoom),
        ]
        for signal, slot in self._heard:
            signal.connect(slot)
        self._layers: tuple[Any, Any] = None, None

    def _follow(self, image: Any, region: Any) -> None:
        """Hear when these layers change, and of none else."""
        if (image, region) == self._layers:
            return
        for event in _events_of(*self._layers):
            event.disconnect(self.refresh)
        self._layers = image, region
        for event in _events_of(*self._layers):
            event.connect(self.refresh)

    def _again(self) -> None:
        if not self._soon.isActive() and not self.grabbing.dragging:
            self._soon.start()

    def _on_camera(self, _event: object = None) -> None:
        if self._seen is not None and len(self._seen.regions) > 1 and self._clicked is None:
            self._again()

    def _on_zoom(self, _event: object = None) -> None:
        if self.drawing.visible:
            self._draw()

    def _on_edited(self) -> None:
        if not self.grabbing.dragging:
            self._draw()
            self._again()

    def _look(self) -> None:
        """Find the region on screen, and request the start of its fit."""
        asked = None
        # what cannot be fitted has no starts
        with contextlib.suppress(FitInputError):
            asked = self._find()
        if asked is None:
            self._seen = None
            self._work.forget()
            self._on_refused("")
        else:
            self._work.ask(asked)

    def _find(self) -> RegionAsked | None:
        widget, image = self._widget, self._widget.data.image
        self._follow(image, widget.region.layer)
        if not self._is_flat(image) or not ellipses_of(widget.model.model):
            return None
        if self._seen is None or self._is_stale:
            self._seen, self._is_stale = SeenRegions.of(widget.choices()), False
        region = self._nearest(self._seen)
        return None if region is None else RegionAsked(self._seen, region, widget.parameters.rows())

    def _is_flat(self, image: Image | None) -> bool:
        """Whether the canvas shows the plane of the image that is fitted, alone."""
        dims = self._viewer.dims
        return (
            self._widget.data.job == "region"
            and image is not None
            and image in self._viewer.layers
            and image.visible
            and image.ndim >= 2
            and dims.ndisplay == 2
            and set(dims.displayed) == {dims.ndim - 2, dims.ndim - 1}
            and not self._viewer.canvas.grid.enabled
        )

    def _nearest(self, seen: SeenRegions) -> Region | None:
        held = None if self._clicked is None else seen.holding(self._clicked)
        if held is not None:
            return held
        sight = Sight.of_middle(self._viewer)
        return seen.nearest(to_data(self._widget.data.image, sight.position, sight.units)[-2:])

    def _on_answer(self, asked: RegionAsked, answer: dict[str, float]) -> None:
        if asked.seen is self._seen:
            self._guessed = answer
            self._draw()

    def _on_refused(self, _why: str) -> None:
        """Draw nothing: *Fit* shows the error."""
        self._guessed = {}
        self._draw()

    def _draw(self) -> None:
        """Draw the starts: those that are given as they are now, the others as they were guessed last."""
        seen, rows = self._seen, self._widget.parameters.rows_if_valid()
        if not self._guessed or seen is None or rows is None or (place := self._map(seen)) is None:
            self._hide()
            return
        values, free = self._guessed | given_starts(rows), free_names(rows)
        ellipses = ellipses_of(seen.request.model)
        grips = {(grip.what, grip.names): grip for ellipse in ellipses for grip in grips_of(ellipse, values)}
        self._grips = list(grips.values())
        if not self._grips:
            self._hide()
            return
        places = place.scene([grip.at for grip in self._grips])
        is_free = [not free.isdisjoint(grip.names) for grip in self._grips]
        outlines = [self._outline(place, ellipse, values) for ellipse in ellipses]
        self.drawing.draw(outlines, places, [grip.what for grip in self._grips], is_free)
        self.grabbing.offer(places, is_free)

    def _outline(self, place: SceneMap, ellipse: Ellipse, values: dict[str, float]) -> NDArray[np.float64]:
        """Return the dots of an outline in the scene, as far from each other on screen at every zoom."""
        rough = place.scene(outline_of(ellipse, values, FEWEST))
        length = np.hypot(*np.diff(rough, axis=0).T).sum() * self._zoom
        count = int(np.clip(length / APART, FEWEST, MOST))
        return place.scene(outline_of(ellipse, values, count))

    def _hide(self) -> None:
        self._grips = []
        self.drawing.hide()
        self.grabbing.offer(np.empty((0, 2)), ())

    def _map(self, seen: SeenRegions) -> SceneMap | None:
        image, grid = self._widget.data.image, seen.grid
        if image is None or grid is None or not self._is_flat(image):
            return None
        return SceneMap.of(image, self._viewer.dims, grid, seen.frame)

    def _on_begun(self, which: int) -> None:
        rows, seen = self._widget.parameters.rows_if_valid(), self._seen
        if rows is not None and seen is not None:
            request = seen.request
            limits = limits_of(request.model, rows, counts=request.options.noise == "poisson")
            self._held = self._grips[which], self._guessed | given_starts(rows), limits, free_names(rows)
            self._undo.hold()

    def _on_moved(self, ends: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
        seen = self._seen
        place = None if seen is None else self._map(seen)
        if self._held is None or place is None:
            return
        grip, values, limits, free = self._held
        now, before = (place.coordinates(end) for end in ends)
        to = np.array(grip.at) + now - before
        found, step = dragged(grip, values, (float(to[0]), float(to[1]))), PIXEL_STEP * place.pixel(self._zoom)
        if grip.what == "angle":
            found = {name: limits.turned(name, value) for name, value in found.items()}
            step /= math.dist(grip.at, [values[name] for name in grip.ellipse.centre]) or step
        set_now = {name: limits.within(name, value, step) for name, value in found.items() if name in free}
        self._widget.parameters.set_starts(set_now)
        self._draw()

    @property
    def _zoom(self) -> float:
        return float(self._viewer.scene.camera.zoom)

    def _on_ended(self) -> None:
        if self._held is None:
            return
        self._held = None
        self._undo.let_go()
        self._again()

    def _on_clicked(self, scene: NDArray[np.float64]) -> None:
        seen = self._seen
        if seen is None or len(seen.regions) < 2 or (place := self._map(seen)) is None or seen.grid is None:
            return
        self._clicked = seen.grid.index(place.coordinates(scene))
        self._again()


def _events_of(*layers: Any) -> list[Any]:
    """Return the events of layers after which their starts may be others; of some layers there are not all."""
    return [
        getattr(layer.events, name)
        for layer in layers
        if layer is not None
        for name in LAYER_EVENTS
        if hasattr(layer.events, name)
    ]
