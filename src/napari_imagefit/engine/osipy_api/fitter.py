"""`TrustRegionFitter`: the engine behind osipy's fitter interface, for bound models and for osipy's own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import FitInputError
from ..core.fits import Fits
from ..core.options import Options
from ..core.progress import drain
from ..core.types import Floats
from ..core.validation import float_array, in_memory, real_array
from ..drive.problem import Problem
from ..drive.run import iter_fit
from ..models.bound_model import BoundModel
from .adapter import inside, nameless, to_model
from .protocol import Calls, FittableModel, check_protocol

Limits = Mapping[str, tuple[ArrayLike, ArrayLike]]
Report = Callable[[int, int], None]


class ParameterMaps(dict[str, Floats]):
    """Maps by parameter name, and ``"r_squared"``.

    Attributes
    ----------
    rejected : int
        How many fits are NaN in the parameter maps only because their r² is below the threshold.
    """

    rejected: int = 0


@dataclass(frozen=True)
class TrustRegionFitter:
    """Fitter of one curve per voxel with bounds; replaces osipy's ``LevenbergMarquardtFitter``.

    Models are a `Model` bound to coordinates, or any object with osipy's ``FittableModel`` protocol. An object's
    analytic Jacobian is used where it offers one, and finite differences with relative steps where not. Its code is
    called with NumPy; a bound `Model` is compiled. All is computed in double precision.

    Parameters
    ----------
    max_iterations : int
        Trial steps per voxel.
    tolerance : float
        Relative change of cost, relative change of the parameters, and cosine between residuals and a column of the
        Jacobian, below which a fit has converged; from 0 to below 1.
    chunk_size : int, optional
        After how many voxels progress is reported; several times a second if not given. It does not affect the results,
        and the memory needed beside data and results does not depend on it: the engine always takes some thousand
        voxels at once.
    r2_threshold : float
        Fits with a lower r² are left out of the maps of `fit_image`; ``-inf`` keeps all.

    Raises
    ------
    FitInputError
        If one of them makes no sense.

    See Also
    --------
    napari_imagefit.fit_voxels : the same engine without osipy.
    napari_imagefit.Model.bind : makes what it fits.

    Notes
    -----
    Known differences from osipy 0.1.4, on purpose: a voxel that cannot be fitted (NaN, too few samples, no finite
    start, data that determine nothing) is NaN and has not converged, where osipy gives its start marked good. Outside
    the mask is NaN, not 0. An empty mask gives maps of NaN, no TypeError. Samples that are not finite are left out, and
    the others fitted. r² is NaN, not 0, where the data do not vary. Derivatives by differences have relative steps in
    the precision of the values, not 1e-7, which float32 rounds away. A bound that is overridden for a parameter that
    does not exist is an error. Maps are arrays, not ``ParameterMap``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_imagefit import models
    >>> t = np.arange(8.0)
    >>> tau = np.array([[2.0, 3.0], [4.0, 5.0]])
    >>> data = 100 * np.exp(-t / tau[..., None]) + 10
    >>> bound = models["exponential_decay"].bind(t)
    >>> maps = TrustRegionFitter().fit_image(bound, data, mask=tau < 5)
    >>> maps["tau"].round(3)
    array([[ 2.,  3.],
           [ 4., nan]])
    >>> maps.rejected
    0
    """

    max_iterations: int = 100
    tolerance: float = 1e-6
    chunk_size: int | None = None
    r2_threshold: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, Real) or not 0 <= float(self.tolerance) < 1:
            raise FitInputError(
                f"tolerance={self.tolerance!r} is not one; give a number from 0 to below 1, such as 1e-6"
            )
        if self.chunk_size is not None and (not isinstance(self.chunk_size, Integral) or self.chunk_size < 1):
            raise FitInputError(
                f"chunk_size={self.chunk_size!r} is no number of voxels; give a whole one from 1 on, or None"
            )
        if not isinstance(self.r2_threshold, Real) or math.isnan(float(self.r2_threshold)):
            raise FitInputError(f"r2_threshold={self.r2_threshold!r} is no r²; give a number such as 0.5")
        self._options()

    def _options(self) -> Options:
        t = float(self.tolerance)
        return Options(ftol=t, xtol=t, gtol=t, max_iterations=self.max_iterations)

    def fit_batch(
        self, model: BoundModel | FittableModel, observed_batch: ArrayLike, bounds_override: Limits | None = None
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Fit a batch of voxels.

        Parameters
        ----------
        model : BoundModel or FittableModel
        observed_batch : array, ``(n_observations, n_voxels)``
            Of any real dtype. Samples that are not finite are left out.
        bounds_override : dict, optional
            ``(lower, upper)`` by parameter name, instead of the model's; numbers, or arrays ``(n_voxels,)``. Equal
            bounds fix the parameter.

        Returns
        -------
        params : array, ``(n_params, n_voxels)``
            NaN where there is no result. A fit that came to the limit of iterations keeps where it came to.
        r2 : array, ``(n_voxels,)``
            1 − Σ(d − fitted)²/Σ(d − d̄)²; NaN where there is no result, and where the data do not vary.
        converged : boolean array, ``(n_voxels,)``

        Raises
        ------
        FitInputError
            For input that cannot work: shapes that do not match, unknown names, complex data…
        """
        shape = np.shape(observed_batch)
        if len(shape) != 2:
            raise FitInputError(f"observed_batch has shape {shape}; give (n_observations, n_voxels)")
        names = _names(model)
        limits = _limits(names, bounds_override, shape[1:], np.arange(shape[1]))
        if shape[1] == 0:
            return np.empty((len(names), 0)), np.empty(0), np.empty(0, bool)
        fits = self._fit(model, real_array(observed_batch, "observed_batch"), limits, None)
        return fits.params, _r2(fits), fits.status > 0

    def fit_image(
        self,
        bound_model: BoundModel | FittableModel,
        data: ArrayLike,
        mask: ArrayLike | None = None,
        bounds_override: Limits | None = None,
        progress_callback: Callable[..., object] | None = None,
    ) -> ParameterMaps:
        """Fit every voxel of an image.

        Parameters
        ----------
        bound_model : BoundModel or FittableModel
        data : array, ``(*spatial, n_observations)``
            With any number of spatial axes, none too.
        mask : boolean or integer array, ``(*spatial,)``, optional
            Voxels to fit: True, or not 0.
        bounds_override : dict, optional
            As in `fit_batch`; arrays have the spatial shape.
        progress_callback : callable, optional
            Called with the number of voxels done and that of all, ``(done, total)``; or as osipy does with the fraction
            done, up to 1.0, if it takes but one argument.

        Returns
        -------
        ParameterMaps
            A dict of arrays ``(*spatial,)`` by parameter name, and ``"r_squared"``. NaN outside the mask and where
            there is no answer. Parameters of a fit whose r² is below `r2_threshold` are NaN too, and it is counted in
            ``.rejected``; its r² stays.

        Raises
        ------
        FitInputError
            As `fit_batch`, and for a mask of another shape or type.
        """
        values = real_array(data, "data")
        if values.ndim == 0:
            raise FitInputError("data is one number; give (*spatial, n_observations)")
        spatial, m = values.shape[:-1], values.shape[-1]
        size = math.prod(spatial)
        places = np.arange(size) if mask is None else _selected(mask, spatial)
        names = _names(bound_model)
        limits = _limits(names, bounds_override, spatial, places)
        report = None if progress_callback is None else _reporter(progress_callback, self.chunk_size)

        maps = {name: np.full(size, np.nan) for name in (*names, "r_squared")}
        rejected = 0
        if places.size:
            flat = values.reshape(size, m)
            fits = self._fit(bound_model, (flat if places.size == size else flat[places]).T, limits, report)
            r2 = _r2(fits)
            low = r2 < self.r2_threshold
            rejected = int(np.count_nonzero(low))
            maps["r_squared"][places] = r2
            for name, row in zip(names, fits.params, strict=True):
                maps[name][places] = np.where(low, np.nan, row)
        elif report is not None:
            report(0, 0)
        found = ParameterMaps((name, row.reshape(spatial)) for name, row in maps.items())
        found.rejected = rejected
        return found

    def _fit(
        self, model: BoundModel | FittableModel, data: NDArray[Any], limits: dict[str, Any], report: Report | None
    ) -> Fits:
        """Return data ``(m, N)``, neither empty; limits by name, numbers or ``(N,)``."""
        return drain(iter_fit(_problem(model, data, limits, self._options())), report)


