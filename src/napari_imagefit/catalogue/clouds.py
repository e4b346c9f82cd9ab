"""Clouds of cold atoms: column densities over ``(y, x)``, from thermal gas to condensate."""

from __future__ import annotations

from ..engine.core.array_module import xp
from ..engine.core.types import Array, Coords
from ..engine.functions.parameter import Parameter
from ..engine.models.model import Model
from .blob import find_blob
from .estimate import Regression, add_each, best_of, extent, ratio, thinned
from .surfaces import OFFSET, SIGMA_X, SIGMA_Y, X, Y

CASTIN = "Y. Castin, R. Dum, Phys. Rev. Lett. 77, 5315 (1996)"
KETTERLE = "W. Ketterle, D. S. Durfee, D. M. Stamper-Kurn, Making, probing and understanding BECs (1999), section 4"

RADIUS_Y = Parameter("radius_y", "coord0", lower=0, description="Thomas–Fermi radius along y")
RADIUS_X = Parameter("radius_x", "coord1", lower=0, description="Thomas–Fermi radius along x")

# Radius of a Thomas–Fermi column density over σ of the Gaussian that matches it best.
CLOUD_RADIUS_PER_SIGMA = 2.2
# The same for a paraboloid.
PARABOLA_PER_SIGMA = 2.07


def _parabola(coords: Coords, y: Array, x: Array, radius_y: Array, radius_x: Array) -> Array:
    return xp.larger(1 - ((coords[0] - y) * (1 / radius_y)) ** 2 - ((coords[1] - x) * (1 / radius_x)) ** 2, 0)


def _three_halves(parabola: Array) -> Array:
    # √ has no derivative at 0, where the product with the parabola has the derivative 0
    inside = parabola > 0
    return xp.where(inside, parabola * xp.sqrt(xp.where(inside, parabola, 1)), 0)


def _thomas_fermi(
    coords: Coords, amplitude: Array, y: Array, x: Array, radius_y: Array, radius_x: Array, offset: Array
) -> Array:
    return amplitude * _three_halves(_parabola(coords, y, x, radius_y, radius_x)) + offset


