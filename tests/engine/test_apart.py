"""Models whose values depend on more than their own sample are refused, and no others."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from napari_imagefit import Model, Parameter, fit_image, fit_spots, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.models.check_model import check_apart, find_trouble

Y, X = np.mgrid[:24, :30]
IMAGE = 2.0 * Y + X + 7


def model(function: Any, ndim: int = 2) -> Model:
    parameters = [Parameter(name) for name in ("a", "b", "o")]
    return Model("mine", function, parameters, ndim, lambda _c, d, _w: np.zeros((3, d.shape[1])), "", "")


MIXING = {
    "mean": lambda c, a, b, o: a * (c[0] - jnp.mean(c[0])) + b * c[1] + o,
    "sum": lambda c, a, b, o: a * jnp.exp(-b * c[0]) / jnp.sum(jnp.exp(-b * c[0])) + o,
    "step": lambda c, a, b, o: a * (c[0][1] - c[0][0]) * c[1] + b * c[0] + o,
    "largest": lambda c, a, b, o: a * c[0] / jnp.max(c[0]) + b * c[1] + o,
}


@pytest.mark.parametrize("name", list(MIXING))
def test_samples_that_are_mixed_are_refused(name: str) -> None:
    mine = model(MIXING[name])
    for fit in (
        lambda: fit_image(IMAGE, mine),
        lambda: fit_image(IMAGE, mine + models["plane_2d"]),
        lambda: fit_spots(IMAGE, [[9, 9]], mine, window=5, background="sloping"),
    ):
        with pytest.raises(FitInputError, match="'mine' computes a value from several samples together"):
            fit()


def test_spots_of_a_group_are_refused_too() -> None:
    """The sum that is fitted to a group is ours, what it adds up is not; starts ask that for each spot by itself."""

    def function(c: Any, amplitude: Any, y: Any, x: Any) -> Any:
        bell = jnp.exp(-((c[0] - y) ** 2) - (c[1] - x) ** 2)
        return amplitude * bell / jnp.sum(bell)

    parameters = [Parameter("amplitude"), Parameter("y", "coord0"), Parameter("x", "coord1")]
    mine = Model("mine", function, parameters, 2, lambda _c, d, _w: np.ones((3, d.shape[1])), "", "")
    with pytest.raises(FitInputError, match="'mine' computes a value from several samples together"):
        fit_spots(IMAGE, [[9, 9], [9, 11]], mine, window=5, groups=2)


def test_what_cannot_be_proved_is_tried() -> None:
    """A loop is not followed by the proof, but its values tell."""

    def function(c: Any, a: Any, b: Any, o: Any) -> Any:
        return lax.fori_loop(0, 3, lambda _, total: total + a * c[0], b * c[0]) + o

    check_apart(model(function, 1))
    t = np.arange(12.0)
    found = fit_voxels(5 * t + 1, model(function, 1), x=t, fixed={"b": 2.0})
    assert found.params["a"] == pytest.approx(1)


def test_a_constant_and_all_of_the_catalogue_are_apart() -> None:
    assert not find_trouble(model(lambda _c, a, b, o: a + b + o))
    # fits of these do not ask, for they are ours
    assert {name for name, one in models.items() if find_trouble(one)} == set()


@pytest.mark.parametrize(
    "function",
    [
        lambda c, a, b, o: a * np.exp(-np.asarray(c[0])) + b + o,  # not JAX
        lambda c, a, b: a * c[0] + b,
        lambda c, a, b, o: jnp.stack([a * c[0], b * c[1] + o]),
    ],
    ids=["numpy", "parameters", "shape"],
)
def test_a_function_that_cannot_be_computed_is_named(function: Any) -> None:
    with pytest.raises(FitInputError, match=r"model 'mine' cannot be computed with JAX .* for 2 coordinates and 3"):
        fit_image(IMAGE, model(function))
