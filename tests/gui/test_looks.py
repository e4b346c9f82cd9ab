"""How the docks look: colours that can be read in both themes, nothing cut off."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QPushButton, QWidget

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.gui.background.latest_worker import Latest
from napari_imagefit.gui.canvas.legend import LONGEST, SHORTEST, elided, letters_on
from napari_imagefit.gui.inspector.inspect_bar import ONE_LINE_WIDTH_PX, InspectBar
from napari_imagefit.gui.parameter_table.parameter_tree import VALUES, ParameterTree
from napari_imagefit.gui.plots.curve_plot import MEAN, style_of
from napari_imagefit.gui.plots.plotting import SparseAxis, colours_of
from napari_imagefit.gui.plots.styles import CURSOR, PLOT_STYLES
from napari_imagefit.gui.spots.dock import SpotsDock
from napari_imagefit.gui.widgets.help import LINK
from napari_imagefit.gui.widgets.theme import READABLE, contrast, readable, warning_colour
from napari_imagefit.gui.widgets.tints import problem_tint
from napari_imagefit.imaging.fitting.status_labels import ATTEMPTS, REASONS, REMARKS
from napari_imagefit.imaging.spots.filters import SpotFilter
from napari_imagefit.imaging.voxels.maps import WINNER_COLOURS
from napari_imagefit.layers.geometry.output_layers import METADATA_KEY


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_all_coloured_text_can_be_read(qtbot: Any, theme: str) -> None:
    viewer: Any = SimpleNamespace(theme=theme)
    of_theme = get_theme(theme)
    text, background, foreground = (
        QColor(getattr(of_theme, name).as_hex("long")) for name in ("text", "background", "foreground")
    )
    widget = QWidget()
    qtbot.addWidget(widget)
    palette = widget.palette()
    palette.setColor(QPalette.ColorRole.WindowText, text)
    widget.setPalette(palette)
    colours = colours_of(viewer)
    # of badges, marks and troubles in lists, which have the foreground behind them
    tint = QColor(problem_tint(widget))
    found = {"tint": contrast(tint, background), "tint in a list": contrast(tint, foreground)}
    found["message"] = contrast(QColor(warning_colour(viewer)), background)
    found["link"] = contrast(readable(LINK, text, background), background)
    found["axes"] = contrast(colours.text, colours.background)
    for who in (*PLOT_STYLES, MEAN, CURSOR):
        found[who] = contrast(QColor(style_of(who, colours).colour), colours.background)
    assert {what: value for what, value in found.items() if value < READABLE} == {}


def test_words_on_the_canvas_can_be_read_on_every_colour() -> None:
    colours = [colour for _, colour in REASONS.values()]
    colours += [one.colour for one in (*REMARKS, *ATTEMPTS.values())] + list(WINNER_COLOURS.values())
    assert len(colours) > 12
    for colour in (QColor(name) for name in colours if name != "transparent"):
        letters = letters_on(np.array(colour.getRgbF()))
        assert contrast(QColor(letters), colour) >= READABLE, colour.name()


def test_words_on_the_canvas_leave_it_room(opened: tuple[Any, Any]) -> None:
    viewer, _widget = opened
    long = "1/tau + amplitude/(offset + 12345) + 1/tau"
    layer = viewer.add_image(
        np.zeros((4, 5)), metadata={METADATA_KEY: {"role": "derived:x", "title": long, "group": "g"}}
    )
    overlay = viewer.canvas.overlays[f"{METADATA_KEY}:title"]
    viewer.canvas.size = (500, 434)
    assert overlay.text.splitlines() == [elided(long, 434 // 3), "0.0 to 1.0"]
    assert elided(long, 434 // 3) == "1/tau + amplitude…"
    viewer.canvas.size = (500, 900)
    assert overlay.text.splitlines()[0] == elided(long, 300)
    assert len(elided(long, 1)) == SHORTEST
    assert len(elided(long, 10_000)) == LONGEST
    viewer.layers.remove(layer)
    assert not overlay.visible


@pytest.mark.parametrize("width", range(400, 901, 50))
def test_the_inspector_s_line_wastes_and_crops_nothing(qtbot: Any, width: int) -> None:
    bar = InspectBar()
    qtbot.addWidget(bar)
    bar.say("a sentence that is longer than any line has room for " * 4)
    bar.offer(ready=True, pinned=True)
    bar.resize(width, bar.sizeHint().height())
    bar.show()
    assert bar.minimumSizeHint().width() <= 400
    assert bar.tabs.x() == 0
    if width < ONE_LINE_WIDTH_PX:
        qtbot.waitUntil(lambda: bar.note.width() == width)  # all of the second line
    qtbot.waitUntil(lambda: bar.note.width() > 100)
    note = bar.note.width()
    bar.profile.show()
    qtbot.waitUntil(lambda: bar.note.width() < note)
    for control in (bar.tabs, bar.note, bar.profile, bar.where, bar.pin, bar.clear):
        right = control.mapTo(bar, control.rect().topRight()).x()
        assert 0 < right < width, control.accessibleName()
        if isinstance(control, QPushButton):
            assert control.width() > control.fontMetrics().horizontalAdvance(control.text().replace("&", ""))
    assert bar.clear.mapTo(bar, bar.clear.rect().topRight()).x() >= width - 2, "at the right edge"


def test_an_axis_tells_a_distance() -> None:
    axis = SparseAxis("bottom")
    for low, high, size in ((-0.46, 0.46, 145), (0, 1, 300), (-3, 1000, 400)):
        (major, _), _ = axis.tickSpacing(low, high, size)
        assert np.floor(high / major) - np.ceil(low / major) >= 1, "two numbers at least"
        assert size * major / (high - low) > 28, "that do not touch"


def test_headings_of_values_keep_away_from_the_edge(qtbot: Any) -> None:
    tree = ParameterTree()
    qtbot.addWidget(tree)
    tree.set_titles(["a heading that is wider than its column has room for"])
    tree.resize(300, 100)
    tree.show()
    header = tree.header()
    picture = header.viewport().grab().toImage()
    right = header.sectionViewportPosition(VALUES) + header.sectionSize(VALUES) - 1
    scale = picture.width() / header.viewport().width()
    rows = range(4, picture.height() - 4)
    for x in range(right - 3, right):
        column = [picture.pixelColor(int(x * scale), y).lightness() for y in rows]
        assert max(column) - min(column) < 50, "no letters in the last pixels"


def test_a_mistake_in_a_worker_is_its_own_sentence(qtbot: Any) -> None:
    def work(asked: str) -> None:
        raise FitInputError(asked) if asked == "no spot is left" else ZeroDivisionError(asked)

    owner = QWidget()
    qtbot.addWidget(owner)
    told: list[str] = []
    latest = Latest(work, owner)
    latest.refused.connect(told.append)
    for asked in ("no spot is left", "by zero"):
        latest.ask(asked)
        qtbot.waitUntil(lambda: not latest.busy)
    assert told == ["no spot is left", "an error of the program, ZeroDivisionError: by zero"]


def test_what_comes_when_its_owner_is_gone_is_not_told(qtbot: Any) -> None:
    go_on, told = threading.Event(), []
    owner = QWidget()
    latest = Latest(lambda _asked: go_on.wait(60), owner)
    latest.done.connect(lambda *answer: told.append(answer))
    latest.ask("something slow")
    qtbot.waitUntil(lambda: latest._worker is not None)
    owner.deleteLater()
    QCoreApplication.sendPostedEvents(owner, QEvent.Type.DeferredDelete)
    go_on.set()
    qtbot.waitUntil(lambda: latest._worker is None)
    assert not told


def test_the_spots_dock_asks_for_no_more_than_its_neighbour(shown: tuple[Any, Any], qtbot: Any) -> None:
    viewer, widget = shown
    dock = SpotsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Spots", area="right", tabify=True, add_vertical_stretch=False)
    long = "a column with a name that is far too long for any box [µm]"
    dock.colour_by.addItems([long])
    dock.filters.column.addItems([long])
    assert not dock.filters.items.isVisible(), "no room for filters that there are not"
    dock.filters.set_filters([SpotFilter(f"{i} {long}", 0.25, 1e9) for i in range(5)])
    dock.summary.setText("100 000 spots · 90 000 count · × 9 000 filtered out · ✚ 1 000 failed")
    for size in ((1100, 700), (1280, 720)):
        viewer.window.resize(*size)
        qtbot.waitUntil(lambda: dock.width() == widget.width() == 320)
        for control in dock.findChildren(QWidget):
            # what scrolls has parts out of sight
            scrolls = dock.table.isAncestorOf(control) or dock.filters.items.isAncestorOf(control)
            if control.isVisible() and not scrolls:
                ends = control.rect().topLeft(), control.rect().topRight()
                left, right = (control.mapTo(dock, end).x() for end in ends)
                assert 0 <= left <= right < dock.width(), (type(control).__name__, left, right)
    assert dock.table.height() > 150
    assert dock.filters.items.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
