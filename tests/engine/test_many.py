"""Many fits: fits that take long make room for others, blocks shrink when memory is short, and nothing gets lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.errors import FitEngineError
from napari_imagefit.engine.core.fits import Fits
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.drive import wide
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.drive.run import iter_fit
from napari_imagefit.engine.drive.wide_programs import Program

T = np.linspace(5, 160, 32)
# what is left of a block once few of its fits still run
PART = 1 / wide.FEW_RUNNING


def stack(count: int, seed: int = 0) -> np.ndarray:
    """Decays, one in twenty of them nothing but noise: these take long."""
    rng = np.random.default_rng(seed)
    curves = rng.uniform(500, 1500, count) * np.exp(-T[:, None] / rng.uniform(20, 120, count))
    curves[:, ::20] = 0
    return curves + rng.normal(0, 10, (32, count))


def fit(data: np.ndarray, requested: int = 0) -> Fits:
    """Fits of decays, as a piece of a request of so many."""
    problem = Problem.build(models["exponential_decay"], (T,), data)
    steps = iter_fit(replace(problem, requested=requested))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def same(a: Fits, b: Fits, which: Any = slice(None)) -> None:
    """Bit for bit."""
    for name in ("params", "solution", "start"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name)[:, which])
    for name in ("covariance", "status", "cost", "flags", "n_iterations", "chi2"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name)[which])


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return stack(4 * wide.MOST + 700)


@pytest.fixture(scope="module")
def result(data: np.ndarray) -> Fits:
    return fit(data)


def test_everything_is_fitted_once(data: np.ndarray, result: Fits) -> None:
    assert (result.status != nif.Status.STOPPED).all()
    assert ((result.n_iterations > 0) | (result.status == nif.Status.GRADIENT)).all()
    assert (result.status > 0).mean() > 0.95
    # and where it belongs
    clear = (result.status > 0) & (np.arange(data.shape[1]) % 20 != 0)
    fitted = result.params[0] * np.exp(-T[:, None] / result.params[1]) + result.params[2]
    assert (np.std(fitted - data, axis=0)[clear] < 20).all()


def test_fits_that_wait_get_the_same_answer(data: np.ndarray, result: Fits) -> None:
    # later than so many of a block are those that wait for another
    late = np.flatnonzero(result.n_iterations > np.quantile(result.n_iterations, 1 - PART))
    assert late.size > 100
    for which in (late[:5], late[-1:], np.arange(wide.MOST - 2, wide.MOST + 3)):
        same(fit(data[:, which], requested=data.shape[1]), result, which)


@pytest.mark.slow
@pytest.mark.parametrize("most", [wide.MOST // 2, pytest.param(1024, marks=pytest.mark.slow), wide.FEWEST])
def test_less_memory(data: np.ndarray, result: Fits, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    program, sizes = Program.obtain, []

    def little_memory(wanted: Program) -> Any:
        found = program(wanted)
        if wanted.key[1] != "ends":
            return found

        def ends(*arguments: Any) -> Any:
            sizes.append(arguments[0].data.shape[0])
            if sizes[-1] > most:
                raise FitEngineError("JAX failed on gpu: RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes")
            return found(*arguments)

        return ends

    monkeypatch.setattr(Program, "obtain", little_memory)
    # blocks are shared out one by one, some of them once memory has run out
    monkeypatch.setattr(wide, "cores", lambda: 1)
    few = slice(None) if most > wide.FEWEST else slice(4 * wide.MOST - 100, None)
    same(fit(data[:, few], requested=data.shape[1]), result, few)
    assert min(sizes) == most
    assert max(sizes) == wide.MOST


@pytest.mark.slow  # compiles twenty programs, for blocks of ever fewer fits
def test_memory_that_runs_out_on_the_way(data: np.ndarray, result: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ran out of it, and in whichever thread: of the steps, once, when they are halfway."""
    program, calls = Program.obtain, []

    def little_memory(wanted: Program) -> Any:
        found = program(wanted)
        if wanted.key[1] != "step":
            return found

        def step(*arguments: Any) -> Any:
            calls.append(0)
            if len(calls) in (9, 10, 23):
                raise FitEngineError("JAX failed on gpu: RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes")
            return found(*arguments)

        return step

    monkeypatch.setattr(Program, "obtain", little_memory)
    same(fit(data), result)
    assert len(calls) > 30


def test_the_least_that_does_not_fit_is_told(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_arguments: Any) -> Any:
        raise FitEngineError("JAX failed on gpu: RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")

    monkeypatch.setattr(Program, "obtain", lambda _: none_left)
    with pytest.raises(FitEngineError, match="RESOURCE_EXHAUSTED"):
        fit(data[:, :600], requested=data.shape[1])


class _Gpu:
    """As JAX describes one."""

    platform = "gpu"


def test_the_width_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows from the samples and from the request, never from a piece; a GPU takes more at once."""

    def width(requested: int, m: int = 32, count: int = 1) -> int:
        problem = Problem.build(models["linear"], (np.arange(float(m)),), np.ones((m, count)))
        return wide.width_of(replace(problem, requested=requested))

    on_cpu = [width(100_000, m) for m in (20, 100, 400)]
    assert on_cpu[0] == wide.MOST
    assert on_cpu == sorted(on_cpu, reverse=True)
    assert all(m * w <= wide.BLOCK_VALUES for m, w in zip((32, 128, 512), on_cpu, strict=True))
    assert width(300) == 512
    assert width(20_000) == 4096
    assert width(0, count=20_000) == width(20_000, count=300) == width(20_000)
    monkeypatch.setattr(wide, "find_device", lambda _: _Gpu())
    assert width(1_000_000) == wide.MOST_ON_GPU
    assert width(20_000) == 32_768
    assert all(width(1_000_000, m) > of_cpu for m, of_cpu in zip((20, 100, 400), on_cpu, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("most", [1024, 4096])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_blocks_of_another_width_find_the_same(
    data: np.ndarray, monkeypatch: pytest.MonkeyPatch, most: int, dtype: Any
) -> None:
    options = Options(dtype=dtype)
    some = replace(Problem.build(models["exponential_decay"], (T,), data[:, :9000], options=options))

    def run() -> Fits:
        steps = iter_fit(some)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    usual = run()
    monkeypatch.setattr(wide, "MOST", most)
    same(run(), usual)


def test_other_failures_are_told(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> Any:
        raise FitEngineError("JAX failed on gpu: INTERNAL: something broke")

    monkeypatch.setattr(Program, "obtain", lambda _: broken)
    with pytest.raises(FitEngineError, match="something broke"):
        nif.fit_voxels(data, "exponential_decay", x=T)


def test_stopping_keeps_what_is_there(data: np.ndarray) -> None:
    done = 0
    steps = iter_fit(Problem.build(models["exponential_decay"], (T,), np.tile(data, 20)), lambda: done > 0)
    while True:
        try:
            done = next(steps).done
        except StopIteration as end:
            result = end.value
            break
    stopped = result.status == nif.Status.STOPPED
    assert stopped.any()
    assert np.count_nonzero(result.status > 0) > 0.7 * done > 0
    nowhere = np.isnan(result.cost)
    assert nowhere.any()
    assert stopped[nowhere].all()
    assert np.isnan(result.params[:, nowhere]).all()
