"""Every way to write a function and its samples: the same answers as SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import special as jax_special
from scipy import optimize, special

import napari_imagefit as nif

TIGHT = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
RNG = np.random.default_rng(1)
X = np.linspace(0.1, 4, 60)
NOISE = 0.05 * RNG.normal(size=60)


class Decay:
    """Instances and methods."""

    def __init__(self, offset: float, library: Any) -> None:
        self.offset, self.library = offset, library

    def __call__(self, x: Any, a: Any, b: Any) -> Any:
        return a * self.library.exp(-b * x) + self.offset

    def method(self, x: Any, a: Any, b: Any) -> Any:
        return self(x, a, b)

    @classmethod
    def of_class(cls, x: Any, a: Any, b: Any) -> Any:
        return cls(0.2, np)(x, a, b)

    @staticmethod
    def static(x: Any, a: Any, b: Any) -> Any:
        return a * jnp.exp(-b * x) + 0.2


def with_offset(library: Any, offset: float, x: Any, a: Any, b: Any) -> Any:
    return a * library.exp(-b * x) + offset


def branch_on_parameters(x: Any, a: Any, b: Any) -> Any:
    if b < 0:
        return np.full_like(x, 1e3)
    return a * np.exp(-b * x) + 0.2


def jax_branch_on_parameters(x: Any, a: Any, b: Any) -> Any:
    if b < 0:
        return jnp.full_like(x, 1e3)
    return a * jnp.exp(-b * x) + 0.2


def branch_on_samples(x: Any, a: Any, b: Any) -> Any:
    return np.array([a * np.exp(-b * t) + 0.2 if t < 10 else 0.0 for t in x])


def mixed(x: Any, a: Any, b: Any) -> Any:
    return np.asarray(a * jnp.exp(-b * x)) + 0.2


def in_place(x: Any, a: Any, b: Any) -> Any:
    out = np.full(x.shape, 0.2)
    out += a * np.exp(-b * x)
    return out


def returns_a_list(x: Any, a: Any, b: Any) -> Any:
    return list(a * np.exp(-b * x) + 0.2)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "instance, jax": Decay(0.2, jnp),
    "instance, numpy": Decay(0.2, np),
    "method, jax": Decay(0.2, jnp).method,
    "method, numpy": Decay(0.2, np).method,
    "classmethod": Decay.of_class,
    "staticmethod": Decay.static,
    "partial, jax": partial(with_offset, jnp, 0.2),
    "partial, numpy": partial(with_offset, np, 0.2),
    "partial by keyword": partial(lambda x, a, b, *, c: a * jnp.exp(-b * x) + c, c=0.2),
    "lambda with closure defaults": lambda x, a, b, *, c=0.2, np=np: a * np.exp(-b * x) + c,
    "operators alone": lambda x, a, b: a * 2.718281828459045 ** (-b * x) + 0.2,
    "branch on parameters": branch_on_parameters,
    "jax, branch on parameters": jax_branch_on_parameters,
    "branch on samples": branch_on_samples,
    "mixed": mixed,
    "in place": in_place,
    "list": returns_a_list,
    "jnp.where": lambda x, a, b: jnp.where(b < 0, 1e3, a * jnp.exp(-b * x) + 0.2),
}  # fmt: skip


def expected(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def jac(x: Any, a: Any, b: Any) -> Any:
        return np.stack([np.exp(-b * x), -a * x * np.exp(-b * x)], axis=1)

    f = partial(with_offset, np, 0.2)
    return optimize.curve_fit(f, X, y, p0=[1, 1], jac=jac, method="trf", x_scale="jac", **TIGHT)


def assert_same(ours: Any, theirs: Any) -> None:
    # both minima are flat within the root of the rounding of the cost
    np.testing.assert_allclose(ours[0], theirs[0], rtol=2e-8, atol=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_function_written_in_many_ways(name: str) -> None:
    y = 3 * np.exp(-1.5 * X) + 0.2 + NOISE
    assert_same(nif.curve_fit(FUNCTIONS[name], X, y, p0=[1, 1], **TIGHT), expected(y))


def test_defaults_are_parameters_as_for_scipy() -> None:
    y = 3 * np.exp(-1.5 * X) + 0.2 + NOISE
    with_default = lambda x, a, b, c=0.7: a * np.exp(-b * x) + c  # noqa: E731
    ours, theirs = nif.curve_fit(with_default, X, y), optimize.curve_fit(with_default, X, y, method="trf")
    assert len(ours[0]) == len(theirs[0]) == 3
    # default tolerances of 1e-8 on the cost
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)


def erf_numpy(x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * special.erf((x - b) / c)


def erf_jax(x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * jax_special.erf((x - b) / c)


def bessel(x: Any, a: Any, b: Any, _c: Any) -> Any:
    return a * special.jv(1, b * x) + _c


@pytest.mark.parametrize(
    ("f", "truth", "reference"),
    [
        (erf_numpy, [2, 1.5, 0.8], erf_numpy),
        (erf_jax, [2, 1.5, 0.8], erf_numpy),
        (bessel, [2, 1.3, 0.3], bessel),
    ],
    ids=["erf, SciPy", "erf, JAX", "Bessel"],
)
def test_special_functions(f: Callable[..., Any], truth: list[float], reference: Callable[..., Any]) -> None:
    y = reference(X, *truth) + NOISE
    theirs = optimize.curve_fit(reference, X, y, p0=[1, 1, 1], method="trf", jac="3-point", x_scale="jac", **TIGHT)
    assert_same(nif.curve_fit(f, X, y, p0=[1, 1, 1], **TIGHT), theirs)


def plane(x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * x[0] + b * x[1] ** 2 + c * x[0] * x[1]


@pytest.mark.parametrize("kind", [np.asarray, list, tuple, np.ndarray.tolist])
def test_xdata_of_two_rows(kind: Callable[..., Any]) -> None:
    x = RNG.uniform(-1, 1, (2, 60))
    y = plane(x, 1, -2, 3) + NOISE
    design = np.stack([x[0], x[1] ** 2, x[0] * x[1]], axis=1)
    exact = np.linalg.inv(design.T @ design)
    best = exact @ design.T @ y
    popt, pcov = nif.curve_fit(plane, kind(x), y)
    # linear: exact but for rounding
    np.testing.assert_allclose(popt, best, rtol=1e-11)
    np.testing.assert_allclose(pcov, exact * np.sum((y - design @ best) ** 2) / 57, rtol=1e-10)


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_xdata_that_f_alone_understands(library: Any) -> None:
    y = 3 * np.exp(-1.5 * X) + 0.2 + NOISE
    theirs = expected(y)

    def closed(_: Any, a: Any, b: Any) -> Any:
        return a * library.exp(-b * X) + 0.2

    def of_object(data: Any, a: Any, b: Any) -> Any:
        return a * library.exp(-b * data.t) + data.offset

    def of_dict(data: Any, a: Any, b: Any) -> Any:
        return a * library.exp(-b * data["t"]) + 0.2

    assert_same(nif.curve_fit(closed, None, y, **TIGHT), theirs)
    assert_same(nif.curve_fit(closed, 3.0, y, **TIGHT), theirs)
    assert_same(nif.curve_fit(closed, np.arange(7.0), y, **TIGHT), theirs)
    assert_same(nif.curve_fit(of_object, SimpleNamespace(t=X, offset=0.2), y, **TIGHT), theirs)
    assert_same(nif.curve_fit(of_dict, {"t": X}, y, **TIGHT), theirs)


def test_lists_and_integers() -> None:
    y = 3 * np.exp(-1.5 * X) + 0.2 + NOISE
    assert_same(nif.curve_fit(FUNCTIONS["instance, jax"], list(X), list(y), **TIGHT), expected(y))
    x, counts = range(1, 9), [3, 5, 9, 9, 12, 13, 17, 18]
    line = np.polyfit(x, counts, 1)
    for f in (lambda x, a, b: a * np.asarray(x) + b, lambda x, a, b: a * jnp.asarray(x) + b):
        # linear, but the derivatives may be differences, good to 1e-10
        np.testing.assert_allclose(nif.curve_fit(f, list(x), counts)[0], line, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
def test_other_types_are_computed_in_double_precision(dtype: Any) -> None:
    y = np.round(100 * np.exp(-0.5 * X)).astype(dtype)

    def f(x: Any, a: Any, b: Any) -> Any:
        return a * np.exp(-b * x)

    ours = nif.curve_fit(f, X.astype(np.float32), y, p0=[90, 1], **TIGHT)
    theirs = optimize.curve_fit(
        f, X.astype(np.float32), y, p0=[90, 1], method="trf", jac="3-point", x_scale="jac", **TIGHT
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_infinite_x_where_f_has_a_value(library: Any) -> None:
    x = np.append(X, np.inf)
    y = np.append(3 * np.exp(-1.5 * X) + 0.2 + NOISE, 0.25)
    design = np.stack([np.exp(-1.5 * x), np.ones(61)], axis=1)
    popt, _ = nif.curve_fit(lambda x, a, c: a * library.exp(-1.5 * x) + c, x, y, check_finite=False)
    # linear; the derivatives may be differences, good to 1e-10
    np.testing.assert_allclose(popt, np.linalg.lstsq(design, y)[0], rtol=1e-9)


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
@pytest.mark.parametrize("start", [(10, 1e-3, 0), (1, 1e-5, 1)])
@pytest.mark.filterwarnings("ignore::scipy.optimize.OptimizeWarning")
def test_a_parameter_without_influence_at_the_start_does_not_hold_the_others(
    library: Any, start: tuple[float, ...]
) -> None:
    """At such a τ the decay is a spike at t = 0: the others go to where this is best, as SciPy's do."""
    t = np.linspace(0, 5, 50)
    y = 3 * np.exp(-t / 1.2) + 0.5
    popt, _ = nif.curve_fit(lambda t, a, tau, c: a * library.exp(-t / tau) + c, t, y, p0=start)
    rest = y[1:].mean()
    np.testing.assert_allclose(popt, [y[0] - rest, start[1], rest], rtol=1e-6)


