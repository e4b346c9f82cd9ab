"""One pass over the samples by itself: what the engine's programs are given, and how long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Pass(NamedTuple):
    """So many fits of a model to samples on a lattice, and parameters near which they are."""

    model: str
    fits: int
    shape: tuple[int, ...]
    truth: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.model}, {self.fits} × {' × '.join(map(str, self.shape))}"


DECAY = (3.0, 12.0, 0.2)
SPOT = (5.0, 5.2, 4.9, 1.4, 0.5)
CLOUD = (2.0, 120.0, 131.0, 25.0, 40.0, 0.6, 0.5)


def placed(one: Pass, dtype: str, device: Any = None) -> tuple[Any, tuple[Any, ...]]:
    """Samples ``(fits, m)`` as the engine's programs get them, and parameters, on a device.

    It is called with JAX in the precision of `dtype`.
    """
    import jax

    import napari_imagefit as nif
    from napari_imagefit.engine.noise.samples import Samples, bucket

    rng = np.random.default_rng(0)
    coords = np.indices(one.shape, dtype=float).reshape(len(one.shape), -1)
    values = nif.models[one.model].function(tuple(coords), *one.truth)
    rows = bucket(values.size)
    padded = np.ones((len(one.shape), 1, rows), dtype)
    padded[:, 0, : values.size] = coords
    data = np.full((one.fits, rows), np.nan, dtype)
    data[:, : values.size] = values
    data[:, : values.size] += rng.normal(0, 0.1, (one.fits, values.size))
    params = tuple(np.full(one.fits, p, dtype) for p in one.truth)
    found: tuple[Any, tuple[Any, ...]] = jax.device_put((Samples(tuple(padded), data), params), device)
    return found


def best_of(call: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of several calls, each of which is waited for; the first does not count."""
    import jax

    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begun)
    return min(times[1:])
