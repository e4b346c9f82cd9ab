"""Photometry of spots: photons, widths in the layer's units, shape, with propagated errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.noise.camera import Camera
from ...engine.results.fit_result import FitResult
from ..fitting.derived_maps import DerivedMap, derive
from ..fitting.positions import find_positions
from .signal_dependent_noise import with_growing_noise

if TYPE_CHECKING:
    import pandas as pd

# Full width at half maximum of a Gaussian of σ = 1; and of an Airy disc whose first dark ring has radius 1.
FWHM = 2 * math.sqrt(2 * math.log(2))
AIRY_FWHM = 0.8436659602
# ∫∫(2 J₁(u)/u)² with u = 3.8317·r/radius is 4π·(radius/3.8317)².
AIRY_VOLUME = 4 * math.pi / 3.8317059702075125**2

# The integral of each peak over all space, by the names of its widths. A Lorentzian's diverges.
INTEGRALS = {
    ("sigma_z", "sigma_y", "sigma_x"): "(2*pi)**1.5*amplitude*sigma_z*sigma_y*sigma_x",
    ("sigma_y", "sigma_x"): "2*pi*amplitude*sigma_y*sigma_x",
    ("sigma",): "2*pi*amplitude*sigma**2",
}


def photometry(
    result: FitResult,
    *,
    pixel_size: float | Sequence[float] = 1.0,
    units: str = "px",
    gain: float | None = None,
) -> dict[str, DerivedMap]:
    """Columns that follow from the parameters of spots, each with its standard error and unit.

    ===============================  ==================================================================================
    column                           meaning
    ===============================  ==================================================================================
    photons                          integral of the peak over all space, divided by the gain, if it has a finite one;
                                     negative for a dark spot, which lacks so much light
    background                       ``offset`` per pixel, less the camera's own, divided by the gain
    sigma, sigma_z, sigma_y, …       standard deviations of Gaussians in `units`; ``sigma`` is the geometric mean
    fwhm, fwhm_z, fwhm_y, …          full widths at half maximum in `units`; ``fwhm`` is their geometric mean
    fwhm_long, fwhm_short            the same along the axes of a rotated ellipse
    ellipticity                      1 − shortest/longest width in the plane, 0 for a circle
    angle                            of the long axis of a rotated ellipse, from x towards y, above −90° and to 90°
    precision                        standard error of the position in the plane, the root mean square of y and x, in
                                     `units`; of the volume ``precision_z`` besides
    ===============================  ==================================================================================

    Errors are propagated with the whole covariance; see `napari_imagefit.imaging.fitting.derived_maps.derive`. Of least
    squares without σ it is that of the noise which the residuals of all spots show, and which may grow with the light,
    as that of counts does; see `.signal_dependent_noise.with_growing_noise`. Where a width came out round to the last
    bit the angle has no error. ``precision`` is itself an error and has none.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed.
    pixel_size : float or sequence of float
        The size of a pixel in `units`, one or one per axis of the model: the layer's scale.
    units : str
        Of `pixel_size`.
    gain : float, optional
        Data units per photon. Without it that of the camera which was fitted with, otherwise 1.

    Returns
    -------
    dict of str to DerivedMap, ``(N,)`` each
        Those columns that the model has. The unit of ``photons`` is ``"photons"`` where the gain is known or counts
        were fitted, otherwise ``""``: they are then integrals in the data's own unit.

    Raises
    ------
    FitInputError
        For a size or a gain that is not above 0, a size without its unit, and another number of sizes than the model
        has axes.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> y, x = np.mgrid[0:21, 0:21]
    >>> image = 50 * np.exp(-((y - 10.2) ** 2 + (x - 9.7) ** 2) / (2 * 1.5**2)) + 3
    >>> found = photometry(fit_spots(image, [[10, 10]], "gaussian_2d"), pixel_size=0.1, units="µm")
    >>> {name: round(float(column.values[0]), 4) for name, column in found.items() if name in ("photons", "fwhm")}
    {'photons': 706.8583, 'fwhm': 0.3532}
    """
    model, precise = result.model, with_growing_noise(result)
    sizes = pixel_sizes(pixel_size, model.ndim)
    if units == "px" and set(sizes) != {1.0}:
        raise FitInputError(f"pixel_size={pixel_size!r} comes without its unit; give units too, such as 'µm'")
    camera = result.source.settings.camera
    known = gain is not None or camera is not None or result.criterion.noise == "poisson"
    gain = gain_of(result, gain)
    names = set(model.names)
    found: dict[str, DerivedMap] = {}

    def add(name: str, expression: str, unit: str) -> None:
        found[name] = replace(derive(precise, expression), unit=unit)

    counted = "photons" if known else ""
    if (integral := _integral(names, model.ndim)) is not None:
        add("photons", f"{integral}/{gain!r}", counted)
    if "offset" in names:
        add("background", f"(offset - {_mean_of(camera, 'offset', 0.0)!r})/{gain!r}", counted)
    if "theta" in names and {"sigma_y", "sigma_x"} <= names:
        _add_rotated(add, sizes, units)
    else:
        _add_widths(add, names, model.ndim, sizes, units)
    return found | _precision(precise, sizes, units)


def photometry_table(result: FitResult, **said: Any) -> pd.DataFrame:
    """`photometry` as columns ``name`` and ``name_stderr``; what has no error has no such column."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, column in photometry(result, **said).items():
        columns[name] = column.values
        if not name.startswith("precision"):
            columns[f"{name}_stderr"] = column.stderr
    return pd.DataFrame(columns)


