"""Maps of what follows from the parameters, such as ``1/tau``, with errors and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ...engine.core.device import computing
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.programs import obtain
from ...engine.core.types import Floats
from ...engine.functions.expression import term
from ...engine.models.prediction import SHORTEST, VALUES_PER_PIECE
from ...engine.results.fit_result import FitResult
from .chunks import is_dask
from .held_parameters import certain
from .units import unit_of

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


@dataclass(frozen=True, eq=False)
class DerivedMap:
    """An expression of a result's parameters; see `derive`.

    Attributes
    ----------
    values, stderr : arrays, ``(*grid,)``
        NaN where there is no result, or the expression has no finite value there.
    unit : str
        ``"1/ms"``; empty where it is a pure number or does not follow from the parameters' units.
    expression : str
    """

    values: Floats
    stderr: Floats
    unit: str
    expression: str


def derive(result: FitResult, expression: str, units: Mapping[str, str] | None = None) -> DerivedMap:
    """Return an expression of the parameters of a result, with its standard error.

    The error is √(gᵀCg) with the exact derivatives g and the whole covariance C, so that correlations count. What was
    fixed or is at a bound adds nothing to it; where a free parameter has no error the expression has none either, nor
    where everything in it was fixed.

    Parameters
    ----------
    result : FitResult
    expression : str
        Such as ``"1/tau"`` or ``"2*pi*amplitude*sigma_x*sigma_y"``; see
        `napari_imagefit.engine.functions.expression_syntax` for what it may hold. Its names are those of parameters.
    units : dict, optional
        The unit of every parameter by name, such as ``{"tau": "ms"}``.

    Returns
    -------
    DerivedMap

    Raises
    ------
    FitInputError
        If the expression holds what it may not, or names no parameter, and for a result that is not computed yet.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> result = fit_voxels(3 * np.exp(-t[:, None] / [2.0, 4.0]), "exponential_decay", x=t)
    >>> rate = derive(result, "1/tau", {"tau": "ms"})
    >>> rate.values.round(6), rate.unit
    (array([0.5 , 0.25]), '1/ms')
    """
    if is_dask(result.status):
        raise FitInputError("the result is not computed yet; call its compute() first")
    names, _ = term(expression)
    if not names:
        raise FitInputError(
            f"the expression {expression!r} names no parameter; use one of {', '.join(result.model.names)}"
        )
    for name in names:
        result.model.index(name)
    values, *slopes = (_host(row, result) for row in _with_slopes(expression, result))
    answered = np.logical_and.reduce([np.isfinite(result.params[name]) for name in names]) & np.isfinite(values)
    stderr = np.sqrt(_variance(result, names, np.stack(slopes, axis=-1)))
    return DerivedMap(
        np.where(answered, values, np.nan),
        np.where(answered & np.isfinite(stderr) & (stderr > 0), stderr, np.nan),
        unit_of(expression, units or {}),
        expression,
    )


def _with_slopes(expression: str, result: FitResult) -> Floats:
    """Return the values of all fits, and their derivatives by each name in turn, ``(1 + n_names, n_fits)``."""
    names, value = term(expression)

    def function(at: Any) -> Any:
        def of(*rows: Any) -> Any:
            return jnp.broadcast_to(jnp.asarray(value(dict(zip(names, rows, strict=True))), at.dtype), at.shape[1:])

        def by(i: int) -> Any:
            return jax.jvp(lambda own: of(*at[:i], own, *at[i + 1 :]), (at[i],), (jnp.ones_like(at[i]),))[1]

        return jnp.stack([of(*at), *(by(i) for i in range(len(names)))])

    params = np.stack([np.ravel(result.params[name]) for name in names]).astype(float)
    found = np.empty((1 + len(names), params.shape[1]))
    options = Options(device="cpu")
    for first in range(0, params.shape[1], VALUES_PER_PIECE):
        some = params[:, first : first + VALUES_PER_PIECE]
        # one program serves all numbers of fits up to a power of two
        at = np.ones((len(names), max(SHORTEST, 1 << (some.shape[1] - 1).bit_length())))
        at[:, : some.shape[1]] = some
        program = obtain(("derived", expression, at.shape), function, (at,), options, "as written")
        with computing(options):
            found[:, first : first + VALUES_PER_PIECE] = np.asarray(program(at))[:, : some.shape[1]]
    return found


def _host(values: Floats, result: FitResult) -> Floats:
    return values.reshape(result.shape)


def _variance(result: FitResult, names: tuple[str, ...], slopes: Floats) -> Floats:
    """gᵀCg, with 0 for the rows of parameters that were not free."""
    rows = np.array([result.model.index(name) for name in names])
    covariance = result.covariance[..., rows[:, None], rows]
    held = certain(result)
    sure = np.stack([held[name] for name in names], axis=-1)
    covariance = np.where(sure[..., :, None] | sure[..., None, :], 0.0, covariance)
    slopes = np.where(sure, 0.0, slopes)
    with np.errstate(invalid="ignore", over="ignore"):
        variance: Floats = np.einsum("...i,...ij,...j->...", slopes, covariance, slopes)
    return np.where(variance >= 0, variance, np.nan)
