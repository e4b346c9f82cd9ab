"""Many fits: fits that take long make room for others, chunks shrink when memory is short, and nothing gets lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine import many, programs
from napari_imagefit.engine.errors import FitEngineError

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
