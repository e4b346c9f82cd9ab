"""Compiling is kept, settings are left alone, and threads do not mix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import FitResult, fit_image, fit_voxels
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.imaging.voxels import iter_fit_voxels

T = np.linspace(0, 5, 32)


def stack(seed: int, fits: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 3, fits) * np.exp(-T[:, None] / rng.uniform(0.5, 2, fits)) + rng.normal(0, 0.05, (32, fits))


@pytest.mark.slow
def test_fifty_regions_share_a_few_programs() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    image = np.exp(-((y - 100) ** 2 + (x - 100) ** 2) / 2000) + rng.normal(0, 0.01, (200, 200))
    before = compiled_programs()
    for _ in range(50):
        height, width = rng.integers(20, 120, 2)
        mask = np.zeros(image.shape, bool)
        mask[90 - height // 2 : 90 + height // 2, 100 - width // 2 : 100 + width // 2] = True
        result = fit_image(image, "gaussian_2d", mask=mask)
        assert result.converged.all()
        result.residual()
    # 400 to 14 400 pixels are padded to 512, 8 192 or 32 768; for each begin, advance, answer and predict
    assert compiled_programs() - before <= 12


def test_a_second_call_of_like_size_compiles_nothing() -> None:
    fit_voxels(stack(0), "exponential_decay", x=T)
    before = compiled_programs()
    fit_voxels(stack(1, 7), "exponential_decay", x=T * 3)
    fit_voxels(stack(2, 5), "exponential_decay", x=T, bounds={"tau": (0.1, 9)}, init={"tau": 1}, max_iterations=7)
    assert compiled_programs() == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_settings_are_left_alone(dtype: str) -> None:
    assert not jax.config.jax_enable_x64
    fit_voxels(stack(0), "exponential_decay", x=T, dtype=dtype)
    assert jnp.ones(1).dtype == jnp.float32
    steps = iter_fit_voxels(stack(0), "exponential_decay", x=T)
    next(steps)
    assert jnp.ones(1).dtype == jnp.float32
    steps.close()
    assert jnp.ones(1).dtype == jnp.float32
    with jax.enable_x64(True):
        fit_voxels(stack(0), "exponential_decay", x=T, dtype=dtype)
        assert jnp.ones(1).dtype == jnp.float64


def test_two_threads_at_once_give_what_one_gives() -> None:
    def run(seed: int) -> FitResult:
        return fit_voxels(stack(seed), "exponential_decay", x=T, dtype="float32" if seed % 2 else "float64")

    alone = [run(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(8)))
    for one, other in zip(alone, together, strict=True):
        for name in one.params:
            np.testing.assert_array_equal(one.params[name], other.params[name])
