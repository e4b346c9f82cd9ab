"""Files of an outcome: with the placement of its layer, and the affine of the file that this came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...imaging.files.export import write
from ...imaging.files.export_maps import placement_of
from ...imaging.files.formats import FORMATS, Format
from ...imaging.files.nifti_grid import NiftiGrid
from ...imaging.fitting.derived_maps import derive
from ..geometry.nifti_orientation import nifti_grid
from ..geometry.world_columns import world_columns
from ..request.fit_request import Outcome, Request
from .recipes import recipe_of

if TYPE_CHECKING:
    from napari.layers import Layer


def formats_for(outcome: Outcome) -> tuple[Format, ...]:
    """Tables for all results, images for maps of voxels."""
    maps = outcome.request.job == "voxels" and outcome.result is not None
    return tuple(kind for kind, known in FORMATS.items() if maps or not known.of_maps)


def check_format(outcome: Outcome, kind: Format, layer: Layer | None) -> None:
    """Look whether a format can hold the outcome, before the dialog for a name.

    Raises
    ------
    FitInputError
        If it cannot, or what it needs is not installed.
    """
    known, request = FORMATS[kind], outcome.request
    known.check()
    if not known.of_maps:
        return
    assert outcome.result is not None
    placement = placement_of(outcome.result, request.transform)
    if kind != "nifti":
        placement.axes(known.name)
    elif _nifti_grid(request, layer) is None:
        placement.nifti_grid()


def write_outcome(outcome: Outcome, path: str, kind: Format, layer: Layer | None) -> list[Path]:
    """Write the maps or the table of an outcome, derived maps included; what exists is replaced.

    Parameters
    ----------
    layer : Layer or None
        The layer that was fitted. Readers of NIfTI leave the affine in its metadata, and what they left when it was
        fitted counts where it is gone: maps go back into the order of the file, see `nifti_grid`.

    Returns
    -------
    list of Path
        What was written, the recipe last. The fit of a mean curve alone has none: no recipe has that step.

    Raises
    ------
    FitInputError
        As `napari_imagefit.imaging.files.export.write` does.
    """
    FORMATS[kind].check()
    request, result = outcome.request, outcome.fit
    assert result is not None
    if outcome.mean is not None and outcome.result is None:
        voxels_in_it = {"voxels": [int(outcome.mean.n.max(initial=0))]}
        return write(result, path, format=kind, units=request.units, recipe={}, more=voxels_in_it, overwrite=True)
    voxels = request.job == "voxels"
    return write(
        result,
        path,
        format=kind,
        transform=request.transform if voxels else None,
        units=request.units,
        affine=_nifti_grid(request, layer) if kind == "nifti" else None,
        derived=[derive(result, text, dict(request.units)) for text in request.derived] if voxels else (),
        recipe=recipe_of(outcome),
        region_names=request.region_names,
        more=_world(outcome) if request.job == "region" else None,
        overwrite=True,
    )


def _world(outcome: Outcome) -> dict[str, Any]:
    """Return where the fits of a layer that is turned lie in the world; see `world_columns`."""
    request, result = outcome.request, outcome.result
    assert result is not None
    if not {"y", "x"} <= set(result.model.names) or len(request.coords) != 2:
        return {}
    columns = result.source.index_columns()
    places = [values for name, values in columns.items() if name.startswith("frame")]
    for name, along in zip(("y", "x"), request.coords, strict=True):
        if along.size < 2:
            return {}
        places.append((result.params[name].ravel() - along[0]) * (along.size - 1) / (along[-1] - along[0]))
    return world_columns(np.stack(places, axis=1), request.transform)


def _nifti_grid(request: Request, layer: Layer | None) -> NiftiGrid | None:
    left = request.metadata if layer is None else layer.metadata
    return nifti_grid(left, request.transform, request.data.shape, request.axis, request.layer_name)
