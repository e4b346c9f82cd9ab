"""Results as layers: in place over their input, updated by the next fit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_imagefit import FitResult, Status, fit_image, fit_voxels, models
from napari_imagefit.imaging.fitting.status_labels import remark_words
from napari_imagefit.layers.files.export import write_outcome
from napari_imagefit.layers.geometry.output_layers import (
    Output,
    is_output,
    map_transform,
    put,
    remove_stale,
    role,
    shown_roles,
)
from napari_imagefit.layers.geometry.transforms import data_to_world
from napari_imagefit.layers.request.choices import Choices, Coordinates, Row
from napari_imagefit.layers.request.fit_request import Outcome, Request
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.result_layers import make_more
from napari_imagefit.layers.tasks.run_fit import run_any

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def run(request: Request) -> Outcome:
    steps: Generator[Any, None, Outcome] = run_any(request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def rows(model: str) -> tuple[Row, ...]:
    return tuple(Row(name) for name in models[model].names)


def show(viewer: ViewerModel, outcome: Outcome) -> dict[str, Any]:
    assert not outcome.refusal
    shown = {}
    for output in outcome.outputs:
        layer = shown[role(output.data)] = put(viewer.layers, output)
        if layer is output.layer:
            layer.visible = output.visible  # as the session does, a turn later
    remove_stale(viewer.layers, outcome.request.group, shown.keys())
    return shown


def cloud(y: float = 9.0, x: float = 14.0) -> np.ndarray:
    grid = np.mgrid[0:20, 0:30]
    noise = np.random.default_rng(3).normal(0, 0.02, (2, 20, 30))
    return np.exp(-((grid[0] - y) ** 2 / 8 + (grid[1] - x) ** 2 / 18)) + noise


def asking(request: Request, *roles: str) -> Request:
    """As *Show* does."""
    return replace(request, chosen_roles=dict.fromkeys(roles, True))


PLACED: dict[str, Any] = {
    "scale": (1, 0.5, 0.5),
    "translate": (0, 3, 4),
    "rotate": (0, 0, 20),
    "units": ("s", "um", "um"),
    "axis_labels": ("t", "y", "x"),
}


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    return viewer.add_image(cloud(), name="cloud", **PLACED)


def surface(image: Image, model: str = "gaussian_2d_elliptic") -> Request:
    return freeze(Choices(image, "region", model, rows(model)))


def voxels(stack: Image, **more: Any) -> Request:
    return freeze(Choices(stack, "voxels", "exponential_decay", rows("exponential_decay"), **more))


def test_a_surface_comes_back_in_place(viewer: ViewerModel, image: Image) -> None:
    assert set(show(viewer, run(surface(image)))) == {"outlines"}, "at first no more than is looked at"
    shown = show(viewer, run(asking(surface(image), "fitted", "residual", "status")))
    assert set(shown) == {"fitted", "residual", "status", "outlines"}
    for layer in shown.values():
        np.testing.assert_allclose(data_to_world(layer)[0], data_to_world(image)[0], atol=1e-12)
        np.testing.assert_allclose(data_to_world(layer)[1], data_to_world(image)[1], atol=1e-12)
        assert layer.units == image.units
        assert tuple(layer.axis_labels) == tuple(image.axis_labels)
        assert is_output(layer)
    low, high = shown["residual"].contrast_limits
    assert low == -high
    np.testing.assert_allclose(shown["residual"].data, image.data - shown["fitted"].data, atol=1e-6)


def test_outlines_lie_on_the_cloud_and_carry_the_numbers(viewer: ViewerModel, image: Image, tmp_path: Path) -> None:
    outcome = run(surface(image))
    outlines = show(viewer, outcome)["outlines"]
    assert isinstance(outlines, Shapes)
    assert outlines.nshapes == 2
    assert list(outlines.shape_type) == ["ellipse", "ellipse"]
    # centre in pixels of the image, half axes σ = 2 and 3 px; the noise moves them by some hundredths
    np.testing.assert_allclose(outlines.data[1].mean(axis=0), [1, 9, 14], atol=0.1)
    np.testing.assert_allclose(np.ptp(outlines.data[1], axis=0), [0, 4, 6], atol=0.2)
    features = outlines.features
    result = outcome.result
    assert isinstance(result, FitResult)
    np.testing.assert_array_equal(features["sigma_x [µm]"], result.params["sigma_x"][:, 0])
    np.testing.assert_array_equal(features["sigma_x_stderr [µm]"], result.stderr["sigma_x"][:, 0])
    assert features["status"].tolist() == [Status(int(s)).message for s in result.status.ravel()]
    assert features["status_code"].tolist() == result.status.ravel().tolist()
    assert features["flags"].tolist() == result.flags.ravel().tolist()
    assert features["remarks"].tolist() == remark_words(result).tolist()
    # what is exported has the same columns
    (table, _) = write_outcome(outcome, str(tmp_path / "a.csv"), "csv", None)
    assert list(pd.read_csv(table).columns) == [name for name in features.columns if name != "component"]
    assert features["frame"].tolist() == [0, 1]
    assert features["region"].tolist() == ["cloud", "cloud"]


def test_the_numbers_are_the_scripts_to_the_last_digit(viewer: ViewerModel) -> None:
    plain = viewer.add_image(cloud(), name="plain")
    mask = np.zeros((20, 30), bool)
    mask[2:18, 4:28] = True
    drawn = Shapes([[[2, 4], [2, 27], [17, 27], [17, 4]]], shape_type="rectangle")
    names = rows("gaussian_2d_elliptic")
    outcome = run(freeze(Choices(plain, "region", "gaussian_2d_elliptic", names, drawn)))
    script = fit_image(plain.data, "gaussian_2d_elliptic", mask=mask)
    assert outcome.result is not None
    for name in script.model.names:
        np.testing.assert_array_equal(outcome.result.params[name][:, 0], script.params[name])
        np.testing.assert_array_equal(outcome.result.stderr[name][:, 0], script.stderr[name])


def test_a_second_fit_updates_in_place(viewer: ViewerModel, image: Image) -> None:
    first = show(viewer, run(asking(surface(image), "residual")))
    first["residual"].visible = True
    order = [layer.name for layer in viewer.layers]
    image.data = cloud(y=11)
    viewer.layers.selection.active = image
    choices = Choices(image, "region", "gaussian_2d_elliptic", rows("gaussian_2d_elliptic"))
    request = freeze(choices, shown_roles(viewer.layers, choices.group))
    outcome = run(request)
    assert all(output.layer is None for output in outcome.outputs)
    second = show(viewer, outcome)
    assert all(second[name] is first[name] for name in first)
    assert [layer.name for layer in viewer.layers] == order
    assert viewer.layers.selection.active is image
    assert second["residual"].visible
    np.testing.assert_allclose(second["outlines"].data[0].mean(axis=0)[1], 11, atol=0.1)


@pytest.mark.parametrize("visible", [True, False])
def test_outlines_that_are_there_become_those_of_the_new_fit(
    viewer: ViewerModel, image: Image, visible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = show(viewer, run(surface(image)))["outlines"]
    old.visible = visible
    old.selected_data = {0}
    if visible:
        # to take away and to add takes ten times as long
        monkeypatch.setattr(Shapes, "remove_selected", None)
    image.data = cloud(6, 11)
    outcome = run(surface(image))
    new = show(viewer, outcome)["outlines"]
    assert new is old
    fresh = ViewerModel()
    fresh.add_layer(Image(image.data, **PLACED))
    other = show(fresh, outcome)["outlines"]
    new.visible = True
    for one, right in zip(new.data, other.data, strict=True):
        np.testing.assert_allclose(one, right, atol=1e-5)
    np.testing.assert_array_equal(new.edge_color, other.edge_color)
    np.testing.assert_allclose(new.edge_width, other.edge_width, rtol=0.05)
    if visible:
        # napari does not look at the extent of hidden layers
        np.testing.assert_allclose(new.extent.data, other.extent.data, atol=1e-5)
    pd.testing.assert_frame_equal(new.features, other.features)
    assert not new.selected_data


def test_layers_of_another_model_stay_until_it_is_fitted_again(viewer: ViewerModel) -> None:
    t = np.arange(12.0)[:, None, None]
    stack = viewer.add_image(np.exp(-t / np.full((1, 4, 5), 3.0)), name="decay")
    show(viewer, run(voxels(stack)))
    flat = viewer.add_image(cloud()[0], name="other")
    show(viewer, run(surface(flat)))
    show(viewer, run(surface(stack, "gaussian_2d")))
    taus = [layer for layer in viewer.layers if "· τ [px]" in layer.name]
    assert taus, "another model's results are left alone"
    show(viewer, run(voxels(stack)))
    assert [layer for layer in viewer.layers if "· τ [px]" in layer.name] == taus
    fixed = (Row("amplitude"), Row("tau", 3.0, fixed=True), Row("offset"))
    show(viewer, run(freeze(Choices(stack, "voxels", "exponential_decay", fixed))))
    assert not any("· τ [px]" in layer.name for layer in viewer.layers), "what the last fit lacks goes"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_maps_lie_on_their_stack_whatever_the_axis(viewer: ViewerModel, axis: int) -> None:
    rng = np.random.default_rng(1)
    tau = rng.uniform(2, 6, (5, 7))
    curves = np.moveaxis(np.exp(-np.arange(16.0)[:, None, None] / tau), 0, axis)
    stack = viewer.add_image(
        curves, scale=(2, 0.5, 0.25), translate=(1, 2, 3), rotate=(0, 0, 30) if axis == 0 else None
    )
    outcome = run(voxels(stack, axis=axis, coordinates=Coordinates("index")))
    shown = show(viewer, outcome)
    assert outcome.result is not None
    np.testing.assert_allclose(outcome.result.params["tau"], tau, rtol=1e-6)  # no noise: to the stop test
    tau_map = shown["param:tau"]
    for index in [(0, 0), (4, 6), (2, 3)]:
        for sample in (0, 7, 15):
            at = list(index)
            at.insert(axis, sample)
            world = stack.data_to_world(at)
            place = np.round(tau_map.world_to_data(world[-tau_map.ndim :])).astype(int)
            assert tau_map.data[tuple(place)] == outcome.result.params["tau"][index]


def test_failures_are_told_by_a_labels_layer(viewer: ViewerModel) -> None:
    t = np.arange(12.0)[:, None, None]
    curves = np.repeat(np.repeat(np.exp(-t / 3), 4, axis=1), 5, axis=2)
    curves[:, 0, 0] = np.nan
    curves[:, 1, 1] = 0
    stack = viewer.add_image(curves, name="decay")
    mask = Labels(np.ones((4, 5), int))
    mask.data[3] = 0
    shown = show(viewer, run(asking(voxels(stack, region=mask), "param:amplitude", "stderr:tau")))
    status = shown["status"]
    assert isinstance(status, Labels)
    assert status.visible
    assert (status.contour, status.opacity) == (1, 1), "the map below stays in sight"
    reasons = dict(zip(status.features["index"], status.features["reason"], strict=True))
    assert reasons[status.data[0, 0]] == Status.TOO_FEW_SAMPLES.message
    assert reasons[status.data[1, 1]] == Status.SINGULAR.message
    assert reasons[status.data[3, 0]] == Status.NOT_FITTED.message
    assert reasons[status.data[2, 2]] == "converged"
    counts = dict(zip(status.features["reason"], status.features["fits"], strict=True))
    assert (counts["converged"], counts[Status.NOT_FITTED.message]) == (13, 5)
    for name in ("param:tau", "param:amplitude", "stderr:tau"):
        assert np.isnan(shown[name].data[[0, 1, 3], [0, 1, 0]]).all()


def test_all_nan_is_refused_in_a_sentence(viewer: ViewerModel) -> None:
    empty = viewer.add_image(np.full((2, 20, 30), np.nan), name="empty", contrast_limits=(0, 1))
    outcome = run(surface(empty))
    assert outcome.result is None
    assert outcome.refusal == (
        "All pixels of region 'empty' in 'empty' are NaN or infinite; choose another region or layer."
    )


def test_map_transform_keeps_an_axis_that_cannot_be_dropped() -> None:
    leaning = Image(np.zeros((6, 4, 5)), rotate=(20, 0, 30), scale=(2, 1, 1))
    transform = map_transform(leaning, 0)
    singleton = Image(np.zeros((1, 4, 5)), **transform)
    for point in [(0, 1, 2), (5, 3, 4)]:
        place = singleton.world_to_data(leaning.data_to_world(point))
        np.testing.assert_allclose(place[1:], point[1:], atol=1e-9)
        assert abs(place[0]) <= 0.5


def test_a_layer_is_made_ahead_only_where_it_is_new(viewer: ViewerModel) -> None:
    result = fit_voxels(np.exp(-np.arange(12.0)[:, None, None] / np.full((1, 2, 3), 3.0)), "exponential_decay")
    assert all(isinstance(layer, tuple) for layer in result.to_layers())
    data, options, kind = result.to_layers()[-1]
    options["metadata"]["napari_imagefit"]["group"] = "g"
    options |= {"scale": (1, 1), "translate": (0, 0), "rotate": np.eye(2), "shear": np.eye(2), "affine": np.eye(3)}
    options |= {"units": ("pixel", "pixel"), "axis_labels": ("y", "x")}
    made = Output.of((data, options, kind), make=True)
    assert put(viewer.layers, made) is made.layer
    again = Output.of((data, options, kind), make=False)
    assert put(viewer.layers, again) is made.layer


def test_the_layers_of_a_fit_share_a_prefix_and_tell_the_unit(viewer: ViewerModel) -> None:
    image = viewer.add_image(cloud(), name="2024-11-30 helium shots 0013", **PLACED)
    request = replace(surface(image), units={"data": "counts"})
    shown = show(viewer, run(asking(request, "residual")))
    assert {name: layer.name for name, layer in shown.items()} == {
        "outlines": "2024-…0013 · Gauss ellip. · outlines",
        "residual": "2024-…0013 · Gauss ellip. · residual [counts]",
    }


def test_a_layer_that_was_renamed_stays_so(viewer: ViewerModel, image: Image) -> None:
    first = show(viewer, run(asking(surface(image), "residual")))
    first["outlines"].name = "the good ones"
    choices = Choices(image, "region", "gaussian_2d_elliptic", rows("gaussian_2d_elliptic"))
    image.name = "clouds"
    for _ in range(2):
        second = show(viewer, run(freeze(choices, shown_roles(viewer.layers, choices.group))))
        assert second["outlines"] is first["outlines"]
        assert second["outlines"].name == "the good ones"
        assert second["residual"].name == "clouds · Gauss ellip. · residual", "that one nobody has renamed"


def test_a_name_that_napari_has_numbered_was_not_given_by_a_person(viewer: ViewerModel, image: Image) -> None:
    viewer.add_image(np.zeros((4, 4)), name="cloud · Gauss ellip. · outlines")
    first = show(viewer, run(surface(image)))["outlines"]
    assert first.name == "cloud · Gauss ellip. · outlines [1]"
    image.name = "clouds"
    assert show(viewer, run(surface(image)))["outlines"] is first
    assert first.name == "clouds · Gauss ellip. · outlines"


def test_fits_without_an_answer_are_crosses_in_their_regions(viewer: ViewerModel) -> None:
    frames = cloud()
    frames[1] = 1.0  # constant: singular
    image = viewer.add_image(frames, name="half")
    corner = Shapes([[[2, 3], [2, 27], [17, 27], [17, 3]]], shape_type="rectangle")
    far = (Row("amplitude"), Row("y", start=1000.0, fixed=True), *map(Row, ("x", "sigma_y", "sigma_x", "offset")))
    for table in (rows("gaussian_2d_elliptic"), far):
        outcome = run(freeze(Choices(image, "region", "gaussian_2d_elliptic", table, corner)))
        outlines = show(viewer, outcome)["outlines"]
        assert outcome.result is not None
        good = outcome.result.converged.ravel().tolist()
        assert not good[1]
        assert outlines.features["frame"].tolist() == [0, 1], "a row for each fit"
        for vertices, kind, component in zip(
            outlines.data, outlines.shape_type, outlines.features["component"], strict=True
        ):
            assert np.isfinite(vertices).all()
            if kind == "path":
                assert component == ""
                np.testing.assert_allclose(vertices[2, 1:], [9, 15], atol=1, err_msg="the middle of the region")
                assert np.ptp(vertices[:, 1:], axis=0).max() < 4
        assert outlines.shape_type[1] == "path"
    assert show(viewer, outcome)["status"].contour == 1, "why is told, too"


def test_both_parts_of_a_cloud_have_the_numbers_of_their_fit(viewer: ViewerModel) -> None:
    y, x = np.mgrid[0:60, 0:60] - 30.0
    parabola = np.maximum(1 - (y / 9) ** 2 - (x / 12) ** 2, 0) ** 1.5
    data = np.exp(-(y**2 + x**2) / 2 / 15**2) + 2 * parabola + np.random.default_rng(0).normal(0, 0.01, (2, 60, 60))
    image = viewer.add_image(data, name="shots")
    outlines = show(viewer, run(surface(image, "bimodal_2d")))["outlines"]
    table = outlines.features
    assert table["component"].tolist() == 2 * ["sigma", "radius"]
    assert table["frame"].tolist() == [0, 0, 1, 1]
    numbers = table.drop(columns="component")
    assert numbers.iloc[0].equals(numbers.iloc[1].rename(0))


def test_a_layer_that_is_shown_later_lies_below_the_outlines(viewer: ViewerModel, image: Image) -> None:
    outcome = run(surface(image))
    show(viewer, outcome)
    (residual,) = make_more(outcome, ["residual"])
    put(viewer.layers, residual)
    assert [layer.name.split(" · ")[-1] for layer in viewer.layers] == ["cloud", "residual", "outlines"]


def test_maps_have_colour_bars_and_limits_that_odd_values_do_not_decide(viewer: ViewerModel, image: Image) -> None:
    shown = show(viewer, run(asking(surface(image), "residual", "fitted")))
    assert shown["residual"].colorbar.visible
    assert shown["fitted"].colorbar.visible
    low, high = shown["residual"].contrast_limits
    assert -low == high == pytest.approx(0.06, rel=0.1), "three times the noise"


def test_pictures_are_not_computed_before_they_are_asked_for(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("napari_imagefit.imaging.regions.region_fits.ImageSource.pictures", refuse)
    outcome = run(surface(image))
    assert [role(output.data) for output in outcome.outputs] == ["outlines"]
    with pytest.raises(AssertionError):
        make_more(outcome, ["fitted"])


def test_what_was_unchecked_stays_away(image: Image) -> None:
    outcome = run(replace(surface(image), chosen_roles={"outlines": False, "residual": True}))
    assert [role(output.data) for output in outcome.outputs] == ["residual"]