def _problem(
    model: BoundModel | FittableModel, data: NDArray[Any], limits: dict[str, Any], options: Options
) -> Problem:
    if not isinstance(model, BoundModel):
        return _foreign(model, data, limits, options)
    if len(data) != model.n_observations:
        raise FitInputError(
            f"the data have {len(data)} observations per voxel, but the model is bound to {model.n_observations} "
            "coordinates; give as many"
        )
    return Problem.build(model.model, model.coords, data, bounds=limits, options=options)


def _foreign(model: FittableModel, data: NDArray[Any], limits: dict[str, Any], options: Options) -> Problem:
    blank = nameless(model)
    own = dict(zip(_names(model), blank.names, strict=True))
    bounds = {own[name]: tuple(pair) for name, pair in {**model.get_bounds(), **limits}.items() if name in own}
    # all samples of a voxel are computed together, as the object does
    problem = Problem.build(blank, (np.arange(float(len(data))),), data, bounds=bounds, options=options, whole=True)
    calls = Calls(model, len(data))
    starts = inside(calls.guess(data), problem.lower, problem.upper)
    found = to_model(model, calls, starts)
    held = problem.lower == problem.upper
    lower, upper = (np.broadcast_to(a, starts.shape) for a in (problem.lower, problem.upper))
    return replace(problem, model=found, start=np.where(held, problem.start, starts), lower=lower, upper=upper)


