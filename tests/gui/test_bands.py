"""Ranges of a curve that are dragged: bands follow the text and the text follows the bands, and fits follow both."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu

from napari_imagefit.gui.plots.curve_plot import CurvePage, Shown
from napari_imagefit.gui.plots.plotting import Colours, pg
from napari_imagefit.gui.state.settings_undo import UNDO_DEBOUNCE_MS
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.imaging.inspection.curves import Curve
from napari_imagefit.layers.request.coordinates import parse_ranges

from .pointer import LEFT, until
from .spot_help import PATIENCE, click_fit, write

T = np.arange(8.0, 168.0, 8.0)
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
DARK = Colours(*(pg.mkColor(name) for name in ("#262930", "#f0f1f2", "#414851")))


def decays() -> NDArray[np.float64]:
    curves = 9 * np.exp(-T[:, None, None] / np.linspace(30, 60, 20).reshape(4, 5)) + 1
    return np.asarray(curves + np.random.default_rng(6).normal(0, 0.01, curves.shape))


def curve_over(x: NDArray[np.float64]) -> Curve:
    y = np.linspace(1.0, 2.0, x.size)
    fine = np.linspace(x.min(), x.max(), 200)
    return Curve(x, y, np.ones(x.size, bool), None, 0 * y, fine, np.ones(200), np.ones(200), None, y)


class Hand:
    """A pointer over the upper plot of a page."""

    def __init__(self, page: CurvePage) -> None:
        self._panel = page.panel
        self._viewport = page.panel.views[0].viewport()

    def at(self, x: float, height: float = 0.5) -> QPoint:
        box = self._panel.upper.getViewBox()
        low, high = box.viewRange()[1]
        found = self._panel.views[0].mapFromScene(box.mapViewToScene(QPointF(x, low + height * (high - low))))
        return QPoint(found)

    def move(self, to: QPoint, buttons: Qt.MouseButton = Qt.MouseButton.NoButton, keys: Any = NONE) -> None:
        self._send(QEvent.Type.MouseMove, to, Qt.MouseButton.NoButton, buttons, keys)
        QTest.qWait(15)  # pyqtgraph looks at 100 moves a second

    def press(self, to: QPoint, keys: Any = NONE, button: Qt.MouseButton = LEFT) -> None:
        self.move(to)
        self._send(QEvent.Type.MouseButtonPress, to, button, button, keys)

    def release(self, to: QPoint, keys: Any = NONE, button: Qt.MouseButton = LEFT) -> None:
        self._send(QEvent.Type.MouseButtonRelease, to, button, Qt.MouseButton.NoButton, keys)
        QTest.qWait(15)

    def drag(self, start: float, end: float, keys: Any = NONE) -> None:
        first, last = self.at(start), self.at(end)
        self.press(first, keys)
        for share in (0.3, 0.6, 1.0):
            self.move(QPoint(round(first.x() + share * (last.x() - first.x())), first.y()), LEFT, keys)
        self.release(last, keys)

    def click(self, to: QPoint, button: Qt.MouseButton = LEFT) -> None:
        self.press(to, button=button)
        self.release(to, button=button)

    def double_click(self, x: float) -> None:
        to = self.at(x)
        self.click(to)
        self._send(QEvent.Type.MouseButtonDblClick, to, LEFT, LEFT, NONE)
        self.release(to)

    def _send(self, kind: QEvent.Type, to: QPoint, button: Any, buttons: Any, keys: Any) -> None:
        spot = QPointF(to), QPointF(self._viewport.mapToGlobal(to))
        QApplication.sendEvent(self._viewport, QMouseEvent(kind, *spot, button, buttons, keys))


@pytest.fixture
def page(qtbot: Any) -> CurvePage:
    made = CurvePage()
    qtbot.addWidget(made)
    made.resize(640, 400)
    made.set_colours(DARK)
    made.show()
    qtbot.waitExposed(made)
    return made


def show(page: CurvePage, x: NDArray[np.float64], *ranges: tuple[float, float]) -> list[Any]:
    """Show samples and ranges; what is told of bands is collected."""
    page.draw([Shown("cursor", curve_over(x))], DARK)
    page.bands.show(ranges, x)
    told: list[Any] = []
    page.bands.changed.connect(told.append)
    QTest.qWait(20)
    return told


def test_a_band_is_moved_and_resized_and_another_one_is_drawn(page: CurvePage) -> None:
    told, hand = show(page, T, (40.0, 60.0), (100.0, 110.0)), Hand(page)
    hand.drag(50, 70)
    (low, high), other = page.bands.ranges
    assert (low, high) == pytest.approx((60, 80), abs=1)
    assert high - low == pytest.approx(20, abs=0.2)
    assert other == (100.0, 110.0), "what was not touched is what it was"
    assert len(told) >= 3, "who listens is told of every move"
    assert told[-1] == page.bands.ranges

    hand.drag(high, 90)
    assert page.bands.ranges[0][0] == low
    assert page.bands.ranges[0][1] == pytest.approx(90, abs=1)
    # one edge beyond the other, and over another band: nothing is lost
    hand.drag(low, 120)
    assert page.bands.ranges[0] == pytest.approx((90, 120), abs=1)
    assert page.bands.ranges[1] == other

    hand.drag(20, 35, SHIFT)
    assert len(page.bands.ranges) == 3
    assert page.bands.ranges[2] == pytest.approx((20, 35), abs=1)
    hand.drag(145, 130, SHIFT)
    assert page.bands.ranges[3] == pytest.approx((130, 145), abs=1)
    # no more digits than can be told apart
    assert all(len(f"{end:g}") <= 5 and float(f"{end:g}") == end for band in page.bands.ranges for end in band)


@pytest.mark.parametrize("x", [T, T[::-1].copy(), np.geomspace(1e-3, 100, 12), np.array([5.0])])
def test_a_double_click_excludes_a_sample(page: CurvePage, x: NDArray[np.float64]) -> None:
    """In whatever order and however far apart they lie, and if there is only one."""
    told, hand = show(page, x), Hand(page)
    sample = float(x[-2] if x.size > 1 else x[0])
    hand.double_click(sample)
    ((low, high),) = page.bands.ranges
    assert x[(x >= low) & (x <= high)].tolist() == [sample]
    assert told == [page.bands.ranges]
    hand.double_click(sample)
    assert len(page.bands.ranges) == 1, "there is a band already"


def test_bands_are_removed_by_their_cross_by_delete_and_by_the_menu(page: CurvePage, qtbot: Any) -> None:
    told, hand = show(page, T, (20.0, 40.0), (60.0, 80.0), (100.0, 120.0), (140.0, 150.0)), Hand(page)
    band = page.bands.items[1]
    top = page.panel.views[0].mapFromScene(band.cross.mapToScene(band.cross.boundingRect().center()))
    hand.click(QPoint(top))
    assert page.bands.ranges == ((20, 40), (100, 120), (140, 150))
    hand.click(hand.at(110))
    page.activateWindow()
    page.panel.views[0].setFocus()
    until(page.panel.views[0].hasFocus, "the plot has the focus")
    qtbot.keyClick(page.panel.views[0], Qt.Key.Key_Delete)
    assert page.bands.ranges == ((20, 40), (140, 150))
    qtbot.keyClick(page.panel.views[0], Qt.Key.Key_Delete)
    assert page.bands.ranges == ((20, 40), (140, 150)), "the next one was not touched"

    hand.click(hand.at(30), Qt.MouseButton.RightButton)
    menu = next(one for one in page.findChildren(QMenu) if one.actions() and "band" in one.actions()[0].text())
    assert [action.text() for action in menu.actions()] == ["Remove this band", "Remove all bands"]
    menu.actions()[0].trigger()
    assert page.bands.ranges == ((140, 150),)
    menu.actions()[1].trigger()
    menu.close()
    assert page.bands.ranges == ()
    assert told[-1] == ()


def test_a_new_band_takes_free_room(page: CurvePage) -> None:
    show(page, T)
    for n in range(1, 5):
        page.bands.add()
        ends = sorted(page.bands.ranges)
        assert len(ends) == n
        assert all(first[1] < second[0] for first, second in pairwise(ends))
        assert all(low < high for low, high in ends)


def test_ends_that_are_infinite_stay_so_until_they_are_dragged(page: CurvePage) -> None:
    show(page, T, (-np.inf, 24.0), (1e6, 2e6), (30.123456789, 31.0))
    hand = Hand(page)
    hand.drag(24, 50)
    assert page.bands.ranges[0] == (-np.inf, pytest.approx(50, abs=1))
    assert page.bands.ranges[1:] == ((1e6, 2e6), (30.123456789, 31.0))


def test_without_anybody_to_ask_there_are_no_bands(page: CurvePage) -> None:
    told = show(page, T, (40.0, 60.0))
    page.bands.show(None, T)
    assert page.bands.items == []
    hand = Hand(page)
    hand.double_click(80)
    hand.drag(80, 100, SHIFT)
    assert page.bands.items == []
    assert told == []


@pytest.fixture
def fitted(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget, Any]:
    viewer = make_napari_viewer(show=True, strict_qt=False)
    viewer.window.resize(1280, 720)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(decays(), name="decays", scale=(8, 1, 1), translate=(8, 0, 0), units=("ms", "um", "um"))
    widget.data.set_job("voxels")
    click_fit(qtbot, widget)
    inspector = widget.inspection.open()
    until(inspector.isVisible, "the inspector is on the screen")
    widget.inspection.look_at((1, 2))
    until(inspector.curve_page.isVisible, "the curve is on the screen")
    QTest.qWait(50)
    return viewer, widget, inspector


def drawn_as(inspector: Any) -> tuple[list[float], list[float], list[float]]:
    """Where samples are drawn that count, that do not, and residuals."""
    (who, *_) = inspector.shown_places()
    items = inspector.curves.drawn(who)
    return tuple(part.getData()[0].tolist() for part in (items.points, items.left_out, items.residuals))  # type: ignore[return-value]


def test_text_bands_and_fits_follow_each_other(qtbot: Any, fitted: tuple[Any, ImageFitWidget, Any]) -> None:
    _, widget, inspector = fitted
    bands, hand = inspector.curve_page.bands, Hand(inspector.curve_page)
    assert inspector.bar.exclude.isVisible()
    assert inspector.bar.exclude.text() == "Exclude band"
    assert drawn_as(inspector) == (T.tolist(), [], T.tolist())

    # typed, in the coordinate's unit
    widget.samples_fold.set_open(True)
    write(qtbot, widget.samples.exclude, "30..50, -inf..8, 90..91.5")
    assert bands.ranges == ((30, 50), (-np.inf, 8), (90, 91.5))
    assert drawn_as(inspector)[1] == [8, 32, 40, 48], "the plot does not claim that they count"
    assert drawn_as(inspector)[2] == drawn_as(inspector)[0]

    # dragged: one change of the settings, though the hand rests on its way
    log = widget.past.history.settings
    until(lambda: log.now.select is not None and len(log.now.select.exclude) == 3, "what was typed is remembered")
    heard: list[int] = []
    widget.samples.changed.connect(lambda: heard.append(1))
    first, last = hand.at(40), hand.at(60)
    before = widget.samples.exclude.text()
    QTest.mouseMove(hand._viewport, first)
    hand.move(first)
    QTest.mousePress(hand._viewport, LEFT, pos=first)
    for x in (45, 48, 52, 56, 60):
        hand.move(hand.at(x), LEFT)
        QTest.qWait(20)  # pyqtgraph passes a hundred moves a second on, no more
    assert widget.samples.exclude.text() != before, "while it is dragged"
    assert len(heard) >= 3
    QTest.qWait(2 * UNDO_DEBOUNCE_MS)
    assert log.now.select.exclude == ((30, 50), (-np.inf, 8), (90, 91.5)), "it is not let go of yet"
    QTest.mouseRelease(hand._viewport, LEFT, pos=last)
    QTest.qWait(20)
    assert parse_ranges(widget.samples.exclude.text()) == bands.ranges
    assert bands.ranges[0] == pytest.approx((50, 70), abs=1.5)
    until(lambda: log.now.select.exclude == bands.ranges, "the drag is remembered")
    widget.past.undo.undo()
    assert widget.samples.exclude.text() == "30–50, -inf–8, 90–91.5"
    assert bands.ranges == ((30, 50), (-np.inf, 8), (90, 91.5))
    widget.past.undo.redo()
    assert bands.ranges[0] == pytest.approx((50, 70), abs=1.5)

    # the mean curve and every voxel are fitted to the same samples
    widget.region.means.setCurrentIndex(1)
    click_fit(qtbot, widget)
    outcome = widget.follow_ups.outcome
    left = sum(((low <= T) & (high >= T)) for low, high in bands.ranges) > 0
    assert (outcome.result.n_used == (~left).sum()).all()
    assert int(outcome.mean.result.n_used) == (~left).sum()
    assert drawn_as(inspector)[1] == T[left].tolist()
    # less is excluded: samples that were not fitted count in the next fit, with residuals
    bands.remove(bands.items[0])
    assert drawn_as(inspector)[1] == [8]
    assert drawn_as(inspector)[2] == T[1:].tolist()


def test_the_button_adds_a_band_and_nothing_is_offered_where_it_says_nothing(
    qtbot: Any, fitted: tuple[Any, ImageFitWidget, Any]
) -> None:
    viewer, widget, inspector = fitted
    bands = inspector.curve_page.bands
    qtbot.mouseClick(inspector.bar.exclude, LEFT)
    (band,) = bands.ranges
    assert widget.samples.selection().exclude == (band,)
    # of all samples none counts: that is shown, and no reason to fail
    widget.samples.set_exclude([(0.0, 1e9)])
    assert drawn_as(inspector) == ([], T.tolist(), [])
    widget.samples.set_exclude([band])
    viewer.theme = "light"
    assert bands.ranges == (band,)

    # ranges are of other coordinates than the plot's, or of another job
    widget.data.coordinates.kinds.setCurrentIndex(widget.data.coordinates.kinds.findData("index"))
    assert bands.items == []
    assert not inspector.bar.exclude.isVisible()
    assert drawn_as(inspector)[0] == T.tolist()
    widget.data.coordinates.kinds.setCurrentIndex(widget.data.coordinates.kinds.findData("layer"))
    assert bands.ranges == (band,)
    widget.data.set_job("region")
    assert bands.items == []
    widget.data.set_job("voxels")
    assert bands.ranges == (band,)
    # what is typed makes no sense: the plot shows what was fitted
    widget.samples_fold.set_open(True)
    write(qtbot, widget.samples.exclude, "30..")
    assert bands.items == []
    assert not inspector.bar.exclude.isVisible()
    write(qtbot, widget.samples.exclude, " ")
    assert bands.items == []
    assert inspector.bar.exclude.isVisible()

    # the mean curve alone
    qtbot.mouseClick(inspector.bar.exclude, LEFT)
    widget.fit_mean()
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    counted = widget.samples.selection().samples(T)
    assert inspector.looking.mean.mean.result.n_used == counted.sum()
    mean = inspector.curves.drawn("mean")
    assert mean.points.getData()[0].tolist() == T[counted].tolist()
    assert mean.left_out.getData()[0].tolist() == T[~counted].tolist(), "they are seen, too"
    assert len(bands.ranges) == 1
    # without the dock there is nobody to ask
    viewer.window.remove_dock_widget(widget)
    assert bands.items == []
    assert not inspector.bar.exclude.isVisible()
