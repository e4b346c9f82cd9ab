"""Results as files that other programs read, with scale, units and the recipe."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ...engine.core.errors import FitInputError
from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult
from ..fitting.chunks import is_dask
from ..fitting.derived_maps import DerivedMap
from ..fitting.fit_report import fit_table
from ..fitting.status_labels import ATTEMPTS
from ..fitting.writing import Job, write_files
from ..recipes.recipe import describe
from ..recipes.steps import DeriveStep
from .export_images import write_nifti, write_ome_tiff, write_zarr
from .export_maps import Map, iter_maps, placement_of
from .formats import FORMATS, Format
from .nifti_grid import NiftiGrid, grid_of_affine
from .placement import Placement
from .zarr_store import ATTRIBUTES_KEY


def write(
    result: FitResult,
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,
    transform: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
    affine: ArrayLike | NiftiGrid | None = None,
    derived: Sequence[DerivedMap] = (),
    recipe: Mapping[str, Any] | None = None,
    region_names: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a result, and its recipe as JSON beside it.

    Images hold the maps of parameters, ``<name>_stderr``, expressions, ``reduced_chi2``, ``r2``, ``n_used``, ``status``
    and ``attempt``, as float32 with NaN where there is no result; tables hold a row per fit, as
    `napari_imagefit.imaging.fitting.fit_report.fit_table` gives it.

    Parameters
    ----------
    result : FitResult
    path : path
        A file, or a folder in which files are named after the model. NIfTI files get the name of their map added.
    format : {"ome-tiff", "nifti", "zarr", "csv", "parquet"}, optional
        From the end of `path` if not given.
    transform : dict, optional
        ``scale``, ``translate`` and ``units`` of the axes of the grid (or of the stack, whose fitted axis is left out),
        and ``rotate``, ``shear`` and ``affine``, as napari's layers have them; what is not along the axes of the world
        goes into NIfTI only.
    units : dict, optional
        The unit of each parameter by name.
    affine : array, ``(4, 4)``, or NiftiGrid, optional
        For NIfTI: from indices of the grid, in the order of its axes, to millimetres. It is kept, and so is that order;
        a `NiftiGrid` has another. Without it the axes are reversed, so that the last one of the grid is x.
    derived : sequence of DerivedMap
        Expressions to write too; see `derive`.
    recipe : dict, optional
        As `Recipe.to_dict` gives it; that of the result and the derived maps if not given, none if it is empty.
    region_names : sequence of str
        For tables: what the regions are called, in the order of their labels.
    more : dict, optional
        For tables: further columns by name.
    overwrite : bool
        Whether files that exist are replaced.

    Returns
    -------
    list of Path
        What was written, the recipe last if there is one. Where writing fails nothing is left half written.

    Raises
    ------
    FitInputError
        For a format that is not known or cannot hold the result, a file that exists, a path that cannot be written to,
        a package that is missing, and a result that is not computed yet.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> result = fit_voxels(3 * np.exp(-t[:, None] / [2.0, 4.0]), "exponential_decay", x=t)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write(result, folder, format="csv", units={"tau": "ms"})]
    ['exponential_decay.csv', 'exponential_decay.recipe.json']
    """
    if is_dask(result.status):
        raise FitInputError("the result is not computed yet; call its compute() first")
    place = Path(path)
    kind, stem, suffix = _place(place, format, result)
    FORMATS[kind].check()
    units = dict(units or {})
    steps = [DeriveStep(one.expression, units) for one in derived]
    recipe = describe(result, after=steps) if recipe is None else recipe
    if not FORMATS[kind].of_maps:
        jobs = [_table(stem.with_name(stem.name + suffix), kind, result, units, derived, region_names, more or {})]
    else:
        jobs = _images(stem, suffix, kind, result, transform, units, affine, derived, recipe)
    if recipe:
        jobs.append(recipe_job(stem, recipe))
    write_files(jobs, overwrite=overwrite, new_folder=True)
    return [target for target, _ in jobs]