def _names(model: BoundModel | FittableModel) -> tuple[str, ...]:
    if not isinstance(model, BoundModel):
        check_protocol(model)
    return tuple(model.parameters)


def _limits(
    names: tuple[str, ...], bounds: Limits | None, spatial: tuple[int, ...], places: NDArray[np.intp]
) -> dict[str, Any]:
    """Bounds as numbers or one value for each of the `places` (voxels)."""
    if bounds is not None and not isinstance(bounds, Mapping):
        raise FitInputError(f"bounds_override is {bounds!r}; give a dict of (lower, upper) by parameter name")

    def chosen(name: str, value: ArrayLike) -> Floats:
        array = float_array(value, f"a bound of {name!r}")
        if array.size == 1:
            return array.reshape(())
        if array.shape != spatial:
            raise FitInputError(f"a bound of {name!r} has shape {array.shape}; give a number, or shape {spatial}")
        return array.reshape(-1)[places]

    found = {}
    for name, pair in (bounds or {}).items():
        if name not in names:
            raise FitInputError(f"bounds_override names {name!r}; the model has {', '.join(names)}")
        is_number = isinstance(pair, np.ndarray) and pair.ndim == 0
        if is_number or not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise FitInputError(f"bounds of {name!r} are {pair!r}; give (lower, upper)")
        found[name] = chosen(name, pair[0]), chosen(name, pair[1])
    return found


def _selected(mask: ArrayLike, spatial: tuple[int, ...]) -> NDArray[np.intp]:
    array = np.asarray(in_memory(mask, "mask"))
    if array.dtype.kind not in "bui":
        raise FitInputError(f"the mask has type {array.dtype}; give a boolean one, True for each voxel to fit")
    if array.shape != spatial:
        raise FitInputError(f"the mask has shape {array.shape}; give one of the data's spatial shape, {spatial}")
    return np.flatnonzero(array)


def _r2(fits: Fits) -> Floats:
    known = (fits.spread > 0) & ~np.isnan(fits.params).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, 1 - fits.squares / fits.spread, np.nan)


def _reporter(callback: Callable[..., object], chunk_size: int | None) -> Report:
    """Return the callback with two arguments, called once for each chunk that is done."""

    def takes(*arguments: float) -> bool:
        try:
            inspect.signature(callback).bind(*arguments)
        except TypeError:
            return False
        except ValueError:  # built in, without a signature
            pass
        return True

    if not callable(callback) or not (takes(0, 1) or takes(1.0)):
        raise FitInputError(
            f"progress_callback={callback!r} does not take (done, total), nor a fraction; give one that does"
        )
    two = takes(0, 1) and not _takes_any(callback)
    last = 0

    def report(done: int, total: int) -> None:
        nonlocal last
        if not total:
            callback(0, 0) if two else callback(1.0)
        while last < done:
            upto = done if chunk_size is None else min(last + chunk_size, total)
            if upto > done:
                break
            last = upto
            callback(last, total) if two else callback(last / total)

    return report


def _takes_any(callback: Callable[..., object]) -> bool:
    """Whether it takes any number of arguments: such a one gets the fraction, as in osipy."""
    try:
        kinds = [p.kind for p in inspect.signature(callback).parameters.values()]
    except ValueError:
        return False
    named = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return inspect.Parameter.VAR_POSITIONAL in kinds and named < 2
