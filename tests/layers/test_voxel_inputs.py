"""What is chosen for voxels becomes arrays: starts and fixed values from layers, noise, samples, painted voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_imagefit import Selection, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.geometry.voxel_values import values_on_grid
from napari_imagefit.layers.request.choices import Choices, Computing, NoiseChoice, Row
from napari_imagefit.layers.request.fit_request import Request
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.paint import find_paint, paint_layer, painted

DECAY = "exponential_decay"
RNG = np.random.default_rng(2)


@pytest.fixture
def stack() -> Image:
    return Image(RNG.uniform(1, 2, (8, 6, 7)), name="stack", scale=(2, 0.5, 0.5), units=("ms", "um", "um"))


def frozen(image: Image, *rows: Row, **more: Any) -> Request:
    table = {row.name: row for row in rows}
    return freeze(Choices(image, "voxels", DECAY, tuple(table.get(n, Row(n)) for n in models[DECAY].names), **more))


def b1(shift: float = 0, fill: float | None = None) -> Image:
    values = np.arange(42.0).reshape(6, 7)
    if fill is not None:
        values[2, 3] = fill
    return Image(values, name="B1", scale=(0.5, 0.5), translate=(shift, 0), units=("um", "um"))


def test_a_parameter_is_fixed_per_voxel_from_a_layer(stack: Image) -> None:
    request = frozen(stack, Row("offset", b1(), fixed=True))
    np.testing.assert_array_equal(request.settings.fixed["offset"], np.arange(42.0).reshape(6, 7))


def test_the_layer_is_looked_up_where_it_lies() -> None:
    image = Image(np.zeros((4, 3, 3)), units=("s", "um", "um"))
    fine = Image(np.arange(36.0).reshape(6, 6), scale=(500, 500), units=("nm", "nm"))
    np.testing.assert_array_equal(values_on_grid(fine, image, 0), [[0, 2, 4], [12, 14, 16], [24, 26, 28]])
    moved = Image(np.arange(9.0).reshape(3, 3), translate=(1, 0))
    np.testing.assert_array_equal(
        values_on_grid(moved, Image(np.zeros((4, 3, 3))), 0), [[np.nan] * 3, [0, 1, 2], [3, 4, 5]]
    )
    # a map of a stack whose last axis is fitted has that axis with one sample, and lies in the middle of it
    last = Image(np.zeros((3, 2, 5)))
    thin = Image(np.arange(6.0).reshape(3, 2, 1), translate=(0, 0, 2))
    np.testing.assert_array_equal(values_on_grid(thin, last, 2), np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(
        values_on_grid(Image(np.arange(6.0).reshape(3, 2)), last, 2), [[0, 1], [2, 3], [4, 5]]
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_are_read_and_never_written(axis: int) -> None:
    """A σ of 0 becomes infinite for the fit, and stood so in the user's layer where the axis was not the first."""
    stack = Image(RNG.uniform(1, 2, (8, 8, 8)), name="stack")
    sigma, offset = (Image(RNG.uniform(1, 2, (8, 8))) for _ in range(2))
    sigma.data[2, 3] = 0.0
    before = sigma.data.copy()
    rows = Row("offset", offset, fixed=True)
    request = frozen(stack, rows, axis=axis, noise=NoiseChoice("sigma", sigma))
    np.testing.assert_array_equal(sigma.data, before)
    assert np.isinf(np.squeeze(request.settings.sigma)[2, 3])
    assert not np.shares_memory(request.settings.fixed["offset"], offset.data)


def test_gaps_matter_only_where_something_is_fitted(stack: Image) -> None:
    gap = b1(fill=np.nan)
    with pytest.raises(FitInputError, match=r"'B1' has no value at 1 of the 42 voxels that 'offset' is fixed in"):
        frozen(stack, Row("offset", gap, fixed=True))
    region = np.ones((6, 7), int)
    region[2, 3] = 0
    labels = Labels(region, scale=(0.5, 0.5), units=("um", "um"))
    assert np.isnan(frozen(stack, Row("offset", gap, fixed=True), region=labels).settings.fixed["offset"][2, 3])
    # a start is but a start: the median
    assert frozen(stack, Row("offset", gap)).settings.init["offset"][2, 3] == np.nanmedian(gap.data)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (Row("offset", b1(shift=100), fixed=True), "'B1' does not lie over 'stack'"),
        (
            Row("offset", Image(np.zeros((6, 7, 3)), rgb=True, name="photo"), fixed=True),
            "'photo' holds no single number",
        ),
        (Row("tau", 3.0, 5.0), "the start 3 of 'tau' is outside its bounds"),
        (Row("tau", b1(), 5.0), "the start 0 of 'tau' is outside its bounds"),
        (Row("offset", tied="0.1*amplitud"), "amplitud"),
        (Row("offset", 0.0, fixed=True, tied="0.1*amplitude"), "'offset' is tied and also fixed"),
        (Row("offset", tied="import os"), "import os"),
    ],
)
def test_mistakes_in_the_table(stack: Image, row: Row, sentence: str) -> None:
    with pytest.raises(FitInputError, match=sentence):
        frozen(stack, row)