def gain_of(result: FitResult, gain: float | None = None) -> float:
    """Return data units per photon: those given, otherwise of the camera that was fitted with, otherwise 1.

    Raises
    ------
    FitInputError
        If it is not above 0.
    """
    gain = _mean_of(result.source.settings.camera, "gain", 1.0) if gain is None else gain
    if not isinstance(gain, Real) or isinstance(gain, bool) or not 0 < gain < math.inf:
        raise FitInputError(f"gain={gain!r} is no gain; give data units per photon, one number above 0")
    return float(gain)


def pixel_sizes(said: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """Return the size of a pixel along each axis.

    Raises
    ------
    FitInputError
        If one is not above 0, or there are too many or too few.
    """
    try:
        sizes = np.atleast_1d(np.asarray(said, float))
    except (TypeError, ValueError):
        sizes = np.zeros(0)
    if sizes.ndim != 1 or sizes.size not in (1, ndim) or not ((sizes > 0) & np.isfinite(sizes)).all():
        raise FitInputError(f"pixel_size={said!r} does not go with {ndim} axes; give one size above 0, or {ndim}")
    return tuple(float(size) for size in np.broadcast_to(sizes, (ndim,)))


def _mean_of(camera: Camera | None, name: str, without: float) -> float:
    """Parameters are in the units of a mean pixel."""
    return without if camera is None else float(np.mean(np.asarray(getattr(camera, name), float)))


def _integral(names: set[str], ndim: int) -> str | None:
    if "amplitude" not in names:
        return None
    if names >= {"radius"} and ndim == 2:
        return f"{AIRY_VOLUME!r}*amplitude*radius**2"
    for widths, expression in INTEGRALS.items():
        if set(widths) <= names:
            return "(2*pi)**1.5*amplitude*sigma**3" if widths == ("sigma",) and ndim == 3 else expression
    return None


def _add_widths(add: Any, names: set[str], ndim: int, sizes: Sequence[float], unit: str) -> None:
    """Add the widths of peaks whose axes are those of the image."""
    axes = "zyx"[-ndim:]
    kinds = {"sigma": FWHM, "gamma": 2.0, "radius": AIRY_FWHM}
    for kind, to_fwhm in kinds.items():
        own = [f"{kind}_{axis}" if f"{kind}_{axis}" in names else kind for axis in axes]
        if not set(own) <= names or ("amplitude" not in names):
            continue
        scaled = [f"{size!r}*{name}" for size, name in zip(sizes, own, strict=True)]
        # of a round spot in square pixels all widths are one
        alike = len(set(scaled)) == 1
        mean = scaled[0] if alike else f"({'*'.join(f'({s})' for s in scaled)})**{1 / ndim!r}"
        if kind == "sigma":
            add("sigma", mean, unit)
        add("fwhm", f"{to_fwhm!r}*{mean}", unit)
        if alike:
            return
        for axis, each in zip(axes, scaled, strict=True):
            if kind == "sigma":
                add(f"sigma_{axis}", each, unit)
            add(f"fwhm_{axis}", f"{to_fwhm!r}*{each}", unit)
        y, x = scaled[-2:]
        if y != x:
            add("ellipticity", f"1 - minimum({y}, {x})/maximum({y}, {x})", "")
        return


def _add_rotated(add: Any, sizes: Sequence[float], unit: str) -> None:
    """Add the widths of a rotated ellipse: its matrix of second moments in `units`, and the axes of that."""
    py, px = sizes
    yy = f"({py!r}**2*((sigma_x*sin(theta))**2 + (sigma_y*cos(theta))**2))"
    xx = f"({px!r}**2*((sigma_x*cos(theta))**2 + (sigma_y*sin(theta))**2))"
    yx = f"({py * px!r}*(sigma_x**2 - sigma_y**2)*sin(theta)*cos(theta))"
    middle, half = f"(0.5*({xx} + {yy}))", f"hypot(0.5*({xx} - {yy}), {yx})"
    long, short = f"sqrt({middle} + {half})", f"sqrt({middle} - {half})"
    mean = f"sqrt({py * px!r}*sigma_y*sigma_x)"
    add("sigma", mean, unit)
    add("fwhm", f"{FWHM!r}*{mean}", unit)
    add("fwhm_long", f"{FWHM!r}*{long}", unit)
    add("fwhm_short", f"{FWHM!r}*{short}", unit)
    add("ellipticity", f"1 - {short}/{long}", "")
    add("angle", f"{90 / math.pi!r}*arctan2(2*{yx}, {xx} - {yy})", "°")


def _precision(result: FitResult, sizes: Sequence[float], unit: str) -> dict[str, DerivedMap]:
    names = find_positions(result.model)
    if len(names) < 2:
        return {}
    errors: list[NDArray[np.float64]] = [size * result.stderr[name] for size, name in zip(sizes, names, strict=True)]
    nothing = np.full(result.shape, np.nan)
    found = {"precision": DerivedMap(np.sqrt((errors[-2] ** 2 + errors[-1] ** 2) / 2), nothing, unit, "")}
    if len(names) == 3:
        found["precision_z"] = DerivedMap(errors[0], nothing, unit, "")
    return found
