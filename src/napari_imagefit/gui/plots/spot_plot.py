"""One spot in pictures: window, fit and residual, and cuts through the centre along each axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...imaging.inspection.curves import Curve
from ...imaging.inspection.spot_cuts import SpotPicture
from .curve_plot import CurvePlot, Shown, share_scale
from .plotting import UNLIMITED, Colours, adopt_menu, colour_plot, new_plot, pg
from .surface_plot import DIVERGING, styles

PICTURES = {"window": "window", "fitted": "fit", "residual": "residual"}
NAMES = "zyx"
PICTURE, BAR = 90, 44  # pixels that a picture, and the bar of colours, would like to have


class SpotPlot(QWidget):
    """Pictures above, cuts below; of a volume the plane through the centre."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures, self._cuts = pg.GraphicsLayoutWidget(), pg.GraphicsLayoutWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.key = QLabel()
        self.key.setAccessibleName("Signs of the spots that are shown")
        self.key.hide()
        layout.addWidget(self.key)
        layout.addWidget(self._pictures, 3)
        layout.addWidget(self._cuts, 4)
        self.cuts = [CurvePlot(self._cuts, column, left=("", ""), legend=False) for column in range(3)]
        self.images: dict[str, Any] = {}
        self.plots: dict[str, Any] = {}
        self.crosses: dict[str, Any] = {}
        for column, (key, title) in enumerate(PICTURES.items()):
            plot = new_plot(self._pictures, 0, column, left="", name=f"spot's {title}")
            plot.setAspectLocked(True)
            plot.invertY(True)
            # the cuts tell where it is
            plot.hideAxis("left")
            plot.hideAxis("bottom")
            self._pictures.ci.layout.setColumnPreferredWidth(column, PICTURE + (BAR if key == "residual" else 0))
            plot.setTitle(title, size="9pt")
            image = pg.ImageItem(axisOrder="row-major")
            plot.addItem(image)
            cross = pg.ScatterPlotItem(symbol="+", size=12, pen=pg.mkPen("#F0E442", width=2), brush=None)
            plot.addItem(cross)
            self.images[key], self.plots[key], self.crosses[key] = image, plot, cross
        grey = pg.ColorMap(np.array([0.0, 1.0]), ["#000000", "#ffffff"])
        for key in ("window", "fitted"):
            self.images[key].setColorMap(grey)
        self.images["residual"].setColorMap(pg.ColorMap(np.linspace(0, 1, len(DIVERGING)), list(DIVERGING)))
        self.bar = pg.ColorBarItem(
            values=(-1, 1), width=8, interactive=False, colorMap=self.images["residual"].getColorMap()
        )
        adopt_menu(self.bar, self._pictures)
        self.bar.setImageItem(self.images["residual"], insert_in=self.plots["residual"])
        for plot in (self.cuts[0].upper, self.cuts[0].lower):
            plot.getAxis("left").setWidth(48)
        for cut in self.cuts[1:]:
            cut.stand_beside(self.cuts[0])
        self._show_axes(2)

    def draw(self, shown: Mapping[str, SpotPicture], colours: Colours) -> None:
        """Draw the cuts of these spots, and the pictures of the first."""
        ndim = next((len(picture.along) for picture in shown.values()), 2)
        self._show_axes(ndim)
        for axis in range(ndim):
            curves = [Shown(who, _from_centre(picture, axis)) for who, picture in shown.items()]
            self.cuts[axis].draw(curves, colours)
        share_scale(self.cuts[:ndim])
        several = styles(shown, colours) if len(shown) > 1 else []
        key = "  ".join(f'<span style="color:{style.colour}">{style.sign} {who}</span>' for who, style in several)
        self.key.setText(key)
        self.key.setVisible(bool(several))
        if not shown:
            for image in self.images.values():
                image.clear()
            for cross in self.crosses.values():
                cross.clear()
            return
        self._draw_pictures(next(iter(shown.values())))

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for graphics in (self._pictures, self._cuts):
            graphics.setBackground(colours.background)
        for cut in self.cuts:
            cut.set_colours(colours)
        for plot in self.plots.values():
            colour_plot(plot, colours)
        self.bar.axis.setTextPen(pg.mkPen(colours.text))
        self.bar.axis.setPen(pg.mkPen(colours.faint))

    def _show_axes(self, ndim: int) -> None:
        names = NAMES[-ndim:]
        for axis, cut in enumerate(self.cuts):
            for plot in (cut.upper, cut.lower):
                plot.setVisible(axis < ndim)
            if axis < ndim:
                cut.set_labels("", f"Δ{names[axis]} [px]")
        columns = self._cuts.ci.layout
        columns.setColumnMaximumWidth(2, UNLIMITED if ndim > 2 else 0)
        columns.setColumnStretchFactor(2, 1 if ndim > 2 else 0)

    def _draw_pictures(self, picture: SpotPicture) -> None:
        finite = picture.window[np.isfinite(picture.window)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        levels = {"window": (low, high), "fitted": (low, high), "residual": (-picture.limit, picture.limit)}
        for key, image in self.images.items():
            # of a volume the plane through the centre
            axes, values = picture.planes(key)[0]
            rows, columns = axes
            image.setImage(values, levels=levels[key])
            top, left = picture.first[rows] - 0.5, picture.first[columns] - 0.5
            image.setRect(QRectF(left, top, values.shape[1], values.shape[0]))
            centre = picture.centre
            at = ([], []) if centre is None else ([centre[columns]], [centre[rows]])
            self.crosses[key].setData(*at)
            self.plots[key].setRange(QRectF(left, top, values.shape[1], values.shape[0]), padding=0.02)
        self.bar.setLevels(levels["residual"])


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