def _place(place: Path, said: Format | None, result: FitResult) -> tuple[Format, Path, str]:
    """Return the format, the path without its end, and its end."""
    if said is not None and said not in FORMATS:
        raise FitInputError(f"the format {said!r} is not known; choose from {', '.join(FORMATS)}")
    for kind in FORMATS if said is None else [said]:
        for suffix in FORMATS[kind].suffixes:
            if place.name.lower().endswith(suffix) and len(place.name) > len(suffix):
                if not os.path.isdir(place.parent):
                    raise FitInputError(f"the folder {str(place.parent)!r} does not exist; make it, or choose another")
                return kind, place.with_name(place.name[: -len(suffix)]), place.name[-len(suffix) :]
    if said is None:
        ends = ", ".join(known.suffixes[0] for known in FORMATS.values())
        raise FitInputError(f"the name {place.name!r} does not tell a format; give one, or a name that ends in {ends}")
    if os.path.exists(place) and not os.path.isdir(place):
        raise FitInputError(
            f"{str(place)!r} is a file that does not end in {FORMATS[said].suffixes[0]}; give another name"
        )
    return said, place / _as_file_name(result.model.name), FORMATS[said].suffixes[0]


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_.")[:80] or "map"


def _images(
    stem: Path,
    suffix: str,
    kind: Format,
    result: FitResult,
    transform: Mapping[str, Any] | None,
    units: Mapping[str, str],
    affine: ArrayLike | NiftiGrid | None,
    derived: Sequence[DerivedMap],
    recipe: Mapping[str, Any],
) -> list[Job]:
    placement = placement_of(result, transform)
    if kind == "nifti":
        grid = affine if isinstance(affine, NiftiGrid) else _grid(placement, affine)
        rest = grid.rest(len(result.shape))
        frames = placement.axis(rest[0]) if rest else None
    else:
        axes = placement.axes(FORMATS[kind].name)
    maps = list(iter_maps(result, units, derived))
    target = stem.with_name(stem.name + suffix)
    if kind == "nifti":
        files = _unique([_as_file_name(one.name) for one in maps])
        targets = [stem.with_name(f"{stem.name}_{name}{suffix}") for name in files]
        return [
            (path, partial(write_nifti, one=one, grid=grid, frames=frames))
            for path, one in zip(targets, maps, strict=True)
        ]
    if kind == "ome-tiff":
        said = "; ".join([result.model.name, *(f"{one.name} in {one.unit}" for one in maps if one.unit)])
        return [(target, lambda to: write_ome_tiff(to, maps, axes, said))]
    attributes = {ATTRIBUTES_KEY: _about(result, maps, recipe)}
    return [(target, lambda to: write_zarr(to, maps, axes, result.model.name, attributes))]


def _grid(placement: Placement, affine: ArrayLike | None) -> NiftiGrid:
    return placement.nifti_grid() if affine is None else grid_of_affine(affine, len(placement.units))


def _about(result: FitResult, maps: Sequence[Map], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader needs to know of the numbers."""
    return {
        "recipe": recipe,
        "program": version("napari-imagefit"),
        "model": {"name": result.model.name, "formula": result.model.formula},
        "maps": [{"name": one.name, "unit": one.unit} for one in maps],
        "status": {str(int(status)): status.message for status in Status},
        "attempt": {str(number): attempt.label for number, attempt in ATTEMPTS.items()},
    }


def _unique(names: Sequence[str]) -> list[str]:
    """Return the same, numbered where two are alike but for what a file name cannot hold."""
    found: list[str] = []
    for name in names:
        own, number = name, 2
        while own.lower() in (other.lower() for other in found):
            own, number = f"{name}_{number}", number + 1
        found.append(own)
    return found


def _table(
    target: Path,
    kind: Format,
    result: FitResult,
    units: Mapping[str, str],
    derived: Sequence[DerivedMap],
    region_names: Sequence[str],
    more: Mapping[str, Any],
) -> Job:
    def save(to: Path) -> None:
        table = fit_table(result, units, region_names, derived)
        for name, values in more.items():
            table[name] = values
        if kind == "parquet":
            table.to_parquet(to, index=False)
        else:
            table.to_csv(to, index=False, encoding="utf-8")

    return target, save


def recipe_job(stem: Path, recipe: Mapping[str, Any]) -> Job:
    """Return what writes a recipe as JSON beside files whose names begin so."""
    text = json.dumps(recipe, indent=1) + "\n"
    return stem.with_name(f"{stem.name}.recipe.json"), lambda to: to.write_text(text, encoding="utf-8")
