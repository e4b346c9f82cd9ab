"""Errors of spots by least squares where the noise grows with the light, of which least squares knows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...engine.core.types import Floats, Indices
from ...engine.models.prediction import linearise
from ...engine.results.fit_result import FitResult
from ...engine.sums.sandwich import sandwich
from ..fitting.held_parameters import certain
from ..spots.noise_line import NoiseLine
from ..spots.source import SpotSource
from .shared_covariance import covariance_in_common

# Spots that are looked at, at most and at least.
MOST, LEAST = 2000, 20
# Standard errors above zero from which on the noise surely grows.
SURE = 5.0
# The line is found from weights that come from it; of dark pixels no more is taken than if they had this part of the
# mean variance, or chance decides which of them count.
PASSES, FLOOR = 6, 0.2
# Spots whose sum of squares is so many times what the line makes it have another trouble than this noise.
ODD = 3.0
# Curvatures that differ by more are those of a fit that does not determine its parameters.
CONDITION = 1e12


@dataclass(frozen=True, eq=False)
class _Linear:
    """Fits of some spots, as linear in their free parameters.

    Each parameter is in a unit of its own, in which its curvature is 1; see `_invert`.
    """

    fitted: Floats  # (m, n), the light of others included
    residual: Floats  # (m, n), 0 in pixels that were not used
    slopes: Floats  # (p, m, n), 0 for fixed parameters and in pixels that were not used
    inverse: Floats  # (n, p, p), of the curvature, NaN where that is singular
    used: NDArray[np.bool_]  # (m, n)

    @classmethod
    def of(cls, result: FitResult, source: SpotSource, rows: Indices, free: NDArray[np.bool_]) -> _Linear:
        data = source.windows.gather(source.image, rows)
        used = (source.used(rows) & np.isfinite(data)).T
        params = source.solution(result)
        fitted, slopes = linearise(result.model, source.coords(rows), params[:, rows])
        fitted = np.where(used, fitted + np.transpose(source.of_others(result, params, rows)), 0.0)
        residual = np.where(used, data.T - fitted, 0.0)
        if not used.all():
            slopes *= used
        for slope, own in zip(slopes, free[rows].T, strict=True):
            slope[:, ~own] = 0.0
        inverse, scale = _invert(_gram(slopes), free[rows])
        slopes /= scale.T[:, None, :]
        return cls(fitted, residual, slopes, inverse, used)

    def determined(self) -> _Linear:
        """Return the spots alone that determine their parameters."""
        good = np.isfinite(self.inverse).all(axis=(1, 2))
        by_pixel = self.fitted[:, good], self.residual[:, good], self.slopes[..., good]
        return _Linear(*by_pixel, self.inverse[good], self.used[:, good])

    def excess(self, variance: Floats) -> Floats:
        """Return the sum of squares of each spot ``(n,)`` over what it is on average for pixels so variable."""
        total = np.sum(variance, axis=0, where=self.used)
        return _excess((self.residual**2).sum(axis=0), total, self.inverse, _gram(self.slopes, variance))

    def left_over(self, variance: Floats) -> Floats:
        """Return what residuals squared are on average ``(m, n)`` for pixels so variable; the fit takes its part."""
        leverage = np.einsum("npq,qmn->pmn", self.inverse, self.slopes)
        own = np.einsum("pmn,pmn->mn", leverage, self.slopes)
        taken = np.einsum("pmn,npq,qmn->mn", leverage, _gram(self.slopes, variance), leverage, optimize=True)
        return np.asarray(variance * (1 - 2 * own) + taken)


def _excess(squares: Floats, variance: Floats, inverse: Floats, scatter: Floats) -> Floats:
    """Σr² over what it is on average: ΣV less what the fit takes of it."""
    taken = np.einsum("npq,nqp->n", inverse, scatter)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(squares / (variance - taken))


def _invert(curvature: Floats, free: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the inverses ``(n, p, p)`` of curvatures, each parameter in a unit in which its own is 1.

    The units ``(n, p)``.

    NaN where one is singular. Of fixed parameters the curvature is taken to be 1, and nothing beside it.
    """
    none = np.eye(free.shape[1])
    scale = np.sqrt(np.where(free, np.einsum("npp->np", curvature), 1.0))
    good = (np.isfinite(scale) & (scale > 0)).all(axis=1)
    scale[~good] = 1.0
    scaled = np.where(_both(free), curvature / (scale[:, :, None] * scale[:, None, :]), none)
    good &= np.isfinite(scaled).all(axis=(1, 2))
    scaled[~good] = none
    good &= _is_regular(scaled)
    scaled[~good] = none
    return np.where(good[:, None, None], np.linalg.inv(scaled), np.nan), scale


