"""What is drawn to be left out: of regions, of voxels and their mean curve, and of the windows of spots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Shapes

from napari_imagefit import Recipe, Selection, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.voxels.mean_curve import mean_curve
from napari_imagefit.layers.files.recipes import recipe_of
from napari_imagefit.layers.files.script import as_python
from napari_imagefit.layers.geometry.excluded_areas import left_out
from napari_imagefit.layers.request.choices import Choices, Job, Row, SpotChoice
from napari_imagefit.layers.request.fit_request import Outcome, mean_as_curve
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.layer_names import recall, remember
from napari_imagefit.layers.tasks.run_fit import run_any
from napari_imagefit.layers.tasks.voxel_tasks import run_mean

Y, X = np.mgrid[0:24, 0:30]
pytestmark = pytest.mark.slow  # many programs, or many windows

CLOUD = 30 * np.exp(-((Y - 11) ** 2 / 18 + (X - 14) ** 2 / 32)) + np.random.default_rng(5).normal(4, 0.2, (3, 24, 30))
T = np.arange(12.0)
DECAYS = 9 * np.exp(-T[:, None, None] / np.linspace(2, 5, 20).reshape(4, 5)) + 1
DECAYS += np.random.default_rng(6).normal(0, 0.01, DECAYS.shape)


def square(y: int, x: int, size: int = 3, frame: int | None = None) -> Any:
    """The outline of size × size pixels."""
    ends = np.array([[y, x], [y, x + size - 1], [y + size - 1, x + size - 1], [y + size - 1, x]], float)
    return ends if frame is None else np.insert(ends, 0, frame, axis=1)


def drawn(*outlines: Any, name: str = "not these", **where: Any) -> Shapes:
    ndim = None if outlines else 2
    return Shapes(list(outlines) or None, ndim=ndim, shape_type="rectangle", name=name, **where)


def choices(image: Image, job: Job, model: str, leave_out: Any, **more: Any) -> Choices:
    return Choices(image, job, model, tuple(Row(name) for name in models[model].names), leave_out=leave_out, **more)


def answer(wanted: Choices) -> Outcome:
    return finished(run_any(freeze(wanted)))


def lazily(data: Any) -> Image:
    return Image(da.from_array(data, chunks=(1, 24, 30)), name="lazy")


def finished(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def assert_numbers_again(outcome: Outcome, data: Any, tmp_path: Any, **points: Any) -> None:
    """By recipe and by script, to the last bit."""
    result = outcome.result
    assert result is not None
    again = Recipe.of(recipe_of(outcome)).run(data, **points)
    np.save(tmp_path / "data.npy", data)
    script = as_python(outcome, None).replace("sys.argv[1] if len(sys.argv) > 1 else 'data.npy'", "PATH")
    told: dict[str, Any] = {"PATH": str(tmp_path / "data.npy")}
    exec(script, told)
    for other in (again, told["result"]):
        for name in result.model.names:
            np.testing.assert_array_equal(other.params[name], result.params[name])
            np.testing.assert_array_equal(other.stderr[name], result.stderr[name])
        np.testing.assert_array_equal(other.n_used, result.n_used)


def test_pixels_go_by_the_layers_places_and_units() -> None:
    image = Image(CLOUD, scale=(1, 0.5, 0.5), translate=(0, 2, -1), units=("s", "um", "um"))
    layer = drawn(square(0, 0), scale=(500, 500), translate=(4000, 1000), units=("nm", "nm"))
    left = left_out(layer, image)
    assert left is not None
    assert left.shape == (1, 24, 30)
    assert np.argwhere(left[0]).tolist() == [[y, x] for y in (4, 5, 6) for x in (4, 5, 6)]


def test_nothing_drawn_leaves_nothing_out() -> None:
    image = Image(CLOUD)
    assert left_out(drawn(), image) is None
    assert left_out(Labels(np.zeros((24, 30), int)), image) is None
    with pytest.raises(FitInputError, match="Shape 1 of 'not these'"):
        left_out(drawn(square(90, 90)), image)


def test_frames_of_four_axes() -> None:
    image = Image(np.zeros((2, 3, 24, 30)))
    left = left_out(drawn(square(2, 2, frame=1)), image)
    assert left is not None
    assert left.shape == (1, 3, 24, 30)
    assert left.any(axis=(0, 2, 3)).tolist() == [False, True, False]
    painted = np.zeros((3, 24, 30), int)
    painted[2, 4, 5] = 1
    of_labels = left_out(Labels(painted), image)
    assert of_labels is not None
    assert np.argwhere(np.broadcast_to(of_labels, image.data.shape)).tolist() == [[0, 2, 4, 5], [1, 2, 4, 5]]
    flat = left_out(Labels(painted[2]), image)
    assert flat is not None
    assert flat.shape == (1, 1, 24, 30)


def test_regions_without_the_pixels_that_are_left_out(tmp_path: Any) -> None:
    image = Image(CLOUD, name="clouds")
    region = drawn(square(2, 3, 18), square(8, 12, 10), name="ROI")
    whole, less = (answer(choices(image, "region", "gaussian_2d", none, region=region)) for none in (None, _hole()))
    assert whole.result is not None
    assert less.result is not None
    assert whole.result.n_used.tolist() == [[324, 100]] * 3
    assert less.result.n_used.tolist() == [[315, 97]] * 3
    # what does not count may be anything
    spoilt = CLOUD.copy()
    spoilt[:, 9:12, 10:13] = 1e6
    again = answer(choices(Image(spoilt), "region", "gaussian_2d", _hole(), region=region))
    assert again.result is not None
    for name, values in less.result.params.items():
        np.testing.assert_array_equal(again.result.params[name], values)
    single = answer(choices(image, "region", "gaussian_2d", _hole(), region=drawn(square(2, 3, 18), name="ROI")))
    assert_numbers_again(single, CLOUD, tmp_path)


def _hole() -> Shapes:
    return drawn(square(9, 10))


def test_a_shape_of_one_frame_counts_in_it_alone(tmp_path: Any) -> None:
    image = Image(CLOUD, name="clouds")
    outcome = answer(choices(image, "region", "gaussian_2d", drawn(square(9, 10, frame=1))))
    assert outcome.result is not None
    assert outcome.result.n_used.ravel().tolist() == [720, 711, 720]
    plain = answer(choices(image, "region", "gaussian_2d", None))
    assert plain.result is not None
    np.testing.assert_array_equal(outcome.result.params["sigma"][[0, 2]], plain.result.params["sigma"][[0, 2]])
    assert (outcome.result.params["sigma"][1] != plain.result.params["sigma"][1]).all()
    assert_numbers_again(outcome, CLOUD, tmp_path)
    lazy = answer(choices(lazily(CLOUD), "region", "gaussian_2d", drawn(square(9, 10, frame=1))))
    assert lazy.result is not None
    np.testing.assert_array_equal(np.asarray(lazy.result.params["sigma"]), outcome.result.params["sigma"])
    fitted = outcome.result.fitted()
    assert np.isnan(fitted[1, 9:12, 10:13]).all(), "and no pixel of it is said to be fitted"
    assert np.isfinite(fitted[[0, 2]]).all()


def test_a_region_without_enough_pixels_is_refused_by_both_names() -> None:
    image = Image(CLOUD, name="clouds")
    small = drawn(square(8, 9, 4), name="ROI")
    with pytest.raises(FitInputError) as refusal:
        freeze(choices(image, "region", "gaussian_2d", drawn(square(8, 8, 5), name="dust"), region=small))
    assert str(refusal.value) == (
        "Region 'ROI 1' has 0 pixels outside of what 'dust' leaves out, fewer than the 5 free parameters of "
        "'gaussian_2d'; enlarge it, leave less out or fix some parameters."
    )
    # in one frame it is enough to be too few
    with pytest.raises(FitInputError, match="'ROI 1' has 4 pixels outside of what 'dust' leaves out"):
        freeze(choices(image, "region", "gaussian_2d", drawn(_bar(), name="dust"), region=small))


def _bar() -> Any:
    """All but one column of the small region, in frame 2."""
    return np.insert(np.array([[8, 10], [8, 12], [11, 12], [11, 10]], float), 0, 2, axis=1)


def test_voxels_that_are_left_out_are_neither_fitted_nor_in_the_mean_curve(tmp_path: Any) -> None:
    image = Image(DECAYS, name="decays")
    labels = np.zeros((4, 5), int)
    labels[1, 2:4] = 3
    select = Selection(skip_first=1, exclude=((4.0, 6.0), (9.5, 10.0)))
    wanted = choices(image, "voxels", "exponential_decay", Labels(labels, name="veins"), select=select, mean="start")
    outcome = answer(wanted)
    result, mean = outcome.result, outcome.mean
    assert result is not None
    assert mean is not None
    assert (result.n_used[labels == 0] == 12 - 1 - 3 - 1).all()
    assert (result.n_used[labels > 0] == 0).all()
    # the mean curve is of the same samples and voxels
    assert int(mean.result.n_used) == 7
    assert mean.n.max() == 18
    expected = mean_curve(DECAYS, T, 0, labels == 0, select)
    np.testing.assert_array_equal(mean.values, expected.mean)
    shown = mean_as_curve(mean)
    left = ~select.samples(T)
    np.testing.assert_array_equal(shown.used, ~left)
    # those that are excluded are seen in the plot, with what the voxels have there
    np.testing.assert_allclose(shown.data, DECAYS[:, labels == 0].mean(axis=1))
    assert np.isnan(shown.residual[left]).all()
    assert np.isfinite(shown.residual[~left]).all()
    alone = finished(run_mean(freeze(wanted)))
    np.testing.assert_array_equal(alone.mean.values, expected.mean)
    # the fit of a mean curve is no step of a recipe
    assert_numbers_again(answer(replace(wanted, mean="no")), DECAYS, tmp_path)


def test_voxels_of_one_slice() -> None:
    stack = np.repeat(DECAYS[:, None], 2, axis=1)
    image = Image(stack, name="slices")
    outlines = np.insert(square(0, 0, 2), 0, 1, axis=1)
    mask = freeze(choices(image, "voxels", "exponential_decay", drawn(outlines))).mask
    assert mask is not None
    assert np.argwhere(~mask).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    region = drawn(square(0, 0, 2), name="ROI")
    with pytest.raises(FitInputError, match="Layer 'not these' leaves nothing of 'ROI' to fit"):
        freeze(choices(image, "voxels", "exponential_decay", drawn(square(0, 0, 4)), region=region))
    with pytest.raises(FitInputError, match="choose 'nothing' to leave out"):
        freeze(choices(Image(DECAYS[:, 0]), "voxels", "exponential_decay", drawn(square(0, 0))))


def spot_choices(image: Image, points: Any, leave_out: Any, **more: Any) -> Choices:
    return choices(image, "spots", "gaussian_2d", leave_out, spots=SpotChoice(Points(points), (9,), **more))


def test_pixels_that_are_left_out_count_in_no_window_of_a_spot(tmp_path: Any) -> None:
    points = [[frame, 11, 14] for frame in range(3)]
    image = Image(CLOUD, name="beads")
    everywhere = answer(spot_choices(image, points, drawn(square(9, 10))))
    once = answer(spot_choices(image, points, drawn(square(9, 10, frame=2)), saturation=33.0))
    assert everywhere.result is not None
    assert once.result is not None
    assert everywhere.result.n_left_out.tolist() == [9, 9, 9]
    bright = [(CLOUD[f, 7:16, 10:19] >= 33).sum() for f in range(3)]
    assert once.result.n_left_out.tolist() == [bright[0], bright[1], bright[2] + 9]
    for outcome in (everywhere, once):
        assert_numbers_again(outcome, CLOUD, tmp_path, points=points)
    lazy = answer(spot_choices(lazily(CLOUD), points, drawn(square(9, 10, frame=2)), saturation=33.0))
    assert lazy.result is not None
    np.testing.assert_array_equal(np.asarray(lazy.result.n_left_out), once.result.n_left_out)
    with pytest.raises(FitInputError, match="Layer 'not these' leaves nothing of 'beads' to fit"):
        freeze(spot_choices(image, points, drawn(square(-5, -5, 90))))


def test_what_is_left_out_is_remembered_as_a_setting() -> None:
    image, layer = Image(CLOUD), drawn(square(9, 10))
    kept = remember(choices(image, "region", "gaussian_2d", layer))
    assert kept != remember(choices(image, "region", "gaussian_2d", None))
    back, gone = recall(kept, [image, layer])
    assert back.leave_out is layer
    assert not gone
    back, gone = recall(kept, [image])
    assert back.leave_out is None
    assert gone == ("not these",)
