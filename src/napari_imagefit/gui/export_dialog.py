"""Asking where a result is to be saved, and as what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..imaging.files.formats import FORMATS
from ..layers.files.export import check_format, formats_for, write_outcome
from .spots.files import ask_for_spots
from .widgets.save_dialog import Choice, SaveDialog

if TYPE_CHECKING:
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from ..layers.request.fit_request import Outcome


def ask_where(parent: QWidget, outcome: Outcome, layer: Layer | None) -> Callable[[], list[Path]] | None:
    """Ask for a file; None if the question is dismissed.

    Returns
    -------
    callable, or None
        Writes it, in any thread; returns what was written, the recipe last, and raises `FitInputError` if it cannot.
    """
    if outcome.request.job == "spots":
        return ask_for_spots(parent, outcome)
    choices = [Choice(FORMATS[kind].title, FORMATS[kind].suffixes, kind) for kind in formats_for(outcome)]
    name = f"{outcome.request.layer_name} {outcome.request.model.name}"
    dialog = SaveDialog("Export the result", name, choices, lambda kind: check_format(outcome, kind, layer), parent)
    found = dialog.ask()
    return None if found is None else partial(write_outcome, outcome, str(found[0]), found[1], layer)
