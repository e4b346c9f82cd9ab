"""The window goes on while JAX compiles what it is to show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import pytest

from napari_imagefit.engine.core import programs
from napari_imagefit.engine.core.errors import FitEngineError
from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.layers.request.fit_request import Outcome

from .inspector_help import assert_shows
from .pointer import until

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is compiled yet, nor is it until this is set."""
    released, compile_lowered = threading.Event(), programs.compile_lowered

    def compile_later(*args: Any) -> Any:
        assert released.wait(60)
        return compile_lowered(*args)

    monkeypatch.setattr(programs, "_programs", OrderedDict())
    monkeypatch.setattr(programs, "compile_lowered", compile_later)
    return released


def test_the_inspector_draws_once_its_program_is_there(
    inspected: tuple[Any, Inspector, Outcome], compiler: threading.Event
) -> None:
    _, inspector, outcome = inspected
    assert inspector.looking is not None
    shown = inspector.plots.currentWidget()
    inspector.looking.pin((3, 5))
    assert inspector._compiling.busy, "and the window did not wait"
    assert inspector.plots.currentWidget() is shown, "what was shown stays"
    compiler.set()
    until(lambda: not inspector._compiling.busy, "it is drawn")
    assert_shows(inspector, outcome, "A", (3, 5))


def test_what_cannot_be_compiled_is_told_once(
    inspected: tuple[Any, Inspector, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, inspector, _ = inspected

    def fail(*_: Any) -> Any:
        raise FitEngineError("no room")

    monkeypatch.setattr(programs, "_programs", OrderedDict())
    monkeypatch.setattr(programs, "compile_lowered", fail)
    assert inspector.looking is not None
    told: list[Exception] = []

    def again() -> None:
        try:
            refresh()
        except FitEngineError as error:
            told.append(error)

    refresh, inspector._compiling._again = inspector.refresh, again
    inspector.looking.pin((3, 5))
    until(lambda: bool(told), "whoever asks again is told")
    assert not inspector._compiling.busy
    assert str(told[0]) == "no room"


def test_a_place_of_the_grid_before_has_no_value(inspected: tuple[Any, Inspector, Outcome]) -> None:
    _, inspector, _ = inspected
    inspector.bar.tabs.setCurrentIndex(1)
    until(inspector.histogram.isVisible, "the histogram is shown")
    inspector.histogram.mark({"A": (64,), "B": (64, 0), "C": (3, 5)})
    assert [who for who, line in inspector.histogram._lines.items() if line.isVisible()] == ["C"]
