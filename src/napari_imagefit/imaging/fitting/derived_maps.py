"""Maps of what follows from the parameters, such as ``1/tau``, with errors and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ...engine.core.errors import FitInputError
from ...engine.models.expression import term
from ...engine.results.fit_result import FitResult
from .chunks import is_dask
from .held_parameters import certain
from .units import unit_of

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DerivedMap:
    """An expression of a result's parameters; see `derive`.

    Attributes
    ----------
    values, stderr : arrays, ``(*grid,)``
        NaN where there is no answer, or the expression has no finite value there.
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
        `napari_imagefit.engine.models.expression` for what it may hold. Its names are those of parameters.
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
    names, value = term(expression)
    if not names:
        raise FitInputError(
            f"the expression {expression!r} names no parameter; use one of {', '.join(result.model.names)}"
        )
    for name in names:
        result.model.index(name)
    with jax.enable_x64(True):
        at = {name: jnp.asarray(np.ravel(result.params[name])) for name in names}
        values = _host(value(at), result)
        slopes = np.stack([_host(_slope(value, at, name), result) for name in names], axis=-1)
    answered = np.logical_and.reduce([np.isfinite(result.params[name]) for name in names]) & np.isfinite(values)
    stderr = np.sqrt(_variance(result, names, slopes))
    return DerivedMap(
        np.where(answered, values, np.nan),
        np.where(answered & np.isfinite(stderr) & (stderr > 0), stderr, np.nan),
        unit_of(expression, units or {}),
        expression,
    )


def _slope(value: Any, at: dict[str, Any], name: str) -> Any:
    """Return the derivative by one parameter, fit by fit."""

    def of_one(own: Any) -> Any:
        return jnp.asarray(value({**at, name: own})) * jnp.ones_like(own)

    return jax.jvp(of_one, (at[name],), (jnp.ones_like(at[name]),))[1]


def _host(values: Any, result: FitResult) -> Floats:
    return np.array(np.broadcast_to(np.asarray(values), (result.status.size,)).reshape(result.shape), dtype=float)


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
