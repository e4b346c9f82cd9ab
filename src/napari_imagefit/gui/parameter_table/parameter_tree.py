"""The list of parameters on screen: a line for each, with a chevron, badges and values; a line unfolds into fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QKeySequence, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QSizePolicy, QTreeWidget, QTreeWidgetItem, QWidget

from ..widgets.badges import BADGES, WARN, BadgeDelegate, width_of_all
from ..widgets.numbers import format_value
from ..widgets.tints import problem_tint
from .parameter_fields import ParameterFields
from .typed_rows import Badge, Problem

NAME, SET, VALUES = 0, 1, 2  # columns; from VALUES on one for each fit
LONGEST_TITLE = 130, 80  # pixels of what stands over one value, and over each of several; what is longer is elided
LEAST_NAME = 108, 84  # pixels of a name beside one value and beside several; what is longer is elided
SPARE = 12  # pixels that a value may leave of its column, which is then left as it is: values that follow do not jump
LEAST_BADGES = 40  # pixels of the badges, where there is no room for all
INDENT = 14
AT_BOUND = {"lower": "⤓", "upper": "⤒"}


@dataclass(frozen=True)
class ValueColumn:
    """Column of the values that one fit found.

    Attributes
    ----------
    title : str
    values : mapping
        Value and error of each parameter.
    at_bound : mapping
        ``"lower"`` or ``"upper"`` for each parameter that stands at its bound.
    """

    title: str
    values: Mapping[str, tuple[float, float]]
    at_bound: Mapping[str, str]


class Cell(NamedTuple):
    """A value on screen, and the bound that it stands at, if it does."""

    text: str
    bound: str = ""


class RowShown(NamedTuple):
    """All that a line shows."""

    name: str
    title: str
    description: str
    badges: Sequence[Badge]
    cells: Sequence[Cell]
    problem: Problem | None


def cell_of(column: ValueColumn, name: str) -> Cell:
    """Return what a column shows of a parameter."""
    if name not in column.values:
        return Cell("")
    bound = column.at_bound.get(name, "")
    text = format_value(*column.values[name])
    return Cell(f"{text} {AT_BOUND[bound]}", f"at its {bound} bound") if bound else Cell(text)


class ParameterTree(QTreeWidget):
    """Lines that unfold; as high as they are, so that nothing scrolls but sideways.

    Arrows move, Enter and Space unfold, Tab goes through the fields that are unfolded, Ctrl+C copies.
    """

    unfolded = Signal(str)  # for the first time: its fields are to be made
    copy_asked = Signal(object)  # names

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: dict[str, QTreeWidgetItem] = {}
        self._titles: tuple[str, ...] = ()
        self._laid_out: object = None  # what the lines' places followed from
        self.setAccessibleName("Parameters")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setIndentation(INDENT)
        self.setExpandsOnDoubleClick(False)  # one click does
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setAutoScroll(False)  # a click on a value does not move the names away
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._delegate = BadgeDelegate(self)
        self.setItemDelegateForColumn(SET, self._delegate)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setMinimumSectionSize(8)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        # as far from the edge as the values below
        header.setStyleSheet("QHeaderView::section { padding: 0px 4px; }")
        self.itemExpanded.connect(self._on_expanded)
        self.itemCollapsed.connect(lambda _: self.fit())
        self.itemClicked.connect(self._on_clicked)

    def set_names(self, names: Sequence[str]) -> None:
        """Show other parameters, all folded."""
        self.clear()
        self._items, self._laid_out = {}, None
        for name in names:
            item = QTreeWidgetItem(self, [name])
            item.setData(NAME, Qt.ItemDataRole.UserRole, name)
            inner = QTreeWidgetItem(item)
            inner.setFlags(Qt.ItemFlag.NoItemFlags)  # its fields have the focus, never the line
            inner.setFirstColumnSpanned(True)
            self._items[name] = item
        if self._items:
            self.setCurrentItem(self.topLevelItem(0))
            self.clearSelection()

    def set_titles(self, titles: Sequence[str]) -> None:
        """Set how many values stand side by side, and what stands over each."""
        shown = tuple(titles) or ("value ± error",)
        if shown == self._titles:
            return
        self._titles = shown
        self.setColumnCount(VALUES + len(shown))
        self.setHeaderLabels(["name", "", *shown])
        head = self.headerItem()
        head.setToolTip(NAME, "The model's parameters, with their units; Ctrl+C copies them as a table")
        head.setToolTip(SET, "What is set for a parameter; its row unfolds with a click, Enter or Space")
        for column, title in enumerate(shown, VALUES):
            head.setToolTip(column, title)
            head.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for column in range(self.columnCount()):
            self.header().setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)

    def show_row(self, row: RowShown) -> None:
        """Show a line anew; `fit` gives it room."""
        item = self._items[row.name]
        tint = problem_tint(self)
        self._delegate.tint = tint
        badges = [Badge(WARN, "", row.problem.sentence), *row.badges] if row.problem else list(row.badges)
        told = [badge.tip for badge in badges]
        found = [
            f"{title}: {cell.text.rstrip(' ⤓⤒')}{', ' if cell.bound else ''}{cell.bound}"
            for title, cell in zip(self._titles, row.cells, strict=False)
            if cell.text
        ]
        item.setText(NAME, row.title)
        item.setToolTip(NAME, "\n".join([row.description, *told, *found]))
        item.setData(SET, BADGES, [badge[:2] for badge in badges])
        item.setToolTip(SET, "\n".join(told))
        item.setData(SET, Qt.ItemDataRole.AccessibleTextRole, ", ".join(told))
        for column, cell in enumerate(row.cells, VALUES):
            item.setText(column, cell.text)
            item.setToolTip(column, found[0] if len(found) == 1 and cell.text else "\n".join(found))
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setForeground(column, QBrush(QColor(tint)) if cell.bound else QBrush())
        for column in range(VALUES + len(row.cells), self.columnCount()):
            item.setText(column, "")
            item.setToolTip(column, "")
        editor = self.editor(row.name)
        if editor is not None:
            editor.show_problem(row.problem)

    def editor(self, name: str) -> ParameterFields | None:
        """Return the fields of a row; None if it was never unfolded."""
        return cast("ParameterFields | None", self.itemWidget(self._items[name].child(0), NAME))

    def unfold(self, name: str) -> ParameterFields:
        """Unfold a row, and return its fields."""
        self._items[name].setExpanded(True)
        editor = self.editor(name)
        assert editor is not None
        return editor

    def set_editor(self, name: str, editor: ParameterFields) -> None:
        """Put the fields of a row where they belong."""
        self.setItemWidget(self._items[name].child(0), NAME, editor)
        editor.left.connect(self._on_left)
        before: QWidget = self
        for each in self._items:
            fields = self.editor(each)
            for field in () if fields is None else fields.in_order():
                self.setTabOrder(before, field)
                before = field

    def item_of(self, name: str) -> QTreeWidgetItem:
        """Return the line of a parameter."""
        return self._items[name]

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Unfold with Enter and Space, copy with Ctrl+C."""
        assert event is not None
        item = self.currentItem()
        if event.matches(QKeySequence.StandardKey.Copy):
            chosen = [name for name, one in self._items.items() if one.isSelected()]
            self.copy_asked.emit(chosen if len(chosen) > 1 else list(self._items))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and item is not None:
            item.setExpanded(not item.isExpanded())
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Share the new width among the columns."""
        super().resizeEvent(event)
        self.fit()

    def sizeHint(self) -> QSize:
        """Return the width of a narrow dock and the height of its lines."""
        return QSize(280, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        """Return a width that is never the reason for a wide dock."""
        return QSize(160, self.minimumHeight())

    def fit(self) -> None:
        """Share the width among the columns, and take the height that the lines need."""
        widths = self._share_width()
        width = self.viewport().width() - 2 * self.indentation()
        editors = {name: editor for name in self._items if (editor := self.editor(name)) is not None}
        bar = self.horizontalScrollBar()
        lines = widths, width, self.fontMetrics().height(), bar.isVisible(), bar.height()
        if not editors and lines == self._laid_out:
            return
        self._laid_out = lines
        for name, item in self._items.items():
            if (editor := editors.get(name)) is not None:
                editor.setFixedWidth(max(width, editor.minimumSizeHint().width()))
                item.child(0).setSizeHint(NAME, QSize(width, editor.heightForWidth(editor.width())))
        self.scheduleDelayedItemsLayout()
        self.executeDelayedItemsLayout()
        height = self._height()
        if height != self.minimumHeight():
            self.setFixedHeight(height)

    def _share_width(self) -> tuple[int, ...]:
        """Give each column its width; returns the widths."""
        header, metrics = self.header(), self.fontMetrics()
        pad = 2 * self.style().pixelMetric(self.style().PixelMetric.PM_FocusFrameHMargin) + 6
        lines = list(self._items.values())
        badges = max((width_of_all(item.data(SET, BADGES) or (), metrics) for item in lines), default=0)
        values = []
        for column, title in enumerate(self._titles, VALUES):
            texts = [metrics.horizontalAdvance(item.text(column)) for item in lines]
            longest = LONGEST_TITLE[len(self._titles) > 1]
            needed = max([*texts, min(metrics.horizontalAdvance(title), longest)]) + pad
            has = header.sectionSize(column)
            values.append(has if needed <= has <= needed + SPARE else needed)
        room = self.viewport().width() - sum(values)
        names = (
            max((metrics.horizontalAdvance(item.text(NAME)) for item in lines), default=0) + pad + self.indentation()
        )
        least = min(names, LEAST_NAME[len(values) > 1])
        badges = min(badges, max(room - least, LEAST_BADGES))
        self.setColumnHidden(SET, not badges)
        widths = (max(room - badges, least), badges, *values)
        for column, width in enumerate(widths):
            header.resizeSection(column, width)
        return widths

    def _height(self) -> int:
        height = self.header().sizeHint().height() + 2 * self.frameWidth()
        for item in self._items.values():
            height += self.rowHeight(self.indexFromItem(item))
            if item.isExpanded():
                height += self.rowHeight(self.indexFromItem(item.child(0)))
        if self.header().length() > self.viewport().width():
            bar = self.horizontalScrollBar()
            # napari's style sheet makes it higher than its size hint
            height += max(bar.sizeHint().height(), bar.height() if bar.isVisible() else 0)
        return height

    def _on_expanded(self, item: QTreeWidgetItem) -> None:
        name = item.data(NAME, Qt.ItemDataRole.UserRole)
        if self.editor(name) is None:
            self.unfolded.emit(name)
        self.fit()

    def _on_clicked(self, item: QTreeWidgetItem, _column: int) -> None:
        if item.parent() is None and len(self.selectedItems()) == 1:
            item.setExpanded(not item.isExpanded())

    def _on_left(self) -> None:
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