def _is_regular(curvature: Floats) -> NDArray[np.bool_]:
    """Return which curvatures ``(n, p, p)`` with a diagonal of 1 are regular."""
    eigenvalues = np.linalg.eigvalsh(curvature)
    return np.asarray(eigenvalues[:, 0] * CONDITION > eigenvalues[:, -1])


def _unit_diagonal(among: Floats) -> Floats:
    scale = np.sqrt(np.diag(among))
    return (among / np.where(scale > 0, scale, 1.0)[:, None] / np.where(scale > 0, scale, 1.0))[None]


def _gram(slopes: Floats, weights: Floats | None = None) -> Floats:
    """Return sums over the pixels of products of slopes ``(p, m, n)``, weighted: ``(n, p, p)``."""
    gram = np.empty((slopes.shape[2], len(slopes), len(slopes)))
    for i, slope in enumerate(slopes):
        weighted = slope if weights is None else slope * weights
        for j in range(i + 1):
            gram[:, i, j] = gram[:, j, i] = np.einsum("mn,mn->n", weighted, slopes[j])
    return gram


def find_noise_line(result: FitResult) -> NoiseLine | None:
    """Fit the variance of a pixel as a function of its light to the residuals of all spots together.

    Squared residuals are fitted by what a variance ``even + slope·fitted`` makes them on average, given that each fit
    has followed its noise: ``⟨r²⟩ = (M∘M)·variance`` with M = 1 − J(JᵀJ)⁻¹Jᵀ. Pixels are weighted by the variance that
    squares of Poisson counts of such noise have.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed.

    Returns
    -------
    NoiseLine or None
        None where `slope` is not five standard errors (by its scatter from spot to spot) above 0, where the noise was
        told (σ, Poisson, a camera), for a robust loss, parameters that are tied, and for fewer than 20 spots.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[0:200, 0:200]
    >>> points = np.stack(np.meshgrid(np.arange(8, 200, 12), np.arange(8, 200, 12)), axis=-1).reshape(-1, 2)
    >>> clean = 90 * sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4) for cy, cx in points) + 10
    >>> line = find_noise_line(fit_spots(2 * rng.poisson(clean), points, "gaussian_2d"))
    >>> bool(1.8 < line.slope < 2.2)  # of a camera with gain 2
    True
    """
    source = unaware_source(result)
    rows = np.flatnonzero(result.converged)
    if source is None or rows.size < LEAST or result.source.settings.tied:
        return None
    rows = rows[:: -(-rows.size // MOST)]
    linear = _Linear.of(result, source, rows, _free(result)).determined()
    if linear.used.shape[1] < LEAST:
        return None
    square, used = linear.residual**2, linear.used
    middle, spread = linear.fitted[used].mean(), linear.fitted[used].std()
    unit = np.median(square.sum(axis=0) / used.sum(axis=0))
    if not unit > 0 or not spread > 0:
        return None
    # in units of a mean square, and of the spread of the light
    light, square = (linear.fitted - middle) / spread, square / unit
    terms = np.stack([linear.left_over(np.ones_like(light)), linear.left_over(light)])
    level, growth = 1.0, 0.0
    for _ in range(PASSES):
        variance = np.maximum(level + growth * light, FLOOR * max(level, FLOOR))
        step = max(growth, 0.0) / spread  # of one count, in units of the light
        normal = linear.excess(variance * unit) < ODD
        weights = used * normal / (2 * variance**2 + step**2 * unit * variance)
        among = np.einsum("amn,bmn,mn->ab", terms, terms, weights)
        if normal.sum() < LEAST or not _is_regular(_unit_diagonal(among))[0]:
            return None
        level, growth = np.linalg.solve(among, np.einsum("amn,mn,mn->a", terms, square, weights))
    # the scatter of the score from spot to spot, for the pixels of a spot that is no Gaussian are not independent
    missed = np.where(used, square - level * terms[0] - growth * terms[1], 0.0)
    scores = np.einsum("amn,mn,mn->na", terms, missed, weights)
    inverse = np.linalg.inv(among)
    error = np.sqrt((inverse @ (scores.T @ scores) @ inverse)[1, 1])
    if not growth > SURE * error:
        return None
    slope = growth * unit / spread
    return NoiseLine(float(level * unit - slope * middle), float(slope))


def with_growing_noise(result: FitResult) -> FitResult:
    """Return the same result with the errors that it has if the noise grows with the light as its residuals show.

    Least squares without σ take the noise to be the same in every pixel. Of counts it is not, and errors that are
    scaled by √(reduced χ²) are too small. Here the covariance is ``(JᵀJ)⁻¹ Jᵀ V J (JᵀJ)⁻¹`` with V the variance of each
    pixel by `find_noise_line`. For spots of a group this is done for each in its own window, and the errors are then
    larger by what the neighbours take in the joint fit. Those of a spot whose squares are more than three times what V
    makes them on average are larger by the root of that, too. Parameters that are shared have the error that all spots
    together give them.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed.

    Returns
    -------
    FitResult
        With other `covariance` and `stderr`; the result itself where `find_noise_line` finds nothing, and where it was
        done before.

    References
    ----------
    H. White, A heteroskedasticity-consistent covariance matrix estimator, Econometrica 48, 817 (1980);
    K. I. Mortensen et al., Nature Methods 7, 377 (2010), for counts.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[0:200, 0:200]
    >>> points = np.stack(np.meshgrid(np.arange(8, 200, 12), np.arange(8, 200, 12)), axis=-1).reshape(-1, 2)
    >>> clean = 90 * sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4) for cy, cx in points) + 1
    >>> found = fit_spots(rng.poisson(clean), points, "gaussian_2d")
    >>> errors = [found.params["y"] - points[:, 0], found.params["x"] - points[:, 1]]
    >>> [round(float(np.median(r.stderr["x"]) / np.std(errors)), 1) for r in (found, with_growing_noise(found))]
    [0.5, 1.0]
    """
    line = find_noise_line(result)
    source = unaware_source(result)
    if line is None or source is None:
        return result
    shared = _shared(result)
    together = np.isfinite(result.chi2) & (result.n_shared > 0) & bool(shared)
    covariance = _covariance_of_each(result, _parts(result, source, line, np.isfinite(result.chi2) & ~together))
    if together.any():
        rows, found = _covariance_together(_parts(result, source, line, together), shared)
        covariance[rows] = found
    known = np.isfinite(result.covariance)
    covariance = np.where(known, covariance, np.nan)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).T)
    stderr = dict(zip(result.model.names, errors, strict=True))
    return replace(result, covariance=covariance, stderr=stderr, source=replace(source, noise=line))


