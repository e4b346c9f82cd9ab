"""Spots as files: localisations in three styles, with the recipe and its filters beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...engine.core.errors import FitInputError
from ...imaging.files.export import recipe_job
from ...imaging.files.formats import SpotFormat
from ...imaging.files.localisations import localisations_job
from ...imaging.fitting.writing import write_files
from ...imaging.readers.optional_packages import need
from ..inspection.spot_table import facts_of
from ..request.fit_request import Outcome
from .recipes import recipe_of


def check_spots(outcome: Outcome, kind: SpotFormat) -> None:
    """Look whether a style can hold the spots of an outcome, before the dialog for a name.

    Raises
    ------
    FitInputError
        If the layer lacks a column of it, or the table would be empty.
    """
    request = outcome.request
    if kind.style == "thunderstorm" and request.pixel_unit == "px":
        raise FitInputError(
            f"ThunderSTORM's positions are in nm, but layer {request.layer_name!r} does not say how large a pixel is; "
            "set its scale and units, or export in another style."
        )
    reasons = np.asarray(facts_of(outcome)["reason"], object)
    if not kind.all_spots and not (reasons == "").any():
        raise FitInputError(
            f"none of the {len(reasons)} spots counts, so the table would be empty; change the filters, or export "
            "every spot"
        )
    if kind.suffix.endswith(".parquet"):
        need("pyarrow", "writing Parquet", instead="choose .csv")


def write_spots(outcome: Outcome, path: str, kind: SpotFormat) -> list[Path]:
    """Write the spots of an outcome; what exists is replaced.

    Returns
    -------
    list of Path
        What was written, the recipe last.

    Raises
    ------
    FitInputError
        If it cannot be written, or layer or model lack a column of the style.
    """
    request, result = outcome.request, outcome.result
    assert result is not None
    check_spots(outcome, kind)
    ending = "." + kind.suffix.rpartition(".")[2]
    target = Path(path if path.lower().endswith(ending) else path + kind.suffix)
    reasons = np.asarray(facts_of(outcome)["reason"], object)
    table = localisations_job(
        result,
        target,
        kind.style,
        request.pixel_size,
        request.pixel_unit,
        keep=None if kind.all_spots else reasons == "",
        reasons=reasons if kind.all_spots else None,
    )
    jobs = [table, recipe_job(target.with_name(target.stem), recipe_of(outcome))]
    write_files(jobs)
    return [written for written, _ in jobs]
