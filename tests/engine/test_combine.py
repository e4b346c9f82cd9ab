"""Sums of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_imagefit import Model, Parameter, fit_image, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.models.starts import is_traceable

Y, X = np.mgrid[:20.0, :24.0]
T = np.linspace(0.0, 5, 16)
# different for each sample, so that a sum of products tells them all
FACTORS = np.sqrt(np.arange(1.0, 17))


def plane_guess(coords: Any, data: Any, weights: Any) -> Any:
    columns = jnp.stack([jnp.ones_like(coords[0]), *coords])[..., 0]
    return jax.vmap(lambda d, w: jnp.linalg.lstsq((columns * w).T, d * w)[0], -1, -1)(data, weights)


PLANE = Model(
    "plane", lambda c, offset, slope_y, slope_x: offset + slope_y * c[0] + slope_x * c[1],
    [Parameter("offset", "data"), Parameter("slope_y"), Parameter("slope_x")], 2, plane_guess,
    formula="offset + slope_y·y + slope_x·x", reference="school",
)  # fmt: skip


def curve(name: str, names: list[str], function: Callable[..., Any], **kwargs: Any) -> Model:
    def ones(_c: Any, d: Any, _w: Any) -> Any:
        return jnp.ones((len(names), d.shape[1]))

    return Model(name, function, [Parameter(n) for n in names], 1, ones, **kwargs)


def line_slopes(c: Any, _slope: Any, _offset: Any) -> Any:
    return jnp.stack([c[0], jnp.ones_like(c[0])])


LINE = curve("line", ["slope", "offset"], lambda c, s, o: s * c[0] + o, formula="slope·t + offset", reference="school")
SLOPED = replace(LINE, jacobian=line_slopes)
DECAY = models["exponential_decay"]


def test_equal_names_get_the_number_of_their_part() -> None:
    flat = DECAY + LINE + DECAY
    assert flat.names == ("amplitude_1", "tau_1", "offset", "slope", "amplitude_3", "tau_3")
    assert (DECAY + (LINE + DECAY)).names == flat.names
    assert flat.name == "exponential_decay + line + exponential_decay"
    assert flat.parameters[1].lower == flat.parameters[5].lower == 0
    assert flat.parameters[5].unit == "coord0"
    four = (DECAY + DECAY) + (DECAY + DECAY)
    assert four.names == tuple(f"{n}_{k}" if n != "offset" else n for k in range(1, 5) for n in DECAY.names
                               if n != "offset" or k == 1)  # fmt: skip


def test_names_never_collide() -> None:
    one = curve("one", ["a", "a_2"], lambda c, a, b: a + b * c[0])
    other = curve("other", ["a", "a_1", "a__1"], lambda c, a, b, d: a + b * c[0] + d * c[0] ** 2)
    names = (one + other).names
    assert len(set(names)) == 5
    assert names == ("a___1", "a_2", "a__2", "a_1", "a__1")


def test_a_renamed_or_changed_sum_is_one_part() -> None:
    pair = replace(DECAY + LINE, name="pair")
    assert (pair + LINE).names == ("amplitude", "tau", "offset", "slope_1", "slope_2")


def test_formula_and_reference() -> None:
    total = DECAY + LINE + DECAY
    assert total.formula == "amplitude_1·exp(−t/tau_1) + offset + slope·t + amplitude_3·exp(−t/tau_3)"
    assert total.reference.count("school") == 1
    assert total.reference.count("Golub") == 1
    rotated = models["gaussian_2d_rotated"] + PLANE
    # the definitions of the first part come after the last term
    assert rotated.formula.index("slope_x·x") < rotated.formula.index("u = ")
    twice = (models["gaussian_2d"] + models["gaussian_2d"]).formula
    assert "Δy_1²" in twice
    assert "Δx_2²" in twice


def test_only_models_of_the_same_coordinates_add_up() -> None:
    with pytest.raises(FitInputError, match=r"'plane' takes 2 .* 'line' takes 1.*same number"):
        PLANE + LINE
    with pytest.raises(TypeError):
        LINE + 3  # type: ignore[operator]


def test_an_offset_along_a_coordinate_is_no_constant() -> None:
    shifted = Model("shifted", lambda c, offset: jnp.sin(c[0] - offset), [Parameter("offset", "coord0")], 1, LINE.guess)
    assert (LINE + shifted).names == ("slope", "offset_1", "offset_2")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("total", [DECAY + LINE, LINE + DECAY + LINE.__class__.from_expression("offset", ["t"])])
def test_two_constants_make_no_singular_sum(total: Model) -> None:
    params = jnp.asarray([1.5 + i for i in range(len(total.names))])
    derivatives = np.asarray(jax.jit(jax.jacfwd(lambda p: total.function((T,), *p)))(params))
    assert np.linalg.matrix_rank(derivatives) == len(total.names)


@pytest.mark.usefixtures("x64")
def test_values_and_derivatives_under_jit() -> None:
    total = models["gaussian_2d"] + PLANE
    params = np.array([5.0, 9, 11, 3, 2, 0.1, -0.2])
    assert total.names == ("amplitude", "y", "x", "sigma", "offset", "slope_y", "slope_x")
    value = jax.jit(lambda p: total.function((Y, X), *p))
    expected = 5 * np.exp(-((Y - 9) ** 2 + (X - 11) ** 2) / 18) + 2 + 0.1 * Y - 0.2 * X
    np.testing.assert_allclose(value(params), expected, rtol=1e-12)
    exact = np.asarray(jax.jacfwd(value)(params))
    for i in range(7):
        h = 1e-6 * np.eye(7)[i]
        # h² of a third derivative, and rounding over h
        np.testing.assert_allclose(exact[..., i], (value(params + h) - value(params - h)) / 2e-6, atol=1e-7)


@pytest.mark.usefixtures("x64")
def test_jacobians_are_composed_where_all_parts_have_one() -> None:
    assert (SLOPED + LINE).jacobian is None
    assert (DECAY + SLOPED).jacobian is None
    total = SLOPED + curve("square", ["slope"], lambda c, s: s * c[0] ** 2, jacobian=lambda c, _s: [c[0] ** 2]) + SLOPED
    assert total.names == ("slope_1", "offset", "slope_2", "slope_3")
    assert total.jacobian is not None
    params = jnp.asarray([1.0, 2, 3, 4])
    automatic = jax.jacfwd(lambda p: total.function((T,), *p))(params)
    np.testing.assert_allclose(total.jacobian((T,), *params), np.asarray(automatic).T, rtol=1e-12)


@pytest.mark.usefixtures("x64", "quiet")
@pytest.mark.parametrize("library", [jnp, np], ids=["jax", "numpy"])
def test_starts_come_from_the_first_and_from_what_it_leaves(library: Any) -> None:
    def level(_c: Any, data: Any, weights: Any) -> Any:
        return jnp.sum(weights * data, axis=0, keepdims=True) / jnp.sum(weights, axis=0)

    def tell(_c: Any, data: Any, _w: Any) -> Any:
        # NumPy's refuses JAX's tracers, so that it is called with what there is
        data = library.asarray(data)
        return library.stack([data.T @ FACTORS, library.ones(data.shape[1])])

    mean = Model("mean", lambda _c, offset: offset, [Parameter("offset")], 1, level)
    total = mean + replace(LINE, guess=tell)
    assert is_traceable(total) == (library is jnp)
    data = np.random.default_rng(0).normal(3, 1, (16, 4))
    weights = np.ones_like(data)
    data[3, 1] = weights[3, 1] = 0
    starts = total.guess((T[:, None],), data, weights)
    means = data.sum(axis=0) / weights.sum(axis=0)
    left = np.where(weights > 0, data - means, 0)
    # the second's constant, 1, goes to the one that is kept
    np.testing.assert_allclose(starts, [means + 1, left.T @ FACTORS], rtol=1e-12)


@pytest.mark.usefixtures("x64", "quiet")
def test_a_part_may_guess_in_plain_numpy() -> None:
    seen = []

    def plain(_c: Any, data: Any, weights: Any) -> Any:
        seen.append((data.dtype, weights.dtype))
        starts = np.empty((2, data.shape[1]))
        starts[:, np.asarray(data).max(axis=0) > 1], starts[:, np.asarray(data).max(axis=0) <= 1] = 1 / 3, 3
        data[:] = 0
        return starts

    total = DECAY + replace(LINE, guess=plain)
    data = np.random.default_rng(3).normal(0, 5, (16, 2))
    assert not is_traceable(total)
    before = data.copy()
    assert total.guess((T[:, None],), data, np.ones((16, 2)))[3, 0] == 1 / 3
    assert seen[-1] == (np.dtype("float64"), np.dtype("float64"))
    np.testing.assert_array_equal(data, before)


def test_a_gaussian_on_a_plane_as_scipy_fits_it() -> None:
    total = models["gaussian_2d"] + PLANE
    truth = np.array([8.0, 9, 11, 3, 2, 0.1, -0.2])

    def by_numpy(p: np.ndarray) -> np.ndarray:
        a, y, x, s, o, sy, sx = p
        return a * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * s * s)) + o + sy * Y + sx * X

    data = by_numpy(truth) + np.random.default_rng(2).normal(0, 0.3, Y.shape)
    result = fit_image(data, total)
    assert result.converged.all()
    best = least_squares(lambda p: (by_numpy(p) - data).ravel(), truth, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    covariance = np.linalg.inv(best.jac.T @ best.jac) * 2 * best.cost / (data.size - 7)
    for i, name in enumerate(total.names):
        # the fit ends where a step gains less than 1e-8 of the cost
        assert result.params[name] == pytest.approx(best.x[i], abs=1e-3 * np.sqrt(covariance[i, i]) + 1e-7)
        assert result.stderr[name] == pytest.approx(np.sqrt(covariance[i, i]), rel=1e-3)


def test_a_peak_on_a_line_has_one_constant() -> None:
    x = np.linspace(0, 10, 60)
    data = 8 * np.exp(-0.5 * ((x - 4) / 0.8) ** 2) + 0.7 * x + 3
    data += np.random.default_rng(1).normal(0, 0.05, x.shape)
    first, last = models["linear"] + models["gaussian_1d"], models["gaussian_1d"] + models["linear"]
    assert first.names == ("slope", "intercept", "amplitude", "x", "sigma")
    assert last.names == ("amplitude", "x", "sigma", "offset", "slope")
    assert fit_voxels(data, last, x=x).converged
    result = fit_voxels(data, first, x=x)
    assert result.params["slope"] == pytest.approx(0.7, abs=0.02)
    assert result.params["sigma"] == pytest.approx(0.8, abs=0.02)
