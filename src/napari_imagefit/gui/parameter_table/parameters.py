"""The list of parameters: each with its value and error; a row unfolds into start, bounds, fix, share and tie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...catalogue.titles import symbol_of
from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ...layers.request.choices import Row
from ...layers.request.presets import stored_presets
from ..background.timers import single_shot
from ..widgets.numbers import format_bound
from .parameter_fields import ParameterFields
from .parameter_tree import ParameterTree, RowShown, ValueColumn, cell_of
from .presets_menu import PresetsButton
from .typed_rows import Problem, Typed

if TYPE_CHECKING:
    from napari.components import LayerList

NAN = math.nan
KEEP_DELAY_MS = 1000  # without another change, after which the settings are kept for the next session


class ParameterList(QWidget):
    """One row per parameter of the chosen model, and what is saved of their settings.

    What was typed is kept for each model: it is there again when the model is chosen again, also in another session.

    Parameters
    ----------
    layers : LayerList
        From which starts and fixed values may be taken.
    """

    edited = Signal()  # a person has changed a setting
    said = Signal(str, bool)  # a sentence, and whether it is about a problem

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._model: Model | None = None
        self._typed: dict[tuple[str, tuple[str, ...]], dict[str, Typed]] = {}
        self._settled: dict[str, Typed] = {}  # as it was when it was last told
        self._problems: dict[str, Problem | None] = {}
        self._units: Mapping[str, str] = {}
        self._columns: tuple[ValueColumn, ...] = ()
        self._stored = stored_presets()
        self.tree = ParameterTree()
        self.presets_button = PresetsButton(self._stored)
        self.guess_button = QPushButton("Guess")
        self.guess_button.setToolTip("Take back all starts: each is estimated from the data again; what is fixed stays")
        self.starts_button = QPushButton("Starts")
        self.starts_button.setCheckable(True)
        self._unkept = False
        self._keep = single_shot(self, KEEP_DELAY_MS, self.keep)

        tools = QHBoxLayout()
        tools.setContentsMargins(0, 0, 0, 0)
        for button in (self.presets_button, self.guess_button, self.starts_button):
            tools.addWidget(button)
        tools.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(tools)
        layout.addWidget(self.tree)

        self.tree.unfolded.connect(self._on_unfolded)
        self.tree.copy_asked.connect(self._copy)
        self.presets_button.save_asked.connect(self._save_preset)
        self.presets_button.rows_chosen.connect(self._take_rows)
        self.guess_button.clicked.connect(lambda: self.guess())

    def set_model(self, model: Model, units: Mapping[str, str]) -> None:
        """Show another model's parameters, or the same ones in other units."""
        self._units = units
        if model is not self._model:
            self.keep()
            self._model = model
            self.presets_button.set_model(model)
            if self._key(model) not in self._typed:
                rows = self._stored.last(model) or tuple(Row(name) for name in model.names)
                self._typed[self._key(model)] = {row.name: Typed.of(row) for row in rows}
            self._settled = {name: replace(typed) for name, typed in self._fields().items()}
            self._columns = ()
            self.tree.set_names(model.names)
            self._judge(*model.names)
        self._show_all()

    def rows(self) -> tuple[Row, ...]:
        """Return what is typed.

        Raises
        ------
        FitInputError
            If a field holds no number, or names a layer that is not there.
        """
        found = []
        for name, typed in self._fields().items():
            try:
                found.append(typed.row(name, self._layers))
            except FitInputError:
                self._judge(name)
                self._show(name)
                raise
        return tuple(found)

    def rows_if_valid(self) -> tuple[Row, ...] | None:
        """Return what is typed; None while some of it makes no sense."""
        try:
            return self.rows()
        except FitInputError:
            return None

    def set_row(self, row: Row) -> None:
        """Set every field of a row, as a sample or a history entry asks for it; None is what stands there at first."""
        typed = self._fields()[row.name]
        for field, value in vars(Typed.of(row)).items():
            setattr(typed, field, value)
        self._settled[row.name] = replace(typed)
        editor = self.tree.editor(row.name)
        if editor is not None:
            editor.show_typed()
        self._judge(row.name)
        self._show(row.name)

    def set_starts(self, starts: Mapping[str, float]) -> None:
        """Set starts, as a person who drags them does; nothing else of these rows."""
        self._write_starts({name: format_bound(value) for name, value in starts.items()})

    def guess(self) -> None:
        """Clear all starts, so that they are estimated from the data again; fixed values stay."""
        self._write_starts({name: "" for name, typed in self._fields().items() if typed.start and not typed.fixed})

    def _write_starts(self, texts: Mapping[str, str]) -> None:
        changed = {name: text for name, text in texts.items() if self._fields()[name].start != text}
        for name, text in changed.items():
            typed = self._fields()[name]
            typed.start = text
            self._settled[name] = replace(typed)
            editor = self.tree.editor(name)
            if editor is not None:
                editor.show_typed()
            if self._problems[name] is not None:
                self._judge(name)
        if changed:
            self._show(*changed)
            self._tell_edited()

    def show_values(self, columns: Sequence[ValueColumn]) -> None:
        """Show what fits found, a dash where there is no result, nothing where there was no fit.

        Parameters
        ----------
        columns : sequence of ValueColumn
            The first is the fit that is looked at, the others what it is compared with.
        """
        self._columns = tuple(columns)
        self._show_all()

    def unfold(self, name: str) -> ParameterFields:
        """Unfold a row, and return its fields."""
        return self.tree.unfold(name)

    def keep(self) -> None:
        """Keep the settings for the next session, where they have just changed and make sense."""
        if not self._unkept or self._model is None:
            return
        self._unkept = False
        self._keep.stop()
        self._stored.keep_last(self._model, [self._row_if_valid(name) for name in self._fields()])

    def changeEvent(self, event: QEvent | None) -> None:
        """Colours follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._show_all()

    def _fields(self) -> dict[str, Typed]:
        return {} if self._model is None else self._typed[self._key(self._model)]

    @staticmethod
    def _key(model: Model) -> tuple[str, tuple[str, ...]]:
        # two models of one's own may have one name
        return model.name, model.names

    def _row_if_valid(self, name: str) -> Row:
        try:
            return self._fields()[name].row(name, self._layers)
        except FitInputError:
            return Row(name)

    def _on_unfolded(self, name: str) -> None:
        assert self._model is not None
        parameter = self._model.parameters[self._model.index(name)]
        editor = ParameterFields(parameter, self._fields()[name], self._layers)
        editor.typing.connect(partial(self._on_typing, name))
        editor.done.connect(partial(self._on_done, name))
        self.tree.set_editor(name, editor)
        self._show(name)

    def _on_typing(self, name: str) -> None:
        """Call nothing wrong while it is being mended."""
        if name not in self._fields():
            return
        self._problems[name] = None
        self._show(name)

    def _on_done(self, name: str) -> None:
        if name not in self._fields():
            # its row goes with the model it was of, for which what was typed is kept
            return
        self._judge(name)
        self._show(name)
        if self._settled[name] != self._fields()[name]:
            self._settled[name] = replace(self._fields()[name])
            self._tell_edited()

    def _take_rows(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            self.set_row(row)
        self._tell_edited()

    def _tell_edited(self) -> None:
        self._unkept = True
        self._keep.start()
        self.edited.emit()

    def _save_preset(self, name: str) -> None:
        assert self._model is not None
        try:
            rows = self.rows()
        except FitInputError as error:
            self.said.emit(f"Nothing was saved: {error}", True)
            return
        self._stored.save(self._model, name, rows)
        left_out = [row.name for row in rows if row.start is not None and not isinstance(row.start, (int, float))]
        words = f", but for the start of {', '.join(left_out)}, which is a layer" if left_out else ""
        self.said.emit(f"Saved the settings of the parameters as {name!r}{words}.", False)

    def _judge(self, *names: str) -> None:
        """Find what is wrong in rows."""
        assert self._model is not None
        for name in names:
            self._problems[name] = self._fields()[name].problem(self._model, name, self._layers)

    def _show_all(self) -> None:
        if self._model is not None:
            self.tree.set_titles([column.title for column in self._columns])
            self._show(*self._model.names)

    def _show(self, *names: str) -> None:
        """Show rows: names and units, badges, values, and what is wrong."""
        assert self._model is not None
        for name in names:
            parameter, unit = self._model.parameters[self._model.index(name)], self._units.get(name, "")
            self.tree.show_row(
                RowShown(
                    name,
                    f"{symbol_of(name)} [{unit}]" if unit else symbol_of(name),
                    f"{name}: {parameter.description}",
                    self._fields()[name].badges(parameter),
                    tuple(cell_of(column, name) for column in self._columns),
                    self._problems[name],
                )
            )
        self.tree.fit()

    def _copy(self, names: Sequence[str]) -> None:
        """Put rows on the clipboard as a table that a spreadsheet takes."""
        values = [part for column in self._columns for part in (column.title, f"{column.title} error")]
        lines = [["parameter", "unit", "start", "lower", "upper", "fix", "share", "tie", *values]]
        for name in names:
            typed = self._fields()[name]
            line = [name, self._units.get(name, ""), typed.start, typed.lower, typed.upper]
            line += [str(typed.fixed), str(typed.shared), typed.expression]
            lines.append(
                line + [f"{part:.10g}" for column in self._columns for part in column.values.get(name, (NAN, NAN))]
            )
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in lines))
