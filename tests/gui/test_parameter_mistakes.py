"""Nonsense in a parameter's fields is a sentence where it is typed, and makes nothing wider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QMenu

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.gui.parameter_table.parameters import ParameterList
from napari_imagefit.layers.request.choices import Row

from .parameter_help import LEFT, WIDTH, Key, _image, badges, open_lists, row, write

NONSENSE = ("nan", "inf", "-inf", "1e999", "", " ", "x" * 300, "🔬🧊", "1,5", "--", "layer:", "layer:" + "n" * 120)


@pytest.fixture
def layers() -> Any:
    return ViewerModel().layers


@pytest.fixture
def made(
    qtbot: Any, layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ParameterList]]:
    yield from open_lists(qtbot, layers, tmp_path, monkeypatch)


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_one_sentence_and_changes_no_width(
    qtbot: Any, made: Callable[..., ParameterList], text: str
) -> None:
    listed = made()
    fields = listed.unfold("sigma_y")
    for field, line in fields.lines.items():
        write(qtbot, line, text)
        trouble = fields.trouble.text()
        allowed = not text.strip() or (text, field) in (("-inf", "lower"), ("inf", "upper"))
        assert fields.trouble.isVisible() != allowed, (field, trouble)
        if not allowed:
            assert trouble.startswith("⚠ ")
            assert len(trouble) < 200, trouble
            assert "\n" not in trouble
            assert line.toolTip().startswith(trouble[2:].rstrip("…"))
            assert max(len(word) for word in line.toolTip().split()) < 40
            assert badges(listed, "sigma_y")[0] == "⚠"
        qtbot.wait(1)
        assert (listed.width(), listed.tree.width()) == (WIDTH, WIDTH)
        assert listed.minimumSizeHint().width() <= WIDTH
        assert fields.width() <= WIDTH
        assert allowed or fields.trouble.geometry().right() <= fields.width()
        write(qtbot, line, "")
        assert not fields.trouble.isVisible()
        assert not badges(listed, "sigma_y")


def test_a_sentence_is_seen_whole(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    fields = listed.unfold("sigma_y")
    write(qtbot, fields.lines["start"], "x" * 300)
    qtbot.waitUntil(lambda: fields.trouble.height() >= fields.trouble.heightForWidth(fields.trouble.width()))
    qtbot.waitUntil(lambda: fields.geometry().bottom() <= listed.tree.viewport().height())


def test_the_old_error_goes_with_the_first_key(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    fields = listed.unfold("sigma_y")
    write(qtbot, fields.lines["start"], "two")
    assert "is 'two', which is not a number" in fields.trouble.text()
    assert "border" in fields.lines["start"].styleSheet()
    qtbot.keyClick(fields.lines["start"], Key.Key_Backspace)
    assert not fields.trouble.isVisible()
    assert not fields.lines["start"].styleSheet()
    assert "two" not in fields.lines["start"].toolTip()
    qtbot.keyClick(fields.lines["start"], Key.Key_Return)
    assert "is 'tw', which is not a number" in fields.trouble.text()
    with pytest.raises(FitInputError, match="'tw', which is not a number"):
        listed.rows()


@pytest.mark.parametrize(
    ("typed", "fields", "sentence"),
    [
        ({"lower": "9", "upper": "3"}, {"lower", "upper"}, "lower bound 9 of 'sigma_y' is not below its upper bound 3"),
        ({"upper": "-1"}, {"upper"}, "is not below its upper bound -1"),
        ({"start": "-2"}, {"start"}, "outside its bounds"),
        ({"start": "inf"}, {"start"}, "Start of 'sigma_y' must be finite, got 'inf'"),
        ({"tie": "2*height"}, {"tie"}, "height"),
        ({"tie": "2*("}, {"tie"}, "2*("),
        ({"fix": True}, {"start"}, "is to be fixed but has no value"),
        ({"fix": True, "start": "2", "share": True}, set(), "is fixed and also shared"),
        ({"fix": True, "start": "2", "tie": "sigma_x"}, set(), "is tied and also fixed"),
    ],
)
def test_what_cannot_be_is_marked_where_it_is(
    qtbot: Any, made: Callable[..., ParameterList], typed: dict[str, Any], fields: set[str], sentence: str
) -> None:
    listed = made()
    shown = listed.unfold("sigma_y")
    for what, value in typed.items():
        if value is True:
            qtbot.mouseClick(getattr(shown, what), LEFT)
        else:
            write(qtbot, shown.lines[what], value)  # type: ignore[index]
    assert sentence in shown.trouble.text()
    assert {field for field, line in shown.lines.items() if line.styleSheet()} == fields


def test_a_problem_found_at_the_fit_is_marked(qtbot: Any, made: Callable[..., ParameterList], layers: Any) -> None:
    listed = made()
    layers.append(_image(layers, "background"))
    write(qtbot, listed.unfold("offset").lines["start"], "layer:background")
    assert row(listed, "offset").start is layers["background"]
    assert badges(listed, "offset") == ["start layer:background"]
    layers.clear()
    with pytest.raises(FitInputError, match="There is no layer 'background'"):
        listed.rows()
    assert badges(listed, "offset")[0] == "⚠"
    assert "There is no layer 'background'" in listed.unfold("offset").trouble.text()


def test_layers_are_offered_by_a_button(qtbot: Any, made: Callable[..., ParameterList], layers: Any) -> None:
    listed = made()
    layers.append(_image(layers, "R&D " + "n" * 120))
    fields = listed.unfold("offset")
    qtbot.mouseClick(fields.layer_button, LEFT)
    menu = next(menu for menu in fields.findChildren(QMenu) if menu.isVisible())
    assert menu.actions()[0].text() == "Fix offset to layer"
    (action,) = menu.actions()[0].menu().actions()
    assert len(action.text()) < 40
    assert action.text().startswith("R&&D ")
    assert action.toolTip() == layers[0].name
    action.trigger()
    menu.close()
    assert row(listed, "offset") == Row("offset", layers[0], fixed=True)
    assert badges(listed, "offset")[0].startswith("🔒 layer:R&D")
    assert listed.width() == WIDTH
