"""The dock "Bead": an average of spots, or one of them, with cuts along each axis and their widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ...imaging.spot_analysis.beads import BeadCut
from ...layers.tasks.spot_beads import BeadPicture, bead_layer
from ..plots.panel import MIN_CURVE_WIDTH_PX, Panel, Strip, adapt_bottom, adapt_left
from ..plots.picture import PicturePanel
from ..plots.plotting import Colours, colours_of, pg
from ..plots.styles import PLOT_STYLES
from ..widgets.dock_widget import Below

if TYPE_CHECKING:
    from napari.viewer import Viewer

TITLE = "Bead"
NO_BEAD_YET = "No bead is shown yet: choose spots in the dock Spots, and click Average… or Widths…"


class CutPanel(Panel):
    """A cut through a bead, its fit and its width."""

    def __init__(self) -> None:
        super().__init__("cut", MIN_CURVE_WIDTH_PX)
        self._points = pg.ScatterPlotItem(size=5)
        self._line = pg.PlotCurveItem(pen=pg.mkPen(PLOT_STYLES["A"].colour, width=2))
        self._width = pg.LinearRegionItem(movable=False, brush=(240, 228, 66, 40))
        for item in (self._points, self._line, self._width):
            self.upper.addItem(item)

    def adapt(self, width: int, height: int) -> None:
        """Give the room to the cut, then to numbers and names."""
        super().adapt(width, height)
        adapt_left([self.upper.getAxis("left")], width, [height])
        adapt_bottom(self.upper.getAxis("bottom"), height)

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        super().set_colours(colours)
        self._points.setBrush(pg.mkBrush(colours.text))
        self._points.setPen(pg.mkPen(None))
        edge = QColor(colours.text)
        edge.setAlpha(90)
        for line in self._width.lines:
            line.setPen(pg.mkPen(edge, style=Qt.PenStyle.DashLine))

    def draw(self, cut: BeadCut, unit: str) -> None:
        """Show another cut."""
        self.upper.getAxis("bottom").setLabel(f"{cut.axis} [{unit}]")
        self._points.setData(cut.at, cut.data)
        self._line.setData(cut.fitted_at, cut.fitted)
        width = cut.fwhm_fit if np.isfinite(cut.fwhm_fit) else cut.fwhm_data
        known = bool(np.isfinite(width))
        self._width.setVisible(known)
        if known:
            self._width.setRegion(_around(cut, width))
        told = f"{cut.axis} {width:.3g} {unit}"
        self.set_title(f"FWHM along {told}" if known else "", told if known else f"along {cut.axis}")
        self.upper.autoRange()
        self.adapt(self.width(), self.height())


class BeadView(Below):
    """Planes and cuts with full widths at half maximum, beside each other.

    Parameters
    ----------
    viewer : Viewer
    """

    needs = 280  # so that axes have their names

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._open = True
        self._picture: BeadPicture | None = None
        self.note = QElidingLabel()
        self.note.setAccessibleName("Which bead is shown, and how wide it is")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        # where there is no picture, the whole sentence stands in its place
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.hint.setMinimumSize(1, 1)
        self.add = QPushButton("Add as layer")
        self.add.setToolTip("Add this bead to the viewer as an image with its pixel size, to be saved or looked at")
        self.planes = [PicturePanel("", pg.colormap.get("viridis").getColors("qcolor")) for _ in range(3)]
        self.cuts = [CutPanel() for _ in range(3)]
        self._strip = Strip([*((one, 3) for one in self.planes), *((cut, 4) for cut in self.cuts)])
        line = QHBoxLayout()
        line.addWidget(self.note, 1)
        line.addWidget(self.add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(self._strip, 1)
        layout.addWidget(self.hint, 1)
        self._say(NO_BEAD_YET)
        self.add.clicked.connect(self._on_add)
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    @property
    def picture(self) -> BeadPicture | None:
        """Picture that is shown."""
        return self._picture

    def show_picture(self, picture: BeadPicture) -> None:
        """Draw another one."""
        self._picture = picture
        self._say(f"{picture.title} · full width at half maximum: {picture.words}")
        for panel, (axes, values, (height, width)) in zip(self.planes, picture.planes, strict=False):
            finite = values[np.isfinite(values)]
            levels = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
            # as large as it is: a bead is longer along z
            panel.draw(values, levels, (0, values.shape[0] * height, 0, values.shape[1] * width))
            rows, columns = axes.split(", ")
            panel.set_title(f"{rows} down, {columns} across", axes)
        for cut_panel, cut in zip(self.cuts, picture.cuts, strict=False):
            cut_panel.draw(cut, picture.unit)
        planes, cuts = self.planes[: len(picture.planes)], self.cuts[: len(picture.cuts)]
        self._strip.set_order([*planes[:1], *cuts, *planes[1:]])

    def say(self, text: str) -> None:
        """Show why there is no picture."""
        self._picture = None
        self._say(f"⚠ {text}")

    def forget(self) -> None:
        """Show none: there is no such fit any more."""
        if self._picture is not None:
            self._picture = None
            self._say(NO_BEAD_YET)

    def outdate(self) -> None:
        """Mark what is shown as of an earlier fit."""
        if self._picture is not None and not self.note.text().startswith("Of an earlier fit"):
            self._say(f"Of an earlier fit: {self.note.text()}")

    def shut_down(self) -> None:
        """Disconnect from the viewer."""
        if self._open:
            self._open = False
            self._viewer.events.theme.disconnect(self._on_theme)

    def _say(self, text: str) -> None:
        """Show it above the picture, or instead of it where there is none."""
        for label in (self.note, self.hint):
            label.setText(text)
            label.setToolTip(text)
        for widget in (self.note, self.add, self._strip):
            widget.setVisible(self._picture is not None)
        self.hint.setVisible(self._picture is None)

    def _on_add(self) -> None:
        if self._picture is not None:
            values, options = bead_layer(self._picture)
            self._viewer.add_image(values, **options)

    def _on_theme(self, _event: object = None) -> None:
        colours = colours_of(self._viewer)
        for panel in (*self.planes, *self.cuts):
            panel.set_colours(colours)


def _around(cut: BeadCut, width: float) -> tuple[float, float]:
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
