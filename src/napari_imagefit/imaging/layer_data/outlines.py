"""The shape of a fitted surface, where it has one: ellipses around a centre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# What is drawn of a width: σ of a Gaussian, half width of a Lorentzian, the edge of a cloud or the first dark ring.
WIDTHS = (
    ("sigma_y", "sigma_x"),
    ("radius_y", "radius_x"),
    ("sigma", "sigma"),
    ("radius", "radius"),
    ("gamma", "gamma"),
)


@dataclass(frozen=True)
class Ellipse:
    """One ellipse of a fit: where it is and which widths it shows."""

    kind: str  # "sigma", "gamma" or "radius"
    center: tuple[float, float]  # (y, x)
    radii: tuple[float, float]  # along v and u, see ellipse_vertices
    theta: float


def find_ellipses(params: Mapping[str, float]) -> list[Ellipse]:
    """Return the ellipses that a fit's parameters describe; none where a centre or a width is missing or not finite."""
    if not {"y", "x"} <= params.keys():
        return []
    center = (params["y"], params["x"])
    theta = params.get("theta", 0.0)
    found = []
    for names in WIDTHS:
        if set(names) <= params.keys():
            radii = (params[names[0]], params[names[1]])
            if np.isfinite([*center, *radii, theta]).all():
                found.append(Ellipse(names[0].split("_")[0], center, radii, theta))
    return found


def ellipse_vertices(
    center: npt.ArrayLike, radii: npt.ArrayLike, theta: float, leading: Sequence[float] = ()
) -> FloatArray:
    """Return the corners with which ``add_shapes(..., shape_type="ellipse")`` draws a fitted ellipse.

    With Δy and Δx from the centre, ``u = Δx cosθ + Δy sinθ`` belongs to radius_x and
    ``v = −Δx sinθ + Δy cosθ`` to radius_y, as in the model ``gaussian_2d_rotated``.

    Parameters
    ----------
    center : (y, x)
    radii : (radius_y, radius_x)
    theta : float
        In radians.
    leading : sequence of float, optional
        Position along the axes before y and x, the same for all corners.

    Returns
    -------
    ndarray, shape (4, len(leading) + 2)
        In the units of the arguments; a fit in the layer's coordinates still has to pass
        `coordinate_to_index`. NaN in, NaN out, which napari cannot draw.

    Examples
    --------
    >>> ellipse_vertices((10, 20), (1, 3), 0).tolist()
    [[9.0, 17.0], [9.0, 23.0], [11.0, 23.0], [11.0, 17.0]]
    """
    radius_y, radius_x = np.asarray(radii, dtype=float)
    along_u = radius_x * np.array([np.sin(theta), np.cos(theta)])
    along_v = radius_y * np.array([np.cos(theta), -np.sin(theta)])
    corners = np.array([-along_u - along_v, along_u - along_v, along_u + along_v, -along_u + along_v])
    before = np.broadcast_to(np.asarray(leading, dtype=float), (4, len(leading)))
    return np.hstack([before, np.asarray(center, dtype=float) + corners])
