"""What users set in NumPy and JAX for themselves does not reach our computing, and comes back unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.drive.run import WIDE_FROM
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

T = np.linspace(0, 5, 32)
RNG = np.random.default_rng(0)
DATA = 3 * np.exp(-T[:, None] / RNG.uniform(0.5, 2, WIDE_FROM)) + 0.3 + RNG.normal(0, 0.05, (32, WIDE_FROM))
DATA[3, 5], DATA[:, 7], DATA[4, 9] = np.nan, np.nan, np.inf
DATA[:, 11] = 1.0
Y, X = np.mgrid[:270, :260].astype(float)
IMAGE = 50 * np.exp(-0.5 * ((Y - 140) ** 2 / 900 + (X - 120) ** 2 / 1600)) + RNG.normal(0, 3, Y.shape)
SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "np.errstate": lambda: np.errstate(all="raise"),
    "debug_nans": lambda: jax.debug_nans(True),
    "debug_infs": lambda: jax.debug_infs(True),
    "disable_jit": lambda: jax.disable_jit(True),
    "rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "dtype promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "transfer guard": lambda: jax.transfer_guard("disallow"),
    "leaks": lambda: jax.checking_leaks(),
    "double precision": lambda: jax.enable_x64(True),
}
numbers = iter(range(10_000))


def new_model(jax_guess: bool = True) -> nif.Model:
    """One that nobody has compiled, with a user's guess."""
    constant = next(numbers) + 0.5

    def guess(_c: Any, d: Any, _w: Any) -> Any:
        library = jnp if jax_guess else np
        return library.stack([d[0] - constant, library.ones(d.shape[1]) * 1.0])

    parameters = [nif.Parameter("a"), nif.Parameter("tau", lower=0.05, upper=20)]
    return nif.Model("mine", lambda c, a, tau: a * jnp.exp(-c[0] / tau) + constant, parameters, 1, guess)


def everything(result: nif.FitResult) -> list[np.ndarray]:
    found = [*result.params.values(), *result.stderr.values(), result.covariance, result.status, result.flags]
    return [*found, result.cost, result.fitted(), result.residual()]


def few() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :20], "exponential_decay", x=T))


def wide() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA, "exponential_decay", x=T))


def single_precision() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :20], "exponential_decay", x=T, dtype="float32"))


def counts() -> list[np.ndarray]:
    return everything(nif.fit_voxels(np.rint(np.abs(100 * DATA[:, :20])), "exponential_decay", x=T, noise="poisson"))


def robust() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :20], "exponential_decay", x=T, loss="cauchy", f_scale=0.1))


def large() -> list[np.ndarray]:
    return everything(nif.fit_image(IMAGE, "gaussian_2d_elliptic"))


def tied() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :20], "exponential_decay", x=T, tied={"offset": "amplitude/10"}))


def shared() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :4], "exponential_decay", x=T, shared=["tau"]))


def curve_fit_of_jax() -> list[np.ndarray]:
    return list(nif.curve_fit(lambda t, a, k, c: a * jnp.exp(-k * t) + c, T, DATA[:, 0], p0=[1.0, 1.0, 0.0]))


def curve_fit_of_numpy() -> list[np.ndarray]:
    return list(nif.curve_fit(lambda t, a, k, c: a * np.exp(-k * t) + c, T, DATA[:, 0], p0=[1.0, 1.0, 0.0]))


def own_model() -> list[np.ndarray]:
    return everything(nif.fit_voxels(DATA[:, :20], OWN, x=T))


OWN = new_model()
KINDS = (
    few,
    wide,
    single_precision,
    counts,
    robust,
    large,
    tied,
    shared,
    curve_fit_of_jax,
    curve_fit_of_numpy,
    own_model,
)
EXPECTED: dict[str, list[np.ndarray]] = {}


def expected(kind: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    if kind.__name__ not in EXPECTED:
        EXPECTED[kind.__name__] = kind()
    return EXPECTED[kind.__name__]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_the_same(kind: Callable[[], list[np.ndarray]], name: str) -> None:
    before = expected(kind)
    with SETTINGS[name]():
        errors, x64 = np.geterr(), jax.config.jax_enable_x64
        after = kind()
        assert np.geterr() == errors
        assert jax.config.jax_enable_x64 == x64
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("jax_guess", [True, False], ids=["guess of JAX", "guess of NumPy"])
def test_what_is_compiled_under_a_setting(name: str, count: int, jax_guess: bool) -> None:
    """Nothing of it is left in programs: they serve others afterwards."""
    with SETTINGS[name]():
        model = new_model(jax_guess)
        inside = nif.fit_voxels(DATA[:, :count], model, x=T)
    outside = nif.fit_voxels(DATA[:, :count], model, x=T)
    assert np.count_nonzero(outside.status > 0) >= count - 3
    for one, other in zip(everything(inside), everything(outside), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_at_once() -> None:
    before = expected(few)
    with contextlib.ExitStack() as stack:
        for name, setting in SETTINGS.items():
            if name != "leaks":
                stack.enter_context(setting())
        after = few()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_settings_are_back_between_two_steps_of_a_run() -> None:
    """What is held across a yield would be the caller's."""
    with jax.debug_nans(True), np.errstate(all="raise"):
        steps = VoxelRequest(nif.models["exponential_decay"], x=T).steps(DATA)
        for _ in steps:
            assert jax.config.jax_debug_nans
            assert not jax.config.jax_enable_x64
            assert np.geterr()["over"] == "raise"
            with pytest.raises(FloatingPointError):
                jnp.log(-jnp.ones(2))
