"""The filter that responds to spots, the noise of its response, and its maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ...engine.core.types import Floats

if TYPE_CHECKING:
    from scipy import ndimage, spatial, special
else:  # a window that opens does not wait for them
    ndimage, spatial = LazyModule("scipy.ndimage"), LazyModule("scipy.spatial")
    special = LazyModule("scipy.special")


# From a median absolute deviation to the standard deviation of a normal distribution; from a mean one.
MEDIAN_TO_SIGMA, MEAN_TO_SIGMA = 1.482602218505602, 1.2533141373155001
# Rounding, as a fraction of the largest response.
ROUNDING = 1e-12
# The share of equal neighbours from which on so many pixels are alike that they give no estimate of the noise.
EQUAL_NEIGHBOURS = 0.25
# Standard deviations from the others at which an area of one value holds no data.
ODD_AREA_SIGMAS = 3.0
# Of a clipped background: the share of pixels around one that may stand out with it (4 of 9), how many such pixels
# are asked for, and how far up the lowest tenth of them may end, in parts of their median (0.2 in a normal tail).
LONELY, ENOUGH, FROM_THERE_ON = 0.5, 50, 0.4
# The standard deviation of what rounding to whole numbers takes away.
OF_WHOLE_NUMBERS = 12**-0.5


@dataclass(frozen=True, eq=False)
class Response:
    """A filtered frame's maxima that stand out of its median, the strongest first.

    Attributes
    ----------
    shape : tuple of int
        Of the frame.
    pixels : int array, ``(n, ndim)``
    shifts : array, ``(n, ndim)``
        From the pixel to the top of the parabola through it and its neighbours, along each axis, below 0.5.
    strengths : array, ``(n,)``
        In units of the noise.
    """

    shape: tuple[int, ...]
    pixels: NDArray[np.intp]
    shifts: Floats
    strengths: Floats


def respond(data: NDArray[Any], scale: Sequence[float], bright: bool, mask: NDArray[np.bool_] | None) -> Response:
    """Filter a frame and find the maxima of the response."""
    usable = np.isfinite(data)
    usable &= ~_empty(data, usable, scale)
    searched = usable if mask is None else usable & mask
    if not searched.any():
        nothing = np.empty((0, data.ndim))
        return Response(data.shape, nothing.astype(np.intp), nothing, np.empty(0))
    level = data.astype(np.float64)
    # what is the same everywhere is taken out first, so that the rounding of it is not taken for noise
    level -= np.median(level[searched])
    level = filled(level, usable, scale)
    answer = laplacian(level, scale)
    if not bright:
        answer = -answer
    answer -= np.median(answer[searched])
    whole = data.dtype.kind in "iub" or np.array_equal(data[searched], np.rint(data[searched]))
    noise = _noise(level, answer, searched, scale, whole=whole)
    top = float(np.abs(answer[searched]).max())
    noise = max(noise, ROUNDING * top)
    if noise == 0:
        noise = np.inf
    # a maximum is not below any neighbour; of those that are alike `keep_apart` takes the first
    peaks = (answer == ndimage.maximum_filter(answer, size=3, mode="nearest")) & (answer > 0) & searched
    pixels = np.argwhere(peaks)
    strengths = answer[peaks] / noise
    order = np.argsort(-strengths, kind="stable")
    pixels, strengths = pixels[order], strengths[order]
    return Response(data.shape, pixels, _tops(answer, pixels), strengths)


def laplacian(data: Floats, scale: Sequence[float]) -> Floats:
    """−Σσᵢ²∂ᵢ²(G∗data): each axis counts in its own widths, so that wide axes count as much as narrow ones.

    Of what is constant nothing is left, and at the edges data are mirrored.
    """
    total = np.zeros_like(data)
    for axis in range(data.ndim):
        part = data
        for along, sigma in enumerate(scale):
            part = ndimage.correlate1d(part, _kernel(sigma, bent=along == axis), along, mode="reflect")
        total += part
    return total


def _kernel(sigma: float, *, bent: bool) -> Floats:
    """Return a sampled Gaussian with sum 1, or −σ² times its second derivative with sum 0."""
    x = np.arange(-int(4 * sigma + 0.5) - 1, int(4 * sigma + 0.5) + 2) / sigma
    gaussian = np.exp(-0.5 * x**2)
    gaussian /= gaussian.sum()
    # samples of a second derivative that is cut off do not sum to 0 by themselves
    return np.asarray(gaussian * ((gaussian * x**2).sum() - x**2) if bent else gaussian)


def filled(data: Floats, usable: NDArray[np.bool_], scale: Sequence[float]) -> Floats:
    """Return the data with the weighted mean of their surroundings where they are not usable.

    0 far from any that is.
    """
    if usable.all():
        return data
    known = np.where(usable, data, 0.0)
    weight = ndimage.gaussian_filter(usable.astype(np.float64), scale)
    around = ndimage.gaussian_filter(known, scale)
    return np.where(usable, data, np.divide(around, weight, out=np.zeros_like(around), where=weight > ROUNDING))


def keep_apart(points: Floats, distance: Floats) -> NDArray[np.intp]:
    """Select points so that none is nearer to another than `distance`, in order: an earlier one goes first.

    Distances are those of an ellipsoid with these half axes. The same as going through the list and dropping what is
    near to one that was kept, but all that no earlier one threatens at once.
    """
    rows = np.arange(len(points))
    # two maxima of one plateau are one spot, whatever the distance
    reach = np.maximum(distance, 1.5)
    pairs = np.sort(spatial.cKDTree(points / reach).query_pairs(np.nextafter(1.0, 0.0), output_type="ndarray"), axis=1)
    alive = np.ones(len(points), bool)
    while pairs.size:
        first, second = pairs.T
        safe = np.ones(len(points), bool)
        safe[second] = False
        alive[second[safe[first]]] = False
        pairs = pairs[alive[first] & alive[second]]
    return rows[alive]


def _empty(data: NDArray[Any], usable: NDArray[np.bool_], scale: Sequence[float]) -> NDArray[np.bool_]:
    """Pixels without data, that are given one value: the border of a stitched or masked image, a saturated plain.

    They are areas of one value at least as large as a spot's window, and that value is none that the other pixels
    usually have: a background of no counts stays, though it is an area of one value.
    """
    data = np.where(usable, data, np.inf) if data.dtype.kind == "f" else data
    size = [min(2 * math.ceil(3 * sigma) + 1, n) for sigma, n in zip(scale, data.shape, strict=True)]
    nothing = np.zeros(data.shape, bool)
    along = data if size[-1] < 2 else ndimage.maximum_filter1d(data[..., 1:] != data[..., :-1], size[-1] - 1)
    if along.all():
        # no row of one value is as long as that
        return nothing
    flat = ndimage.maximum_filter(data, size, mode="nearest") == ndimage.minimum_filter(data, size, mode="nearest")
    others = data[usable & ~flat].astype(np.float64)
    if not flat.any() or not others.size:
        return nothing
    usual = np.median(others)
    far = np.abs(data - usual) > ODD_AREA_SIGMAS * _spread(others - usual)
    return np.asarray(ndimage.maximum_filter(flat & far, size, mode="constant"))


def _noise(level: Floats, answer: Floats, searched: NDArray[np.bool_], scale: Sequence[float], *, whole: bool) -> float:
    """Return the noise of the response.

    Where most pixels are like their neighbours, as a background without counts or one that is clipped, it is no less
    than what the filter makes of the noise of those that vary: how far they are from their neighbours, of which spots,
    that are smooth, hardly tell. `whole` numbers have the noise of their rounding at least.
    """
    if not _are_alike(level, searched):
        return _spread(answer[searched])
    varies = searched & (ndimage.maximum_filter(level, 3) != ndimage.minimum_filter(level, 3))
    uneven = level
    for axis in range(level.ndim):
        uneven = ndimage.correlate1d(uneven, np.array([-1.0, 2.0, -1.0]) / math.sqrt(6.0), axis)
    of_pixels = MEAN_TO_SIGMA * float(np.abs(uneven[varies]).mean()) if varies.any() else 0.0
    point = np.zeros([2 * math.ceil(4 * sigma) + 3 for sigma in scale])
    point[tuple(n // 2 for n in point.shape)] = 1.0
    passed = float(np.sqrt((laplacian(point, scale) ** 2).sum()))
    usual = MEDIAN_TO_SIGMA * float(np.median(np.abs(answer[searched])))
    of_pixels = max(of_pixels, _of_clipped(level, searched), _of_clipped(-level, searched))
    return max(usual, passed * max(of_pixels, OF_WHOLE_NUMBERS if whole else 0.0))


def _of_clipped(level: Floats, searched: NDArray[np.bool_]) -> float:
    """Return the noise that pixels had before those below a value were given that value, 0 where that was not done.

    What stands out of so many is the tail of a normal distribution: it begins at the value, and its median tells the
    width. Pixels next to several others that stand out are left to spots. Counts, of which most are one step, are none.
    """
    floor = float(level[searched].min())
    out = searched & (level > floor)
    share = float(np.count_nonzero(out)) / np.count_nonzero(searched)
    if not 0 < share < 1 - EQUAL_NEIGHBOURS:
        return 0.0
    block = 3**level.ndim
    crowd = ndimage.uniform_filter(out.astype(np.float32), 3) * block
    above = np.sort(level[out & (crowd < LONELY * block)] - floor)
    # of noise alone so many would be lonely; where far fewer are, they are the rims of spots
    expected = float(special.bdtr(math.ceil(LONELY * block) - 2, block - 1, share)) * np.count_nonzero(out)
    if above.size < max(ENOUGH, expected / 2):
        return 0.0
    step, low, middle = above[0], above[above.size // 10], above[above.size // 2]
    if middle <= 2 * step or low > FROM_THERE_ON * middle:
        return 0.0
    return float(middle / (special.ndtri(1 - share / 2) - special.ndtri(1 - share)))


def _are_alike(level: Floats, searched: NDArray[np.bool_]) -> bool:
    """Whether so many neighbours are equal that the median of the response may be that of pixels without noise."""
    both = searched[..., 1:] & searched[..., :-1]
    equal = (level[..., 1:] == level[..., :-1]) & both
    return int(np.count_nonzero(equal)) >= EQUAL_NEIGHBOURS * max(int(np.count_nonzero(both)), 1)


def _spread(values: Floats) -> float:
    """Return a robust standard deviation around 0: by the median of sizes, by their mean where half of them are 0."""
    sizes = np.abs(values)
    return float(MEDIAN_TO_SIGMA * np.median(sizes) or MEAN_TO_SIGMA * sizes.mean())


def _tops(answer: Floats, pixels: NDArray[np.intp]) -> Floats:
    """Return the vertex of the parabola through a maximum and its two neighbours along each axis; 0 at the edge."""
    shifts = np.zeros(pixels.shape)
    middle = answer[tuple(pixels.T)]
    for axis, n in enumerate(answer.shape):
        before, after = pixels.copy(), pixels.copy()
        before[:, axis] -= 1
        after[:, axis] += 1
        there = (before[:, axis] >= 0) & (after[:, axis] < n)
        low, high = (answer[tuple(np.clip(p, 0, np.array(answer.shape) - 1).T)] for p in (before, after))
        bend = 2 * middle - low - high
        shift = np.divide(high - low, 2 * bend, out=np.zeros(len(pixels)), where=there & (bend > 0))
        shifts[:, axis] = np.clip(shift, -0.499, 0.499)
    return shifts