class _Part(NamedTuple):
    """Some of the spots, each parameter in a unit of its own; see `_invert`."""

    rows: Indices
    inverse: Floats  # (n, p, p), of the curvature by what a fit has free for itself
    scale: Floats  # (n, p), the units; 1 for what is shared
    curvature: Floats  # (n, p, p)
    scatter: Floats  # (n, p, p), by V, or by what is larger than V by as much as the squares are


def _parts(result: FitResult, source: SpotSource, line: NoiseLine, some: NDArray[np.bool_]) -> Iterator[_Part]:
    free, shared = _free(result), list(_shared(result))
    params = source.solution(result)
    for rows, is_cut in source.windows.portions(np.flatnonzero(some)):
        data = source.samples(rows, padded=is_cut).T
        others = np.broadcast_to(np.transpose(source.of_others(result, params, rows)), data.shape)
        sums = sandwich(result.model, source.coords(rows), params[:, rows], data, others, (line.even, line.slope))
        inverse, scale = _invert(np.moveaxis(sums.curvature, 2, 0), free[rows])
        varies = free[rows]
        varies[:, shared] = True
        unit = np.where(varies[:, :, None] & varies[:, None, :], scale[:, :, None] * scale[:, None, :], np.inf)
        scatter = np.moveaxis(sums.scatter, 2, 0) / unit
        with np.errstate(invalid="ignore"):
            excess = _excess(sums.squares, sums.variance, inverse, scatter * _both(free[rows]))
            larger = np.where(excess > ODD, excess, 1.0)
        curvature = np.moveaxis(sums.curvature, 2, 0) / unit
        yield _Part(rows, inverse, scale, curvature, scatter * larger[:, None, None])


