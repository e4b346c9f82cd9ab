"""The columns of tables of localisations, in each style."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.status import Status
from ...engine.core.types import Floats
from ...engine.results.fit_result import FitResult
from ..fitting.derived_maps import DerivedMap
from ..fitting.status_labels import remark_words
from ..fitting.units import parse_unit
from ..spot_analysis.photometry import gain_of, photometry, pixel_sizes
from ..spot_analysis.signal_dependent_noise import with_growing_noise

Style = Literal["imagefit", "picasso", "thunderstorm"]
STYLES: tuple[Style, ...] = ("imagefit", "picasso", "thunderstorm")


@dataclass(frozen=True, eq=False)
class Rows:
    """A result, and what follows from it.

    Attributes
    ----------
    positions : tuple of str
        The model's, in the order of the axes.
    sizes : tuple of float
        Of a pixel along each axis, in `units`.
    gain : float
        Data units per photon.
    precise : FitResult
        The result with the errors that the noise of the spots makes, see `with_growing_noise`.
    derived : dict of str to DerivedMap
        `photometry` in `units`.
    """

    result: FitResult
    precise: FitResult
    positions: tuple[str, ...]
    sizes: tuple[float, ...]
    units: str
    gain: float
    derived: dict[str, DerivedMap]

    @classmethod
    def of(
        cls, result: FitResult, positions: tuple[str, ...], sizes: tuple[float, ...], units: str, gain: float | None
    ) -> Rows:
        """Compute errors that grow with the signal, photons and precisions for the rows of a result of spots."""
        precise = with_growing_noise(result)
        derived = photometry(precise, pixel_size=sizes, units=units, gain=gain)
        return cls(result, precise, positions, sizes, units, gain_of(result, gain), derived)

    def frames(self, style: str) -> NDArray[Any]:
        """Return the frame of each spot, 0 where the image has no frames."""
        columns = self.result.source.index_columns()
        named = [name for name in columns if name.startswith("frame")]
        if len(named) > 1:
            raise FitInputError(f"the image has {len(named)} axes of frames, but a table of {style} one; export each")
        return columns[named[0]] if named else np.zeros(self.result.shape, np.int64)

    def need(self, style: str, *names: str) -> None:
        """Refuse a model that lacks a column of a style."""
        for name in names:
            if name not in self.derived:
                raise FitInputError(
                    f"a table of {style} has {name}, which model {self.result.model.name!r} does not give; "
                    "fit a Gaussian, or choose style='imagefit'"
                )

    def widths(self) -> tuple[Floats, Floats]:
        """σ along y and x in pixels."""
        model = self.result.params
        if "theta" in model:
            # of the ellipse's shadow on the axes
            s, c = np.sin(model["theta"]) ** 2, np.cos(model["theta"]) ** 2
            y, x = model["sigma_y"] ** 2, model["sigma_x"] ** 2
            return np.sqrt(y * c + x * s), np.sqrt(y * s + x * c)
        name = "sigma"
        return (model[f"{name}_y"], model[f"{name}_x"]) if f"{name}_y" in model else (model[name], model[name])

    def background_spread(self) -> Floats:
        """Return standard deviation of what is left over in each window, in photons."""
        left = np.asarray(self.result.residual()).reshape(self.result.shape[0], -1)
        # of the window's own pixels: a group has those of all its windows
        own = np.isfinite(left).sum(axis=1)
        freedom = own * (1 - self.result.n_free / np.maximum(self.result.n_used, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(np.nansum(left**2, axis=1) / freedom)
        return np.where(freedom > 0, spread, np.nan) / self.gain


def own_columns(rows: Rows) -> dict[str, Any]:
    """Everything, with units in brackets."""
    result = rows.result
    columns: dict[str, Any] = {}
    for name, values in result.source.index_columns().items():
        columns[f"{name} [px]" if name.startswith("point_") else name] = values
    for parameter in result.model.parameters:
        unit = re.sub(r"coord\d*", "px", parameter.unit)
        tail = f" [{unit}]" if unit else ""
        columns[f"{parameter.name}{tail}"] = result.params[parameter.name]
        columns[f"{parameter.name}_stderr{tail}"] = result.stderr[parameter.name]
    if rows.units != "px":
        for name, size in zip(rows.positions, rows.sizes, strict=True):
            columns[f"{name} [{rows.units}]"] = size * result.params[name]
            columns[f"{name}_stderr [{rows.units}]"] = size * result.stderr[name]
            columns[f"pixel_{name} [{rows.units}]"] = np.full(result.shape, size)
    for name, column in rows.derived.items():
        unit = column.unit or ("data" if name in ("photons", "background") else "")
        tail = f" [{unit}]" if unit else ""
        columns.setdefault(f"{name}{tail}", column.values)
        if not name.startswith("precision"):
            columns.setdefault(f"{name}_stderr{tail}", column.stderr)
    for name in ("chi2", "reduced_chi2", "r2", "n_used", "n_left_out", "n_iterations", "status", "flags"):
        columns[name] = getattr(result, name)
    columns["remarks"] = remark_words(result)
    columns["message"] = [Status(int(code)).message for code in result.status]
    return columns


def picasso_columns(rows: Rows) -> dict[str, Any]:
    """Picasso's; z is in nm there, everything else in pixels and photons."""
    rows.need("Picasso", "photons", "sigma")
    result, (sy, sx) = rows.result, rows.widths()
    columns = {
        "frame": rows.frames("Picasso"),
        "x": result.params["x"],
        "y": result.params["y"],
        "photons": rows.derived["photons"].values,
        "sx": sx,
        "sy": sy,
        "bg": _background(rows),
        "lpx": rows.precise.stderr["x"],
        "lpy": rows.precise.stderr["y"],
        "ellipticity": 1 - np.minimum(sx, sy) / np.maximum(sx, sy),
    }
    if "z" in rows.positions:
        columns["z"] = in_nanometres(rows.sizes, rows.units, 3)[0] * result.params["z"]
    return columns