def _guess_thomas_fermi(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    radii = (CLOUD_RADIUS_PER_SIGMA * xp.sqrt(blob.yy), CLOUD_RADIUS_PER_SIGMA * xp.sqrt(blob.xx))
    return xp.stack([blob.amplitude, blob.y, blob.x, *radii, blob.offset])


thomas_fermi_2d = Model(
    "thomas_fermi_2d",
    _thomas_fermi,
    [Parameter("amplitude", "data", description="peak height above the offset"), Y, X, RADIUS_Y, RADIUS_X, OFFSET],
    2,
    _guess_thomas_fermi,
    formula="amplitude·max(1 − (Δy/radius_y)² − (Δx/radius_x)², 0)^(3/2) + offset",
    reference=CASTIN,
).with_edge()


def _paraboloid(
    coords: Coords, amplitude: Array, y: Array, x: Array, radius_y: Array, radius_x: Array, offset: Array
) -> Array:
    return amplitude * _parabola(coords, y, x, radius_y, radius_x) + offset


def _guess_paraboloid(coords: Coords, data: Array, weights: Array) -> Array:
    blob = find_blob(coords, data, weights)
    radii = (PARABOLA_PER_SIGMA * xp.sqrt(blob.yy), PARABOLA_PER_SIGMA * xp.sqrt(blob.xx))
    return xp.stack([blob.amplitude, blob.y, blob.x, *radii, blob.offset])


parabola_2d = Model(
    "parabola_2d",
    _paraboloid,
    thomas_fermi_2d.parameters,
    2,
    _guess_paraboloid,
    formula="amplitude·max(1 − (Δy/radius_y)² − (Δx/radius_x)², 0) + offset",
    reference="D. S. Petrov, M. Holzmann, G. V. Shlyapnikov, Phys. Rev. Lett. 84, 2551 (2000)",
).with_edge()


def _thermal(coords: Coords, y: Array, x: Array, sigma_y: Array, sigma_x: Array) -> Array:
    return xp.exp(-0.5 * (((coords[0] - y) * (1 / sigma_y)) ** 2 + ((coords[1] - x) * (1 / sigma_x)) ** 2))


def _bimodal(
    coords: Coords,
    amplitude_thermal: Array,
    sigma_y: Array,
    sigma_x: Array,
    amplitude_condensate: Array,
    radius_y: Array,
    radius_x: Array,
    y: Array,
    x: Array,
    offset: Array,
) -> Array:
    thermal = amplitude_thermal * _thermal(coords, y, x, sigma_y, sigma_x)
    condensate = amplitude_condensate * _three_halves(_parabola(coords, y, x, radius_y, radius_x))
    return thermal + condensate + offset


def _guess_bimodal(coords: Coords, data: Array, weights: Array) -> Array:
    """Centre and size of the whole, then the best of some ratios of widths, amplitudes regressed for each."""
    blob = find_blob(coords, data, weights)
    y, x, d, w = thinned(*(xp.broadcast_to(c, data.shape) for c in coords), data, weights)
    sigma_y, sigma_x = xp.sqrt(blob.yy), xp.sqrt(blob.xx)
    regression = Regression.of(d, w)

    def attempt(widths: Array) -> tuple[Array, tuple[Array, ...]]:
        wide, narrow = widths
        thermal = _thermal((y, x), blob.y, blob.x, wide * sigma_y, wide * sigma_x)
        condensate = _three_halves(_parabola((y, x), blob.y, blob.x, narrow * sigma_y, narrow * sigma_x))
        t, c = (a - regression.mean_of(a) for a in (thermal, condensate))
        squares, product = regression.squares, regression.product
        tt, cc, tc = add_each(squares * t * t, squares * c * c, squares * t * c)
        td, cd = add_each(product * t, product * c)
        determinant = tt * cc - tc * tc
        a_t, a_c = ratio(td * cc - cd * tc, determinant), ratio(cd * tt - td * tc, determinant)
        # neither part may be negative: leave out the one that is
        only_t, only_c = xp.maximum(ratio(td, tt), 0), xp.maximum(ratio(cd, cc), 0)
        alone_t = (a_c <= 0) | ((a_t <= 0) & (only_t * td > only_c * cd))
        both = (a_t > 0) & (a_c > 0)
        a_t = xp.where(both, a_t, xp.where(alone_t, only_t, 0))
        a_c = xp.where(both, a_c, xp.where(alone_t, 0, only_c))
        ones = xp.ones_like(a_t)
        return a_t * td + a_c * cd, (a_t, wide * ones, a_c, narrow * ones)

    widths = (0.8, 1.0, 1.3, 1.7, 2.3, 3.2), (0.7, 1.0, 1.4, 1.8, 2.2, 2.6, 3.2)
    # a condensate is narrower than its thermal cloud; at R = 1.9 σ both fall to half at the same place
    grid = [(wide, narrow) for wide in widths[0] for narrow in widths[1] if narrow < 1.9 * wide]
    _, (a_t, wide, a_c, narrow) = best_of(grid, attempt, d, 4)
    # a part that is absent still needs a start from which it can appear
    least = 0.02 * xp.maximum(a_t, a_c)
    low_y, high_y = extent(coords[0], weights)
    low_x, high_x = extent(coords[1], weights)
    a_t, a_c = xp.maximum(a_t, least), xp.maximum(a_c, least)
    return xp.stack(
        [
            a_t,
            xp.minimum(wide * sigma_y, high_y - low_y),
            xp.minimum(wide * sigma_x, high_x - low_x),
            a_c,
            narrow * sigma_y,
            narrow * sigma_x,
            blob.y,
            blob.x,
            blob.offset,
        ]
    )


bimodal_2d = Model(
    "bimodal_2d",
    _bimodal,
    [
        Parameter("amplitude_thermal", "data", lower=0, description="peak height of the thermal cloud"),
        SIGMA_Y,
        SIGMA_X,
        Parameter("amplitude_condensate", "data", lower=0, description="peak height of the condensate"),
        RADIUS_Y,
        RADIUS_X,
        Y,
        X,
        OFFSET,
    ],
    2,
    _guess_bimodal,
    formula="amplitude_thermal·exp(−Δy²/(2 sigma_y²) − Δx²/(2 sigma_x²)) + "
    "amplitude_condensate·max(1 − (Δy/radius_y)² − (Δx/radius_x)², 0)^(3/2) + offset",
    reference=KETTERLE,
).may_lack(("amplitude_condensate", "radius_y", "radius_x"), ("amplitude_thermal", "sigma_y", "sigma_x"))
