"""Finite differences against derivatives in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_imagefit.engine.functions.finite_differences import complex_step, differences

T = np.linspace(0.1, 4, 20)[:, None]
SCALES = 10.0 ** np.arange(-12, 13, 3)
Floats = NDArray[Any]


class Recorded:
    """A function that remembers where it was called."""

    def __init__(self, function: Callable[[Floats], Floats]) -> None:
        self.function = function
        self.calls: list[Floats] = []

    def __call__(self, params: Floats) -> Floats:
        self.calls.append(params.copy())
        return self.function(params)

    def jacobian(
        self, params: Any, free: tuple[int, ...] | None = None, lower: Any = -np.inf, upper: Any = np.inf, **kwargs: Any
    ) -> Floats:
        """The derivatives, after checks that hold for every call."""
        params = np.asarray(params)
        free = tuple(range(len(params))) if free is None else free
        shape = (len(free), params.shape[1])
        lower, upper = np.broadcast_to(lower, shape), np.broadcast_to(upper, shape)
        before = params.copy()
        self.calls.clear()
        with np.errstate(all="ignore"):
            values = self.function(params)
        found = differences(self, params, values, free, lower, upper, **kwargs)
        assert found.shape == (len(free), *values.shape)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(params, before)
        for moved in self.calls:
            assert moved.dtype == params.dtype
            assert np.all((moved[list(free)] >= lower) & (moved[list(free)] <= upper))
            assert np.sum(np.any(moved != params, axis=1)) <= 1
        return found


def decay(p: Floats) -> Floats:
    return p[0] * np.exp(-p[1] * T.astype(p.dtype)) + p[2]


def decay_slopes(p: Floats) -> Floats:
    e = np.exp(-p[1] * T)
    return np.stack([e, -p[0] * T * e, np.ones_like(e)])


def assert_close(found: Floats, expected: Floats, rtol: float) -> None:
    """Within `rtol` of the largest derivative of each parameter and fit."""
    size = np.max(np.abs(expected), axis=-2, keepdims=True)
    assert np.all(np.abs(found - expected) <= rtol * size), np.max(np.abs(found - expected) / size)


def scaled(scale: Floats) -> tuple[Recorded, Callable[[Floats], Floats]]:
    """exp(−t·x/s) for a natural scale s of each fit, and its derivative."""
    return Recorded(lambda p: np.exp(-T * p[0] / scale)), lambda p: (-T / scale * np.exp(-T * p[0] / scale))[None]


BATCH = np.array([[1.0, 250, 1e-3, -4], [0.3, 1, 2, 0.7], [0.1, 30, -1e-3, 2]])


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_a_regular_function_takes_two_calls_per_free_parameter(dtype: Any, rtol: float) -> None:
    function = Recorded(decay)
    assert_close(function.jacobian(BATCH.astype(dtype)), decay_slopes(BATCH), rtol)
    assert len(function.calls) == 6


def test_only_free_parameters_are_moved() -> None:
    function = Recorded(decay)
    assert_close(function.jacobian(BATCH, free=(2, 0)), decay_slopes(BATCH)[[2, 0]], 1e-9)
    assert len(function.calls) == 4
    assert all(np.array_equal(moved[1], BATCH[1]) for moved in function.calls)


def test_double_parameters_of_a_function_in_single_precision() -> None:
    function = Recorded(lambda p: decay(p.astype(np.float32)))
    assert_close(function.jacobian(BATCH), decay_slopes(BATCH), 1e-3)


@pytest.mark.parametrize("fraction", [0.5, 1, -2])
def test_natural_scales_of_any_magnitude_in_one_batch(fraction: float) -> None:
    function, slopes = scaled(SCALES)
    params = (fraction * SCALES)[None]
    assert_close(function.jacobian(params), slopes(params), 1e-7)
    assert len(function.calls) == 2


def test_natural_scales_in_single_precision() -> None:
    function, slopes = scaled(SCALES.astype(np.float32))
    function.function = lambda p: np.exp(-T.astype(np.float32) * (p[0] / SCALES.astype(np.float32)))
    params = SCALES[None].astype(np.float32)
    assert_close(function.jacobian(params), slopes(params.astype(np.float64)), 1e-3)


@pytest.mark.parametrize("x", [0.0, 1e-300, -1e-30])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-5), (np.float32, 5e-3)])
def test_at_zero_the_step_is_found(x: float, dtype: Any, rtol: float) -> None:
    scale, t = SCALES.astype(dtype), T.astype(dtype)
    function = Recorded(lambda p: np.exp(-t * (p[0] / scale)))
    params = np.full((1, SCALES.size), x, dtype)
    assert_close(function.jacobian(params), (-T / SCALES)[None], rtol)
    assert len(function.calls) <= 16


@pytest.mark.parametrize("shape", [np.sinh, np.tanh, np.sin, np.expm1])
def test_at_zero_where_the_values_are_zero_too(shape: Callable[[Floats], Floats]) -> None:
    # as an amplitude of 0: the change is never small beside the values
    function = Recorded(lambda p: shape(T * p[0] / SCALES))
    assert_close(function.jacobian(np.zeros((1, SCALES.size))), (T / SCALES)[None], 1e-5)


def test_at_zero_where_the_values_are_zero_by_cancellation() -> None:
    scale = 10.0 ** np.arange(-9, 4, 3)
    function = Recorded(lambda p: 1 - np.exp(-T * p[0] / scale))
    assert_close(function.jacobian(np.zeros((1, scale.size))), (T / scale)[None], 1e-5)
    # the rounding hides what a scale could have told
    function = Recorded(lambda p: 1 - np.exp(-T * p[0] / 1e9))
    assert_close(function.jacobian(np.zeros((1, 1))), (T / 1e9)[None], 1e-2)
    assert_close(function.jacobian(np.zeros((1, 1)), scale=np.full((1, 1), 1e9)), (T / 1e9)[None], 1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_peak_at_zero_and_one_far_from_zero(scale: float) -> None:
    function = Recorded(lambda p: np.exp(-(((T - 2) * scale - (p[0] - p[1])) ** 2) / scale**2))
    expected = (2 * (T - 2) / scale * np.exp(-((T - 2) ** 2)))[None]
    assert_close(function.jacobian(np.zeros((2, 1)), free=(0,)), expected, 1e-5)
    # a frequency much larger than the width: the relative step would jump over the line
    far = np.full((2, 1), 2.0**36 * scale)
    assert_close(function.jacobian(far, free=(0,)), expected, 1e-5)


def test_a_scale_makes_the_search_needless() -> None:
    function, slopes = scaled(SCALES)
    params = np.zeros((1, SCALES.size))
    assert_close(function.jacobian(params, scale=SCALES[None]), slopes(params), 1e-7)
    assert len(function.calls) == 2
    unusable = np.where(np.arange(SCALES.size) % 2, np.nan, 0)[None]
    assert_close(function.jacobian(params, scale=unusable), slopes(params), 1e-5)


def test_a_parameter_beside_much_larger_values_keeps_its_short_step() -> None:
    # normalised by the largest value the change is below rounding, yet the second row has it exactly
    for large in (1e6, 1e12, 1e20):
        function = Recorded(lambda p, large=large: np.concatenate([np.full_like(p, large), np.exp(p)]))
        found = function.jacobian(np.ones((1, 1)))
        np.testing.assert_allclose(found[0, :, 0], [0, np.e], rtol=2e-5)


def test_a_parameter_without_influence_has_derivative_zero_in_few_calls() -> None:
    function = Recorded(lambda p: np.ones((5, 1)) + 0 * p)
    assert not np.any(function.jacobian(np.array([[0.0, 1, -1e9, 1e-300]])))
    assert len(function.calls) <= 12


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-8), (np.float32, 2e-3)])
def test_on_a_bound(side: str, dtype: Any, rtol: float) -> None:
    function, params = Recorded(decay), BATCH.astype(dtype)
    assert_close(function.jacobian(params, **{side: params}), decay_slopes(params.astype(np.float64)), rtol)
    assert len(function.calls) == 6


@pytest.mark.parametrize("width", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("place", [0, 0.01, 0.5, 0.8, 1])
def test_very_narrow_bounds(width: float, place: float) -> None:
    function = Recorded(decay)
    lower = BATCH - place * width * np.abs(BATCH)
    upper = lower + width * np.abs(BATCH)
    params = np.clip(BATCH, lower, upper)
    assert_close(function.jacobian(params, lower=lower, upper=upper), decay_slopes(params), 1e-9 + 3e-14 / width)


def test_bounds_one_number_wide_and_of_no_width() -> None:
    square = Recorded(lambda p: p**2)
    x = np.full((1, 4), 3.0)
    lower, upper = x.copy(), x.copy()
    upper[0, 1] = np.nextafter(3, 4)
    lower[0, 2] = np.nextafter(3, 2)
    lower[0, 3], upper[0, 3] = 2, 4
    found = square.jacobian(x, lower=lower, upper=upper)[0, 0]
    assert found[0] == 0
    np.testing.assert_allclose(found[1:3], 6, rtol=0.5)
    np.testing.assert_allclose(found[3], 6, rtol=1e-9)

    square = Recorded(square.function)
    assert np.all(square.jacobian(x, lower=x, upper=x) == 0)
    assert not square.calls


def test_bounds_that_single_precision_cannot_hold() -> None:
    x = np.array([[0.1, 0.1, 16777216]], np.float32)
    lower = np.array([[0.1 + 1e-10, -1e300, 16777216]])
    upper = np.array([[1e300, 0.1 + 1.6e-9, 16777217]])  # the last leaves no other number
    found = Recorded(lambda p: p**2).jacobian(x, lower=lower, upper=upper)[0, 0]
    np.testing.assert_allclose(found, [0.2, 0.2, 0], rtol=2e-3)


def test_at_zero_bounds_limit_the_search() -> None:
    function, slopes = scaled(SCALES)
    params = np.zeros((1, SCALES.size))
    assert_close(function.jacobian(params, lower=0.0, upper=SCALES), slopes(params), 1e-5)
    assert_close(function.jacobian(params, lower=-1e-3 * SCALES, upper=0.0), slopes(params), 1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_at_the_edge_of_the_domain_the_other_side_is_used(sign: int) -> None:
    def roots(p: Floats) -> Floats:
        with np.errstate(divide="warn", invalid="warn"):  # a model that warns
            return np.concatenate([np.exp(p), 2 + np.where(sign * (p - 1) >= 0, sign * (p - 1), np.nan) ** 1.0])

    function = Recorded(roots)
    found = function.jacobian(np.array([[1.0, 2]]))[0]
    np.testing.assert_allclose(found[0], np.exp([1, 2]), rtol=1e-8)
    np.testing.assert_allclose(found[1, 0], sign, rtol=1e-8)
    assert len(function.calls) == 3


@pytest.mark.parametrize(
    ("function", "slope", "x"),
    [(np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-3), (np.log, lambda x: 1 / x, 1e-6), (np.log, lambda x: 1 / x, 1e-300)],
)
def test_close_to_the_edge_of_the_domain(function: Any, slope: Any, x: float) -> None:
    # 1 − (1 − x) is not x; the edge is at an offset that is exact
    recorded = Recorded(lambda p: function((p - 1024.0) * T) if x > 1e-300 else function(p * T))
    params = np.array([[1024.0 + x if x > 1e-300 else x]])
    with np.errstate(invalid="ignore"):
        found = recorded.jacobian(params)[0]
    at = params[0] - 1024.0 if x > 1e-300 else params[0]
    expected = np.array([slope(at * t) * t for t in T[:, 0]])
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_square_root_is_not_evaluated_outside_its_bounds() -> None:
    with np.errstate(all="raise"):
        found = Recorded(lambda p: np.log(p) + 0 * T).jacobian(np.array([[1e-8, 1e-8]]), lower=1e-8)
    np.testing.assert_allclose(found[0], 1e8, rtol=1e-8)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_single_fit_beside_what_is_not_a_number_uses_the_other_side(sign: int) -> None:
    """The first step of a single fit is tried by a way of its own."""
    function = Recorded(lambda p: np.where(sign * p[0] < sign * 2.0, np.nan, T * p[0] ** 2))
    np.testing.assert_allclose(function.jacobian([[2.0]])[0], 4 * T, rtol=1e-6)


def test_nan_where_neither_side_is_finite() -> None:
    def island(p: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.concatenate([np.where(p == 1, 0, np.nan), p**2])

    found = Recorded(island).jacobian(np.array([[1.0, 3]]))[0]
    np.testing.assert_allclose(found, [[np.nan, np.nan], [2, 6]], rtol=1e-6)


def test_fits_that_have_failed_cost_nothing_and_disturb_none() -> None:
    params = BATCH.copy()
    params[1, 1] = np.nan
    function = Recorded(lambda p: decay(p))
    values = decay(params)
    unbounded = np.full(params.shape, np.inf)
    found = differences(function, params, values, (0, 1, 2), -unbounded, unbounded)
    good = [0, 2, 3]
    assert_close(found[..., good], decay_slopes(params)[..., good], 1e-9)
    assert np.all(np.isnan(found[..., 1]))
    assert len(function.calls) == 6


def test_complex_step_is_exact_to_rounding() -> None:
    found = complex_step(lambda p: p[0] * np.exp(-p[1] * T) + p[2], BATCH, (0, 1, 2))
    assert_close(found, decay_slopes(BATCH), 1e-14)
    for x in (0.0, 1e-300):
        found = complex_step(lambda p: np.exp(-T * p[0] / SCALES), np.full((1, SCALES.size), x), (0,))
        assert_close(found, (-T / SCALES)[None], 1e-14)


@pytest.mark.parametrize("function", [np.abs, np.real, np.floor, lambda p: np.arctan2(p, 1)])
def test_complex_step_of_a_real_function_is_refused(function: Callable[[Floats], Floats]) -> None:
    with pytest.raises(TypeError):
        complex_step(function, np.ones((1, 1)), (0,))


def test_a_step_across_a_pole_is_none() -> None:
    """exp(−t/τ) hardly depends on a τ of 1e-3 where t is 0.1 apart; a step to τ < 0 is into another world."""
    t = np.linspace(0, 5, 50)

    def decay(p: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(p[0] * np.exp(-t[:, None] / p[1]) + p[2])

    params = np.array([[10.0], [1e-3], [0.0]])
    wide = np.full((3, 1), np.inf)
    found = differences(decay, params, decay(params), (0, 1, 2), -wide, wide)
    assert np.isfinite(found).all()
    assert np.abs(found[1]).max() < 1e-30
    np.testing.assert_allclose(found[0, :, 0], t == 0, atol=1e-10)  # of differences


@pytest.mark.parametrize("where", [-3.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0])
def test_rounding_is_no_derivative(where: float) -> None:
    """Of two equal slopes, where one becomes the other does not matter."""
    x = np.linspace(0, 10, 60)[:, None]

    def broken(p: Floats) -> Floats:
        a, b, c = p
        return np.asarray(np.where(x < c, a * x, a * c + b * (x - c)))

    equal = np.array([[1.0, 0.7, 1.0], [1.0, 0.7, 1.1], [where] * 3])
    found = Recorded(broken).jacobian(equal, free=(2,))[0]
    assert not found[:, :2].any()
    assert_close(found[:, 2:], np.where(x < where, 0, -0.1), 1e-8)


@pytest.mark.parametrize("between", [1e2, 1e3, 1e4])
def test_rounding_of_what_lies_between_is_no_derivative(between: float) -> None:
    """Rounding that is up to 1e4 times that of the values, as that of long sums may be."""
    idle = Recorded(lambda p: 1 + T + ((p[0] + between * T) - between * T - p[0]))
    assert not idle.jacobian(np.array([[1.0, 0.3, -20.0, 777.7]])).any()
    # what lies above the rounding is one
    active = Recorded(lambda p: 1 + T + ((p[0] + between * T) - between * T))
    assert_close(active.jacobian(np.array([[1.0, 0.3, -20.0]])), np.ones((1, 20, 3)), 1e-10 * between)
