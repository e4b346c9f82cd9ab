"""Python's search for garbage is put off while a function is traced, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import Model, Parameter, fit_voxels
from napari_imagefit.engine.core.collector import put_off

TIMES = np.arange(8.0)
VOXELS = 5 * np.exp(-TIMES / 3)[:, None, None] + np.random.default_rng(0).normal(0, 0.1, (8, 1, 2))


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    gc.enable()
    yield
    assert gc.isenabled()


@pytest.mark.parametrize("broken", [False, True])
def test_a_traced_function_is_not_interrupted_by_the_collector(broken: bool) -> None:
    seen = []

    def function(coords, amplitude, tau):  # type: ignore[no-untyped-def]
        seen.append(gc.isenabled())
        if broken and not seen[-1]:
            raise ValueError("a mistake of the model")
        return amplitude * jnp.exp(-coords[0] / tau)

    parameters = [Parameter("amplitude", "data"), Parameter("tau", "coord0")]
    model = Model("decay", function, parameters, 1, lambda _coords, data, _weights: data[:2])
    if broken:
        with pytest.raises(Exception, match="mistake"):
            fit_voxels(VOXELS, model, x=TIMES, init={"amplitude": 4.0, "tau": 2.0})
    else:
        assert fit_voxels(VOXELS, model, x=TIMES, init={"amplitude": 4.0, "tau": 2.0}).converged.all()
    assert not all(seen)
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with put_off(), put_off():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_it_is_put_off_until_the_last_thread_has_ended() -> None:
    both, one_ended = Barrier(2), Barrier(2)

    def first() -> None:
        with put_off():
            both.wait()
        one_ended.wait()

    def second() -> bool:
        with put_off():
            both.wait()
            one_ended.wait()
            return gc.isenabled()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        assert not pool.submit(second).result()
