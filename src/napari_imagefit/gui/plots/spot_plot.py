"""One spot in pictures: window, fit and residual, and cuts through the centre along each axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...imaging.fitting.positions import SPATIAL_AXES
from ...imaging.inspection.curves import Curve
from ...imaging.inspection.spot_cuts import SpotPicture
from .curve_plot import CurvePanel, Shown, style_of
from .panel import Key, Strip
from .picture import DIVERGING, GREY, PicturePanel, limits
from .plotting import Colours

PANEL_TITLES = {"window": "window", "fitted": "fit", "residual": "residual"}


class SpotPage(QWidget):
    """Pictures and cuts beside each other; of a volume the plane through the centre."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = {
            key: PicturePanel(title, DIVERGING if key == "residual" else GREY) for key, title in PANEL_TITLES.items()
        }
        self.cuts = [CurvePanel() for _ in range(3)]
        self.key = Key()
        self._strip = Strip([*((one, 3) for one in self.pictures.values()), *((cut, 4) for cut in self.cuts)])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.key)
        layout.addWidget(self._strip, 1)
        self._show_axes(2)

    def draw(self, shown: Mapping[str, SpotPicture], colours: Colours) -> None:
        """Draw the cuts of these spots, and the pictures of the first."""
        ndim = next((len(picture.along) for picture in shown.values()), 2)
        self._show_axes(ndim)
        self.key.show_styles({who: style_of(who, colours) for who in shown})
        for axis in range(ndim):
            curves = [Shown(who, _from_centre(picture, axis)) for who, picture in shown.items()]
            self.cuts[axis].draw(curves, colours)
        first = next(iter(shown.items()), None)
        if first is None:
            for panel in self.pictures.values():
                panel.clear()
        else:
            self._draw_pictures(first[1], f" of {first[0]}" if len(shown) > 1 else "")

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for panel in (*self.cuts, *self.pictures.values()):
            panel.set_colours(colours)

    def _show_axes(self, ndim: int) -> None:
        cuts = self.cuts[:ndim]
        for name, cut in zip(SPATIAL_AXES[-ndim:], cuts, strict=True):
            cut.set_labels("", f"Δ{name} [px]")
            cut.set_title(f"along {name} [px]", f"{name} [px]")
        window, fitted, residual = self.pictures.values()
        self._strip.set_order([*cuts, window, residual, fitted])

    def _draw_pictures(self, picture: SpotPicture, whose: str) -> None:
        finite = picture.window[np.isfinite(picture.window)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        for key, panel in self.pictures.items():
            # of a volume the plane through the centre
            axes, values = picture.planes(key)[0]
            rows, columns = axes
            top, left = picture.first[rows] - 0.5, picture.first[columns] - 0.5
            centre = picture.centre
            panel.draw(
                values,
                (-picture.limit, picture.limit) if key == "residual" else (low, high),
                (top, top + values.shape[0], left, left + values.shape[1]),
                None if centre is None else (centre[rows], centre[columns]),
            )
            sign = limits(picture.limit) if key == "residual" else ""
            panel.set_title(f"{PANEL_TITLES[key]}{whose}", PANEL_TITLES[key], sign=sign)


def _from_centre(picture: SpotPicture, axis: int) -> Curve:
    """Return a cut counted from the fitted centre, or from the window's middle.

    Spots far apart lie on top of each other.
    """
    curve = picture.along[axis]
    origin = picture.first[axis] + picture.middle[axis] if curve.centre is None else curve.centre
    return replace(
        curve,
        x=curve.x - origin,
        fine_x=curve.fine_x - origin,
        centre=None if curve.centre is None else 0.0,
    )
