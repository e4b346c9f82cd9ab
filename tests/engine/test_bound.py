"""Models at their coordinates."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from napari_imagefit import models
from napari_imagefit.engine.core.errors import FitInputError

SURFACE, CURVE = models["gaussian_2d"], models["exponential_decay"]
Y, X = np.mgrid[:3.0, :4.0]


def test_what_it_knows() -> None:
    bound = SURFACE.bind(Y, X)
    assert bound.model is SURFACE
    assert bound.parameters == SURFACE.names
    assert bound.n_observations == 12
    np.testing.assert_array_equal(bound.coords, [Y.ravel(), X.ravel()])
    assert bound.get_bounds() == {**dict.fromkeys(SURFACE.names, (-np.inf, np.inf)), "sigma": (0, np.inf)}
    assert repr(bound) == "<BoundModel gaussian_2d(amplitude, y, x, sigma, offset) at 12 coordinates>"


def test_it_is_frozen() -> None:
    times = np.arange(4.0)
    bound = CURVE.bind(times)
    times[:] = 7
    np.testing.assert_array_equal(bound.coords[0], np.arange(4.0))
    with pytest.raises(ValueError, match="read-only"):
        bound.coords[0][0] = 1
    with pytest.raises(FrozenInstanceError):
        bound.model = SURFACE  # type: ignore[misc]


def test_predict() -> None:
    params = np.array([[2.0, 3, np.nan], [5, 8, 1], [0, 1, 0]])
    t = np.linspace(0, 9, 7)
    values = CURVE.bind(t).predict(params)
    assert values.shape == (7, 3)
    # exp of the same argument, differently rounded
    np.testing.assert_allclose(values, params[0] * np.exp(-t[:, None] / params[1]) + params[2], rtol=1e-12)
    assert np.isnan(values[:, 2]).all()


@pytest.mark.parametrize("params", [np.ones(3), np.ones((2, 4)), np.ones((4, 3)), 1.0])
def test_params_of_another_shape(params: Any) -> None:
    with pytest.raises(FitInputError, match=r"give \(3, n_fits\): amplitude, tau, offset"):
        CURVE.bind([0, 1, 2]).predict(params)


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        ((Y,), "takes 2 coordinates, but 1 were given; give one array for each"),
        ((Y, X, X), "takes 2 coordinates, but 3"),
        ((), "takes 2 coordinates, but 0"),
        ((Y, X.ravel()), "shapes .* give arrays of one shape"),
        ((Y, X[:2]), "shapes .* give arrays of one shape"),
        ((1.0, 2.0), "shapes .* not numbers"),
        ((Y, X * np.nan), "NaN or infinity; give finite"),
        ((Y + np.inf, X), "NaN or infinity; give finite"),
        (([], []), "is empty"),
        ((Y, X * 1j), "real numbers"),
        ((Y, ["a", "b"]), "real numbers"),
    ],
)
def test_wrong_coordinates(coords: tuple[Any, ...], message: str) -> None:
    with pytest.raises(FitInputError, match=message):
        SURFACE.bind(*coords)