def thunderstorm_columns(rows: Rows) -> dict[str, Any]:
    """ThunderSTORM's: nm from the corner of the first pixel, frames from 1."""
    rows.need("ThunderSTORM", "photons", "sigma")
    result, errors, (sy, sx) = rows.result, rows.precise.stderr, rows.widths()
    nm = in_nanometres(rows.sizes, rows.units, len(rows.sizes))
    y, x = nm[-2:]
    is_round = "sigma" in result.model.names and y == x
    columns: dict[str, Any] = {
        "id": np.arange(1, result.shape[0] + 1),
        "frame": np.asarray(rows.frames("ThunderSTORM")) + 1,
        "x [nm]": (result.params["x"] + 0.5) * x,
        "y [nm]": (result.params["y"] + 0.5) * y,
    }
    if "z" in rows.positions:
        columns["z [nm]"] = result.params["z"] * nm[0]
    columns |= {"sigma [nm]": sx * x} if is_round else {"sigma1 [nm]": sx * x, "sigma2 [nm]": sy * y}
    columns |= {
        "intensity [photon]": rows.derived["photons"].values,
        "offset [photon]": _background(rows),
        "bkgstd [photon]": rows.background_spread(),
        "uncertainty [nm]": np.sqrt(((x * errors["x"]) ** 2 + (y * errors["y"]) ** 2) / 2),
    }
    if "z" in rows.positions:
        columns["uncertainty_z [nm]"] = errors["z"] * nm[0]
    return columns


def in_nanometres(size: float | Sequence[float], units: str, ndim: int) -> tuple[float, ...]:
    """Return a pixel's size in nm along each axis.

    Raises
    ------
    FitInputError
        If its unit is no length.
    """
    import pint

    sizes = pixel_sizes(size, ndim)
    try:
        factor = float((1.0 * parse_unit(units)).to("nm").magnitude)
    except (ValueError, pint.PintError):
        raise FitInputError(
            f"units={units!r} is no length, but positions are wanted in nm; give pixel_size in 'nm' or 'µm'"
        ) from None
    return tuple(factor * s for s in sizes)


def _background(rows: Rows) -> Floats:
    return rows.derived["background"].values if "background" in rows.derived else np.full(rows.result.shape, np.nan)
