"""Results of a call: values on the grid of fits, in the caller's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.fits import Fits
from ..core.options import Criterion
from ..core.refusal import setting
from ..core.status import Flag, Status
from ..models.model import Model
from .call_settings import Asked

if TYPE_CHECKING:
    import pandas as pd

LayerTuple = tuple[Any, dict[str, Any], str]


class Source(Protocol):
    """Origin of a result: the request, and how its fits lie in the data.

    Attributes
    ----------
    job : {"region", "spots", "voxels"}
        Which data it has: ``image`` with ``coords`` and ``regions``, ``image`` with ``windows``, or ``stack`` with
        ``axis`` and ``x``.
    in_memory : bool
        Whether the data are at hand, or read piece by piece.
    """

    job: ClassVar[str]
    in_memory: ClassVar[bool]

    @property
    def settings(self) -> Asked:
        """Settings beside data and model."""

    def fitted(self, result: FitResult) -> NDArray[np.float64]:
        """Return the model's values in the data's shape, NaN where there is no result."""

    def residual(self, result: FitResult) -> NDArray[np.float64]:
        """Return data − fitted, in the data's shape, NaN where there is no result."""

    def index_columns(self) -> dict[str, NDArray[Any]]:
        """Return columns that identify the fits, such as frame and label, each of ``n_fits`` values."""

    def layers(self, result: FitResult) -> list[LayerTuple]:
        """Return the result as napari layer data tuples."""

    def remarks(self, result: FitResult) -> list[str]:
        """Return remarks that follow from all fits together, a sentence each."""

    def recipe(self) -> dict[str, Any]:
        """Return the request as JSON."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """Results of one call, on its grid of fits. NaN wherever there is no result.

    Attributes
    ----------
    params, stderr : dict of str to array, ``(*grid,)``
        Values and standard errors by parameter name. The errors are absolute when the noise level is known (σ, counts,
        a camera), otherwise scaled by √(reduced χ²); those of a robust loss are Huber's. A parameter that was fixed, or
        is at a bound, has no error.
    solution : dict of str to array, ``(*grid,)``
        Where each fit ended, parameters that the data do not determine included, and also where there is no result.
    covariance : array, ``(*grid, n_params, n_params)``
    status : int array, ``(*grid,)``
        `Status` codes.
    flags : int array, ``(*grid,)``
        Bit sets of `Flag`.
    at_bound : dict of str to int array, ``(*grid,)``
        −1 where the parameter is at its lower bound, 1 at its upper, 0 elsewhere.
    start : dict of str to array, ``(*grid,)``
        Where each fit began.
    cost : array, ``(*grid,)``
        What was minimised: ½Σρ(r²), with ``r = (data − fitted)/σ``; for counts half the deviance, for magnitudes minus
        the logarithm of the likelihood, less a number that depends on the data only.
    chi2 : array, ``(*grid,)``
        Σr², in units of the data squared where no σ was given; for counts Pearson's Σ(data − fitted)²/fitted,
        for magnitudes Σ((data − their mean)/their standard deviation)².
    n_used, n_left_out, n_iterations : int arrays, ``(*grid,)``
        Samples used, samples left out because they are not finite or not selected by their value, and trial steps.
    n_free, n_shared : int arrays, ``(*grid,)``
        Free parameters of each fit, and those that all fits have in common, 0 for a fit that took no part in finding
        them. Of the latter each fit counts its share in the degrees of freedom.
    attempt : int array, ``(*grid,)``
        The attempt that led to the result: 0 the first one, 1 from its neighbours, 2 from global starts, 3 within wider
        bounds; see `napari_imagefit.imaging.voxels.refit`.
    refused : int array, ``(*grid,)``
        For `Status.BAD_SETTINGS`, which setting cannot be used: a number for `napari_imagefit.engine.core.refusal`,
        0 elsewhere; `summary` gives it in words.
    model : Model
    seconds : float
    device : str
    known_sigma : bool
        Whether the noise level was given.
    criterion : Criterion
        What was minimised.

    See Also
    --------
    napari_imagefit.fit_voxels : returns one.
    napari_imagefit.fit_image : likewise.
    napari_imagefit.fit_spots : likewise.
    napari_imagefit.Recipe : runs the same fit again on other data.

    Notes
    -----
    ``r2``, ``reduced_chi2``, ``aicc`` and ``bic`` follow from these arrays and are computed on access.

    Examples
    --------
    >>> import napari_imagefit as nif
    >>> result = nif.fit_voxels(2 * np.exp(-np.arange(9.0) / 3)[:, None], "exponential_decay")
    >>> float(result.params["tau"][0].round(6)), bool(result.converged.all())
    (3.0, True)
    """

    params: Mapping[str, NDArray[np.float64]]
    solution: Mapping[str, NDArray[np.float64]] = field(repr=False)
    stderr: Mapping[str, NDArray[np.float64]]
    covariance: NDArray[np.float64]
    status: NDArray[np.int8]
    flags: NDArray[np.uint16]
    at_bound: Mapping[str, NDArray[np.int8]]
    start: Mapping[str, NDArray[np.float64]]
    cost: NDArray[np.float64]
    n_used: NDArray[np.int64]
    n_left_out: NDArray[np.int64]
    n_iterations: NDArray[np.int32]
    n_free: NDArray[np.int64]
    n_shared: NDArray[np.int64] = field(repr=False)
    spread: NDArray[np.float64] = field(repr=False)
    squares: NDArray[np.float64] = field(repr=False)
    chi2: NDArray[np.float64]
    attempt: NDArray[np.int8] = field(repr=False)
    refused: NDArray[np.uint16] = field(repr=False)
    model: Model
    seconds: float
    device: str
    known_sigma: bool
    criterion: Criterion
    source: Source = field(repr=False)

    @classmethod
    def on_grid(
        cls,
        fits: Fits,
        grid: tuple[int, ...],
        model: Model,
        source: Source,
        *,
        known_sigma: bool,
        criterion: Criterion,
        seconds: float,
        device: str,
    ) -> FitResult:
        """Lay fits out on a grid of shape `grid`, in C order."""

        def lay(values: NDArray[Any]) -> NDArray[Any]:
            return values.reshape((*grid, *values.shape[1:]))

        def by_name(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
            return {name: lay(row) for name, row in zip(model.names, rows, strict=True)}

        covariance = fits.covariance
        if not known_sigma and not criterion.is_robust:
            covariance = covariance * noise_variance(fits)[:, None, None]
        with np.errstate(invalid="ignore"):
            stderr = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).T)
            # of what cannot be negative: an error larger than itself
            vague = ((model.lower == 0)[:, None] & (stderr > np.abs(fits.params))).any(axis=0)
        flags = fits.flags | np.where(vague, np.uint16(Flag.POORLY_DETERMINED), np.uint16(0))
        return cls(
            params=by_name(fits.params),
            solution=by_name(fits.solution),
            stderr=by_name(stderr),
            covariance=lay(covariance),
            status=lay(fits.status),
            flags=lay(flags),
            at_bound=by_name(fits.at_bound),
            start=by_name(fits.start),
            cost=lay(fits.cost),
            n_used=lay(fits.n_used),
            n_left_out=lay(fits.n_left_out),
            n_iterations=lay(fits.n_iterations),
            n_free=lay(fits.n_free),
            n_shared=lay(fits.n_shared),
            spread=lay(fits.spread),
            squares=lay(fits.squares),
            chi2=lay(fits.chi2),
            attempt=lay(fits.attempt),
            refused=lay(fits.refused),
            model=model,
            seconds=seconds,
            device=device,
            known_sigma=known_sigma,
            criterion=criterion,
            source=source,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the grid of fits."""
        return self.status.shape

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether each fit reached a minimum that determines its parameters, ``(*grid,)``.

        Where one is at a bound, others may mean nothing there and are NaN: a condensate of no height has no radius.
        """
        return self.status > 0

    @property
    def answers(self) -> dict[str, NDArray[np.float64]]:
        """The same as `solution`, but NaN where there is no result; `fitted` is computed from it."""
        answered = (self.status >= 0) | (self.status == Status.STOPPED)
        return {name: np.where(answered, values, np.nan) for name, values in self.solution.items()}

    @property
    @np.errstate(all="ignore")
    def reduced_chi2(self) -> NDArray[np.float64]:
        """χ² over the degrees of freedom (samples used − free parameters), NaN where there are none."""
        return _quotient(self.chi2, self.n_used - self._determined)

    @property
    @np.errstate(all="ignore")
    def r2(self) -> NDArray[np.float64]:
        """1 − Σ((d − fitted)/σ)²/Σ((d − d̄)/σ)²: the share of the data's variance that the fit explains, ``(*grid,)``.

        With counts all samples weigh the same; with magnitudes their mean, which lies above a weak signal, stands for
        what is fitted.
        """
        return 1 - _quotient(self.squares, self.spread)

    @property
    @np.errstate(all="ignore")
    def aicc(self) -> NDArray[np.float64]:
        """Akaike's criterion, corrected for small samples, up to a constant that all models of the data share.

        NaN for a robust loss, which is no likelihood.
        """
        k = self._degrees
        return self._deviance + 2 * k + _quotient(2 * k * (k + 1), self.n_used - k - 1)

    @property
    @np.errstate(all="ignore")
    def bic(self) -> NDArray[np.float64]:
        """Schwarz's criterion, up to a constant that all models of the data share, ``(*grid,)``; NaN like `aicc`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._deviance + self._degrees * np.log(self.n_used), dtype=float)

    @property
    def _degrees(self) -> NDArray[np.float64]:
        # an unknown noise level is one more parameter
        return self._determined + (0.0 if self.known_sigma else 1.0)

    @property
    def _determined(self) -> NDArray[np.float64]:
        """Free parameters of each fit, with its share of the common ones."""
        took_part = max(1, int(np.count_nonzero(self.n_shared)))
        return self.n_free + self.n_shared / took_part

    @property
    def _deviance(self) -> NDArray[np.float64]:
        if self.criterion.is_robust:
            return np.full(self.shape, np.nan)
        if self.known_sigma:
            return 2 * self.cost
        with np.errstate(divide="ignore"):
            return np.asarray(self.n_used * np.log(_quotient(self.chi2, self.n_used)), dtype=float)

    @np.errstate(all="ignore")
    def fitted(self) -> NDArray[np.float64]:
        """Return the model's values in the data's shape, computed now; NaN where there is no result."""
        return self.source.fitted(self)

    @np.errstate(all="ignore")
    def residual(self) -> NDArray[np.float64]:
        """Return data − fitted in the data's shape, computed now.

        NaN where there is no result or the data are not finite.
        """
        return self.source.residual(self)

    @np.errstate(all="ignore")
    def to_dataframe(self) -> pd.DataFrame:
        """One row per fit: its position, every parameter and ``<name>_stderr``, status, flags and goodness."""
        import pandas as pd

        columns: dict[str, Any] = dict(self.source.index_columns())
        for name in self.model.names:
            columns[name] = self.params[name].ravel()
            columns[f"{name}_stderr"] = self.stderr[name].ravel()
        numbers = (
            "cost",
            "chi2",
            "reduced_chi2",
            "r2",
            "aicc",
            "bic",
            "n_used",
            "n_left_out",
            "n_iterations",
            "attempt",
        )
        for name in numbers:
            columns[name] = getattr(self, name).ravel()
        columns["converged"] = self.converged.ravel()
        columns["status"] = self.status.ravel()
        columns["message"] = list(map(self._message, self.status.flat, self.refused.flat))
        columns["flags"] = self.flags.ravel()
        return pd.DataFrame(columns)

    @np.errstate(all="ignore")
    def to_layers(self) -> list[LayerTuple]:
        """Parameter, standard-error, fitted, residual and status layers as napari ``LayerData`` tuples."""
        return self.source.layers(self)

    def refusals(self) -> dict[str, int]:
        """Return settings that could not be used in some fits, in words, and in how many fits each.

        The first of a fit.
        """
        numbers, counts = np.unique(self.refused[self.refused > 0], return_counts=True)
        return {setting(int(n), self.model.names): int(count) for n, count in zip(numbers, counts, strict=True)}

    def _message(self, status: np.int8, refused: np.uint16) -> str:
        which = setting(int(refused), self.model.names)
        return f"{Status(int(status)).message}{which and f': {which}'}"

    def counts(self) -> dict[Status, int]:
        """Count the fits with each status, the most frequent first; fits outside the mask are not counted."""
        codes, counts = np.unique(self.status, return_counts=True)
        pairs = sorted(zip(counts, codes, strict=True), reverse=True)
        return {Status(int(code)): int(count) for count, code in pairs if code != Status.NOT_FITTED}

    @np.errstate(all="ignore")
    def summary(self) -> str:
        """Return a few lines for people: how many fits converged, why others did not, and what they found."""
        counts = self.counts()
        total = sum(counts.values())
        converged = sum(n for status, n in counts.items() if status.converged)
        lines = [
            f"{self.model.name}: {total} {'fit' if total == 1 else 'fits'} · {converged} converged · "
            f"{self.seconds:.2g} s · {self.device}"
        ]
        lines += [f"  {n} × {status.message}" for status, n in counts.items() if not status.converged]
        lines += [f"    {n} × {which}" for which, n in self.refusals().items()]
        lines += [
            f"  {n} × {flag.message}" for flag in Flag if (n := int(np.count_nonzero(self.flags & np.uint16(flag))))
        ]
        lines += [f"  {remark}" for remark in self.source.remarks(self)]
        for name in self.model.names:
            values, errors = self.params[name], self.stderr[name]
            if np.isfinite(values).any():
                middle = np.nanmedian(values)
                error = f" ± {np.nanmedian(errors):.2g}" if np.isfinite(errors).any() else ""
                lines.append(f"  {name} = {middle:.6g}{error}" + (" (medians)" if total > 1 else ""))
        return "\n".join(lines)

    def recipe(self) -> dict[str, Any]:
        """Return the request as JSON; it contains no code."""
        return self.source.recipe()


def noise_variance(fits: Fits) -> NDArray[np.float64]:
    """Return the reduced χ² of each fit as a measure of the noise; NaN where nothing is left to measure it with."""
    freedom = fits.n_used - fits.n_free
    if fits.n_shared.any():
        # one problem with one noise; fits that took no part in it, such as of constant data, do not contribute to it
        measure = np.isfinite(fits.chi2) & (fits.n_shared > 0) & (fits.status != Status.SINGULAR)
        chi2, left = fits.chi2[measure].sum(), freedom[measure].sum() - fits.n_shared.max()
        return np.full(len(freedom), chi2 / left if left > 0 and chi2 > 0 else np.nan)
    # a cost of exactly 0 gives no estimate of the noise
    known = (freedom > 0) & (fits.chi2 > 0)
    variance: NDArray[np.float64] = np.divide(fits.chi2, freedom, out=np.full(len(freedom), np.nan), where=known)
    return variance


def _quotient(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where the denominator is not positive."""
    positive = denominator > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: NDArray[np.float64] = np.where(positive, numerator / denominator, np.nan)
    return quotient
