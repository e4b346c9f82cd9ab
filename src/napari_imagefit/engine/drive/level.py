"""Level of the samples, known before they are fitted: their number, size and variation."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ..core.array_module import is_numpy, xp
from ..core.options import Criterion
from ..core.types import Array
from ..noise.noise_and_loss import terms
from ..noise.samples import Samples
from ..sums.normal_equations import add_up

# Squares of the data's rounding that a cost may have and still be nothing but rounding.
LEVEL_ROUNDING = 64
# Values from which on to select the middle one is quicker than to sort all.
SELECT_FROM = 4096


class Level(NamedTuple):
    """Number, size and variation of the samples of each fit, each ``(B,)``."""

    n_used: Array
    n_wanted: Array  # with those that are not finite
    weight: Array  # Σw²
    mean: Array  # weighted
    spread: Array  # Σw²(d − mean)²
    norm: Array  # Σw²d²
    counts: Array  # Σ counts, for Poisson noise
    usual: Array  # median of w²d², for a robust loss
    scatter: Array  # median of w²(d − median)², for a robust loss
    constant: Array  # the cost of the mean, or less

    @property
    def n_left_out(self) -> Array:
        """Samples that are not finite."""
        return self.n_wanted - self.n_used

    @classmethod
    def of(cls, criterion: Criterion, samples: Samples, lengths: Array, axis: int = 0) -> Self:
        """Return the level of samples ``(m, B)``, or ``(B, m)``; those beyond the `lengths` ``(B,)`` are padding."""
        used = samples.usable()
        one = used.astype(samples.data.dtype)
        data = xp.where(used, samples.data, 0)
        if samples.weights is None:
            square = one
            n_used, moment, norm = add_up(one, data, data * data, axis=axis)
            weight = n_used
        else:
            square = xp.where(used, samples.weights * samples.weights, 0)
            n_used, weight, moment, norm = add_up(one, square, square * data, square * data * data, axis=axis)
        mean = moment / xp.where(weight > 0, weight, 1)
        # integers, and terms that are constant, would keep XLA from making a vectorised loop of one pass
        (spread,) = add_up(square * (data - xp.expand_dims(mean, axis)) ** 2, axis=axis)
        wanted = lengths
        if samples.weights is not None:
            wanted = xp.sum(xp.broadcast_to(samples.weights > 0, samples.data.shape), axis=axis)
        count = usual = scatter = 0.0 * mean
        if criterion.noise == "poisson":
            (count,) = add_up(xp.where(used, samples.counts(samples.data)[1], 0), axis=axis)
        if criterion.is_robust:
            # the largest may be an outlier
            usual = _usual(samples, used, samples.data, axis)
            middle = nanmedian(xp.moveaxis(xp.where(used, samples.data, xp.nan), axis, 0))
            scatter = _usual(samples, used, samples.data - xp.expand_dims(middle, axis), axis)
        constant = 0.5 * spread
        if callable(criterion.loss):
            constant = xp.full_like(spread, xp.inf)  # of a single fit, which does not need it
        elif criterion != Criterion():
            flat = xp.broadcast_to(xp.expand_dims(mean, axis), data.shape)
            (constant,) = add_up(xp.where(used, terms(criterion, flat, samples).cost, 0), axis=axis)
        return cls(n_used, wanted, weight, mean, spread, norm, count, usual, scatter, constant)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the level of all samples of a fit, from the levels of its parts."""
        each = cls(*(np.stack(values) for values in zip(*parts, strict=True)))
        weight = each.weight.sum(axis=0)
        mean = (each.weight * each.mean).sum(axis=0) / np.where(weight > 0, weight, 1)
        spread = (each.spread + each.weight * (each.mean - mean) ** 2).sum(axis=0)
        n_used, n_wanted, norm, counts, constant = (
            getattr(each, name).sum(axis=0) for name in ("n_used", "n_wanted", "norm", "counts", "constant")
        )
        usual, scatter = each.usual.mean(axis=0), each.scatter.mean(axis=0)
        return cls(n_used, n_wanted, weight, mean, spread, norm, counts, usual, scatter, constant)

    def rounding(self, criterion: Criterion, eps: float) -> Array:
        """Return a cost that is nothing but the rounding of the data, ``(B,)``; for counts one that means nothing."""
        least = LEVEL_ROUNDING * eps**2
        if criterion.noise == "poisson":
            return xp.maximum(least * self.counts, 1e-12)
        return least * (self.n_used * self.usual if criterion.is_robust else self.norm)

    def size(self, criterion: Criterion, eps: float) -> Array:
        """Return the norm of what there is to explain; see `trust_region.Task`."""
        spread, norm = self.spread, self.norm
        if criterion.noise == "poisson":
            spread = norm = self.counts
        elif criterion.is_robust:
            spread, norm = self.n_used * self.scatter, self.n_used * self.usual
        # how far data are from their mean, or from 0 if they do not vary
        square = xp.where(spread > LEVEL_ROUNDING * eps**2 * norm, spread, norm)
        return xp.where(square > 0, xp.sqrt(square), 1)


def _usual(samples: Samples, used: Array, values: Array, axis: int) -> Array:
    """Return the median of squares, in units of σ; 0 where there is nothing."""
    found = nanmedian(xp.moveaxis(xp.where(used, samples.weighted(values) ** 2, xp.nan), axis, 0))
    return xp.where(xp.isnan(found), 0, found)


def nanmedian(values: Array) -> Array:
    """Medians along the first axis of what is not NaN; NaN where there is nothing."""
    if is_numpy(values) and len(values) >= SELECT_FROM and not np.isnan(values).any():
        high = len(values) // 2
        parted = np.partition(values, high, axis=0)
        return 0.5 * (parted[high] + (parted[high] if len(values) % 2 else parted[:high].max(axis=0)))
    ordered = xp.sort(values, axis=0)
    count = xp.sum(~xp.isnan(values), axis=0)
    low, high = xp.maximum(count - 1, 0) // 2, xp.minimum(count // 2, values.shape[0] - 1)
    return 0.5 * (
        xp.take_along_axis(ordered, low[None], axis=0)[0] + xp.take_along_axis(ordered, high[None], axis=0)[0]
    )
