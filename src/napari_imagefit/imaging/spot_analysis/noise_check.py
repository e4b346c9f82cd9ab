"""Whether residuals of spots are larger where they are bright, of which least squares knows nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine.results.fit_result import FitResult
from .signal_dependent_noise import LEAST, MOST, find_noise_line, unaware_source

# Which part of a window is its top and its surroundings.
TOP, AROUND = 0.95, 0.5
# From which ratio of mean squares on, and how many standard errors above none, it is worth a word.
NOTABLE, SURE = 1.5, 5.0


@dataclass(frozen=True)
class NoiseGrowth:
    """Change of the mean square of the residuals from the surroundings of spots to their tops.

    Attributes
    ----------
    ratio : float
        Mean square in the brightest twentieth of the fitted windows over that in their darker half; 1 is even noise.
    n_spots : int
        How many were looked at.
    is_followed : bool
        Whether precision and the errors of `photometry` take it into account.
    """

    ratio: float
    n_spots: int
    is_followed: bool

    def sentence(self) -> str:
        """Return what follows from it, for people."""
        said = (
            f"Residuals are {np.sqrt(self.ratio):.1f} times larger at the tops of spots than around them, as those of "
            "counts are, or of a model that does not fit: least squares states the errors of its parameters too small "
            "then. "
        )
        if self.is_followed:
            said += "The precision and the errors of photons and widths take it into account. "
        return said + "For counts choose the noise Poisson or Camera"


def find_noise_growth(result: FitResult) -> NoiseGrowth | None:
    """Look whether the noise grows with the brightness, of a fit that took it to be the same everywhere.

    The mean square residual of the brightest twentieth of each window, by the fitted model, is compared with that of
    its darker half. Noise grows if it is more than 1.5 times as large, and surely so by the scatter from spot to spot.
    A model that is wrong at the top of spots shows itself in the same way, and its errors are as wrong.

    Parameters
    ----------
    result : FitResult
        Of `fit_spots`, computed. Spots without a result, and pixels that were left out (NaN), do not count.

    Returns
    -------
    NoiseGrowth or None
        None where there is no remark: even noise, noise that was given (σ, Poisson, a camera), a robust loss, or
        fewer than 20 spots.

    Examples
    --------
    >>> from napari_imagefit import fit_spots
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[0:80, 0:80]
    >>> points = np.stack(np.meshgrid(np.arange(8, 80, 12), np.arange(8, 80, 12)), axis=-1).reshape(-1, 2)
    >>> clean = sum(90 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4) for cy, cx in points) + 10
    >>> growth = find_noise_growth(fit_spots(rng.poisson(clean), points, "gaussian_2d"))
    >>> growth.n_spots, bool(3 < growth.ratio < 12)
    (36, True)
    >>> find_noise_growth(fit_spots(clean + rng.normal(0, 3, clean.shape), points, "gaussian_2d")) is None
    True
    """
    source = unaware_source(result)
    rows = np.flatnonzero(result.converged)
    if source is None or rows.size < LEAST:
        return None
    rows = rows[:: -(-rows.size // MOST)]
    fitted = source.fitted_at(result, source.solution(result), rows)
    residual = source.windows.gather(source.image, rows) - fitted
    used = np.isfinite(residual)
    counts = np.count_nonzero(used, axis=1)
    ratios = [np.zeros((0, 2))]
    for count in np.unique(counts[counts >= LEAST]):
        alike = counts == count
        order, squares = (a[alike][used[alike]].reshape(-1, count) for a in (fitted, residual**2))
        even = squares.mean(axis=1)
        limits = np.quantile(order, (TOP, AROUND), axis=1)[:, :, None]
        parts = [np.mean(squares, axis=1, where=of) for of in (order >= limits[0], order <= limits[1])]
        # what is left of data without noise is rounding
        noisy = even > (1e-6 * np.ptp(order, axis=1)) ** 2
        ratios.append(np.stack(parts, axis=1)[noisy] / even[noisy, None])
    both = np.concatenate(ratios)
    if len(both) < LEAST:
        return None
    more = both[:, 0] - both[:, 1]
    ratio = float(both[:, 0].mean() / max(both[:, 1].mean(), np.finfo(float).tiny))
    sure = more.mean() > SURE * more.std(ddof=1) / np.sqrt(more.size)
    if not sure or ratio <= NOTABLE:
        return None
    return NoiseGrowth(ratio, len(both), find_noise_line(result) is not None)
