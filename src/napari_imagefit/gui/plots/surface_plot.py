"""A surface beside its fit: profiles along both axes, and the residual as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...imaging.inspection.surface_cuts import Cuts
from .curve_plot import CurvePanel, Shown, style_of
from .panel import Key, Strip
from .picture import DIVERGING, PicturePanel, limits
from .plotting import Colours


class SurfacePage(QWidget):
    """Profiles along y and x, and the residual of the first fit."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts = CurvePanel("data"), CurvePanel("data")
        self.residual = PicturePanel("residual", DIVERGING, axes=True)
        self.key = Key()
        self._labels: tuple[tuple[str, str], str] | None = None
        strip = Strip([(self.cuts[0], 4), (self.cuts[1], 4), (self.residual, 3)])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.key)
        layout.addWidget(strip, 1)

    def set_labels(self, along: tuple[str, str], how: str) -> None:
        """Set the titles of the axes, y and x, with their units, and what a profile is made of."""
        if (along, how) == self._labels:
            return  # asked for at each drawing
        self._labels = along, how
        for cut, axis in zip(self.cuts, along, strict=True):
            cut.set_labels("data", axis)
            cut.set_title(f"along {axis}, {how}", axis.split(" [")[0])
        self.residual.set_labels(*along)

    def draw(self, shown: Mapping[str, Cuts], colours: Colours) -> None:
        """Draw the profiles of these fits, and the residual of the first."""
        self.key.show_styles({who: style_of(who, colours) for who in shown})
        for axis, panel in enumerate(self.cuts):
            panel.draw([Shown(who, cuts.along[axis]) for who, cuts in shown.items()], colours)
        first = next(iter(shown.items()), None)
        if first is None:
            self.residual.clear()
            return
        who, cuts = first
        self.residual.draw(cuts.patch, (-cuts.limit, cuts.limit), cuts.extent)
        whose = f" of {who}" if len(shown) > 1 else ""
        self.residual.set_title(f"residual{whose}", "residual", sign=limits(cuts.limit))

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for panel in (*self.cuts, self.residual):
            panel.set_colours(colours)
