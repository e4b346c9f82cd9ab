"""The layers of voxel maps beyond parameters and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit import FitResult, fit_voxels
from napari_imagefit.imaging.voxels.best_attempt import copy

T = np.arange(8.0)


@pytest.fixture(scope="module")
def result() -> FitResult:
    stack = 3 * np.exp(-T[:, None, None] / np.array([[2.0, 3.0, 4.0]])) + np.random.default_rng(0).normal(
        0, 0.01, (8, 2, 3)
    )
    stack[2, 1, 1] = np.nan
    return fit_voxels(stack, "exponential_decay", x=T)


def by_role(result: FitResult) -> dict[str, tuple[Any, dict[str, Any], str]]:
    return {layer[1]["metadata"]["napari_imagefit"]["role"]: layer for layer in result.to_layers()}


def test_goodness_and_samples_are_hidden_maps(result: FitResult) -> None:
    layers = by_role(result)
    for role in ("r2", "n_used"):
        data, options, kind = layers[role]
        np.testing.assert_array_equal(data, getattr(result, role))
        assert kind == "image"
        assert not options["visible"]
    assert layers["n_used"][0][1, 1] == 7
    assert "attempt" not in layers


def test_no_map_has_values_that_cannot_be_drawn(result: FitResult) -> None:
    wild = copy(result)
    wild.params["tau"][0, :2] = 1e300, -1e300
    with np.errstate(over="raise"):
        drawn = by_role(wild)["param:tau"][0].astype(np.float32)
    assert drawn[0, 0] == -drawn[0, 1] == np.finfo(np.float32).max
    assert drawn[1, 2] == np.float32(result.params["tau"][1, 2])


def test_tries_are_shown_once_there_are_some(result: FitResult) -> None:
    second = copy(result)
    second.attempt[0, :2] = 1, 3
    data, options, kind = by_role(second)["attempt"]
    assert kind == "labels"
    assert not options["visible"]
    assert data.tolist() == [[1, 3, 0], [0, 0, 0]]
    assert options["features"]["fits"] == [4, 1, 0, 1]
    assert options["features"]["attempt"][3] == "within wider bounds"


def test_napari_takes_them(result: FitResult) -> None:
    layers = pytest.importorskip("napari.layers")
    second = copy(result)
    second.attempt[0, 0] = 2
    for data, options, kind in second.to_layers():
        layers.Layer.create(data, options, kind)
