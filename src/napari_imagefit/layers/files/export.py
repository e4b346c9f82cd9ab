"""From an outcome to files: with the place of its layer, and the affine of the file that this came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...imaging.files.export import write
from ...imaging.files.formats import FORMATS, Format
from ...imaging.fitting.derived_maps import derive
from ..request.fit_request import Outcome
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
        The layer that was fitted. Readers of NIfTI leave the affine in its metadata, from where it is kept.

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
        affine=affine_of(layer) if kind == "nifti" else None,
        derived=[derive(result, text, dict(request.units)) for text in request.derived] if voxels else (),
        recipe=recipe_of(outcome),
        overwrite=True,
    )


def affine_of(layer: Layer | None) -> Any:
    """The affine that a reader left in a layer's metadata, None if there is none.

    Examples
    --------
    >>> from napari.layers import Image
    >>> affine_of(Image(np.zeros((2, 2)), metadata={"affine": np.eye(4)})).shape
    (4, 4)
    """
    if layer is None:
        return None
    header = layer.metadata.get("header")
    for found in (layer.metadata.get("affine"), getattr(header, "get_best_affine", lambda: None)()):
        if found is not None and np.shape(found) == (4, 4):
            return np.asarray(found, dtype=float)
    return None
