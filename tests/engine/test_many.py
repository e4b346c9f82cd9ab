"""Many fits: fits that take long make room for others, chunks shrink when memory is short, and nothing gets lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.catalogue import models
from napari_imagefit.engine.core import programs
from napari_imagefit.engine.core.errors import FitEngineError
from napari_imagefit.engine.drive import many
from napari_imagefit.engine.drive.problem import Problem

T = np.linspace(5, 160, 32)


def stack(count: int, seed: int = 0) -> np.ndarray:
    """Decays, one in twenty of them nothing but noise: these take long."""
    rng = np.random.default_rng(seed)
    curves = rng.uniform(500, 1500, count) * np.exp(-T[:, None] / rng.uniform(20, 120, count))
    curves[:, ::20] = 0
    return curves + rng.normal(0, 10, (32, count))


def same(a: nif.FitResult, b: nif.FitResult, which: Any = slice(None)) -> None:
    for name in a.params:
        np.testing.assert_array_equal(a.params[name], b.params[name][which])
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name][which])
    np.testing.assert_array_equal(a.status, b.status[which])
    np.testing.assert_array_equal(a.n_iterations, b.n_iterations[which])


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return stack(3 * 8192 + 700)


@pytest.fixture(scope="module")
def result(data: np.ndarray) -> nif.FitResult:
    return nif.fit_voxels(data, "exponential_decay", x=T)


def test_fits_that_wait_get_the_same_answer(data: np.ndarray, result: nif.FitResult) -> None:
    slow = np.flatnonzero(result.n_iterations > 2 * many.STEPS)
    assert slow.size > 100
    for which in (slow[:5], slow[-1:], np.arange(8190, 8195)):
        same(nif.fit_voxels(data[:, which], "exponential_decay", x=T), result, which)


def test_less_memory(data: np.ndarray, result: nif.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    call = programs.Runner.__call__
    sizes = []

    def little_memory(self: programs.Runner, stage: Any, *args: Any) -> Any:
        if stage is many.begin:
            blocks = args[1].data.value.shape[0]
            sizes.append(blocks)
            if blocks > 8:
                raise FitEngineError("JAX failed on gpu: RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes")
        return call(self, stage, *args)

    monkeypatch.setattr(programs.Runner, "__call__", little_memory)
    same(nif.fit_voxels(data, "exponential_decay", x=T), result)
    assert min(sizes) == 8


class _Gpu:
    """As JAX describes one."""

    platform = "gpu"

    def __init__(self, free: int | None) -> None:
        self.free = free

    def memory_stats(self) -> dict[str, int] | None:
        return None if self.free is None else {"bytes_limit": self.free + 1000, "bytes_in_use": 1000}


def test_chunks_follow_the_free_memory(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.build(models["exponential_decay"], (T,), data)

    def shape(free: int | None) -> many.Shape:
        monkeypatch.setattr(many, "find_device", lambda _: _Gpu(free))
        return many.shape_of(problem)

    on_cpu = many.shape_of(problem)
    roomy, unknown = shape(64 << 30), shape(None)
    assert roomy == many.Shape(many.MOST_BLOCKS, many.MOST_WIDE)
    assert unknown == many.Shape(1, many.MOST_WIDE)
    assert on_cpu.width < roomy.width
    held = [shape(1 << power).fits for power in range(36, 20, -1)]
    assert held == sorted(held, reverse=True)
    # a sample takes 8 bytes, and there is one more array of the kind for each of weights, shifts and coordinates
    assert all(8 * 32 * fits < (1 << power) for power, fits in zip(range(36, 20, -1), held, strict=True))
    assert shape(1).fits == 1


def test_wide_blocks_find_the_same(data: np.ndarray, result: nif.FitResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "shape_of", lambda _: many.Shape(2, 4096))
    wide = nif.fit_voxels(data, "exponential_decay", x=T)
    np.testing.assert_array_equal(wide.status > 0, result.status > 0)
    # noise fitted with a decay has many minima, and which is found may depend on the last bit
    clear = np.arange(data.shape[1]) % 20 != 0
    np.testing.assert_allclose(wide.params["tau"][clear], result.params["tau"][clear], rtol=1e-6)


def test_other_failures_are_told(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> Any:
        raise FitEngineError("JAX failed on gpu: INTERNAL: something broke")

    monkeypatch.setattr(programs.Runner, "__call__", broken)
    with pytest.raises(FitEngineError, match="something broke"):
        nif.fit_voxels(data, "exponential_decay", x=T)


def test_stopping_keeps_what_is_there(data: np.ndarray) -> None:
    asked = []

    def soon() -> bool:
        asked.append(0)
        return len(asked) > 2

    many_voxels = np.tile(data, 20)
    result = nif.fit_voxels(many_voxels, "exponential_decay", x=T, should_stop=soon)
    stopped = result.status == nif.Status.STOPPED
    assert stopped.any()
    assert (result.status[~stopped] != 0).any()
    assert np.isnan(result.params["tau"][stopped & (result.n_iterations == 0)]).all()
