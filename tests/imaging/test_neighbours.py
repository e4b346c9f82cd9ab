"""What lies around a voxel, and the weighted median of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit.imaging.voxels.neighbours import any_around, around, lower_quartile_around, weighted_median


@pytest.mark.parametrize(
    ("grid", "radius"), [((7,), 1), ((5, 6), 1), ((5, 6), 2), ((3, 4, 5), 1), ((2, 3, 4, 5), 1), ((), 1)]
)
def test_all_neighbours_and_no_others(grid: tuple[int, ...], radius: int) -> None:
    size = int(np.prod(grid))
    places = np.arange(size)
    at = np.stack(np.unravel_index(places, grid or (1,)), axis=-1)
    for part, found, inside in around(places, grid, radius):
        for place, row, use in zip(places[part], found, inside, strict=True):
            apart = np.abs(at - at[place])
            near = (apart <= radius).all(axis=1)
            near &= (apart[:, : max(0, len(grid) - 3)] == 0).all(axis=1)  # frames tell nothing of each other
            assert sorted(row[use]) == np.flatnonzero(near & (places != place)).tolist()


def test_weighted_median_by_counting() -> None:
    rng = np.random.default_rng(0)
    values, counts = rng.normal(size=(50, 9)), rng.integers(1, 6, (50, 9))
    use = rng.random((50, 9)) < 0.7
    use[0] = False
    found = weighted_median(values, counts.astype(float), use)
    assert np.isnan(found[0])
    for own, value, count, chosen in zip(found[1:], values[1:], counts[1:], use[1:], strict=True):
        repeated = np.sort(np.repeat(value[chosen], count[chosen]))
        assert own == repeated[(repeated.size - 1) // 2]


def test_weights_of_any_size() -> None:
    found = weighted_median(np.array([[1.0, 2.0, 3.0]]), np.array([[1e-300, 1e300, 1e-300]]), np.ones((1, 3), bool))
    assert found[0] == 2


def test_any_around() -> None:
    where = np.zeros((5, 5), bool)
    where[2, 2] = True
    found = any_around(where, np.arange(25), 1).reshape(5, 5)
    expected = np.zeros((5, 5), bool)
    expected[1:4, 1:4] = True
    expected[2, 2] = False  # no neighbour of itself
    np.testing.assert_array_equal(found, expected)


def test_lower_quartile() -> None:
    values = np.arange(25.0).reshape(5, 5)
    values[0, 0] = np.nan
    use = np.ones((5, 5), bool)
    use[2, 1] = False
    found = lower_quartile_around(values, use, np.array([12]))
    assert found[0] == np.sort(np.delete(values.ravel(), [0, 11, 12]))[(22 - 1) // 4]
    assert np.isnan(lower_quartile_around(values, np.zeros((5, 5), bool), np.array([12]))[0])
