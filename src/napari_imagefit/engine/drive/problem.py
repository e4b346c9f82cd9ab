"""A batch of fits, checked once so that the solver may assume."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.columns import Columns, Table
from ..core.errors import FitInputError
from ..core.fits import Fits
from ..core.grid_coordinates import LatticeCoordinate
from ..core.options import Options
from ..core.types import Bounds, Noise, Values
from ..core.validation import float_array, real_array
from ..models.check_model import check_apart
from ..models.model import Model
from ..models.origins import check_digits
from ..models.turns import renamed, settle
from ..noise.samples import bucket
from .parameter_arrays import parameter_arrays


@dataclass(frozen=True, eq=False)
class Problem:
    """One model, and samples for `n_fits` fits of it. Build one with `Problem.build`.

    Attributes
    ----------
    coords : tuple of `ndim` arrays, each ``(n_samples,)`` or ``(n_samples, n_fits)``, or of `LatticeCoordinate`
        What has a value for each sample and fit may be `Columns`, here and below.
    data : array, ``(n_samples, n_fits)``
        Of any real dtype. Samples that are not finite are left out.
    weights : array or None, ``(n_samples, 1)`` or ``(n_samples, n_fits)``
        ``1/σ``; 0 leaves a sample out. None where no σ is known.
    start : array, ``(n_params, 1)`` or ``(n_params, n_fits)``
        NaN where the start is to be guessed from the data; the value itself for a fixed parameter.
    lower, upper : arrays, ``(n_params, 1)`` or ``(n_params, n_fits)``
        A parameter whose bounds coincide is fixed there.
    padded : bool
        Whether a wide batch pads its samples to the next power of two as well, so that regions of different sizes share
        a program; few fits always do.
    lengths : int array or None, ``(n_fits,)``
        How many samples of each fit are not padding at its end; None where none are padding.
    shift : array or None, ``(n_samples, 1)`` or ``(n_samples, n_fits)``
        For Poisson noise, the counts where the data are 0; the weights are then counts per unit of the data.
    norms : array or None, ``(n_params, 1)``
        1/size of the parameters where the Jacobian is not used for it.
    root : array or None, ``(n_samples, n_samples)``
        L of the data's covariance LLᵀ, with data that are L⁻¹d; for a single fit.
    whole : bool
        Whether the model's values may depend on all samples at once; for a single fit.
    alone : bool
        Whether there is but one fit, which is to have a program of its own, not a column in one for many.
    pad_to : int
        With `padded`, the length to pad shorter samples to.
    plane : tuple of int or None
        The shape of the lattice whose pixels the samples of each fit are, row by row; None where they are of none.
    held : frozenset of str
        The parameters that were fixed for all fits. Those whose bounds, one pair for each fit, happen to coincide are
        not among them: a program depends on the arguments, never on the other fits.
    asked : array or None, ``(n_params, 1)`` or ``(n_params, n_fits)``
        The starts that the caller gave, NaN where there is none: the nearest to them of equivalent
        solutions is returned.
    says : bool
        Whether the call gives starts, bounds or values of parameters.
    search : bool
        Whether starts that are guessed are the best of several candidates; see `candidates`.
    requested : int
        How many fits the request has of which these are a piece; 0 if they are all. It decides how they are computed.
    """

    model: Model
    coords: tuple[NDArray[np.float64] | LatticeCoordinate | Columns, ...]
    data: Table
    weights: Table | None
    start: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    options: Options = field(default_factory=Options)
    padded: bool = False
    lengths: NDArray[np.int32] | None = None
    shift: Table | None = None
    norms: NDArray[np.float64] | None = None
    root: NDArray[np.float64] | None = None
    whole: bool = False
    alone: bool = False
    pad_to: int = 0
    plane: tuple[int, ...] | None = None
    held: frozenset[str] = frozenset()
    asked: NDArray[np.float64] | None = None
    says: bool = True
    search: bool = False
    requested: int = 0

    @classmethod
    def build(
        cls,
        model: Model,
        coords: Sequence[ArrayLike | LatticeCoordinate | Columns],
        data: Table,
        *,
        weights: Table | None = None,
        init: Values | None = None,
        bounds: Bounds | None = None,
        fixed: Values | None = None,
        options: Options | None = None,
        padded: bool = False,
        lengths: NDArray[np.int32] | None = None,
        shift: Table | None = None,
        norms: NDArray[np.float64] | None = None,
        root: NDArray[np.float64] | None = None,
        whole: bool = False,
        alone: bool = False,
        pad_to: int = 0,
        plane: tuple[int, ...] | None = None,
        search: bool = False,
    ) -> Self:
        """Check everything that can be wrong, and fill in defaults.

        Of `Columns` nothing is looked at but their shape: whoever gives them has checked what they hold.

        `init`, `bounds` and `fixed` hold numbers or arrays of ``n_fits`` values by parameter name.

        Raises
        ------
        FitInputError
            For unknown names, shapes that do not fit, complex data, bounds in the wrong order or NaN, starts outside
            their bounds, fixed values outside the range of the model, and when nothing is left free.
        """
        if data.ndim != 2 or data.size == 0:
            raise FitInputError(
                f"the data of a batch of fits have shape {data.shape}; give (n_samples, n_fits), not empty"
            )
        if not isinstance(data, Columns):
            data = real_array(data, "the data")
        made = LatticeCoordinate, Columns
        grid = tuple(c if isinstance(c, made) else float_array(c, "a coordinate") for c in coords)
        if len(grid) != model.ndim:
            raise FitInputError(f"model {model.name!r} takes {model.ndim} coordinates, but {len(grid)} were given")
        for c in grid:
            if c.shape not in {(data.shape[0],), data.shape} or c.shape != grid[0].shape:
                raise FitInputError(
                    f"coordinates of shape {c.shape} do not go with data of shape {data.shape}; "
                    "give one value per sample, or one per sample and fit"
                )
            # the samples of a single fit may be masked where their coordinates are no numbers
            if not (alone or _is_finite(c)):
                raise FitInputError("the coordinates hold NaN or infinity; give finite numbers")
        options = options or Options()
        check_digits(model, grid, options)
        if isinstance(data, np.ndarray):
            check_noise(options.noise, data, weights, shift)
        start, lower, upper = parameter_arrays(
            model, data.shape[1], init or {}, bounds or {}, fixed or {}, counts=options.noise == "poisson"
        )
        if not (whole or alone):
            check_apart(model)
        problem = cls(
            model,
            grid,
            data,
            weights,
            start,
            lower,
            upper,
            options,
            padded=padded,
            lengths=lengths,
            shift=shift,
            norms=norms,
            root=root,
            whole=whole,
            alone=alone,
            pad_to=pad_to,
            plane=plane,
            held=_held(model, bounds or {}, fixed or {}),
            asked=start,
            says=bool(init or bounds or fixed),
            search=search,
        )
        if not problem.free or (lower == upper).all():
            raise FitInputError(f"all parameters of {model.name!r} are fixed; leave at least one free")
        return problem

    def at(self, positions: NDArray[np.intp]) -> Self:
        """Return some of the fits, in this order; of what they have in common nothing is changed."""

        def columns(array: Any) -> Any:
            return array if array is None or array.ndim < 2 or array.shape[1] == 1 else array[:, positions]

        own = {name: columns(getattr(self, name)) for name in ("weights", "start", "lower", "upper", "shift")}
        lengths = None if self.lengths is None else self.lengths[positions]
        return replace(
            self, coords=tuple(map(columns, self.coords)), data=self.data[:, positions], lengths=lengths, **own
        )

    @property
    def noise_is_known(self) -> bool:
        """Whether χ² has a scale."""
        return self.weights is not None or self.options.noise == "poisson"

    @property
    def n_samples(self) -> int:
        """Samples of each fit, padding included."""
        return int(self.data.shape[0])

    @property
    def n_fits(self) -> int:
        """Number of fits."""
        return int(self.data.shape[1])

    def settle(self, fits: Fits, shared: Collection[int] = ()) -> None:
        """Replace each solution by the requested one of its equivalents; `shared` are the shared parameters."""
        names = self.model.names
        # what some have in common cannot be exchanged for what each has for itself
        own = {name: name for i, name in enumerate(names) if i not in shared}
        common = {name: name for i, name in enumerate(names) if i in shared}
        turns = renamed(self.model.turns, own) + renamed(self.model.turns, common)
        asked = np.full((len(names), 1), np.nan) if self.asked is None else self.asked
        settle(turns, names, fits, asked, self.lower, self.upper)

    @functools.cached_property
    def is_bounded(self) -> bool:
        """Whether any free parameter of any fit has a bound."""
        free = list(self.free)
        return bool((self.lower[free] > -np.inf).any() or (self.upper[free] < np.inf).any())

    @property
    def padded_length(self) -> int:
        """The samples of the problem's programs."""
        m = self.n_samples
        if self.whole:
            return m
        return self.pad_to if m <= self.pad_to else bucket(m)

    @functools.cached_property
    def free(self) -> tuple[int, ...]:
        """The parameters that were not fixed for all fits."""
        return tuple(i for i, name in enumerate(self.model.names) if name not in self.held)


