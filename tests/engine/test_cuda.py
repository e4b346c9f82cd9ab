"""Every kind of program is lowered for CUDA, which needs no device: nothing in it may call back to the host."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from napari_imagefit import Model, Parameter, models
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.drive import wide
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.drive.wide_programs import Programs
from napari_imagefit.engine.models import prediction, starts
from napari_imagefit.engine.noise.samples import Samples
from napari_imagefit.engine.sums.normal_equations import NormalSums

M, FITS = 20, 600
T = np.linspace(0.1, 5, M)
Y, X = (a.ravel() for a in np.mgrid[:4.0, :5.0])
COORDS = {"exponential_decay": (T,), "gaussian_2d_rotated": (Y, X)}
SETTINGS: dict[str, dict[str, Any]] = {
    "least squares": {},
    "robust": {"loss": "huber", "f_scale": 0.5},
    "counts": {"noise": "poisson"},
    "magnitudes": {"noise": "rician"},
    "single": {"dtype": "float32"},
}


def lowered(function: Callable[..., Any], shapes: Any) -> str:
    """The program for CUDA, as text."""
    found = export.export(jax.jit(lambda *arguments: function(*arguments)), platforms=["cuda"])(*shapes)
    assert found.platforms == ("cuda",)
    assert not found.ordered_effects
    assert not found.unordered_effects
    return str(found.mlir_module())


def called(text: str) -> set[str]:
    """What a program calls by name."""
    found = re.findall(r'custom_call @?"?([\w.$-]+)|call_target_name = "([^"]+)"', text)
    return {name for pair in found for name in pair if name}


def check(text: str) -> None:
    assert "stablehlo" in text
    # no call to the host, and none of LAPACK or what stands for it on a GPU
    assert not [name for name in called(text) if re.search(r"callback|lapack|solver|blas|ffi_cpu|python", name.lower())]


def problem(name: str, setting: str, **how: Any) -> Problem:
    options = Options(**SETTINGS[setting])
    weights = np.ones((M, 1)) if setting == "magnitudes" else None
    data = np.abs(np.random.default_rng(0).normal(5, 1, (M, FITS)))
    return Problem.build(models[name], COORDS[name], data, weights=weights, options=options, **how)


def wide_programs(given: Problem) -> dict[str, Any]:
    """What is wanted for a wide batch, by its kind: function, shapes and options."""
    programs = Programs(given, wide.width_of(given))
    return {name: (one.function, one.shapes, one.options) for name, one in programs.wanted.items()}


@pytest.mark.parametrize("name", COORDS)
@pytest.mark.parametrize(
    "setting", [s if s == "least squares" else pytest.param(s, marks=pytest.mark.slow) for s in SETTINGS]
)
def test_programs_of_a_wide_batch(name: str, setting: str) -> None:
    for function, shapes, options in wide_programs(problem(name, setting)).values():
        with computing(options):
            check(lowered(function, shapes))


@pytest.mark.parametrize("how", [{"fixed": {"offset": 1.0}}, {"bounds": {"tau": (-np.inf, np.inf)}}], ids=str)
def test_steps_with_fewer_parameters_and_without_bounds(how: dict[str, Any]) -> None:
    given = problem("exponential_decay", "least squares", **how)
    for name in ("begin", "step", "finish"):
        function, shapes, options = wide_programs(given)[name]
        with computing(options):
            check(lowered(function, shapes))


@pytest.mark.parametrize("name", COORDS)
@pytest.mark.parametrize("length", [32, 65536])
def test_stacked_sums(name: str, length: int) -> None:
    """Those of few fits, and of a tile of a large image, whose samples are kept narrow."""
    model, options = models[name], Options()
    wide_rows = jax.ShapeDtypeStruct((16 if length == 32 else 1, length), np.float64 if length == 32 else np.float32)
    coordinate = jax.ShapeDtypeStruct((1, length), np.float64 if length == 32 else np.uint16)
    samples = Samples((coordinate,) * model.ndim, wide_rows)
    params = (jax.ShapeDtypeStruct(wide_rows.shape[:1], np.float64),) * len(model.names)
    with computing(options):
        _, function, shapes = NormalSums(model, options, stacked=True)._request(samples, params)
        check(lowered(function, shapes))


@pytest.mark.parametrize("name", COORDS)
@pytest.mark.parametrize("what", ["values", "linear"])
def test_values_and_derivatives(name: str, what: str) -> None:
    model, options = models[name], Options()
    coords = tuple(c[:, None] for c in COORDS[name])
    arguments = prediction._fill(coords, np.ones((len(model.names), 3)), options, model.exact)
    function = prediction._values if what == "values" else prediction._linear
    with computing(options):
        _, function, shapes, *_ = prediction._program(what, function, model, arguments, options)
        check(lowered(function, shapes))


def test_a_guess_of_a_users() -> None:
    def guess(_c: Any, d: Any, _w: Any) -> Any:
        return jnp.stack([jnp.max(d, axis=0), jnp.ones(d.shape[1])])

    mine = Model("mine", lambda c, a, k: a * jnp.exp(-k * c[0]), [Parameter("a"), Parameter("k")], 1, guess)
    data = np.ones((M, 4))
    _, function, shapes, options, _ = starts._program(mine, (T[:, None],), data, data)
    with computing(options):
        check(lowered(function, shapes))


def test_calls_would_be_seen() -> None:
    shape = jax.ShapeDtypeStruct((3, 3), np.float32)

    def calls(x: Any) -> Any:
        return jax.pure_callback(lambda v: np.asarray(v) + 1, shape, x)

    # for another platform than its own a call to the host is not even lowered
    with pytest.raises(ValueError, match="platform"):
        lowered(calls, (shape,))
    text = lowered(jnp.linalg.eigh, (shape,))
    assert called(text)
    with pytest.raises(AssertionError):
        check(text)
