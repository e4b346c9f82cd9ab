"""Asking where a result is to be saved, and as what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ..imaging.files.formats import FORMATS
from ..layers.files.export import formats_for, write_outcome
from .spots.files import ask_for_spots

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
    kinds = formats_for(outcome)
    filters = {f"{FORMATS[k].title} ({' '.join('*' + end for end in FORMATS[k].suffixes)})": k for k in kinds}
    name = f"{outcome.request.layer_name} {outcome.request.model.name}".replace("/", "_")
    path, chosen = QFileDialog.getSaveFileName(parent, "Export the result", name, ";;".join(filters))
    if not path:
        return None
    kind = filters[chosen] if chosen in filters else next(iter(filters.values()))
    ends = FORMATS[kind].suffixes
    if not path.lower().endswith(ends):
        path += ends[0]
    return partial(write_outcome, outcome, path, kind, layer)
