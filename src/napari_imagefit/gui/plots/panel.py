"""Plots beside each other, each in a view of its own: what has no room is left out, and nothing is ever cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from .plotting import Colours, colour_plot, new_plot, pg
from .styles import Style

# Pixels from which on there is room: for a title, for the name of an axis, for the numbers along it.
TITLED, NAMED, NUMBERED = 110, 190, 64
WIDE, NARROW, HIGH = 230, 104, 68
# Pixels that a left axis takes with its name, and with numbers alone.
WITH_NAME, WITH_NUMBERS = 70, 54
MIN_CURVE_WIDTH_PX = 110  # below which a curve is not worth looking at


def shrinking_label() -> QLabel:
    """Return a line of rich text without a minimum width."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.RichText)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    made.setMinimumWidth(1)
    return made


class Key(QLabel):
    """Legend of the sign and colour of each of several fits; nothing for one."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Signs of the fits that are shown")
        self.hide()

    def show_styles(self, styles: Mapping[str, Style]) -> None:
        """Show these fits with a sign and colour each."""
        self.setText(
            "&nbsp; ".join(f'<span style="color:{one.colour}">{one.sign} {who}</span>' for who, one in styles.items())
        )
        self.setVisible(len(styles) > 1)


class Panel(QWidget):
    """A title over plots, each in a view of its own, above each other.

    Parameters
    ----------
    name : str
        Of the first plot.
    least : int
        Pixels of width below which the panel is left out.
    """

    def __init__(self, name: str, least: int) -> None:
        super().__init__()
        self.least = least
        self._titles: tuple[tuple[str, str], ...] = ()
        self.title = shrinking_label()
        self.title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.title.hide()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self.title)
        self.views: list[Any] = []
        self.plots: list[Any] = []
        self.upper = self.add_plot(name, 5)

    def add_plot(self, name: str, stretch: int) -> Any:
        """Return another plot below those that there are."""
        view = pg.GraphicsLayoutWidget()
        view.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        view.setMinimumSize(1, 1)
        view.ci.setContentsMargins(2, 2, 6, 2)
        view.ci.layout.setSpacing(0)
        plot = new_plot(view, 0, 0, left="", name=name)
        self._column.addWidget(view, stretch)
        self.views.append(view)
        self.plots.append(plot)
        return plot

    def set_colours(self, colours: Colours) -> None:
        """Follow the theme."""
        for view, plot in zip(self.views, self.plots, strict=True):
            view.setBackground(colours.background)
            colour_plot(plot, colours)

    def set_title(self, text: str, short: str = "", *, sign: str = "") -> None:
        """Set the title, what stands for it where there is less room, and rich text that follows it."""
        self._titles = ((text, sign), (text, ""), (short, ""))
        self._adapt_title(self.width(), self.height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave out what has no room."""
        super().resizeEvent(event)
        self.adapt(self.width(), self.height())

    def adapt(self, width: int, height: int) -> None:
        """Show the title, the names of axes and their numbers where there is room for them."""
        self._adapt_title(width, height)

    def _adapt_title(self, width: int, height: int) -> None:
        for text, sign in self._titles:
            self.title.setText(text + sign)
            if text and self.title.sizeHint().width() <= width:
                self.title.setVisible(height >= TITLED)
                return
        self.title.hide()


def adapt_left(axes: Sequence[Any], width: int, heights: Sequence[float]) -> None:
    """Give left axes above each other their names and numbers where plots of such heights have room for them."""
    numbered = width >= NARROW
    named = [
        width >= WIDE and height >= HIGH and bool(axis.labelText) for axis, height in zip(axes, heights, strict=True)
    ]
    for axis, has_name in zip(axes, named, strict=True):
        axis.showLabel(has_name)
        axis.setStyle(showValues=numbered)
        axis.setWidth((WITH_NAME if any(named) else WITH_NUMBERS) if numbered else 6)


def adapt_bottom(axis: Any, height: int, *, numbered: bool = True) -> None:
    """Give a bottom axis its name and its numbers where a plot of that size has room for them."""
    axis.showLabel(numbered and height >= NAMED and bool(axis.labelText))
    axis.setStyle(showValues=numbered and height >= NUMBERED)


class Strip(QWidget):
    """Panels beside each other; where there is no room for all, the last ones by importance are left out.

    Parameters
    ----------
    panels : sequence of (Panel, int)
        From left to right, with their shares of the width.
    """

    def __init__(self, panels: Sequence[tuple[Panel, int]]) -> None:
        super().__init__()
        self._order: Sequence[Panel] = [panel for panel, _ in panels]
        self._panels = [panel for panel, _ in panels]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for panel, share in panels:
            panel.setMinimumWidth(1)
            row.addWidget(panel, share)

    def set_order(self, order: Sequence[Panel]) -> None:
        """Set which panels there are, the most important first."""
        self._order = order
        self._arrange()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave out what has no room."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        room = self.width()
        shown: list[Panel] = []
        for panel in self._order:
            if shown and panel.least > room:
                break
            shown.append(panel)
            room -= panel.least
        for panel in self._panels:
            panel.setVisible(panel in shown)
