"""Asking where spots are to be saved and in which style, or which table is to be opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ...layers.files.spot_export import FORMATS, write_spots

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from ...layers.request.fit_request import Outcome

TABLES = "Localisations (*.csv *.parquet);;All files (*)"


def ask_for_spots(parent: QWidget, outcome: Outcome) -> Callable[[], list[Path]] | None:
    """Ask for a file; returns what writes it, None if the question is dismissed. See `export_dialog.ask_where`."""
    filters = {f"{kind.title} (*{kind.suffix})": kind for kind in FORMATS}
    name = f"{outcome.request.layer_name} {outcome.request.model.name}".replace("/", "_")
    path, chosen = QFileDialog.getSaveFileName(parent, "Export the spots", name, ";;".join(filters))
    if not path:
        return None
    return partial(write_spots, outcome, path, filters.get(chosen, FORMATS[0]))


def ask_for_table(parent: QWidget) -> str:
    """Return a table of localisations; empty if the question is dismissed."""
    path, _ = QFileDialog.getOpenFileName(parent, "Open localisations", "", TABLES)
    return str(path)
