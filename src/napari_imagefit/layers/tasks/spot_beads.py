"""Pictures of beads for the control of a microscope: an average of many, or one, and cuts with widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...imaging.inspection.spot_cuts import spot_picture
from ...imaging.spot_analysis.beads import BeadCut, average_bead, bead_cuts, orthogonal_cuts
from ..request.fit_request import Outcome
from ..request.naming import spaced


@dataclass(frozen=True, eq=False)
class BeadPicture:
    """Picture of a bead.

    Attributes
    ----------
    title : str
    planes : list of (str, array, tuple of float)
        Of a surface one, of a volume three: which axes, the values, and the size of a sample along each of them.
    cuts : tuple of BeadCut
        One along each axis, in the unit of the layer.
    unit : str
    values : array
        The whole bead, of which the planes are parts.
    sizes : tuple of float
        Of a sample along each of its axes, in the unit.
    """

    title: str
    planes: list[tuple[str, NDArray[np.float64], tuple[float, float]]]
    cuts: tuple[BeadCut, ...]
    unit: str
    values: NDArray[np.float64]
    sizes: tuple[float, ...]

    @property
    def words(self) -> str:
        """The widths in a line."""
        return " · ".join(f"{cut.axis} {_width(cut)} {self.unit}" for cut in self.cuts) or "the fit has no answer"


def picture_average(outcome: Outcome, keep: NDArray[np.bool_]) -> BeadPicture:
    """Return the average of some spots, each moved to its centre.

    Raises
    ------
    FitInputError
        If none of them has a result, or the model no amplitude.
    """
    request, result = outcome.request, outcome.result
    assert result is not None
    bead = average_bead(request.data, result, keep=keep)
    sizes = tuple(size / bead.upsample for size in request.pixel_size)
    middle = tuple(n // 2 for n in bead.mean.shape)
    number = spaced(bead.n_beads)
    return BeadPicture(
        f"average of {number} spot{'' if bead.n_beads == 1 else 's'}",
        _planes(bead.mean, middle, sizes),
        bead_cuts(bead, request.pixel_size),
        request.pixel_unit,
        bead.mean,
        sizes,
    )


def picture_spot(outcome: Outcome, row: int) -> BeadPicture:
    """One spot, with cuts through its fitted middle along each axis."""
    request, result = outcome.request, outcome.result
    assert result is not None
    shown = spot_picture(result, (row,))
    return BeadPicture(
        f"spot {row}",
        _planes(shown.window, shown.middle, request.pixel_size),
        orthogonal_cuts(request.data, result, row, request.pixel_size),
        request.pixel_unit,
        shown.window,
        tuple(request.pixel_size),
    )


def bead_layer(picture: BeadPicture) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the bead as napari takes an image, with its middle at 0.

    Examples
    --------
    >>> picture = BeadPicture("spot 1", [], (), "µm", np.ones((5, 7)), (0.1, 0.2))
    >>> bead_layer(picture)[1]["translate"]
    (-0.2, -0.6000000000000001)
    """
    axes = "zyx"[-picture.values.ndim :]
    return picture.values, {
        "name": f"bead · {picture.title}",
        "scale": picture.sizes,
        "translate": tuple(-size * (n // 2) for size, n in zip(picture.sizes, picture.values.shape, strict=True)),
        "units": ("pixel" if picture.unit == "px" else picture.unit,) * len(axes),
        "axis_labels": tuple(axes),
        "colormap": "viridis",
    }


def _planes(
    values: NDArray[np.float64], middle: tuple[int, ...], sizes: tuple[float, ...]
) -> list[tuple[str, NDArray[np.float64], tuple[float, float]]]:
    if values.ndim == 2:
        return [("y, x", values, (sizes[0], sizes[1]))]
    z, y, x = middle
    whole: list[tuple[str, Any, tuple[float, float]]] = [
        ("y, x", values[z], (sizes[1], sizes[2])),
        ("z, x", values[:, y], (sizes[0], sizes[2])),
        ("z, y", values[:, :, x], (sizes[0], sizes[1])),
    ]
    return whole


def _width(cut: BeadCut) -> str:
    fit, data = (f"{value:.3g}" if np.isfinite(value) else "" for value in (cut.fwhm_fit, cut.fwhm_data))
    if fit and data:
        return f"{fit} (fit), {data} (data)"
    return fit or data or "—"