def test_surfaces_take_numbers_only() -> None:
    cloud = Image(np.zeros((20, 30)), name="cloud")
    table = tuple(Row(n, b1() if n == "offset" else None) for n in models["gaussian_2d"].names)
    with pytest.raises(FitInputError, match="which is for voxels"):
        freeze(Choices(cloud, "region", "gaussian_2d", table))


def test_ties_are_kept(stack: Image) -> None:
    request = frozen(stack, Row("offset", tied="0.1*amplitude"))
    assert request.settings.tied == {"offset": "0.1*amplitude"}
    assert "offset" not in request.settings.bounds


def test_noise_and_computing(stack: Image) -> None:
    assert frozen(stack, noise=NoiseChoice("sigma", 0.5)).settings.sigma == 0.5
    assert frozen(stack, noise=NoiseChoice("poisson")).options.noise == "poisson"
    rician = frozen(stack, noise=NoiseChoice("rician", 2.0))
    assert (rician.options.noise, rician.settings.sigma) == ("rician", 2.0)
    camera = frozen(stack, noise=NoiseChoice("camera", gain=2, offset=100, read_noise=1.5)).settings.camera
    assert camera is not None
    assert (camera.gain, camera.offset, camera.read_noise) == (2, 100, 1.5)
    computing = Computing("huber", 3.0, 50, 1e-6, "float32", "cpu")
    options = frozen(stack, computing=computing).options
    assert (options.loss, options.f_scale, options.max_iterations) == ("huber", 3.0, 50)
    assert (options.ftol, options.xtol, options.gtol, options.dtype, options.device) == (
        1e-6, 1e-6, 1e-6, "float32", "cpu",
    )  # fmt: skip


def test_sigma_per_voxel_and_per_sample(stack: Image) -> None:
    per_voxel = frozen(stack, noise=NoiseChoice("sigma", b1())).settings.sigma
    assert np.shape(per_voxel) == (1, 6, 7)
    # 0 is no standard deviation: such a sample does not count
    assert np.isinf(np.asarray(per_voxel)[0, 0, 0])
    whole = Image(np.full((8, 6, 7), 0.3), name="σ", scale=stack.scale, units=stack.units)
    assert np.shape(frozen(stack, noise=NoiseChoice("sigma", whole)).settings.sigma) == (8, 6, 7)


@pytest.mark.parametrize(
    ("noise", "sentence"),
    [
        (NoiseChoice("sigma"), "Known σ was chosen without a σ"),
        (NoiseChoice("rician"), "Rician noise was chosen without a σ"),
        (NoiseChoice("sigma", -1.0), "σ is -1; give a standard deviation above 0"),
        (NoiseChoice("sigma", Image(np.zeros((6, 7)), name="dark")), "'dark' holds no value above 0"),
        (NoiseChoice("camera", gain=0), "gain has the value 0"),
    ],
)
def test_noise_that_makes_no_sense(noise: NoiseChoice, sentence: str) -> None:
    plain = Image(RNG.uniform(1, 2, (8, 6, 7)))
    with pytest.raises(FitInputError, match=sentence):
        frozen(plain, noise=noise)


def test_samples_and_unit_go_along(stack: Image) -> None:
    request = frozen(stack, select=Selection(skip_first=2), derived=("1/tau",))
    assert request.select == Selection(skip_first=2)
    assert request.derived == ("1/tau",)
    assert request.x_unit == "ms"


def test_painted_voxels_are_left_out(stack: Image) -> None:
    viewer = ViewerModel()
    viewer.add_layer(stack)
    request = frozen(stack)
    data, options, _ = paint_layer(request, (6, 7))
    layer = viewer.add_labels(data, **options)
    assert find_paint(viewer.layers, request.source) is layer
    np.testing.assert_array_equal(layer.scale, [0.5, 0.5])
    assert frozen(stack, paint=layer).mask is None
    layer.data[1, 2:4] = 2
    layer.data[0, 0] = 1
    mask = frozen(stack, paint=layer).mask
    assert mask is not None
    assert np.argwhere(~mask).tolist() == [[1, 2], [1, 3]]
    layer.data[:] = 2
    with pytest.raises(FitInputError, match="All voxels are painted to be left out"):
        frozen(stack, paint=layer)
    with pytest.raises(FitInputError, match=r"but \(3, 3\) voxels are fitted"):
        painted(layer, (3, 3))


def test_paint_over_a_stack_whose_last_axis_is_fitted() -> None:
    image = Image(RNG.uniform(1, 2, (6, 7, 8)))
    request = frozen(image, axis=2)
    data, options, _ = paint_layer(request, (6, 7))
    layer = Labels(data, **options)
    assert layer.data.shape == (6, 7, 1)
    assert painted(layer, (6, 7)).shape == (6, 7)
