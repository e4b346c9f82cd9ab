"""Asking where spots are to be saved and in which style, or which table is to be opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ...imaging.files.formats import SPOT_FORMATS
from ...layers.files.spot_export import check_spots, write_spots
from ..widgets.save_dialog import Choice, SaveDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from ...layers.request.fit_request import Outcome

TABLES = "Localisations (*.csv *.parquet);;All files (*)"


def ask_for_spots(parent: QWidget, outcome: Outcome) -> Callable[[], list[Path]] | None:
    """Ask for a file; returns what writes it, None if the question is dismissed. See `export_dialog.ask_where`."""
    choices = [Choice(kind.title, (kind.suffix,), kind, "." + kind.suffix.rpartition(".")[2]) for kind in SPOT_FORMATS]
    name = f"{outcome.request.layer_name} {outcome.request.model.name}"
    found = SaveDialog("Export the spots", name, choices, lambda kind: check_spots(outcome, kind), parent).ask()
    return None if found is None else partial(write_spots, outcome, str(found[0]), found[1])


def ask_for_table(parent: QWidget) -> str:
    """Return a table of localisations; empty if the question is dismissed."""
    path, _ = QFileDialog.getOpenFileName(parent, "Open localisations", "", TABLES)
    return str(path)