@pytest.mark.parametrize("start", [1, 2, 3, 5, 6, 7, 8])
def test_a_line_that_breaks_somewhere(start: float) -> None:
    """From equal slopes, where the place of the break means nothing, and NumPy's rounding is all that it changes."""
    x = np.linspace(0, 10, 60)

    def broken(library: Any) -> Callable[..., Any]:
        return lambda x, a, b, c: library.where(x < c, a * x, a * c + b * (x - c))

    for seed in range(5):
        y = broken(np)(x, 2, -1, 4) + np.random.default_rng(seed).normal(0, 0.05, 60)
        popt, pcov, info, _, ier = nif.curve_fit(broken(np), x, y, p0=[1, 1, start], full_output=True)
        np.testing.assert_allclose(popt, [2, -1, 4], atol=0.1)
        assert np.isfinite(pcov).all()
        exact = nif.curve_fit(broken(jnp), x, y, p0=[1, 1, start], full_output=True)
        np.testing.assert_allclose(popt, exact[0], rtol=1e-6)
        assert (info["nfev"], ier) == (exact[2]["nfev"], exact[4])


@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
@pytest.mark.parametrize("origin", [6.8e9, -738_000.0])
def test_where_x_begins(library: Any, origin: float) -> None:
    """A line at 6.8 GHz, a peak in days since the year 0."""
    x = np.linspace(-500, 500, 201)

    def line(x: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return a * library.exp(-0.5 * ((x - b) / c) ** 2) + d

    for seed in range(3):
        y = 5 * np.exp(-0.5 * ((x - 30) / 50.9) ** 2) + 1 + np.random.default_rng(seed).normal(0, 0.3, 201)
        near = nif.curve_fit(line, x, y, p0=[4, 100, 100, 0.5], full_output=True)
        far = nif.curve_fit(line, x + origin, y, p0=[4, origin + 100, 100, 0.5], full_output=True)
        errors = np.sqrt(np.diag(near[1]))
        assert (np.abs(far[0] - [0, origin, 0, 0] - near[0]) < 1e-5 * errors).all()
        np.testing.assert_allclose(np.sqrt(np.diag(far[1])), errors, rtol=1e-5)
        assert (far[2]["nfev"], far[4]) == (near[2]["nfev"], near[4])


@pytest.mark.parametrize("with_jac", [False, True])
def test_a_function_may_return_the_same_array_each_time(with_jac: bool) -> None:
    x = np.linspace(0, 4, 100)
    y = 2.5 * np.exp(-1.3 * x) + 0.5 + np.random.default_rng(1).normal(0, 0.02, 100)
    own, slopes = np.empty(100), np.empty((100, 3))

    def plain(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a * np.exp(-b * x) + c

    def plain_jac(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return np.stack([np.exp(-b * x), -a * x * np.exp(-b * x), np.ones(100) + 0 * c], axis=1)

    def filling(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        own[:] = plain(x, a, b, c)
        return own

    def filling_jac(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        slopes[:] = plain_jac(x, a, b, c)
        return slopes

    expected = nif.curve_fit(plain, x, y, p0=[1.0, 1.0, 1.0], jac=plain_jac if with_jac else None)
    found = nif.curve_fit(filling, x, y, p0=[1.0, 1.0, 1.0], jac=filling_jac if with_jac else None)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