def _is_finite(coordinate: Table | LatticeCoordinate) -> bool:
    """Whether all are numbers, as far as there are arrays to look at."""
    if isinstance(coordinate, Columns):
        return True
    return bool(np.isfinite(coordinate.values if isinstance(coordinate, LatticeCoordinate) else coordinate).all())


def _held(model: Model, bounds: Bounds, fixed: Values) -> frozenset[str]:
    """Return the parameters that were fixed, or have one pair of bounds for all fits, which coincide."""
    pairs = {p.name: bounds.get(p.name, (p.lower, p.upper)) for p in model.parameters}
    alike = {name for name, (low, high) in pairs.items() if np.ndim(low) == np.ndim(high) == 0 and low == high}
    return frozenset(alike | set(fixed))


def check_noise(noise: Noise, data: NDArray[Any], weights: Any, shift: Any) -> None:
    """Refuse data that noise of a kind does not make.

    Raises
    ------
    FitInputError
        If there is a negative count, as a camera's data may be, or a negative magnitude, or magnitudes' noise is not
        known.
    """
    if noise == "poisson" and shift is None:
        _check_counts(data)
    if noise == "rician":
        _check_magnitudes(data, weights)


def _check_counts(data: NDArray[Any]) -> None:
    if (negative := data[np.isfinite(data) & (data < 0)]).size:
        raise FitInputError(
            f"the data hold {negative.flat[0]:g}, but noise='poisson' takes counts from 0 on; "
            "give noise=Camera(offset=...), or sigma"
        )


def _check_magnitudes(data: NDArray[Any], weights: Any) -> None:
    if weights is None:
        raise FitInputError(
            "noise='rician' needs sigma, the noise of one channel; give it (where there is no signal, the root of half "
            "the mean of the squared data)"
        )
    if (negative := data[np.isfinite(data) & (data < 0)]).size:
        raise FitInputError(
            f"the data hold {negative.flat[0]:g}, but noise='rician' takes magnitudes from 0 on; "
            "give noise='gaussian' for signed data"
        )
