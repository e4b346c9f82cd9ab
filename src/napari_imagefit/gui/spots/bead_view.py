"""The dock "Bead": an average of spots, or one of them, with cuts along each axis and their widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRectF
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...layers.tasks.spot_beads import BeadPicture
from ..plots.plotting import STYLES, clear_plots, colour_plot, colours_of, new_plot, pg
from ..widgets.dock_widget import Stopping

if TYPE_CHECKING:
    from napari.viewer import Viewer

TITLE = "Bead"


class BeadView(Stopping):
    """Planes above, cuts with full widths at half maximum below.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.note = QLabel("No bead is shown yet.")
        self.note.setWordWrap(True)
        self.note.setAccessibleName("Which bead is shown, and how wide it is")
        self.graphics = pg.GraphicsLayoutWidget()
        self.graphics.setMinimumHeight(200)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.addWidget(self.note)
        layout.addWidget(self.graphics, 1)

    def show_picture(self, picture: BeadPicture) -> None:
        """Draw another one."""
        self.note.setText(f"{picture.title} · full width at half maximum: {picture.words}")
        clear_plots(self.graphics)
        colours = colours_of(self._viewer)
        self.graphics.setBackground(colours.background)
        for column, (axes, values, (height, width)) in enumerate(picture.planes):
            plot = new_plot(self.graphics, 0, column, left="", name=f"bead in {axes}")
            plot.setAspectLocked(True)
            plot.invertY(True)
            plot.hideAxis("left")
            plot.hideAxis("bottom")
            rows, columns = axes.split(", ")
            plot.setTitle(f"{rows} down, {columns} across", size="9pt")
            image = pg.ImageItem(np.where(np.isfinite(values), values, np.nan), axisOrder="row-major")
            image.setColorMap(pg.colormap.get("viridis"))
            # as large as it is: a bead is longer along z
            box = QRectF(0, 0, values.shape[1] * width, values.shape[0] * height)
            image.setRect(box)
            plot.addItem(image)
            plot.setRange(box, padding=0.02)
            colour_plot(plot, colours)
        for column, cut in enumerate(picture.cuts):
            plot = new_plot(self.graphics, 1, column, left="", bottom=f"{cut.axis} [{picture.unit}]", name="cut")
            plot.getAxis("left").setWidth(44)
            plot.plot(cut.at, cut.data, pen=None, symbol="o", symbolSize=5, symbolBrush=colours.text, symbolPen=None)
            if cut.fitted.size:
                plot.plot(cut.fitted_at, cut.fitted, pen=pg.mkPen(STYLES["A"].colour, width=2))
            width = cut.fwhm_fit if np.isfinite(cut.fwhm_fit) else cut.fwhm_data
            if np.isfinite(width):
                plot.setTitle(f"FWHM {width:.3g} {picture.unit}", size="9pt")
                plot.addItem(pg.LinearRegionItem(_around(cut, width), movable=False, brush=(240, 228, 66, 40)))
            colour_plot(plot, colours)
        self.graphics.ci.layout.setRowStretchFactor(0, 4)
        self.graphics.ci.layout.setRowStretchFactor(1, 5)

    def outdate(self) -> None:
        """Spots were fitted again: say that it is not of them."""
        if self.note.text().startswith(("spot ", "average ")):
            self.note.setText(f"Of an earlier fit: {self.note.text()}")

    def say(self, text: str) -> None:
        """Why there is no picture."""
        clear_plots(self.graphics)
        self.note.setText(f"⚠ {text}")


def _around(cut: Any, width: float) -> tuple[float, float]:
    middle = 0.0 if cut.fitted.size or not np.isfinite(cut.data).any() else float(cut.at[np.nanargmax(cut.data)])
    return middle - width / 2, middle + width / 2


def find_bead(viewer: Viewer) -> BeadView | None:
    """Return the dock, if there is one."""
    return next((w for w in viewer.window.dock_widgets.values() if isinstance(w, BeadView)), None)


def show_bead(viewer: Viewer) -> BeadView:
    """Return the dock, which is made where there is none, in front of the other tabs below the canvas."""
    found = find_bead(viewer)
    if found is None:
        found = BeadView(viewer)
        viewer.window.add_dock_widget(found, name=TITLE, area="bottom", tabify=True, add_vertical_stretch=False)
    around = found.parentWidget()
    if around is not None:
        around.show()
        around.raise_()
    return found