def _covariance_of_each(result: FitResult, parts: Iterable[_Part]) -> Floats:
    covariance = np.full(result.covariance.shape, np.nan)
    for rows, inverse, scale, _, scatter in parts:
        factor = 1 / scale
        if isinstance(result.source, SpotSource) and result.source.groups is not None:
            # a joint fit has larger errors than that of one spot alone
            stated = np.diagonal(result.covariance[rows], axis1=1, axis2=2)
            alone = np.diagonal(inverse, axis1=1, axis2=2) * result.reduced_chi2[rows][:, None] / scale**2
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = np.sqrt(stated / alone) / scale
        covariance[rows] = (inverse @ scatter @ inverse) * factor[:, :, None] * factor[:, None, :]
    return covariance


def _covariance_together(parts: Iterable[_Part], shared: Sequence[int]) -> tuple[Indices, Floats]:
    columns = zip(*parts, strict=True)
    rows = np.concatenate(next(columns))
    inverse, scale, curvature, scatter = (np.concatenate(values) for values in columns)
    together = covariance_in_common(inverse, curvature, scatter, shared)
    return rows, together / (scale[:, :, None] * scale[:, None, :])


def _both(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(free[:, :, None] & free[:, None, :])


def _shared(result: FitResult) -> tuple[int, ...]:
    """Return the shared parameters that were found: not those that every fit that took part had at a bound."""
    names, held, active = result.source.settings.shared, certain(result), result.n_shared > 0
    return tuple(i for i, name in enumerate(result.model.names) if name in names and not np.all(held[name][active]))


def unaware_source(result: FitResult) -> SpotSource | None:
    """Return the windows of spots whose errors take the noise to be the same everywhere; None for any other result."""
    source = result.source
    # a Dask array is not read again
    return source if is_unaware(result) and isinstance(source, SpotSource) and source.noise is None else None


def is_unaware(result: FitResult) -> bool:
    """Whether a fit took the noise to be the same everywhere, and measured it by its residuals."""
    criterion = result.criterion
    return criterion.noise == "gaussian" and criterion.loss == "linear" and not result.known_sigma


def _free(result: FitResult) -> NDArray[np.bool_]:
    """Return what a fit found for itself alone ``(n, p)``."""
    held, shared = certain(result), result.source.settings.shared
    return np.stack([~np.asarray(held[name]) & (name not in shared) for name in result.model.names], axis=1)
