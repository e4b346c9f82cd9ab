"""The model and its parameters, used with mouse and keyboard."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QLabel, QLineEdit, QMenu, QVBoxLayout, QWidget

from napari_imagefit import fit_voxels, models
from napari_imagefit.catalogue.titles import title_of
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.gui.sections import parameters as section
from napari_imagefit.gui.sections.model import ModelSection, breakable
from napari_imagefit.gui.sections.parameter_tree import NAME, SET, VALUES, ValueColumn
from napari_imagefit.gui.sections.parameters import ParameterList
from napari_imagefit.gui.shown_values import column_of
from napari_imagefit.gui.widgets.badges import BADGES
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.request.presets import Presets

LEFT = Qt.MouseButton.LeftButton
Key = Qt.Key
WIDTH = 300
NONSENSE = ("nan", "inf", "-inf", "1e999", "", " ", "x" * 300, "🔬🧊", "1,5", "--", "layer:", "layer:" + "n" * 120)


@pytest.fixture
def layers() -> Any:
    return ViewerModel().layers


@pytest.fixture
def made(
    qtbot: Any, layers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ParameterList]]:
    """A function that opens a list as narrow as the dock, for a model; each is another session."""
    frames: list[QWidget] = []  # nobody else keeps them from being collected
    monkeypatch.setattr(section, "stored_presets", lambda: Presets(tmp_path / "kept.json"))

    def make(model: str = "gaussian_2d_elliptic") -> ParameterList:
        listed = ParameterList(layers)
        frame = QWidget()
        layout = QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(listed)
        layout.addStretch()
        qtbot.addWidget(frame)
        frame.setFixedWidth(WIDTH)
        frame.resize(WIDTH, 600)
        frames.append(frame)
        listed.set_model(models[model], {"sigma_y": "µm", "sigma_x": "µm"})
        frame.show()
        frame.activateWindow()
        qtbot.waitActive(frame)
        return listed

    yield make
    for frame in frames:
        frame.close()


def write(qtbot: Any, line: QLineEdit, text: str, end: Qt.Key = Key.Key_Return) -> None:
    """Type into a field, in place of what is there; what no test can type, or is long, is pasted."""
    line.setFocus()
    qtbot.waitUntil(line.hasFocus)
    line.selectAll()
    qtbot.keyClick(line, Key.Key_Delete)
    if text.isascii() and len(text) < 20:
        qtbot.keyClicks(line, text)
    else:
        QGuiApplication.clipboard().setText(text)
        line.paste()
    qtbot.keyClick(line, end)


def click(qtbot: Any, listed: ParameterList, name: str, column: int = NAME) -> None:
    tree = listed.tree
    place = tree.visualRect(tree.indexFromItem(tree.item_of(name), column)).center()
    qtbot.mouseClick(tree.viewport(), LEFT, pos=place)


def badges(listed: ParameterList, name: str) -> list[str]:
    return [" ".join(part for part in badge if part) for badge in listed.tree.item_of(name).data(SET, BADGES)]


def row(listed: ParameterList, name: str) -> Row:
    return next(row for row in listed.rows() if row.name == name)


def seen(listed: ParameterList) -> list[str]:
    return [listed.tree.item_of(row.name).text(NAME) for row in listed.rows()]


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


# --- what makes no sense


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


def _image(_layers: Any, name: str) -> Any:
    from napari.layers import Image

    return Image(np.zeros((4, 5)), name=name)


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


# --- the model


def test_models_are_listed_by_their_titles_under_headings(qtbot: Any) -> None:
    chosen = ModelSection()
    qtbot.addWidget(chosen)
    told: list[str] = []
    chosen.model_chosen.connect(lambda model: told.append(model.name))
    chosen.set_job("region")
    combo = chosen.names
    texts = [combo.itemText(i) for i in range(combo.count())]
    assert texts[:3] == ["Peaks and spots", "Gaussian, round", "Gaussian, elliptic"]
    headings = [i for i in range(combo.count()) if combo.itemData(i, Qt.ItemDataRole.UserRole) is None]
    assert [texts[i] for i in headings] == ["Peaks and spots", "Background", "Atom clouds"]
    assert chosen.model.name == "gaussian_2d"
    combo.setFocus()
    for _ in texts:
        qtbot.keyClick(combo, Key.Key_Down)
        assert combo.currentIndex() not in headings
    assert chosen.model.name == "bimodal_2d"
    assert told[-1] == "bimodal_2d"
    assert len(told) == len(texts) - len(headings)
    chosen.set_model("gaussian_2d_elliptic")
    assert combo.currentText() == title_of(chosen.model) == "Gaussian, elliptic"
    assert "gaussian_2d_elliptic" in combo.toolTip()
    assert "Siegman" in combo.toolTip()
    chosen.set_model("exponential_decay")
    assert chosen.model.name == "gaussian_2d_elliptic", "it is not of this job"
    chosen.set_job("region")
    assert chosen.model.name == "gaussian_2d_elliptic"
    chosen.set_job("voxels")
    assert chosen.model.name == "exponential_decay"


@pytest.mark.parametrize("job", ["region", "spots", "voxels"])
def test_no_formula_makes_the_dock_wider(qtbot: Any, job: Any) -> None:
    chosen = ModelSection()
    qtbot.addWidget(chosen)
    chosen.set_job(job)
    chosen.show()
    for place in range(chosen.names.count()):
        name = chosen.names.itemData(place, Qt.ItemDataRole.UserRole)
        if name is None:
            continue
        chosen.set_model(name)
        assert chosen.minimumSizeHint().width() <= WIDTH
        # what is not broken is cut off
        label = QLabel(chosen.formula.text())
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setWordWrap(True)
        assert label.minimumSizeHint().width() <= WIDTH, chosen.model.name


def test_a_formula_without_spaces_is_broken_behind_its_signs() -> None:
    text = breakable("a·exp(−t/τ<sub>long_1</sub>)+b·exp(−t/σ<sub>short</sub>)+offset")
    assert re.sub("\u200b", "", text) == "a·exp(−t/τ<sub>long_1</sub>)+b·exp(−t/σ<sub>short</sub>)+offset"
    assert "<sub>" in text
    assert "</sub>" in text
    assert text.count("\u200b") == 8
