"""How two entries of the history differ: a picture or maps, a criterion, and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_imagefit import fit_image
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.history.compare_entries import compare_entries
from napari_imagefit.layers.history.entry import Entry
from napari_imagefit.layers.history.entry_layers import layers_of
from napari_imagefit.layers.request.choices import NoiseChoice, Row
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

from .history_help import ELLIPTIC, ROUND, add, choices, clouds, drive, fit, show, toggle


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    return viewer.add_image(clouds(), name="clouds")


def add_comparison(entry: Entry, other: Entry) -> str:
    """Compare as a click does."""
    made, words = compare_entries(entry, other)
    for new in made:
        entry.take_layer(new)
    return words


def test_two_models_of_regions_are_compared_at_their_outlines(viewer: ViewerModel, image: Image) -> None:
    round_one, elliptic = fit(viewer, image, ROUND), fit(viewer, image)
    words = add_comparison(elliptic, round_one)
    assert "fit 2 (Gaussian, elliptic) is better in 3, fit 1 (Gaussian, round) in 0 of 3 fits" in words
    show(viewer, elliptic)
    found = layers_of(viewer.layers, elliptic)
    layer, picture = found["difference:1:differences"], found["difference:1:Δresidual"]
    assert layer.visible
    assert picture.visible
    assert picture.name == "clouds · fit 2 − fit 1 · Δresidual"
    first, second = fit_image(image.data, ROUND), fit_image(image.data, ELLIPTIC)
    assert layer.features["frame"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(layer.features["Δy [px]"], second.params["y"] - first.params["y"])
    np.testing.assert_array_equal(layer.features["ΔAICc"], second.aicc - first.aicc)
    assert f"clouds, frame 1 {(second.aicc - first.aicc)[1].item():+.3g}" in words
    np.testing.assert_allclose(picture.data, second.residual() - first.residual(), rtol=0, atol=1e-6)
    toggle(viewer, elliptic)
    assert not layer.visible


def test_fits_without_outlines_are_compared_too(viewer: ViewerModel, image: Image) -> None:
    plane, parabola = fit(viewer, image, "plane_2d"), fit(viewer, image, "parabola_2d")
    del plane.outputs["outlines"]  # as Show ▾ takes them out
    assert "is better in 3, fit 1" in add_comparison(parabola, plane)
    words = add_comparison(plane, parabola)
    assert "fit 2" in words
    assert words.count("frame") == 3
    table = plane.outputs["difference:2:differences"][1]["features"]
    assert np.isfinite(table["ΔAICc"]).all()
    assert plane.outputs["difference:2:Δresidual"][0].shape == image.data.shape


def test_two_fits_of_voxels_are_compared_in_maps(viewer: ViewerModel) -> None:
    t = np.arange(12.0)[:, None, None]
    noise = np.random.default_rng(1).normal(0, 0.01, (12, 4, 5))
    stack = viewer.add_image(2 * np.exp(-t / np.linspace(2, 5, 20).reshape(1, 4, 5)) + noise, name="decay")
    free = fit(viewer, stack, "exponential_decay", job="voxels")
    rows = (Row("amplitude"), Row("tau"), Row("offset", 0.0, fixed=True))
    held = add(viewer, drive(run_any(freeze(replace(choices(stack, "exponential_decay", job="voxels"), rows=rows)))))
    add_comparison(held, free)
    show(viewer, held)
    found = layers_of(viewer.layers, held)
    assert free.outcome is not None
    assert held.outcome is not None
    one, other = held.outcome.result, free.outcome.result
    assert one is not None
    assert other is not None
    tau = next(layer for what, layer in found.items() if what.startswith("difference:1:Δtau"))
    np.testing.assert_array_equal(tau.data, one.params["tau"] - other.params["tau"])
    np.testing.assert_array_equal(found["difference:1:ΔAICc"].data, one.aicc - other.aicc)


def other_grid(viewer: ViewerModel, image: Image) -> Entry:
    shapes = [[[2, 2], [2, 14], [18, 14], [18, 2]], [[2, 10], [2, 27], [18, 27], [18, 10]]]
    return fit(viewer, image, region=viewer.add_shapes(shapes, shape_type="rectangle", name="two"))


def other_data(viewer: ViewerModel, _image: Image) -> Entry:
    return fit(viewer, viewer.add_image(clouds(), name="other"))


def let_go(viewer: ViewerModel, image: Image) -> Entry:
    entry = fit(viewer, image)
    entry.let_go()
    return entry


@pytest.mark.parametrize(
    ("make", "why"), [(other_grid, "grids of shape"), (other_data, "of other data"), (let_go, "were let go")]
)
def test_what_cannot_be_compared_is_refused(
    viewer: ViewerModel, image: Image, make: Callable[[ViewerModel, Image], Entry], why: str
) -> None:
    first, other = fit(viewer, image), make(viewer, image)
    with pytest.raises(FitInputError, match=why):
        add_comparison(first, other)
    assert not any(what.startswith("difference") for what in first.outputs)


def test_other_noise_gives_differences_without_a_criterion(viewer: ViewerModel, image: Image) -> None:
    first = fit(viewer, image)
    known = fit(viewer, image, noise=NoiseChoice("sigma", 0.02))
    assert "there is no ΔAICc, for the results were fitted with different noise" in add_comparison(known, first)
    made = known.outputs["difference:1:differences"]
    assert "ΔAICc" not in made[1]["features"]
