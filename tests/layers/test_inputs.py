"""From choices to a request, and one sentence for each mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_imagefit import models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.request.choices import Choices, Coordinates, Row
from napari_imagefit.layers.request.fit_request import Request
from napari_imagefit.layers.request.freeze import freeze, layer_units

SQUARE = [[2, 3], [2, 17], [12, 17], [12, 3]]


def rows(model: str, **changed: Row) -> tuple[Row, ...]:
    return tuple(changed.get(name, Row(name)) for name in models[model].names)


def region_choices(image: Image | None, region: Any = None, model: str = "gaussian_2d", **more: Any) -> Choices:
    return Choices(image, "region", model, more.pop("rows", rows(model)), region, **more)


@pytest.fixture
def image() -> Image:
    return Image(np.random.default_rng(0).normal(size=(4, 20, 30)), name="stack")


@pytest.fixture
def square() -> Shapes:
    return Shapes([np.array(SQUARE)], shape_type="rectangle", name="ROI")


def test_whole_image_is_one_region_in_every_frame(image: Image) -> None:
    request = freeze(region_choices(image))
    assert request.grid == (4, 1)
    (region,) = request.regions
    assert region.pixels.size == 600
    assert region.frames.tolist() == [0, 1, 2, 3]
    assert request.region_names == ("stack",)
    np.testing.assert_array_equal(request.coords[0], np.arange(20.0))


def test_frames_of_a_drawn_shape(image: Image) -> None:
    drawn = Shapes([np.insert(np.array(SQUARE, float), 0, 2, axis=1)], shape_type="rectangle", name="ROI")

    def frames(choice: Any) -> list[int]:
        request = freeze(region_choices(image, drawn, frames=choice, current=(3, 0, 0)))
        return request.regions[0].frames.tolist()

    assert frames("all") == [0, 1, 2, 3]
    assert frames("drawn") == [2]
    assert frames("current") == [3]


def test_shapes_and_labels_are_regions(image: Image, square: Shapes) -> None:
    square.add([np.array(SQUARE) + 5], shape_type="rectangle")
    request = freeze(region_choices(image, square))
    assert request.grid == (4, 2)
    assert request.regions[1].places.tolist() == [1, 3, 5, 7]
    labels = np.zeros((20, 30), int)
    labels[2:13, 3:18] = 7
    same = freeze(region_choices(image, Labels(labels)))
    np.testing.assert_array_equal(same.regions[0].pixels, request.regions[0].pixels)
    assert same.region_names[0].endswith("7")


def test_coordinates_are_the_layers_own() -> None:
    scaled = Image(np.zeros((5, 20, 30)), scale=(8, 0.5, 0.25), translate=(8, 1, 2), units=("ms", "um", "um"))
    surface = freeze(region_choices(scaled))
    np.testing.assert_allclose(surface.coords[1], 2 + 0.25 * np.arange(30))
    assert surface.units["sigma"] == surface.units["x"] == "µm"
    curve = freeze(Choices(scaled, "voxels", "exponential_decay", rows("exponential_decay"), axis=0))
    np.testing.assert_allclose(curve.coords[0], [8, 16, 24, 32, 40])
    assert curve.units == {"amplitude": "", "tau": "ms", "offset": ""}
    typed = freeze(
        Choices(
            scaled,
            "voxels",
            "exponential_decay",
            rows("exponential_decay"),
            coordinates=Coordinates("typed", values=(0, 1, 2, 3, 4)),
        )
    )
    assert typed.units["tau"] == ""
    assert typed.coords[0].tolist() == [0, 1, 2, 3, 4]


def test_axes_in_different_units_are_brought_to_one() -> None:
    mixed = Image(np.zeros((20, 30)), scale=(1, 1000), units=("um", "nm"))
    request = freeze(region_choices(mixed))
    np.testing.assert_allclose(request.coords[1], np.arange(30.0))
    assert request.units["sigma"] == "µm"
    assert layer_units(mixed, models["gaussian_2d"], [-2, -1]) == request.units


def test_the_parameter_table_becomes_starts_bounds_and_fixed(image: Image) -> None:
    table = rows(
        "gaussian_2d",
        sigma=Row("sigma", 2.0, 1.0, 5.0),
        offset=Row("offset", 0.0, fixed=True),
        x=Row("x", None, None, 20.0),
    )
    said = freeze(region_choices(image, rows=table)).settings
    assert said.init == {"sigma": 2.0}
    assert said.fixed == {"offset": 0.0}
    assert said.bounds["sigma"] == (1.0, 5.0)
    assert said.bounds["x"] == (-np.inf, 20.0)


def test_a_voxel_mask_is_the_union_of_shapes(image: Image, square: Shapes) -> None:
    square.add([np.array(SQUARE) + 5], shape_type="rectangle")
    table = rows("exponential_decay")
    request = freeze(Choices(image, "voxels", "exponential_decay", table, square, axis=0))
    assert request.mask is not None
    assert request.mask.shape == (20, 30)
    assert request.mask.sum() == 2 * 11 * 15 - 6 * 10


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: replace(c, image=None), "There is no image to fit; open one"),
        (lambda c: replace(c, image=Image(np.zeros((8, 9, 3)), rgb=True, name="photo")), "'photo' is an RGB image"),
        (lambda c: replace(c, region=Shapes(ndim=2, name="ROI")), "'ROI' holds no shapes; draw"),
        (lambda c: replace(c, region=Shapes([np.array(SQUARE) + 500], name="far")), "lies outside the image 'stack'"),
        (lambda c: replace(c, region=Labels(np.zeros((20, 30), int), name="cells")), "'cells' has no label above 0"),
        (
            lambda c: replace(c, region=Shapes([[[2, 3], [2, 4], [3, 4], [3, 3]]], name="tiny")),
            "Region 'tiny 1' has 4 pixels, fewer than the 5 free parameters of 'gaussian_2d'; enlarge it",
        ),
        (lambda c: replace(c, rows=rows("gaussian_2d", sigma=Row("sigma", None, 3, 3))), "lower bound 3 of 'sigma'"),
        (
            lambda c: replace(c, rows=rows("gaussian_2d", sigma=Row("sigma", None, 4, 3))),
            "is not below its upper bound",
        ),
        (
            lambda c: replace(c, rows=rows("gaussian_2d", sigma=Row("sigma", 9, 1, 3))),
            "the start 9 of 'sigma' is outside",
        ),
        (lambda c: replace(c, rows=rows("gaussian_2d", sigma=Row("sigma", fixed=True))), "has no value; type one"),
        (
            lambda c: replace(c, rows=tuple(Row(n, 1, fixed=True) for n in models["gaussian_2d"].names)),
            "all parameters of 'gaussian_2d' are fixed; leave at least one free",
        ),
        (
            lambda c: Choices(
                c.image,
                "voxels",
                "exponential_decay",
                rows("exponential_decay"),
                coordinates=Coordinates("typed", values=(1.0, 2.0)),
            ),
            "2 coordinates were typed, but the stack has 4 samples",
        ),
        (
            lambda _: Choices(
                Image(np.zeros((2, 8, 9)), name="pair"), "voxels", "exponential_decay", rows("exponential_decay")
            ),
            "has 2 samples along axis 0, fewer than the 3 free parameters",
        ),
    ],
)
def test_every_mistake_is_one_sentence(image: Image, change: Any, sentence: str) -> None:
    with pytest.raises(FitInputError) as caught:
        freeze(change(region_choices(image)))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_request_holds_no_layer(image: Image, square: Shapes) -> None:
    """What a worker thread reads cannot change under it: arrays and numbers only."""
    request = freeze(region_choices(image, square))
    before = request.regions[0].pixels.copy()
    square.data = [np.array(SQUARE) + 2]
    np.testing.assert_array_equal(request.regions[0].pixels, before)
    assert isinstance(request, Request)
    assert not any(isinstance(value, Image | Shapes) for value in vars(request).values())
