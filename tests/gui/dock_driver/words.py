"""What people do in the plugin's docks, in one word each."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QComboBox,
    QLineEdit,
    QTabBar,
    QWidget,
)

from .acting import choose, click, hands, type_into
from .screen import (
    LEFT,
    PATIENCE,
    bring_into_view,
    cells,
    controls,
    docked,
    find,
    is_reachable,
    name_of,
    open_folds,
    raise_dock,
    settle,
    unfold_all,
    wait,
)


def choose_job(widget: Any, job: str) -> None:
    """Choose Region, Spots or Voxels by a click on its button."""
    button = find(widget, QAbstractButton, job)
    if is_reachable(button):
        click(button)


def choose_model(widget: Any, name: str) -> None:
    """Choose a model by the name that scripts call it by: its list shows it by another one."""
    hands.clicks += 2
    widget.model.set_model(name)
    settle(1)


def is_busy(widget: Any) -> bool:
    """Whether fits are under way, or spots are searched for."""
    return bool(widget.session.running or widget.spots.detecting)


def press_fit(widget: Any) -> None:
    click(widget.fit_bar.fit)


def press_cancel(widget: Any) -> None:
    if is_reachable(widget.fit_bar.cancel):
        click(widget.fit_bar.cancel)


def fit(widget: Any, patience: float = PATIENCE) -> float:
    """Click Fit and wait until its layers are there; returns the seconds from the click."""
    begun = time.monotonic()
    press_fit(widget)
    wait(lambda: not widget.session.running, "the fit has ended", patience)
    settle(2)
    return time.monotonic() - begun


def use_everything(viewer: Any) -> None:
    """Open what is folded, and tick what must be ticked before its fields can be typed into."""
    for widget in docked(viewer):
        raise_dock(widget)
        unfold_all(widget)
        show_tab(widget, "Histogram")
        for name in ("Select", "Filter"):
            for button in widget.findChildren(QAbstractButton):
                text = button.text().replace("&", "")
                if text == name and button.isCheckable() and not button.isChecked() and is_reachable(button):
                    click(button)
    settle(3)


def show_tab(root: QWidget, name: str) -> bool:
    """Click a tab; returns whether there is one."""
    for bar in root.findChildren(QTabBar):
        for index in range(bar.count()):
            if bar.tabText(index).replace("&", "") == name and is_reachable(bar):
                click(bar, bar.tabRect(index).center())
                return True
    return False


def press_export(widget: Any) -> None:
    """Click the button that exports the result; a part that is folded around it is opened first."""
    button = widget.results.export_button
    if not is_reachable(button):
        open_folds(widget.results_fold.parentWidget())
    if not is_reachable(button):
        raise LookupError("there is no button to export with")
    click(button)


def choose_layer(widget: Any, name: str) -> None:
    """Choose a layer by its name, in whichever boxes offer it."""
    combos = [c for c in widget.findChildren(QComboBox) if is_reachable(c) and c.findText(name) >= 0]
    if not combos:
        raise LookupError(f"no box offers the layer {name!r}")
    for combo in combos:
        choose(combo, name)


def choose_entry(widget: Any, box: str, entry: str) -> None:
    """Choose an entry of the box that is called so."""
    choose(find(widget, QComboBox, box), entry)


def find_button(viewer: Any, name: str) -> QAbstractButton:
    """A button of any of the plugin's docks, which is brought to the front."""
    for widget in docked(viewer):
        for button in widget.findChildren(QAbstractButton):
            if button.text().replace("&", "") == name and button.isEnabled() and button.isVisibleTo(widget):
                if not widget.isVisible():
                    hands.clicks += 1
                    raise_dock(widget)
                return button
    raise LookupError(f"there is no button {name!r} that can be clicked")


def click_button(widget: Any, name: str) -> None:
    click(find(widget, QAbstractButton, name))


def type_bound(widget: Any, parameter: str, which: str, text: str) -> None:
    """Unfold the line of a parameter, and type its start or a bound."""
    line = widget.parameters.tree.item_of(parameter)
    if not line.isExpanded():
        tree = widget.parameters.tree
        bring_into_view(tree)
        click(tree.viewport(), tree.visualItemRect(line).center())
        settle(2)
    type_into(widget.parameters.tree.editor(parameter).lines[which], text)


def fix(widget: Any, parameter: str, text: str) -> None:
    """Hold a parameter at a number."""
    type_bound(widget, parameter, "start", text)
    box = widget.parameters.tree.editor(parameter).fix
    if not box.isChecked():
        click(box)
    settle()


def open_fold(widget: Any, title: str) -> None:
    """Open a part that folds by a click on its title."""
    for fold in widget.findChildren(QWidget):
        if hasattr(fold, "set_open") and fold.button.text().startswith(title):
            if not fold.is_open:
                click(fold.button)
            settle()
            return
    raise LookupError(f"nothing that folds is called {title!r}")


def typed(widget: Any) -> dict[str, str]:
    """What stands in the fields and boxes of a dock, by their names, in lines that are folded too."""
    unfold_all(widget)
    found = {}
    for control in controls(widget):
        if isinstance(control, QLineEdit):
            found[name_of(control)] = control.text()
        elif isinstance(control, QComboBox):
            found[name_of(control)] = control.currentText()
        elif isinstance(control, QAbstractItemView):
            found |= {f"cell ({c.row}, {c.column})": str(c.index().data()) for c in cells(control)}
    return found


def click_reason(widget: Any) -> str:
    """Click the last of the reasons for what became of fits; returns what it says."""
    view = next(view for view in widget.findChildren(QAbstractItemView) if "Reason" in type(view).__name__)
    open_folds(widget)
    bring_into_view(view)
    model = view.model()
    rows = model.rowCount()
    if not rows:
        raise LookupError("there are no reasons")
    index = model.index(rows - 1, 0)
    hands.clicks += 1
    QTest.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    settle()
    return " ".join(str(model.index(rows - 1, column).data() or "") for column in range(model.columnCount()))


def click_row(viewer: Any, row: int) -> None:
    """Click a row of the table of spots."""
    view = next(v for w in docked(viewer) for v in w.findChildren(QAbstractItemView) if v.accessibleName() == "Spots")
    raise_dock(view)
    index = view.model().index(row, 0)
    view.scrollTo(index)
    hands.clicks += 1
    QTest.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    settle()


def add_map(widget: Any, expression: str, patience: float) -> str:
    """Type an expression whose map is wanted."""
    open_folds(widget)
    type_into(widget.results.expression, expression)
    wait(lambda: not widget.session.running, "the map is made", patience)
    return str(widget.message.text())
