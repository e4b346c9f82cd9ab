"""Names of the positions of a fit and of its axes on screen."""

from __future__ import annotations

from ...imaging.fitting.fit_report import Place
from .fit_request import Request


def spaced(number: int) -> str:
    """Return a large number in groups of three digits.

    Examples
    --------
    >>> spaced(1193).replace("\u202f", " ")
    '1 193'
    """
    return f"{number:,}".replace(",", "\u202f")


def axis_title(request: Request, axis: int) -> str:
    """Return the name of a data axis, with the unit of the coordinates that the fit had along it."""
    labels = request.transform["axis_labels"]
    label = str(labels[axis])
    # napari calls an axis that nobody has named "-1", "-2"…
    name = f"axis {axis % len(labels)}" if label.lstrip("-").isdigit() else label
    unit = _unit(request, axis)
    return f"{name} [{unit}]" if unit else name


def axis_titles(request: Request) -> tuple[str, ...]:
    """Return the axes along which the model runs: of a curve one, of a surface y and x."""
    if request.job == "voxels":
        return (axis_title(request, request.axis),)
    return axis_title(request, -2), axis_title(request, -1)


def place_title(request: Request, place: Place) -> str:
    """Return a fit as a person would call it: a voxel by its indices, a region by its name and frame."""
    if request.job == "spots":
        return f"spot {place[0]}"
    if request.job == "voxels" or not request.region_names:
        return ", ".join(str(i) for i in place)
    name = request.region_names[place[-1] % len(request.region_names)]
    frame = ", ".join(str(i) for i in place[:-1])
    return f"{name}, frame {frame}" if frame else name


def _unit(request: Request, axis: int) -> str:
    """Return the unit as the parameters have it: coordinates may have been given instead of being the layer's."""
    if request.job == "voxels":
        return request.x_unit
    meaning = {"coord", f"coord{axis % 2}"}
    return next((request.units.get(p.name, "") for p in request.model.parameters if p.unit in meaning), "")
