"""Borders of labels as lines: closed around each area, and inside of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from napari_imagefit.imaging.inspection.label_edges import label_edges

DEPTH = np.array([0.1, 0.2])


def test_one_pixel_has_a_frame_inside_of_it() -> None:
    edges = label_edges(np.array([[0, 0, 0], [0, 5, 0]]), [5])
    np.testing.assert_array_equal(edges.labels, [5] * 4)
    ends = edges.inset(DEPTH).reshape(-1, 2)
    np.testing.assert_allclose(np.unique(ends[:, 0]), [0.6, 1.4], rtol=1e-6)
    np.testing.assert_allclose(np.unique(ends[:, 1]), [0.7, 1.3], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_lines_are_closed_and_each_lies_in_its_own_area(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (9, 12))
    edges = label_edges(labels, [1, 2, 3])
    assert len(edges.labels) > 100
    ends = edges.inset(DEPTH)
    for label in (1, 2, 3):
        of = ends[edges.labels == label]
        met = Counter(map(tuple, of.reshape(-1, 2).round(4).tolist()))
        assert all(count % 2 == 0 for count in met.values()), "every end meets another"
        middles = of.mean(axis=1)
        assert (labels[tuple(np.rint(middles).astype(int).T)] == label).all()


def test_labels_that_are_not_drawn_have_none() -> None:
    assert not len(label_edges(np.ones((3, 4), np.uint8), [2]).labels)
    assert len(label_edges(np.ones((3, 4), np.uint8), [1]).labels) == 14, "along the border of the plane, too"
