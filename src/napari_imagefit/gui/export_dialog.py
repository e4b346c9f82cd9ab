"""Asking where a result is to be saved, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ..imaging.export import SUFFIXES, Format
from ..layers.export import formats_for, write_outcome
from .spot_files import export_spots

if TYPE_CHECKING:
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from ..layers.request import Outcome

TITLES: dict[Format, str] = {
    "ome-tiff": "OME-TIFF: all maps in one file",
    "nifti": "NIfTI: one file for each map",
    "zarr": "OME-Zarr: all maps in one folder",
    "csv": "CSV table: a row for each fit",
    "parquet": "Parquet table: a row for each fit",
}


def export(parent: QWidget, outcome: Outcome, layer: Layer | None) -> list[Path]:
    """Ask for a file and write it; nothing is written if the question is dismissed.

    Returns
    -------
    list of Path
        What was written, the recipe last.

    Raises
    ------
    FitInputError
        If it cannot be written.
    """
    if outcome.request.job == "spots":
        return export_spots(parent, outcome)
    filters = {
        f"{TITLES[kind]} ({' '.join('*' + end for end in SUFFIXES[kind])})": kind for kind in formats_for(outcome)
    }
    name = f"{outcome.request.layer_name} {outcome.request.model.name}".replace("/", "_")
    path, chosen = QFileDialog.getSaveFileName(parent, "Export the result", name, ";;".join(filters))
    if not path:
        return []
    kind = filters[chosen] if chosen in filters else next(iter(filters.values()))
    if not path.lower().endswith(SUFFIXES[kind]):
        path += SUFFIXES[kind][0]
    return write_outcome(outcome, path, kind, layer)
