"""Starts of fits of what is on screen: requested in the window, computed in a worker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.core.types import Floats
from ...engine.drive.parameter_arrays import own_lower
from ...engine.models.model import Model
from ...imaging.fitting.run import Settings
from ...imaging.inspection.curves import Curve
from ...imaging.inspection.grips import Limits
from ...imaging.inspection.starts import curve_starts, region_starts
from ...imaging.regions.region import Region
from ...imaging.voxels.mean_curve import seed
from ..request.choices import Choices, Row
from ..request.fit_request import MeanFit, Request
from ..request.freeze import freeze
from ..request.parameters import parameter_settings


@dataclass(frozen=True, eq=False)
class Grid:
    """The coordinates of a plane's pixels, which lie on straight axes.

    Attributes
    ----------
    origin, step : array, ``(2,)``
        Of the index 0, and from one to the next, along y and x.
    """

    origin: Floats
    step: Floats

    def index(self, coordinates: Any) -> Floats:
        """Return data indices ``(…, 2)``, not rounded."""
        return np.asarray((np.asarray(coordinates, dtype=float) - self.origin) / self.step)

    def coordinates(self, index: Any) -> Floats:
        """Return the coordinates of data indices ``(…, 2)``."""
        return np.asarray(np.asarray(index, dtype=float) * self.step + self.origin)


@dataclass(frozen=True, eq=False)
class SeenRegions:
    """The regions of the frame on screen, as a fit would have them.

    Attributes
    ----------
    request : Request
    frame : tuple of int
        The index along the axes before the plane's.
    regions : tuple of Region
        Those that would be fitted there.
    """

    request: Request
    frame: tuple[int, ...]
    regions: tuple[Region, ...]

    @classmethod
    def of(cls, choices: Choices) -> Self:
        """Freeze what is chosen, for the frame on screen.

        Raises
        ------
        FitInputError
            If it could not be fitted.
        """
        if choices.frames == "all":
            choices = replace(choices, frames="current")
        request = freeze(choices)
        frames = tuple(request.data.shape[:-2])
        frame = tuple(int(min(max(i, 0), n - 1)) for i, n in zip(choices.current, frames, strict=False))
        flat = int(np.ravel_multi_index(frame, frames)) if frames else 0
        return cls(request, frame, tuple(region for region in request.regions if flat in region.frames))

    @property
    def plane(self) -> tuple[int, int]:
        """The shape of the image plane."""
        height, width = self.request.data.shape[-2:]
        return int(height), int(width)

    @property
    def grid(self) -> Grid | None:
        """The coordinates of the pixels; None where a line of them has no direction."""
        ends = [(float(c[0]), float(c[1] - c[0])) for c in self.request.coords if c.size > 1]
        return Grid(*map(np.array, zip(*ends, strict=True))) if len(ends) == 2 else None

    def holding(self, index: Floats) -> Region | None:
        """Return the topmost region that holds a pixel, given by its index in the plane."""
        row, column = (int(i) for i in np.rint(index))
        height, width = self.plane
        if not (0 <= row < height and 0 <= column < width):
            return None
        flat = row * width + column
        return next((region for region in reversed(self.regions) if flat in np.asarray(region.pixels)), None)

    def nearest(self, index: Floats) -> Region | None:
        """Return the region whose middle is nearest to a point in the plane."""

        def away(region: Region) -> float:
            places = np.unravel_index(np.asarray(region.pixels), self.plane)
            return math.hypot(*(float(p.mean()) - float(i) for p, i in zip(places, index, strict=True)))

        return min(self.regions, key=away, default=None)


@dataclass(frozen=True, eq=False)
class RegionAsked:
    """Request for the starts of one region, with these rows of the parameter list."""

    seen: SeenRegions
    region: Region
    rows: tuple[Row, ...]

    def answer(self) -> dict[str, float]:
        """Return the start of every parameter; for a worker, where lazy data are loaded.

        Raises
        ------
        FitInputError
            If the region cannot be fitted.
        """
        request, frame = self.seen.request, self.seen.frame
        settings = _with_rows(request, self.rows)
        if settings.sigma is not None:
            settings = replace(settings, sigma=np.broadcast_to(settings.sigma, request.data.shape)[frame])
        plane = np.asarray(request.data[frame])
        if not np.isfinite(plane.ravel()[np.asarray(self.region.pixels)]).any():
            raise FitInputError("all pixels of the region are NaN or infinite; choose another region or layer")
        return region_starts(plane, request.model, self.region.pixels, coords=request.coords, settings=settings)


@dataclass(frozen=True, eq=False)
class CurveAsked:
    """Request for the starts of one curve, with these rows of the parameter list.

    Attributes
    ----------
    request : Request
        Of the fit that the curve was seen in.
    mean : MeanFit or None
        That of the region, which may start its voxels.
    is_mean : bool
        Whether the curve is that mean.
    """

    request: Request
    curve: Curve
    rows: tuple[Row, ...]
    mean: MeanFit | None = None
    is_mean: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The coordinates of the first and the last sample that counts."""
        used = self.curve.x[self.curve.used]
        used = used if used.size else self.curve.x
        return float(used.min()), float(used.max())

    def answer(self) -> dict[str, float]:
        """Return the start of every parameter.

        Raises
        ------
        FitInputError
            If the curve cannot be fitted.
        """
        request, curve = self.request, self.curve
        settings = _with_rows(request, self.rows)
        used = curve.used & np.isfinite(curve.data)
        if self.is_mean:
            # neither counts nor magnitudes, and with less noise than those have
            options = replace(settings.options, noise="gaussian")
            settings = replace(settings, sigma=None, camera=None, options=options)
        elif settings.sigma is not None:
            assert curve.sigma is not None
            settings = replace(settings, sigma=curve.sigma[used][:, None])
        if self.mean is not None and request.mean != "no" and not self.is_mean:
            factor = request.factor if request.mean == "bounds" else None
            settings = seed(settings, self.mean.result, bounds_factor=factor)
        return curve_starts(curve.x[used], curve.data[used], request.model, settings=settings)


def _with_rows(request: Request, rows: Sequence[Row]) -> Settings:
    """Return the settings with other rows; what all fits are to share is for this one alone."""
    return replace(request.settings, **parameter_settings(request.model, rows) | {"shared": ()})


def limits_of(model: Model, rows: Sequence[Row], *, counts: bool) -> Limits:
    """Return the bounds of starts: those of the rows, else the model's own; of counts those in their unit from 0 on."""
    own = dict(zip(model.names, model.parameters, strict=True))
    lower = {row.name: own_lower(own[row.name], counts=counts) if row.lower is None else row.lower for row in rows}
    upper = {row.name: own[row.name].upper if row.upper is None else row.upper for row in rows}
    return Limits(lower, upper)


def free_names(rows: Sequence[Row]) -> frozenset[str]:
    """Return the parameters whose start is theirs to be set: not fixed, not tied, of no layer."""
    return frozenset(
        row.name
        for row in rows
        if not row.fixed and not row.tied and (row.start is None or isinstance(row.start, (int, float)))
    )


def given_starts(rows: Sequence[Row]) -> dict[str, float]:
    """Return the starts and fixed values that are numbers."""
    return {
        row.name: float(row.start)
        for row in rows
        if row.start is not None and isinstance(row.start, (int, float)) and not row.tied
    }
