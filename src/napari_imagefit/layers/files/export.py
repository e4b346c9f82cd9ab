"""From an outcome to files: with the place of its layer, and the affine of the file that this came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...imaging.files.export import write
from ...imaging.files.formats import FORMATS, Format
from ...imaging.files.placement import FileGrid
from ...imaging.fitting.derived_maps import derive
from ..geometry.file_grid import file_grid
from ..request.fit_request import Outcome, Request
from .recipes import recipe_of

if TYPE_CHECKING:
    from napari.layers import Layer


def formats_for(outcome: Outcome) -> tuple[Format, ...]:
    """Tables for all results, images for maps of voxels."""
    return tuple(kind for kind, known in FORMATS.items() if outcome.request.job == "voxels" or not known.of_maps)


def write_outcome(outcome: Outcome, path: str, kind: Format, layer: Layer | None) -> list[Path]:
    """Write the maps or the table of an outcome, derived maps included; what exists is replaced.

    Parameters
    ----------
    layer : Layer or None
        The layer that was fitted. Readers of NIfTI leave the affine in its metadata, and what they left when it was
        fitted counts where it is gone: maps go back into the order of the file, see `file_grid`.

    Returns
    -------
    list of Path
        What was written, the recipe last.

    Raises
    ------
    FitInputError
        As `napari_imagefit.imaging.files.export.write` does.
    """
    FORMATS[kind].check()
    request, result = outcome.request, outcome.result
    assert result is not None
    voxels = request.job == "voxels"
    return write(
        result,
        path,
        format=kind,
        transform=request.transform if voxels else None,
        units=request.units,
        affine=_file_grid(request, layer) if kind == "nifti" else None,
        derived=[derive(result, text, dict(request.units)) for text in request.derived] if voxels else (),
        recipe=recipe_of(outcome),
        overwrite=True,
    )


def _file_grid(request: Request, layer: Layer | None) -> FileGrid | None:
    left = request.metadata if layer is None else layer.metadata
    return file_grid(left, request.transform, request.data.shape, request.axis, request.layer_name)
