"""The parameters of a model, used with mouse and keyboard: rows, fields, values, and what is kept of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QLineEdit, QMenu

from napari_imagefit import fit_voxels, models
from napari_imagefit.gui.parameter_table.parameter_tree import NAME, SET, VALUES, ValueColumn
from napari_imagefit.gui.parameter_table.parameters import ParameterList
from napari_imagefit.gui.shown_values import column_of
from napari_imagefit.layers.request.choices import Row

from .parameter_help import LEFT, WIDTH, Key, _image, badges, click, open_lists, row, seen, write


@pytest.fixture
def layers() -> Any:
    return ViewerModel().layers


@pytest.fixture
def made(
    qtbot: Any, layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ParameterList]]:
    yield from open_lists(qtbot, layers, tmp_path, monkeypatch)


# --- the list


def test_rows_have_symbols_and_units_and_ask_for_nothing(made: Callable[..., ParameterList]) -> None:
    listed = made()
    assert seen(listed) == ["amplitude", "y", "x", "σ_y [µm]", "σ_x [µm]", "offset"]
    assert listed.rows() == tuple(Row(name) for name in models["gaussian_2d_elliptic"].names)
    listed.set_model(models["gaussian_2d_elliptic"], {"sigma_y": "px"})
    assert listed.tree.item_of("sigma_y").text(NAME) == "σ_y [px]"
    assert "sigma_y: standard deviation along y" in listed.tree.item_of("sigma_y").toolTip(NAME)
    assert listed.tree.isColumnHidden(SET), "no room is kept for badges that nobody has"


def test_fields_are_made_when_a_row_unfolds(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    assert not listed.findChildren(QLineEdit)
    before = listed.height()
    click(qtbot, listed, "sigma_y")
    assert len(listed.findChildren(QLineEdit)) == 4
    qtbot.waitUntil(lambda: listed.height() > before)
    fields = listed.tree.editor("sigma_y")
    assert fields is not None
    assert fields.isVisible()
    assert [fields.lines[field].placeholderText() for field in ("start", "lower", "upper")] == ["auto", "0", "∞"]
    click(qtbot, listed, "sigma_y", VALUES)
    assert not fields.isVisible()
    qtbot.waitUntil(lambda: listed.height() == before)


def test_what_is_typed_is_what_is_asked_for(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    fields = listed.unfold("sigma_y")
    write(qtbot, fields.lines["start"], "4.5")
    write(qtbot, fields.lines["lower"], "1")
    write(qtbot, fields.lines["upper"], "∞")
    qtbot.mouseClick(fields.share, LEFT)
    write(qtbot, listed.unfold("offset").lines["start"], "0")
    qtbot.mouseClick(listed.unfold("offset").fix, LEFT)
    write(qtbot, listed.unfold("x").lines["tie"], "= 2*y")
    assert row(listed, "sigma_y") == Row("sigma_y", 4.5, 1.0, math.inf, shared=True)
    assert row(listed, "offset") == Row("offset", 0.0, fixed=True)
    assert row(listed, "x") == Row("x", tied="2*y")
    assert badges(listed, "sigma_y") == ["∀", "≥ 1", "start 4.5"]
    assert badges(listed, "offset") == ["🔒 0"]
    assert badges(listed, "x") == ["⇔ 2*y"]
    assert listed.tree.item_of("offset").toolTip(SET) == "fixed at 0"
    accessible = listed.tree.item_of("sigma_y").data(SET, Qt.ItemDataRole.AccessibleTextRole)
    assert accessible == "shared: one value for all fits, bounds ≥ 1, starts at 4.5"
    write(qtbot, fields.lines["start"], "auto")
    write(qtbot, fields.lines["upper"], "")
    write(qtbot, fields.lines["lower"], "0")
    assert row(listed, "sigma_y") == Row("sigma_y", None, 0.0, None, shared=True)
    assert badges(listed, "sigma_y") == ["∀"], "the model's own bounds are no setting"


def test_a_row_that_is_set_has_every_field_set(made: Callable[..., ParameterList]) -> None:
    listed = made()
    full = Row("sigma_y", 1 / 3, 0.1, 30.0, True, "", True)
    listed.set_row(full)
    assert row(listed, "sigma_y") == full, "to the last digit"
    fields = listed.unfold("sigma_y")
    assert fields.fix.isChecked()
    listed.set_row(Row("sigma_y", tied="sigma_x"))
    assert row(listed, "sigma_y") == Row("sigma_y", tied="sigma_x")
    assert fields.lines["tie"].text() == "sigma_x"
    assert fields.lines["upper"].text() == ""
    assert not fields.fix.isChecked()
    assert not fields.share.isChecked()


def test_edited_is_told_once_for_each_change_of_a_person(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    told: list[int] = []
    listed.edited.connect(lambda: told.append(1))
    fields = listed.unfold("sigma_y")
    write(qtbot, fields.lines["start"], "4.5", Key.Key_Tab)
    assert len(told) == 1
    write(qtbot, fields.lines["start"], "4.5", Key.Key_Tab)
    assert len(told) == 1, "nothing has changed"
    qtbot.mouseClick(fields.fix, LEFT)
    assert len(told) == 2
    listed.set_row(Row("sigma_y"))
    listed.set_model(models["gaussian_2d"], {})
    assert len(told) == 2


def test_what_was_typed_is_there_again_with_its_model(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    write(qtbot, listed.unfold("sigma_y").lines["upper"], "30")
    write(qtbot, listed.unfold("y").lines["start"], "what?")
    listed.set_model(models["gaussian_2d"], {})
    assert listed.rows() == tuple(Row(name) for name in models["gaussian_2d"].names)
    listed.set_model(models["gaussian_2d_elliptic"], {})
    assert listed.unfold("sigma_y").lines["upper"].text() == "30"
    assert listed.unfold("y").lines["start"].text() == "what?", "also what made no sense"
    assert badges(listed, "y")[0] == "⚠"


# --- with the keyboard alone


def test_keyboard(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made()
    tree = listed.tree
    tree.setFocus()
    qtbot.waitUntil(tree.hasFocus)
    qtbot.keyClick(tree, Key.Key_Down)
    assert tree.currentItem() is tree.item_of("y")
    for unfold in (Key.Key_Space, Key.Key_Return, Key.Key_Right):
        qtbot.keyClick(tree, unfold)
        assert tree.item_of("y").isExpanded()
        qtbot.keyClick(tree, Key.Key_Left)
        assert not tree.item_of("y").isExpanded()
    qtbot.keyClick(tree, Key.Key_Space)
    qtbot.keyClick(tree, Key.Key_Down)
    assert tree.currentItem() is tree.item_of("x"), "the line between holds fields, and is stepped over"
    qtbot.keyClick(tree, Key.Key_Space)
    visited = []
    fields = [listed.tree.editor(name) for name in ("y", "x")]
    expected = [field for one in fields if one is not None for field in one.in_order()]
    for _ in expected:
        qtbot.keyClick(QApplication.focusWidget(), Key.Key_Tab)
        visited.append(QApplication.focusWidget())
    assert visited == expected
    focused = visited[-1]
    qtbot.keyClicks(focused, "2*y")
    qtbot.keyClick(focused, Key.Key_Return)
    assert row(listed, "x").tied == "2*y"
    assert tree.item_of("x").isExpanded(), "Enter in a field folds nothing"
    qtbot.keyClick(focused, Key.Key_Escape)
    assert QApplication.focusWidget() is tree


def test_copied_as_a_table(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made("linear")
    listed.set_row(Row("slope", 2.0, fixed=True))
    listed.show_values([
        ValueColumn("value ± error", {"slope": (1 / 3, 0.01), "intercept": (5.0, math.nan)}, {}),
        ValueColumn("A", {"slope": (2.0, 0.5)}, {}),
    ])  # fmt: skip
    listed.tree.setFocus()
    qtbot.keyClick(listed.tree, Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().split("\n")]
    assert lines[0][:8] == ["parameter", "unit", "start", "lower", "upper", "fix", "share", "tie"]
    assert lines[0][8:] == ["value ± error", "value ± error error", "A", "A error"]
    assert lines[1] == ["slope", "", "2", "", "", "True", "False", "", "0.3333333333", "0.01", "2", "0.5"]
    assert lines[2][8:] == ["5", "nan", "nan", "nan"]
    assert {len(line) for line in lines} == {12}


# --- values


def test_values_and_bounds_that_were_met(made: Callable[..., ParameterList]) -> None:
    listed = made()
    values = {"sigma_y": (107.12, 1.2), "sigma_x": (30.0, math.nan), "y": (math.nan, math.nan)}
    listed.show_values([ValueColumn("shot 5", values, {"sigma_x": "upper"}), ValueColumn("A", {"y": (1, 0.1)}, {})])
    tree = listed.tree

    def texts(name: str) -> list[str]:
        return [tree.item_of(name).text(column) for column in range(VALUES, tree.columnCount())]

    assert texts("sigma_y") == ["107.1 ± 1.2", ""]
    assert texts("sigma_x") == ["30 ⤒", ""]
    assert texts("y") == ["—", "1.00 ± 0.10"]
    assert texts("amplitude") == ["", ""]
    assert tree.headerItem().text(VALUES) == "shot 5"
    assert "at its upper bound" in tree.item_of("sigma_x").toolTip(VALUES)
    assert "A: 1.00 ± 0.10" in tree.item_of("y").toolTip(NAME)
    colours = [tree.item_of(name).foreground(VALUES).color() for name in ("sigma_x", "sigma_y")]
    assert colours[0] != colours[1]
    listed.show_values([])
    assert tree.columnCount() == VALUES + 1
    assert texts("sigma_x") == [""]
    assert tree.item_of("sigma_x").toolTip(VALUES) == ""


def test_of_how_many_a_median_is_can_be_read(made: Callable[..., ParameterList]) -> None:
    listed = made("exponential_decay")
    title = "median of 1 234 567"
    listed.show_values([ValueColumn(title, {"tau": (68.4, 1.7)}, {})])
    tree = listed.tree
    assert tree.header().sectionSize(VALUES) >= tree.header().fontMetrics().horizontalAdvance(title) + 8
    assert tree.header().length() == tree.viewport().width()


def test_the_bound_that_a_fit_has_met_is_told() -> None:
    t = np.arange(8.0)
    data = np.stack([3 * t, 1 * t], axis=1)
    result = fit_voxels(data, "linear", x=t, bounds={"slope": (0, 2)})
    met = column_of(result, (0,), "shot 5")
    assert met.title == "shot 5"
    assert met.values["slope"][0] == pytest.approx(2)
    assert met.at_bound == {"slope": "upper"}
    assert column_of(result, (1,), "").at_bound == {}


def test_all_is_in_sight_or_can_be_scrolled_to(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    listed = made("bimodal_2d")
    tree = listed.tree
    values = dict.fromkeys(models["bimodal_2d"].names, (1234.5678, 0.0123))
    listed.show_values([ValueColumn("ROI 1 · shot 5 of a long name", values, {})])
    for each in models["bimodal_2d"].names:
        listed.set_row(Row(each, 1.25, 0.5, 30.0, shared=True))
    assert tree.header().length() == tree.viewport().width(), "one column of values fits, whatever is set"
    last = tree.item_of("offset")
    qtbot.waitUntil(lambda: tree.visualItemRect(last).bottom() <= tree.viewport().height())
    listed.show_values([ValueColumn(title, values, {}) for title in ("shot 5", "A", "B")])
    assert tree.horizontalScrollBar().maximum() > 0
    qtbot.waitUntil(lambda: tree.visualItemRect(last).bottom() <= tree.viewport().height())
    assert listed.width() == WIDTH
    metrics = tree.fontMetrics()
    for column in range(VALUES, tree.columnCount()):
        assert tree.columnWidth(column) > metrics.horizontalAdvance(last.text(column)), "no number is cut off"


# --- what is kept


def test_another_session_begins_with_the_last_settings(qtbot: Any, made: Callable[..., ParameterList]) -> None:
    first = made()
    write(qtbot, first.unfold("sigma_y").lines["upper"], "30")
    write(qtbot, first.unfold("y").lines["start"], "what?")
    first.keep()
    second = made()
    assert row(second, "sigma_y") == Row("sigma_y", upper=30.0)
    assert row(second, "y") == Row("y")
    assert badges(second, "sigma_y") == ["[0, 30]"]
    write(qtbot, second.unfold("sigma_y").lines["upper"], "")
    second.set_model(models["gaussian_2d"], {})
    assert row(made(), "sigma_y") == Row("sigma_y")


def test_settings_are_kept_without_being_asked_to(
    qtbot: Any, made: Callable[..., ParameterList], tmp_path: Path
) -> None:
    listed = made()
    listed.set_row(Row("y", 7.0))
    qtbot.wait(10)
    listed.keep()
    assert not (tmp_path / "kept.json").exists(), "what a sample sets is nobody's setting"
    qtbot.mouseClick(listed.unfold("sigma_y").share, LEFT)
    qtbot.waitUntil((tmp_path / "kept.json").exists, timeout=10_000)


def preset_menu(listed: ParameterList) -> tuple[QMenu, dict[str, Any]]:
    menu = listed.presets_button.make_menu()
    return menu, {action.text(): action for action in menu.actions()}


def test_an_open_menu_is_about_the_model_of_now(made: Callable[..., ParameterList]) -> None:
    listed = made()
    menu, actions = preset_menu(listed)
    listed.set_model(models["gaussian_1d"], {})
    listed.set_row(Row("sigma", 7.0))
    actions["All automatic"].trigger()
    assert row(listed, "sigma") == Row("sigma")
    menu.deleteLater()


def test_presets(qtbot: Any, made: Callable[..., ParameterList], layers: Any) -> None:
    listed = made()
    told: list[tuple[str, bool]] = []
    edits: list[int] = []
    listed.said.connect(lambda *words: told.append(words))
    listed.edited.connect(lambda: edits.append(1))
    listed.set_row(Row("sigma_y", 4.0, upper=30.0))
    layers.append(_image(layers, "background"))
    listed.set_row(Row("offset", layers[0]))

    qtbot.mouseClick(listed.presets_button, LEFT)
    menu = next(menu for menu in listed.findChildren(QMenu) if menu.isVisible())
    field = menu.findChild(QLineEdit)
    field.setFocus()
    qtbot.keyClick(field, Key.Key_Return)
    assert menu.isVisible(), "a preset has a name"
    qtbot.keyClicks(field, "narrow & round" + "e" * 100)
    qtbot.keyClick(field, Key.Key_Return)
    assert not menu.isVisible()
    assert told[-1] == (
        f"Saved the settings of the parameters as {'narrow & round' + 'e' * 46!r}, but for the start of offset, "
        "which is a layer.",
        False,
    )

    write(qtbot, listed.unfold("y").lines["start"], "what?")
    listed.presets_button.save_asked.emit("broken")
    assert told[-1][1]
    assert told[-1][0].startswith("Nothing was saved: Start of 'y' is 'what?'")

    _, entries = preset_menu(listed)
    edits.clear()
    entries["All automatic"].trigger()
    assert listed.rows() == tuple(Row(name) for name in models["gaussian_2d_elliptic"].names)
    assert len(edits) == 1
    other = made()
    menu, entries = preset_menu(other)
    assert len(menu.actions()[0].text()) <= 31
    assert menu.actions()[0].text().startswith("narrow && round")
    menu.actions()[0].trigger()
    assert row(other, "sigma_y") == Row("sigma_y", 4.0, upper=30.0)
    entries["Delete"].menu().actions()[0].trigger()
    assert not preset_menu(listed)[1]["Delete"].isEnabled()

    other.set_model(models["linear"], {})
    assert [action.text() for action in preset_menu(other)[0].actions()][:1] == [""], "each model has its own"
