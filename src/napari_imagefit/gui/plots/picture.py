"""A picture in a panel of plots, as large as it fits, with square pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF

from .panel import Panel, adapt_bottom, adapt_left
from .plotting import pg

# ColorBrewer's PiYG, as the residual layer has it: diverging, and told apart by the colour blind
DIVERGING = ("#8e0152", "#c51b7d", "#de77ae", "#f1b6da", "#f7f7f7", "#b8e186", "#7fbc41", "#4d9221", "#276419")
GREY = ("#000000", "#ffffff")
MIN_PICTURE_WIDTH_PX = 80  # below which a picture is not worth looking at
AXES_FROM = 170, 150  # pixels of width and height from which on axes leave room for the picture


def limits(limit: float) -> str:
    """Return what the diverging colours reach to, with the lowest and the highest of them."""
    low, high = (f'<span style="color:{DIVERGING[at]}">■</span>' for at in (2, 6))
    return f" {low} ±{limit:.2g} {high}"


class PicturePanel(Panel):
    """One image.

    Parameters
    ----------
    name : str
    colours : sequence of str
        From the lowest value to the highest.
    axes : bool
        Whether axes tell where it is.
    """

    def __init__(self, name: str, colours: Sequence[str], *, axes: bool = False) -> None:
        super().__init__(name, MIN_PICTURE_WIDTH_PX if not axes else 120)
        self._axes = axes
        self.upper.setAspectLocked(True)
        self.upper.invertY(True)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.image.setColorMap(pg.ColorMap(np.linspace(0, 1, len(colours)), list(colours)))
        self.cross = pg.ScatterPlotItem(symbol="+", size=12, pen=pg.mkPen("#F0E442", width=2), brush=None)
        self.upper.addItem(self.image)
        self.upper.addItem(self.cross)
        self.set_title(name)

    def set_labels(self, left: str, bottom: str) -> None:
        """Set the titles of the axes."""
        self.upper.getAxis("left").setLabel(left)
        self.upper.getAxis("bottom").setLabel(bottom)
        self.adapt(self.width(), self.height())

    def adapt(self, width: int, height: int) -> None:
        """Give the room to the picture, then to its axes."""
        super().adapt(width, height)
        roomy = self._axes and width >= AXES_FROM[0] and height >= AXES_FROM[1]
        for side in ("left", "bottom"):
            self.upper.showAxis(side, roomy)
        if roomy:
            adapt_left([self.upper.getAxis("left")], width, [height])
            adapt_bottom(self.upper.getAxis("bottom"), height)

    def draw(
        self,
        values: NDArray[Any],
        levels: tuple[float, float],
        extent: tuple[float, float, float, float],
        cross: tuple[float, float] | None = None,
    ) -> None:
        """Show another picture; `extent` is first and last y, first and last x, and `cross` a mark at (y, x)."""
        top, bottom, left, right = extent
        box = QRectF(left, top, right - left, bottom - top)
        self.image.setImage(values, levels=levels)
        self.image.setRect(box)
        self.cross.setData(*(([], []) if cross is None else ([cross[1]], [cross[0]])))
        self.upper.setRange(box, padding=0.02)

    def clear(self) -> None:
        """Show none."""
        self.image.clear()
        self.cross.clear()
