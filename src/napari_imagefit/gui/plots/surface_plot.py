"""Cuts through fitted surfaces along both axes, and the residual around one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF

from ...imaging.inspection.surface_cuts import Cuts
from .curve_plot import CurvePlot, Shown, share_scale, style_of
from .plotting import UNLIMITED, Colours, Style, adopt_menu, colour_plot, new_plot, pg

# ColorBrewer's PiYG, as the residual layer has it: diverging, and told apart by the colour blind
DIVERGING = ("#8e0152", "#c51b7d", "#de77ae", "#f1b6da", "#f7f7f7", "#b8e186", "#7fbc41", "#4d9221", "#276419")


def styles(shown: Iterable[str], colours: Colours) -> list[tuple[str, Style]]:
    """How each of these fits is told from the others."""
    return [(who, style_of(who, colours)) for who in shown]


# Pixels from which on there is room for two cuts and a picture beside them.
ROOMY = 480


class SurfacePlot:
    """Cuts along y and x, and a patch of residuals, in three columns of a layout."""

    def __init__(self, layout: Any) -> None:
        self.cuts = CurvePlot(layout, 0, legend=False), CurvePlot(layout, 1, left=("", ""), legend=False)
        self.cuts[1].stand_beside(self.cuts[0])
        self.patch_plot = new_plot(layout, 0, 2, left="y", bottom="x", name="residual patch")
        layout.ci.layout.removeItem(self.patch_plot)
        layout.addItem(self.patch_plot, row=0, col=2, rowspan=2)
        self.patch_plot.setAspectLocked(True)
        self.patch_plot.invertY(True)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.image.setColorMap(pg.ColorMap(np.linspace(0, 1, len(DIVERGING)), list(DIVERGING)))
        self.patch_plot.addItem(self.image)
        self.bar = pg.ColorBarItem(values=(-1, 1), width=10, interactive=False, colorMap=self.image.getColorMap())
        adopt_menu(self.bar, layout)
        self.bar.setImageItem(self.image, insert_in=self.patch_plot)
        self._view = layout
        for column in range(3):
            layout.ci.layout.setColumnStretchFactor(column, 4 if column < 2 else 3)
        layout.sigDeviceRangeChanged.connect(self._arrange)

    def _arrange(self, *_: object) -> None:
        """Where there is no room for all, the cuts have it: the residual is a layer too."""
        grid, roomy = self._view.ci.layout, self._view.width() >= ROOMY
        self.patch_plot.setVisible(roomy)
        grid.setColumnMaximumWidth(2, UNLIMITED if roomy else 0)
        for column in range(2):
            grid.setColumnMinimumWidth(column, 0.3 * self._view.width() if roomy else 0.45 * self._view.width())
        # it was laid out with what was least when the view was wider
        self._view.ci.setGeometry(self._view.viewRect())

    def set_labels(self, along: tuple[str, str]) -> None:
        """Set the titles of the axes, y and x, with their units."""
        for cut, axis in zip(self.cuts, along, strict=True):
            cut.set_labels("data" if cut is self.cuts[0] else "", f"along {axis}")
        self.patch_plot.getAxis("left").setLabel(along[0])
        self.patch_plot.getAxis("bottom").setLabel(along[1])

    def draw(self, shown: Mapping[str, Cuts], colours: Colours) -> None:
        """Draw the cuts of these fits, and the residual of the first."""
        for axis, plot in enumerate(self.cuts):
            plot.draw([Shown(who, cuts.along[axis]) for who, cuts in shown.items()], colours)
        share_scale(self.cuts)
        # no room for a legend on the curves
        key = "  ".join(f'<span style="color:{s.colour}">{s.sign} {who}</span>' for who, s in styles(shown, colours))
        self.cuts[0].upper.setTitle(key or None, size="9pt")
        # as high as the first, whose numbers are its own, too
        self.cuts[1].upper.setTitle("&nbsp;" if key else None, size="9pt")
        if not shown:
            self.image.clear()
            self.patch_plot.setTitle("residual", color=colours.text, size="9pt")
            return
        who, cuts = next(iter(shown.items()))
        top, bottom, left, right = cuts.extent
        self.image.setImage(cuts.patch, autoLevels=False)
        self.bar.setLevels((-cuts.limit, cuts.limit))
        self.image.setRect(QRectF(left, top, right - left, bottom - top))
        self.patch_plot.setTitle(f"residual of {who}", color=colours.text, size="9pt")

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for plot in self.cuts:
            plot.set_colours(colours)
        colour_plot(self.patch_plot, colours)
        self.bar.axis.setTextPen(pg.mkPen(colours.text))
        self.bar.axis.setPen(pg.mkPen(colours.faint))
