"""Values and derivatives of compiled models to a few units in the last place, against mpmath.

Programs are compiled with leave to reassociate, as those of the engine are. 4 ulp of the largest terms are allowed; see
`sized_numbers`. The two models that are documented to be approximations may be as wrong as is documented.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.functions.evaluation import evaluate, jacobian
from napari_imagefit.engine.noise.samples import Samples
from napari_imagefit.engine.sums.normal_equations import NormalSums

from .formulas_in_mpmath import FORMULAS
from .sized_numbers import DTYPES, ULPS, Dual, Sized, compiled, mp, numbers, worst

FITS, SAMPLES = 3, 14
# Every sample several times: vectorised loops, and what is left over at their ends.
REPEATS, MORE = 4, 11


@pytest.fixture(autouse=True)
def _forty_digits() -> Iterator[None]:
    with mp.workdps(40):
        yield


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
