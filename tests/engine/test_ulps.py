"""Values and derivatives of compiled models to a few units in the last place, against mpmath.

Programs are compiled with leave to reassociate, as those of the engine are. The formulas are written anew, after
docs/models.md, and evaluated with 40 digits.

What rounding may do to a result follows from its formula: about one unit in the last place (ulp) of the largest of the
intermediate results, each as it reaches the result. ``a·exp(-u) + c`` with a u of 40 is good to 40 ulp of its first
part, and ``1 − 0.999`` to one of 1, not of 0.001. `Sized` finds this largest term beside every value and derivative.
4 ulp of it are allowed. The two models that are documented to be approximations may be as wrong as is documented.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core.array_module import xp
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.programs import compile_lowered
from napari_imagefit.engine.functions.evaluation import evaluate, jacobian
from napari_imagefit.engine.noise.samples import Samples
from napari_imagefit.engine.sums.normal_equations import NormalSums

mpmath = pytest.importorskip("mpmath", reason="mpmath has the digits that this is measured with")
mp = mpmath.mp

ULPS = 4
DTYPES = ["float64", "float32"]
FITS, SAMPLES = 3, 14
# Every sample several times: vectorised loops, and what is left over at their ends.
REPEATS, MORE = 4, 11


@pytest.fixture(autouse=True)
def _forty_digits() -> Iterator[None]:
    with mp.workdps(40):
        yield


# --- numbers that know what rounding can do to them ---


@dataclass(frozen=True)
class Sized:
    """A number, and the largest of what it was made from: rounding there changes it by an ulp of that size.

    `off` is by how much it may be wrong besides, as it is made from approximations.
    """

    value: Any
    size: Any
    off: Any

    @classmethod
    def of(cls, number: Any) -> Self:
        return number if isinstance(number, cls) else cls(mp.mpf(number), mp.mpf(0), mp.mpf(0))

    @classmethod
    def made(cls, value: Any, *causes: tuple[Any, Self], inner: Any = 0, off: Any = 0) -> Self:
        """A result, and with what derivatives it follows from others; `inner` is the size of what is inside."""
        size = max(abs(value), abs(inner), *(abs(slope) * cause.size for slope, cause in causes))
        return cls(value, size, off + sum(abs(slope) * cause.off for slope, cause in causes))

    def __add__(self, other: Any) -> Self:
        other = self.of(other)
        return self.made(self.value + other.value, (1, self), (1, other))

    def __mul__(self, other: Any) -> Self:
        other = self.of(other)
        return self.made(self.value * other.value, (other.value, self), (self.value, other))

    def __truediv__(self, other: Any) -> Self:
        other = self.of(other)
        value = self.value / other.value
        return self.made(value, (1 / other.value, self), (value / other.value, other))

    def __neg__(self) -> Self:
        return type(self)(-self.value, self.size, self.off)


@dataclass(frozen=True)
class Dual:
    """A value and its derivative by one of the parameters."""

    value: Sized
    slope: Sized

    @classmethod
    def of(cls, number: Any, slope: float = 0) -> Self:
        return number if isinstance(number, cls) else cls(Sized.of(number), Sized.of(slope))

    def __add__(self, other: Any) -> Self:
        other = self.of(other)
        return type(self)(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: Any) -> Self:
        other = self.of(other)
        return type(self)(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __truediv__(self, other: Any) -> Self:
        other = self.of(other)
        value = self.value / other.value
        return type(self)(value, self.slope / other.value + -(value * (other.slope / other.value)))

    def __neg__(self) -> Self:
        return type(self)(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Self:
        return self + -self.of(other)

    def __rsub__(self, other: Any) -> Self:
        return self.of(other) + -self

    def __rtruediv__(self, other: Any) -> Self:
        return self.of(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __gt__(self, other: float) -> bool:
        return bool(self.value.value > other)

    def under(
        self, *derivatives: Callable[[Any], Any], inner: Sequence[Any] = (0, 0), off: Sequence[Any] = (0, 0)
    ) -> Self:
        """A function of it, given with its first and second derivatives.

        `inner` and `off` are those of the function and of its derivative.
        """
        f, g, h = (derivative(self.value.value) for derivative in derivatives)
        value = Sized.made(f, (g, self.value), inner=inner[0], off=off[0])
        return type(self)(value, Sized.made(g, (h, self.value), inner=inner[1], off=off[1]) * self.slope)


Number = Any  # Dual, or mpmath's


def exp(x: Number) -> Number:
    return x.under(mp.exp, mp.exp, mp.exp) if isinstance(x, Dual) else mp.exp(x)


def log(x: Number) -> Number:
    return x.under(mp.log, lambda v: 1 / v, lambda v: -1 / v**2) if isinstance(x, Dual) else mp.log(x)


def sqrt(x: Number) -> Number:
    if not isinstance(x, Dual):
        return mp.sqrt(x)
    return x.under(mp.sqrt, lambda v: 0.5 / mp.sqrt(v), lambda v: -0.25 / mp.sqrt(v) ** 3)


def sin(x: Number) -> Number:
    return x.under(mp.sin, mp.cos, lambda v: -mp.sin(v)) if isinstance(x, Dual) else mp.sin(x)


def cos(x: Number) -> Number:
    return x.under(mp.cos, lambda v: -mp.sin(v), lambda v: -mp.cos(v)) if isinstance(x, Dual) else mp.cos(x)


def one_less_exp(x: Number) -> Number:
    """``1 − exp(x)``, which nobody has to compute as a difference."""
    if not isinstance(x, Dual):
        return -mp.expm1(x)
    # JAX's derivative is expm1(x) + 1
    return x.under(lambda v: -mp.expm1(v), lambda v: -mp.exp(v), lambda v: -mp.exp(v), inner=(0, 1))


def square(x: Number) -> Number:
    return x * x


# --- the catalogue, after docs/models.md ---

Coords = tuple[Any, ...]
Formula = Callable[..., Number]
FORMULAS: dict[str, Formula] = {}


def formula(function: Formula) -> Formula:
    FORMULAS[function.__name__] = function
    return function


@formula
def gaussian_2d(c: Coords, amplitude: Number, y: Number, x: Number, sigma: Number, offset: Number) -> Number:
    return amplitude * exp(-(square(c[0] - y) + square(c[1] - x)) / (2 * square(sigma))) + offset


@formula
def gaussian_2d_elliptic(
    c: Coords, amplitude: Number, y: Number, x: Number, sigma_y: Number, sigma_x: Number, offset: Number
) -> Number:
    down, along = square(c[0] - y) / (2 * square(sigma_y)), square(c[1] - x) / (2 * square(sigma_x))
    return amplitude * exp(-down - along) + offset


@formula
def gaussian_2d_rotated(
    c: Coords,
    amplitude: Number,
    y: Number,
    x: Number,
    sigma_y: Number,
    sigma_x: Number,
    theta: Number,
    offset: Number,
) -> Number:
    dy, dx = c[0] - y, c[1] - x
    u, v = dx * cos(theta) + dy * sin(theta), dy * cos(theta) - dx * sin(theta)
    return amplitude * exp(-square(u) / (2 * square(sigma_x)) - square(v) / (2 * square(sigma_y))) + offset


@formula
def lorentzian_2d(c: Coords, amplitude: Number, y: Number, x: Number, gamma: Number, offset: Number) -> Number:
    return amplitude / (1 + (square(c[0] - y) + square(c[1] - x)) / square(gamma)) + offset


@formula
def airy_2d(c: Coords, amplitude: Number, y: Number, x: Number, radius: Number, offset: Number) -> Number:
    u_squared = square(mp.besseljzero(1, 1) / radius) * (square(c[0] - y) + square(c[1] - x))
    return amplitude * square(jinc(u_squared)) + offset


# The catalogue adds up the power series up to this u; beyond, it is documented to be good to so much.
SERIES_TO, JINC_ACCURACY = 10, 1e-9


def jinc(s: Number) -> Number:
    """``2 J₁(u)/u`` of u²."""

    def by(n: int) -> Callable[[Any], Any]:
        """The n-th derivative by u²."""

        def value(s: Any) -> Any:
            if s == 0:
                return (mp.mpf(-1) / 4) ** n / mp.factorial(n + 1)
            u = mp.sqrt(s)
            return 2 * mp.besselj(1 + n, u) / u * (-1 / (2 * u)) ** n

        return value

    if not isinstance(s, Dual):
        return by(0)(s)
    at = s.value.value
    u = mp.sqrt(at)
    if u < SERIES_TO:
        terms = [(at / 4) ** k / (mp.factorial(k) * mp.factorial(k + 1)) for k in range(34)]
        steepest = max(k * term for k, term in enumerate(terms)) / at if at else mp.mpf(1) / 8
        return s.under(by(0), by(1), by(2), inner=(max(terms), steepest))
    # rounding of the angle of a cosine
    inner = 2 * mp.sqrt(2 / (mp.pi * u)), mp.sqrt(2 / (mp.pi * u)) / u
    return s.under(by(0), by(1), by(2), inner=inner, off=(JINC_ACCURACY, JINC_ACCURACY / (2 * u)))


@formula
def plane_2d(c: Coords, slope_y: Number, slope_x: Number, offset: Number) -> Number:
    return slope_y * c[0] + slope_x * c[1] + offset


def inverted_parabola(c: Coords, y: Number, x: Number, radius_y: Number, radius_x: Number) -> Number:
    return 1 - square((c[0] - y) / radius_y) - square((c[1] - x) / radius_x)


def three_halves(parabola: Number) -> Number:
    return parabola * sqrt(parabola) if parabola > 0 else 0 * parabola


@formula
def thomas_fermi_2d(
    c: Coords, amplitude: Number, y: Number, x: Number, radius_y: Number, radius_x: Number, offset: Number
) -> Number:
    return amplitude * three_halves(inverted_parabola(c, y, x, radius_y, radius_x)) + offset


@formula
def parabola_2d(
    c: Coords, amplitude: Number, y: Number, x: Number, radius_y: Number, radius_x: Number, offset: Number
) -> Number:
    inside = inverted_parabola(c, y, x, radius_y, radius_x)
    return amplitude * (inside if inside > 0 else 0 * inside) + offset


@formula
def bimodal_2d(
    c: Coords,
    amplitude_thermal: Number,
    sigma_y: Number,
    sigma_x: Number,
    amplitude_condensate: Number,
    radius_y: Number,
    radius_x: Number,
    y: Number,
    x: Number,
    offset: Number,
) -> Number:
    thermal = gaussian_2d_elliptic(c, amplitude_thermal, y, x, sigma_y, sigma_x, 0)
    return thermal + thomas_fermi_2d(c, amplitude_condensate, y, x, radius_y, radius_x, 0) + offset


@formula
def gaussian_3d(c: Coords, amplitude: Number, z: Number, y: Number, x: Number, sigma: Number, offset: Number) -> Number:
    distance = square(c[0] - z) + square(c[1] - y) + square(c[2] - x)
    return amplitude * exp(-distance / (2 * square(sigma))) + offset


@formula
def gaussian_3d_elliptic(
    c: Coords,
    amplitude: Number,
    z: Number,
    y: Number,
    x: Number,
    sigma_z: Number,
    sigma_y: Number,
    sigma_x: Number,
    offset: Number,
) -> Number:
    parts = [square((a - m) / s) / 2 for a, m, s in zip(c, (z, y, x), (sigma_z, sigma_y, sigma_x), strict=True)]
    return amplitude * exp(-parts[0] - parts[1] - parts[2]) + offset


@formula
def exponential_decay(c: Coords, amplitude: Number, tau: Number, offset: Number) -> Number:
    return amplitude * exp(-c[0] / tau) + offset


@formula
def biexponential_decay(
    c: Coords, amplitude_1: Number, tau_1: Number, amplitude_2: Number, tau_2: Number, offset: Number
) -> Number:
    return amplitude_1 * exp(-c[0] / tau_1) + amplitude_2 * exp(-c[0] / tau_2) + offset


@formula
def stretched_exponential(c: Coords, amplitude: Number, tau: Number, beta: Number, offset: Number) -> Number:
    if not c[0] > 0:
        return amplitude + offset
    return amplitude * exp(-exp(beta * log(c[0] / tau))) + offset


@formula
def inversion_recovery(c: Coords, amplitude: Number, t1: Number, efficiency: Number) -> Number:
    return amplitude * (1 - 2 * efficiency * exp(-c[0] / t1))


@formula
def saturation_recovery(c: Coords, amplitude: Number, t1: Number) -> Number:
    return amplitude * one_less_exp(-c[0] / t1)


@formula
def exponential_recovery(c: Coords, amplitude: Number, tau: Number, offset: Number) -> Number:
    return amplitude * one_less_exp(-c[0] / tau) + offset


@formula
def ivim(c: Coords, s0: Number, f: Number, d_star: Number, d: Number) -> Number:
    return s0 * (f * exp(-c[0] * d_star) + (1 - f) * exp(-c[0] * d))


@formula
def gaussian_1d(c: Coords, amplitude: Number, x: Number, sigma: Number, offset: Number) -> Number:
    return amplitude * exp(-square(c[0] - x) / (2 * square(sigma))) + offset


@formula
def lorentzian_1d(c: Coords, amplitude: Number, x: Number, gamma: Number, offset: Number) -> Number:
    return amplitude / (1 + square((c[0] - x) / gamma)) + offset


@formula
def voigt_1d(c: Coords, amplitude: Number, x: Number, sigma: Number, gamma: Number, offset: Number) -> Number:
    width = mp.sqrt(2) * sigma
    highest = faddeeva(0 * width, gamma / width)
    return amplitude * faddeeva((c[0] - x) / width, gamma / width) / highest + offset


VOIGT_ACCURACY = 1e-12


def faddeeva(x: Number, y: Number) -> Number:
    """Re w(x + iy)."""
    dual = isinstance(x, Dual)
    z = mp.mpc(x.value.value, y.value.value) if dual else mp.mpc(x, y)
    w = mp.exp(-z * z) * mp.erfc(-1j * z)
    if not dual:
        return mp.re(w)
    slope = -2 * z * w + 2j / mp.sqrt(mp.pi)
    bend = -2 * w - 2 * z * slope

    def sized(value: Any, by_x: Any, by_y: Any) -> Sized:
        # the terms of a rational series of numbers about 1
        return Sized.made(value, (by_x, x.value), (by_y, y.value), inner=1, off=VOIGT_ACCURACY)

    return Dual(
        sized(mp.re(w), mp.re(slope), -mp.im(slope)),
        sized(mp.re(slope), mp.re(bend), -mp.im(bend)) * x.slope
        + sized(-mp.im(slope), -mp.im(bend), -mp.re(bend)) * y.slope,
    )


@formula
def damped_sine(c: Coords, amplitude: Number, frequency: Number, phase: Number, tau: Number, offset: Number) -> Number:
    return amplitude * exp(-c[0] / tau) * sin(2 * mp.pi * frequency * c[0] + phase) + offset


@formula
def linear(c: Coords, slope: Number, intercept: Number) -> Number:
    return slope * c[0] + intercept


# --- where they are looked at ---

PLANE, VOLUME, TIMES, AXIS = "plane", "volume", "times", "axis"
# coordinates, and parameters of which every fit has others that are like them
CASES: dict[str, tuple[str, tuple[float, ...]]] = {
    "gaussian_2d": (PLANE, (50, 205, 34, 2.5, 3)),
    "gaussian_2d_elliptic": (PLANE, (50, 205, 34, 2.5, 1.5, 3)),
    "gaussian_2d_rotated": (PLANE, (50, 205, 34, 2.5, 1.5, 0.7, 3)),
    "lorentzian_2d": (PLANE, (50, 205, 34, 2.5, 3)),
    "airy_2d": (PLANE, (50, 205, 34, 1.5, 3)),
    "plane_2d": (PLANE, (0.2, -0.3, 7)),
    "thomas_fermi_2d": (PLANE, (50, 205, 34, 5, 4, 3)),
    "parabola_2d": (PLANE, (50, 205, 34, 5, 4, 3)),
    "bimodal_2d": (PLANE, (20, 4, 3, 50, 3, 5, 205, 34, 3)),
    "gaussian_3d": (VOLUME, (50, 15, 205, 34, 2.5, 3)),
    "gaussian_3d_elliptic": (VOLUME, (50, 15, 205, 34, 2, 1.5, 2.5, 3)),
    "exponential_decay": (TIMES, (40, 2.5, 3)),
    "biexponential_decay": (TIMES, (40, 0.8, 30, 5, 3)),
    "stretched_exponential": (TIMES, (40, 2.5, 0.7, 3)),
    "inversion_recovery": (TIMES, (40, 3, 0.95)),
    "saturation_recovery": (TIMES, (40, 3)),
    "exponential_recovery": (TIMES, (40, 3, 2)),
    "ivim": (TIMES, (40, 0.2, 1.5, 0.1)),
    "gaussian_1d": (AXIS, (50, 205, 2.5, 3)),
    "lorentzian_1d": (AXIS, (50, 205, 2.5, 3)),
    "voigt_1d": (AXIS, (50, 205, 2, 1, 3)),
    "damped_sine": (TIMES, (40, 1.7, 0.4, 6, 3)),
    "linear": (TIMES, (2.5, 30)),
}


def places(where: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Coordinates ``(FITS, SAMPLES)``; single precision holds all of them."""
    shape = FITS, SAMPLES
    if where == TIMES:
        t = rng.uniform(0, 10, shape)
        # what is special: 0, next to it, far away
        t[:, :4] = 0, 1e-6, 1e-2, 30
        return [t]
    low = {PLANE: (200, 30), VOLUME: (12, 200, 30), AXIS: (200,)}[where]
    return [first + rng.uniform(0, 10 if len(low) > 1 else 12, shape) for first in low]


