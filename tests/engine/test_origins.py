"""Single precision where coordinates lie far from 0: right, or refused before any work."""

from __future__ import annotations

from typing import Any

import dask.array as da
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.drive import run

FAR = 6.8e9
X = np.linspace(-500, 500, 32)


def peaks(count: int = 40, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    centre, width = rng.uniform(-60, 60, count), rng.uniform(50, 120, count)
    clean = 100 * np.exp(-0.5 * ((X[:, None] - centre) / width) ** 2) + 10
    return clean + rng.normal(0, noise, clean.shape)


def check_alike(single: nif.FitResult, double: nif.FitResult, most: float = 0.02) -> None:
    assert single.converged.all()
    assert double.converged.all()
    for name in double.params:
        away = np.abs(single.params[name] - double.params[name])
        assert (away <= most * np.nan_to_num(double.stderr[name])).all(), name
        assert (np.isnan(double.stderr[name]) | (np.abs(single.stderr[name] / double.stderr[name] - 1) < 0.01)).all()


SAID: dict[str, dict[str, Any]] = {
    "nothing": {},
    "start": {"init": {"x": FAR + 30, "sigma": 70}},
    "bounds": {"bounds": {"x": (FAR - 300, FAR + 300)}},
    "a start for each": {"init": {"x": FAR + np.linspace(-100, 100, 40)}},
    "loss": {"loss": "soft_l1", "f_scale": 3.0},
    "poisson": {"noise": "poisson"},
    "tied": {"tied": {"amplitude": "sigma"}},
    "shared": {"shared": ["sigma"]},
}


@pytest.mark.parametrize(
    "said", [pytest.param(name, marks=[pytest.mark.slow] if name in ("loss", "tied") else []) for name in SAID]
)
def test_curves_far_from_0_are_fitted_as_in_double_precision(said: str) -> None:
    data = peaks()
    single, double = (nif.fit_voxels(data, "gaussian_1d", x=X + FAR, dtype=d, **SAID[said]) for d in PRECISIONS)
    check_alike(single, double, 0.1 if said in ("tied", "shared") else 0.02)
    np.testing.assert_allclose(single.residual(), double.residual(), atol=0.05)


PRECISIONS: Any = ("float32", "float64")


def test_a_shared_and_a_fixed_position() -> None:
    rng = np.random.default_rng(1)
    data = 100 * np.exp(-0.5 * ((X[:, None] - 20) / 80) ** 2) + 10 + rng.normal(0, 1, (32, 40))
    found = {}
    for dtype in PRECISIONS:
        found[dtype] = nif.fit_voxels(data, "gaussian_1d", x=X + FAR, dtype=dtype, shared=["x"])
    check_alike(found["float32"], found["float64"], 0.1)
    fixed = nif.fit_voxels(data, "gaussian_1d", x=X + FAR, dtype="float32", fixed={"x": FAR + 20.125})
    assert (fixed.params["x"] == FAR + 20.125).all()
    assert fixed.converged.all()


@pytest.mark.parametrize("wide", [False, True])
def test_where_0_is_makes_no_difference(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wide:
        monkeypatch.setattr(run, "WIDE_FROM", 2)
    data, x = peaks(), np.rint(X)
    near, far = (nif.fit_voxels(data, "gaussian_1d", x=x + origin, dtype="float32") for origin in (2**16, 2**33))
    for name in ("amplitude", "sigma", "offset"):
        np.testing.assert_array_equal(near.params[name], far.params[name])
        np.testing.assert_array_equal(near.stderr[name], far.stderr[name])
    np.testing.assert_allclose(far.params["x"] - 2**33, near.params["x"] - 2**16, atol=1e-5)


@pytest.mark.parametrize("size", [24, 300])
def test_regions_far_from_0_and_from_each_other(size: int) -> None:
    """To the last bit each as without the other; large ones are seen as lattices."""
    rng = np.random.default_rng(2)
    y, x = 1e8 + 0.25 * np.arange(size), -3e9 + 0.5 * np.arange(2 * size)
    dy, dx = (y - y[size // 2])[:, None], x - x[size // 2]
    image = 50 * np.exp(-0.5 * (dy**2 / 2 + dx**2 / 8)) + 5 + rng.normal(0, 1, (size, 2 * size))
    image += 40 * np.exp(-0.5 * (dy**2 / 2 + (dx - 0.5 * size) ** 2 / 8))
    labels = np.ones(image.shape, int)
    labels[:, size:] = 2
    said = {"mask": labels, "coords": (y, x)}
    single, double = (nif.fit_image(image, "gaussian_2d_elliptic", dtype=d, **said) for d in PRECISIONS)
    check_alike(single, double)
    alone = nif.fit_image(image, "gaussian_2d_elliptic", dtype="float32", mask=labels == 2, coords=(y, x))
    for name in single.params:
        np.testing.assert_array_equal(single.params[name][1], alone.params[name])


@pytest.mark.slow
def test_a_function_of_other_people_s() -> None:
    model = nif.Model(
        "mine",
        lambda coords, a, x, s, c: a * jnp.exp(-0.5 * ((coords[0] - x) / s) ** 2) + c,
        [nif.Parameter("a"), nif.Parameter("x", "coord0"), nif.Parameter("s", lower=0), nif.Parameter("c")],
        1,
        nif.models["gaussian_1d"].guess,
    )
    single, double = (nif.fit_voxels(peaks(), model, x=X + FAR, dtype=d) for d in PRECISIONS)
    check_alike(single, double)
    np.testing.assert_allclose(single.residual(), double.residual(), atol=0.05)
    expression = nif.Model.from_expression("a*exp(-(x - x0)**2/(2*s**2)) + c", ["x"], init={"s": 80.0})
    single, double = (nif.fit_voxels(peaks(), expression, x=X + FAR, dtype=d) for d in PRECISIONS)
    check_alike(single, double)


@pytest.mark.parametrize("model", ["linear", "exponential_decay", "damped_sine"])
def test_what_has_no_position_is_refused_before_any_work(model: str) -> None:
    with pytest.raises(nif.FitInputError, match=r"axis 0 must .*, got 6799999500 to 6800000500, .* multiples of 512"):
        nif.fit_voxels(peaks(), model, x=X + FAR, dtype="float32")
    with pytest.raises(nif.FitInputError, match="float64"):
        nif.fit_voxels(da.from_array(peaks()), model, x=X + FAR, dtype="float32")
    nif.fit_voxels(peaks(), model, x=X + 1000, dtype="float32")


def test_a_unit_that_is_not_true_does_not_count() -> None:
    model = nif.Model(
        "wrong",
        lambda coords, a, x: a * jnp.cos(coords[0] / 300) * x,
        [nif.Parameter("a"), nif.Parameter("x", "coord0")],
        1,
        lambda _coords, data, _weights: jnp.ones((2, data.shape[1])),
    )
    with pytest.raises(nif.FitInputError, match="must be told apart in single precision"):
        nif.fit_voxels(peaks(), model, x=X + FAR, dtype="float32")
