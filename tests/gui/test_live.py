"""Live: what is moved, shown or edited is fitted at once, and what stands there at the end is what Fit gives."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtTest import QTest

from napari_imagefit.engine.core.progress import Progress
from napari_imagefit.gui.live.live import PAUSED
from napari_imagefit.gui.state import session
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.output_layers import role_of
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.tasks import live_tasks

from .live_help import PATIENCE, at_rest, clouds, follow, numbers, of_a_click, rectangle, refitted
from .pointer import LEFT, canvas_of, pixel_of, until


@pytest.fixture
def opened(shown: tuple[Any, ImageFitWidget]) -> Iterator[tuple[Any, ImageFitWidget]]:
    _, widget = shown
    widget.live._too_long.setInterval(PATIENCE)
    yield shown
    widget.live.set_on(False)


@pytest.fixture
def cloud(opened: tuple[Any, ImageFitWidget]) -> tuple[Any, ImageFitWidget, Any]:
    """A stack of clouds with a region, followed."""
    viewer, widget = opened
    viewer.add_image(clouds(), name="shots")
    viewer.dims.set_current_step(0, 0)
    widget.data.set_job("region")
    widget.model.set_model("gaussian_2d_elliptic")
    drawn = viewer.add_shapes([rectangle(5, 5, 50, 60)], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    viewer.layers.selection.active = viewer.layers["shots"]
    follow(widget)
    return viewer, widget, drawn


def outline(viewer: Any, widget: ImageFitWidget) -> Any:
    group = widget.choices().group
    return next(layer for layer in viewer.layers if role_of(layer, group) == "outlines")


def test_a_shape_that_is_dragged_is_refitted_on_the_way_and_ends_as_fit_does(cloud: Any) -> None:
    viewer, widget, drawn = cloud
    layer, before = outline(viewer, widget), widget.live.refits
    viewer.layers.selection.active = drawn
    drawn.mode, drawn.selected_data = "select", {0}
    native = canvas_of(viewer).native

    def moved_on(point: Any, count: int) -> bool:
        # a move may be dropped on the way, and one to the same place is none
        QTest.mouseMove(native, point + QPoint(int(time.monotonic() * 50) % 2, 0))
        QTest.qWait(20)
        return widget.live.refits > count

    start = pixel_of(viewer, (0.0, 8.0, 8.0))
    QTest.mousePress(native, LEFT, pos=start)
    seen = set()
    for step in range(1, 9):
        point = pixel_of(viewer, (0.0, 8.0 + step, 8.0))
        count = widget.live.refits
        until(lambda: moved_on(point, count), "it follows")  # noqa: B023 - called at once
        seen.add(np.asarray(layer.data[0]).tobytes())
    QTest.mouseRelease(native, LEFT, pos=point)
    at_rest(widget)

    assert widget.live.refits - before >= 8
    assert len(seen) > 4, "the outline moves while the shape does"
    assert outline(viewer, widget) is layer
    assert drawn.data[0][0][0] != 5, "the shape was moved"
    live = numbers(widget)
    (column,) = [name for name in layer.features if name.partition(" ")[0] == "y" and "world" not in name]
    assert list(layer.features[column]) == [live["y params"][0, 0]]
    clicked = of_a_click(widget)
    for name, values in live.items():
        np.testing.assert_array_equal(values, clicked[name], err_msg=name)


def test_numbers_of_a_fit_that_follows_are_shown_once(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, widget, drawn = cloud
    shown: list[tuple[int, float]] = []
    show = widget.parameters.show_values

    def counted(columns: Any) -> None:
        if columns:
            shown.append((widget.live.refits, columns[0].values["y"][0]))
        show(columns)

    monkeypatch.setattr(widget.parameters, "show_values", counted)
    before = widget.live.refits
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: widget.live.refits > before, "a fit follows")
    followed = [value for count, value in shown if count == before]
    at_rest(widget)
    assert followed == [numbers(widget)["y params"][0, 0]]


def test_fits_that_follow_each_other_are_one_entry_and_that_of_a_click_another(cloud: Any) -> None:
    _, widget, drawn = cloud
    entries = widget.past.history.entries
    assert len(entries) == 1
    number = entries[0].number
    for edge in (6, 7, 8):
        refitted(widget, lambda edge=edge: setattr(drawn, "data", [rectangle(edge, 5, 50, 60)]))
    assert [entry.number for entry in entries] == [number]
    assert entries[0].outcome.result is widget.follow_ups.outcome.result
    assert entries[0].facts.frames == "frame 0"
    widget.fit()
    until(lambda: not widget.session.running, "the fit is done")
    assert len(entries) == 2
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(9, 5, 50, 60)]))
    assert len(entries) == 3, "what was fitted by a click is not written over"


def test_the_frame_on_screen_is_fitted_and_no_other(cloud: Any) -> None:
    viewer, widget, _ = cloud
    refitted(widget, lambda: viewer.dims.set_current_step(0, 2))
    result = widget.follow_ups.outcome.result
    assert np.isfinite(result.params["y"]).ravel().tolist() == [False, False, True]
    assert result.params["y"][2, 0] == pytest.approx(31, abs=0.3)
    assert outline(viewer, widget).data[0][0][0] == 2
    assert widget.inspection.place == (2, 0)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (Row("offset", start=4.5, fixed=True), 4.5),
        (Row("sigma_y", upper=3.0), 3.0),
        (Row("sigma_y", tied="sigma_x"), None),
    ],
)
def test_an_edited_parameter_is_fitted_at_once(cloud: Any, row: Row, value: float | None) -> None:
    _, widget, _ = cloud

    def edit() -> None:
        widget.parameters.set_row(row)
        widget.parameters.edited.emit()

    refitted(widget, edit)
    params = widget.follow_ups.outcome.result.params
    wanted = params["sigma_x"][0, 0] if value is None else value
    assert params[row.name][0, 0] == pytest.approx(wanted, rel=1e-12)


def test_new_data_are_fitted_whether_replaced_grown_or_changed_in_place(cloud: Any) -> None:
    viewer, widget, _ = cloud
    layer = viewer.layers["shots"]
    refitted(widget, lambda: setattr(layer, "data", 2 * clouds()))
    assert widget.follow_ups.outcome.result.params["amplitude"][0, 0] == pytest.approx(40, abs=1)

    def in_place() -> None:
        layer.data[:] = clouds()
        layer.refresh()

    refitted(widget, in_place)
    assert widget.follow_ups.outcome.result.params["amplitude"][0, 0] == pytest.approx(20, abs=1)
    refitted(widget, lambda: setattr(layer, "data", clouds(4)))
    refitted(widget, lambda: viewer.dims.set_current_step(0, 3))
    assert widget.follow_ups.outcome.result.params["y"][3, 0] == pytest.approx(34, abs=0.3)


def test_pictures_follow_where_they_are_seen_and_are_right_at_the_end_where_not(cloud: Any) -> None:
    viewer, widget, drawn = cloud
    shown = widget.follow_ups.shown
    shown._choose("residual", True)
    until(lambda: not shown.busy, "the residual is there")
    group = widget.choices().group
    residual = next(layer for layer in viewer.layers if role_of(layer, group) == "residual")
    made: list[set[str]] = []
    make = live_tasks.image_layers

    def told(result: Any, source: Any, units: Any, names: Any, roles: Any, **more: Any) -> Any:
        made.append(set(roles))
        return make(result, source, units, names, roles, **more)

    live_tasks.image_layers = told
    try:
        residual.visible = False
        refitted(widget, lambda: setattr(drawn, "data", [rectangle(7, 7, 50, 60)]))
        assert made == [{"outlines"}], "what is not seen is not computed while the hand moves"
        assert np.isnan(residual.data[0, 6, 20])
        assert np.isfinite(residual.data[0, 8, 20])
        residual.visible = True
        at_rest(widget)
        made.clear()
        refitted(widget, lambda: setattr(drawn, "data", [rectangle(6, 7, 50, 60)]))
        assert {"outlines", "residual"} in made
        assert np.isfinite(residual.data[0, 6, 20])
    finally:
        live_tasks.image_layers = make


def test_what_cannot_be_fitted_is_said_and_shows_no_older_numbers(cloud: Any) -> None:
    _, widget, drawn = cloud
    drawn.data = [rectangle(500, 500, 510, 510)]
    until(lambda: "lies outside the image" in widget.message.text(), "it is said")
    assert list(widget.parameters._columns) == []
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(5, 5, 50, 60)]))
    assert "lies outside" not in widget.message.text()
    assert list(widget.parameters._columns) != []


def test_an_error_of_the_program_is_said(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, widget, drawn = cloud

    def broken(*_: Any) -> Any:
        yield Progress(0, 1)
        raise KeyError("y")

    monkeypatch.setattr(live_tasks, "region_steps", broken)
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: "error of the program, KeyError: 'y'" in widget.message.text(), "it is said")
    assert list(widget.parameters._columns) == []
    monkeypatch.undo()
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(7, 5, 50, 60)]))


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[str]:
    """Let each fit take so long; returns what became of them."""
    told: list[str] = []
    real = live_tasks.region_steps

    def steps(request: Any, should_stop: Any) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if should_stop():
                told.append("dropped")
                return None
            try:
                yield Progress(0, 1)
            except GeneratorExit:
                # asked to stop between two steps, it is not gone on with
                told.append("dropped")
                raise
            time.sleep(0.01)
        told.append("done")
        return (yield from real(request, should_stop))

    monkeypatch.setattr(live_tasks, "region_steps", steps)
    return told


def test_a_long_fit_is_dropped_by_the_next_change_and_shows_how_far_it_is(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget, drawn = cloud
    told = slow(monkeypatch, 30.0)
    before = widget.live.refits
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: widget.fit_bar.cancel.isEnabled(), "it can be cancelled, and shows how far it is")
    assert widget.fit_bar.line.currentIndex() == 1
    drawn.data = [rectangle(7, 5, 50, 60)]
    until(lambda: "dropped" in told, "the first is dropped")
    until(lambda: widget.fit_bar.cancel.isEnabled(), "the second is under way")
    QTest.mouseClick(widget.fit_bar.cancel, LEFT)
    until(lambda: told.count("dropped") == 2, "the second is cancelled")
    monkeypatch.undo()
    assert widget.live.on
    assert widget.live.refits == before
    assert "next change" in widget.message.text()
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(8, 5, 50, 60)]))


def test_a_change_in_the_first_second_of_a_long_fit_drops_it_once_it_is_long(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget, drawn = cloud
    told = slow(monkeypatch, 30.0)
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: widget.live._runner.busy, "a fit is under way")
    drawn.data = [rectangle(7, 5, 50, 60)]
    until(lambda: "dropped" in told, "the first is dropped")
    monkeypatch.undo()
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(8, 5, 50, 60)]))


def test_a_long_fit_goes_on_where_nothing_that_it_follows_from_has_changed(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget, drawn = cloud
    told, before = slow(monkeypatch, 3.0), widget.live.refits
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: widget.fit_bar.cancel.isEnabled(), "it is long")
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: bool(told), "it has ended")
    assert told == ["done"]
    at_rest(widget)
    assert widget.live.refits == before + 1


def test_a_shape_that_is_moved_while_layers_are_put_into_the_viewer_is_fitted(cloud: Any) -> None:
    _, widget, drawn = cloud
    moved = rectangle(9, 9, 52, 62)
    before = widget.live.refits
    shows = widget.session.show

    def moves_meanwhile(outcome: Any) -> None:
        shows(outcome)
        widget.session.show = shows
        QTimer.singleShot(0, lambda: setattr(drawn, "data", [moved]))

    widget.session.show = moves_meanwhile
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: widget.live.refits > before + 1, "the second place is fitted")
    at_rest(widget)
    last = numbers(widget)
    assert np.array_equal(drawn.data[0], moved)
    for name, values in of_a_click(widget).items():
        np.testing.assert_array_equal(values, last[name], err_msg=name)


def test_what_is_refused_while_layers_are_put_into_the_viewer_shows_no_older_numbers(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget, drawn = cloud
    small, put = rectangle(5, 5, 6.4, 6.4), session.put

    def made_too_small_meanwhile(layers: Any, output: Any) -> Any:
        made = put(layers, output)
        if not np.array_equal(drawn.data[0], small):
            drawn.data = [small]
        time.sleep(0.05)
        return made

    monkeypatch.setattr(session, "put", made_too_small_meanwhile)
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: "fewer than" in widget.message.text(), "it is said")
    monkeypatch.undo()
    at_rest(widget)
    QTest.qWait(100)
    assert "fewer than" in widget.message.text()
    assert list(widget.parameters._columns) == []
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(6, 5, 50, 60)]))
    assert list(widget.parameters._columns) != []


def test_it_pauses_by_itself_where_one_fit_takes_too_long(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, widget, drawn = cloud
    widget.live._too_long.setInterval(200)
    told = slow(monkeypatch, 1.0)
    drawn.data = [rectangle(6, 5, 50, 60)]
    until(lambda: not widget.live.on, "it pauses")
    assert widget.message.text().startswith(f"⚠ {PAUSED}")
    assert not widget.fit_bar.live.isChecked()
    until(lambda: not widget.live.busy and not widget.session.running, "the fit comes to its end")
    assert told == ["done"]
    assert PAUSED in widget.message.text()
    assert "1 fit" in widget.message.text()
    assert widget.follow_ups.outcome.result.params["y"].shape == (3, 1)


def test_switched_off_nothing_is_left_behind(cloud: Any) -> None:
    _, widget, drawn = cloud
    assert gc.get_freeze_count() > 0
    frozen = gc.get_freeze_count()
    QTest.mouseClick(widget.fit_bar.live, LEFT)
    before = widget.live.refits
    drawn.data = [rectangle(9, 5, 50, 60)]
    QTest.qWait(300)
    assert widget.live.refits == before
    assert gc.get_freeze_count() < frozen