@dataclass(frozen=True)
class Case:
    coords: list[np.ndarray]  # (FITS, SAMPLES)
    params: np.ndarray  # (n, FITS)
    value: np.ndarray  # Sized, (FITS, SAMPLES)
    slopes: np.ndarray  # Sized, (n, FITS, SAMPLES)

    def spread(self) -> list[np.ndarray]:
        """The coordinates again and again."""
        return [np.tile(c, REPEATS)[:, : SAMPLES * REPEATS - (SAMPLES - MORE)] for c in self.coords]

    def tiled(self, values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.concatenate([values] * REPEATS, axis=-1)[..., : SAMPLES * REPEATS - (SAMPLES - MORE)]
        return found


def duals(coords: Sequence[float], params: Sequence[float], by: int) -> tuple[list[Any], list[Dual]]:
    return [mp.mpf(float(c)) for c in coords], [Dual.of(float(p), float(i == by)) for i, p in enumerate(params)]


@functools.cache
def case(name: str) -> Case:
    rng = np.random.default_rng(sum(name.encode()))
    where, params = CASES[name]
    coords = [c.astype(np.float32).astype(float) for c in places(where, rng)]
    if name == "stretched_exponential":
        coords[0][:, 4] = -1.5
    # not so far from the centre that single precision has no such small number
    spread = np.array(params)[:, None] * rng.uniform(0.97, 1.03, (len(params), FITS))
    spread[np.array(params) > 100] = np.array(params)[np.array(params) > 100, None] + rng.uniform(-1, 1, FITS)
    spread = spread.astype(np.float32).astype(float)
    own = FORMULAS[name]
    value = np.empty((FITS, SAMPLES), object)
    slopes = np.empty((len(params), FITS, SAMPLES), object)
    for b, k in np.ndindex(FITS, SAMPLES):
        for i in range(len(params)):
            at, p = duals([c[b, k] for c in coords], spread[:, b], i)
            found = Dual.of(own(tuple(at), *p))
            value[b, k], slopes[i, b, k] = found.value, found.slope
    return Case(coords, spread, value, slopes)


def numbers(sized: np.ndarray, what: str) -> np.ndarray:
    return np.frompyfunc(lambda s: getattr(s, what), 1, 1)(sized)


def worst(found: np.ndarray, truth: np.ndarray, dtype: str) -> float:
    """By how many ulp of the largest terms it is wrong at most."""
    info = np.finfo(dtype)
    error = abs(np.frompyfunc(lambda v: mp.mpf(float(v)), 1, 1)(found) - numbers(truth, "value"))
    error = error - numbers(truth, "off")
    # what is below the least normal number may become 0
    allowed = numbers(truth, "size") * float(info.eps) + float(info.tiny)
    return float((error / allowed).max())


def compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    lowered = jax.jit(function).lower(*arguments)
    return compile_lowered(lowered, "cpu", "reassociated")(*arguments)


def test_every_model_is_here() -> None:
    assert set(FORMULAS) == set(CASES) == set(nif.models)


@pytest.mark.parametrize("name", nif.models)
def test_formulas_are_their_own_derivatives(name: str) -> None:
    """The truth itself: derivatives against mpmath's own."""
    found = case(name)

    def own(k: int, params: list[Any]) -> Any:
        return FORMULAS[name](tuple(mp.mpf(c[0, k]) for c in found.coords), *params)

    params = [mp.mpf(p) for p in found.params[:, 0]]
    for k in (2, SAMPLES - 1):
        assert abs(own(k, params) - found.value[0, k].value) < 1e-30
        for i in range(len(params)):
            with mp.workdps(60):
                slope = mp.diff(lambda p, i=i, k=k: own(k, [*params[:i], p, *params[i + 1 :]]), params[i])
            assert abs(slope - found.slopes[i, 0, k].value) < 1e-25 * (1 + abs(slope))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", nif.models)
def test_a_model(name: str, dtype: str) -> None:
    truth, model = case(name), nif.models[name]
    assert model.reassociate
    with computing(Options(dtype=dtype)):
        coords, params = (tuple(np.asarray(a, dtype) for a in some) for some in (truth.spread(), truth.params))

        def function(coords: Any, params: Any) -> Any:
            value, slopes = jacobian(model.function, model.jacobian, coords, params, across=True)
            return jnp.stack([value, *slopes])

        found = np.asarray(compiled(function, coords, params))
        assert found.dtype == dtype
        host = evaluate(model.function, coords, params, across=True)
    assert worst(found[0], truth.tiled(truth.value), dtype) < ULPS
    assert worst(found[1:], truth.tiled(truth.slopes), dtype) < ULPS
    # in NumPy as well
    assert worst(host, truth.tiled(truth.value), dtype) < ULPS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", nif.models)
def test_the_sums_of_a_model(name: str, dtype: str) -> None:
    """Cost, gradient and JᵀJ from the engine's own loop: 4 ulp of each of the terms."""
    truth, model, n = case(name), nif.models[name], len(nif.models[name].names)
    levels = numbers(truth.value, "value").astype(float)
    data = (levels + np.random.default_rng(1).normal(0, 2, levels.shape)).astype(np.float32).astype(float)
    with computing(Options(dtype=dtype)):
        samples = Samples(tuple(np.asarray(c, dtype) for c in truth.spread()), np.asarray(truth.tiled(data), dtype))
        params = tuple(np.asarray(p, dtype) for p in truth.params)
        program = NormalSums(model, Options(dtype=dtype), stacked=True).program(samples, params)
        found = np.asarray(program(samples, params))
    residual = truth.value + np.frompyfunc(Sized.of, 1, 1)(-data)
    terms = [residual * residual * Sized.of(0.5)]
    terms += [slope * residual for slope in truth.slopes]
    terms += [truth.slopes[i] * truth.slopes[j] for i in range(n) for j in range(i + 1)]
    sums = np.empty((len(terms), FITS), object)
    for k, term in enumerate(terms):
        every = truth.tiled(term)
        sums[k] = [Sized(*(sum(getattr(s, what) for s in row) for what in ("value", "size", "off"))) for row in every]
    assert worst(found, sums, dtype) < ULPS


# --- functions of expressions ---


def bell(v: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-v * v)


def erf(x: Dual) -> Dual:
    v = x.value.value
    # v² is rounded
    return x.under(mp.erf, bell, lambda v: -2 * v * bell(v), inner=(0, v**2 * bell(v)))


def erfc(x: Dual) -> Dual:
    v = x.value.value
    # below 1 it is 1 − erf, beyond exp(−v²) times a series
    inner = 1 if v < 1 else v**2 * mp.erfc(v), v**2 * bell(v)
    return x.under(mp.erfc, lambda v: -bell(v), lambda v: 2 * v * bell(v), inner=inner)


def i0e(x: Dual) -> Dual:
    def scaled(n: int) -> Callable[[Any], Any]:
        return lambda v: mp.exp(-abs(v)) * mp.besseli(n, v)

    def slope(v: Any) -> Any:
        return scaled(1)(v) - mp.sign(v) * scaled(0)(v)

    # the derivative is this difference, and JAX's i1e is good to 8 ulp, however it is compiled
    return x.under(scaled(0), slope, lambda _: 0, inner=(0, 2 * scaled(0)(x.value.value)))


FUNCTIONS: dict[str, tuple[Callable[[Dual], Dual], np.ndarray]] = {
    "exp": (exp, np.linspace(-80, 80, 97)),
    "log": (log, np.geomspace(1e-30, 1e30, 97)),
    "sqrt": (sqrt, np.geomspace(1e-30, 1e30, 97)),
    "sin": (sin, np.concatenate([np.linspace(-10, 10, 61), np.geomspace(11, 1e5, 40)])),
    "cos": (cos, np.concatenate([np.linspace(-10, 10, 61), np.geomspace(11, 1e5, 40)])),
    "erf": (erf, np.concatenate([np.linspace(-6, 9, 101), np.geomspace(1e-12, 0.1, 20)])),
    "erfc": (erfc, np.linspace(-6, 9, 101)),
    "i0e": (i0e, np.concatenate([np.linspace(-20, 20, 97), np.geomspace(21, 1e4, 20)])),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str, dtype: str) -> None:
    own, points = FUNCTIONS[name]
    with computing(Options(dtype=dtype)):
        x = points.astype(np.float32).astype(dtype)

        def function(x: Any) -> Any:
            value, slope = jax.jvp(getattr(xp, name), (x,), (jnp.ones_like(x),))
            return jnp.stack([value, slope])

        found = np.asarray(compiled(function, x))
        host = getattr(xp, name)(x)
    truth = [own(Dual.of(float(v), 1.0)) for v in x]
    values, slopes = (np.array([getattr(d, what) for d in truth], object) for what in ("value", "slope"))
    assert worst(found[0], values, dtype) < ULPS
    assert worst(found[1], slopes, dtype) < ULPS
    assert worst(host, values, dtype) < ULPS
