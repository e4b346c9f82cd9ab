"""What is known of the samples before they are fitted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit.engine.drive.level import SELECT_FROM, nanmedian
from napari_imagefit.engine.drive.loading import ALIGNMENT, across
from napari_imagefit.engine.noise.samples import Samples


@pytest.mark.parametrize("count", [7, 8, SELECT_FROM, SELECT_FROM + 1])
@pytest.mark.parametrize("missing", [0, 3])
def test_medians_are_those_of_numpy(count: int, missing: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, 3))
    values[:missing, 1] = np.nan
    np.testing.assert_array_equal(nanmedian(values), np.nanmedian(values, axis=0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_begin_where_jax_takes_them_without_a_copy(dtype: str) -> None:
    data = np.arange(15.0).reshape(5, 3)
    block = across(Samples((data[:, :1], data), data, None, None, None), 6, 4, dtype)
    for array in (*block.coords, block.data):
        assert array.ctypes.data % ALIGNMENT == 0
    np.testing.assert_array_equal(block.data[:3, :5], data.T)
    np.testing.assert_array_equal(block.coords[0], [[0, 3, 6, 9, 12, 12]])
