"""Recipes: a region or a detection, a fit, derived maps – saved, edited and run again with the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit import Detection, FitInputError, FitResult, Recipe, find_spots, fit_image, fit_spots, fit_voxels
from napari_imagefit.command_line.cluster import _result
from napari_imagefit.engine.core.progress import drain
from napari_imagefit.imaging.fitting.records import all_maps, pack
from napari_imagefit.imaging.recipes.recipe import describe
from napari_imagefit.imaging.recipes.region_step import RegionStep
from napari_imagefit.imaging.recipes.steps import DeriveStep, DetectionStep
from napari_imagefit.imaging.regions.region import EveryPixel, Region
from napari_imagefit.imaging.regions.region_fits import ImageRequest

RNG = np.random.default_rng(3)
Y, X = np.mgrid[0:40, 0:50]
CLOUDS = np.stack(
    [
        30 * np.exp(-((Y - 11) ** 2 / 18 + (X - 12 - f) ** 2 / 32))
        + 20 * np.exp(-((Y - 28) ** 2 / 32 + (X - 35) ** 2 / 18))
        for f in range(3)
    ]
) + RNG.normal(5, 0.5, (3, 40, 50))
LABELS = np.zeros((40, 50), np.int64)
LABELS[2:21, 2:26] = 2
LABELS[18:39, 24:47] = 5
T = np.linspace(0, 4, 16)
STACK = (3 * np.exp(-T[:, None, None] / np.linspace(0.5, 2, 24).reshape(4, 6)) + 1) + RNG.normal(0, 0.01, (16, 4, 6))
MASK = np.zeros((4, 6), bool)
MASK[1:3, 2:5] = True
POINTS = np.array([(f, y, x) for f in range(2) for y in (9, 20, 31) for x in (10, 25, 40)], float)
SPOTS = RNG.normal(10, 1, (2, 40, 50))
for frame, y, x in POINTS:
    SPOTS[int(frame)] += 80 * np.exp(-((Y - y - 0.2) ** 2 + (X - x + 0.3) ** 2) / (2 * 1.4**2))


def assert_same(found: FitResult, wanted: FitResult) -> None:
    """Every map, to the last bit."""
    assert found.shape == wanted.shape
    for (name, ours), (_, theirs) in zip(all_maps(found), all_maps(wanted), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=name)


def again(recipe: Recipe, tmp_path: Path) -> Recipe:
    """Through a file."""
    recipe.save(tmp_path / "recipe.json")
    return Recipe.load(tmp_path / "recipe.json")


COORDS = (np.arange(40) * 0.3 + 2, np.arange(50) * 0.25 - 1)


@pytest.mark.parametrize(
    ("given", "has_region"),
    [
        ({}, False),
        ({"mask": LABELS}, True),
        ({"mask": LABELS > 0}, True),
        ({"mask": np.where(np.arange(3)[:, None, None] == 1, 0, LABELS)}, True),
        ({"mask": LABELS == 2, "coords": COORDS, "bounds": {"sigma_y": (0, 9)}}, True),
    ],
    ids=["whole", "labels", "mask", "labels of each frame", "coordinates"],
)
def test_a_region_stands_in_the_recipe(given: dict[str, Any], has_region: bool, tmp_path: Path) -> None:
    wanted = fit_image(CLOUDS, "gaussian_2d_elliptic", **given)
    recipe = again(Recipe.of_result(wanted), tmp_path)
    assert (recipe.before is not None) == has_region
    assert_same(recipe.run(CLOUDS), wanted)
    np.save(tmp_path / "clouds.npy", CLOUDS)
    assert_same(recipe.run(tmp_path / "clouds.npy"), wanted)
    lazy: Any = recipe.run(da.from_array(CLOUDS, chunks=(2, 40, 50)))
    assert_same(lazy.compute(), wanted)
    assert Recipe.of_result(lazy.compute()).to_dict() == recipe.to_dict()


def test_regions_that_overlap_and_differ_from_frame_to_frame() -> None:
    model = nif.models["gaussian_2d"]
    every = np.arange(3)
    regions = [
        Region(1, np.flatnonzero(LABELS == 2), every, every * 2),
        Region(2, np.flatnonzero(LABELS > 0), np.array([0, 2]), np.array([0, 2]) * 2 + 1),
    ]
    wanted = drain(ImageRequest(model, regions=regions, labels=np.array([1, 2])).steps(CLOUDS))
    said = describe(wanted, region_names=("left", "both"))
    assert [one["name"] for one in said["steps"][0]["regions"]] == ["left", "both"]
    assert_same(Recipe.of(json.loads(json.dumps(said))).run(CLOUDS), wanted)
    # on another series it is fitted in all of its frames, or refused where one is missing
    with pytest.raises(FitInputError, match="region both is fitted in frame 2, but the image has 2 frames"):
        Recipe.of(said).run(CLOUDS[:2])


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_the_voxels_stand_in_the_recipe(axis: int, tmp_path: Path) -> None:
    stack = np.moveaxis(STACK, 0, axis)
    wanted = fit_voxels(stack, "exponential_decay", x=T, axis=axis, mask=MASK, select=nif.Selection(skip_first=1))
    recipe = again(Recipe.of_result(wanted), tmp_path)
    assert_same(recipe.run(stack), wanted)
    lazy: Any = recipe.run(da.from_array(stack, chunks=-1))
    assert_same(lazy.compute(), wanted)
    assert Recipe.of_result(lazy.compute()).to_dict() == recipe.to_dict()


def test_a_detection_stands_in_the_recipe(tmp_path: Path) -> None:
    detection = Detection(scale=1.4, threshold=8.0)
    found = find_spots(SPOTS, detection)
    assert found.count == len(POINTS)
    wanted = fit_spots(SPOTS, found.points, "gaussian_2d", window=9)
    recipe = again(Recipe.of(describe(wanted, before=DetectionStep(detection))), tmp_path)
    assert_same(recipe.run(SPOTS), wanted)
    np.save(tmp_path / "spots.npy", SPOTS)
    assert_same(recipe.run(tmp_path / "spots.npy"), wanted)
    with pytest.raises(FitInputError, match="points were given too"):
        recipe.run(SPOTS, points=POINTS)
    with pytest.raises(FitInputError, match="finds no spot"):
        recipe.run(np.zeros((2, 40, 50)) + RNG.normal(0, 1, (2, 40, 50)) * 1e-3 + 1)
    without = Recipe.of(wanted.recipe())
    assert_same(without.run(SPOTS, points=found.points), wanted)
    with pytest.raises(FitInputError, match="nothing says where they are"):
        without.run(SPOTS)


def test_derived_maps_and_edits(tmp_path: Path) -> None:
    wanted = fit_voxels(STACK, "exponential_decay", x=T, fixed={"offset": 1})
    recipe = again(Recipe.of(describe(wanted, after=[DeriveStep("1/tau", {"tau": "ms"})])), tmp_path)
    (rate,) = recipe.derived(recipe.run(STACK))
    np.testing.assert_array_equal(rate.values, 1 / wanted.params["tau"])
    assert rate.unit == "1/ms"
    assert np.isfinite(rate.stderr).all()
    freed = recipe.replace(fixed=None, bounds={"tau": (0, 5)})
    assert_same(freed.run(STACK), fit_voxels(STACK, "exponential_decay", x=T, bounds={"tau": (0, 5)}))
    assert freed.after == recipe.after
    with pytest.raises(FitInputError, match="is not known here"):
        recipe.replace(colour="red")


def test_recipes_of_the_older_version_open() -> None:
    wanted = fit_voxels(STACK, "exponential_decay", x=T)
    old = json.loads(json.dumps(wanted.recipe()))
    assert "steps" not in old
    assert_same(Recipe.of(old).run(STACK), wanted)


def test_what_a_recipe_cannot_hold_is_refused() -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, sigma=np.full((16, 1, 1), 0.01))
    assert result.recipe()["sigma"] == "array"
    with pytest.raises(FitInputError, match="sigma in the recipe is 'array'; give a number"):
        Recipe.of_result(result)


FIT = {"step": "fit", "verb": "fit_image", "model": "gaussian_2d"}
REGION = {"step": "region", "shape": [4, 5], "regions": [{"pixels": [[0, 20]]}]}

SPOTS_FIT = {"step": "fit", "verb": "fit_spots", "model": "gaussian_2d"}
LEFT = {"step": "leave_out", "shape": [4, 5], "parts": [{"pixels": [[0, 3]]}]}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"version": 4, "steps": [FIT]}, "version is 4, but this program reads 3"),
        ({"version": 2, "steps": FIT}, "steps of the recipe must be a list"),
        ({"version": 2, "steps": []}, "one step 'fit', got 0"),
        ({"version": 2, "steps": [FIT, FIT]}, "one step 'fit', got 2"),
        ({"version": 2, "steps": [{"step": "blur"}, FIT]}, "a step 'blur', which is not known here"),
        ({"version": 2, "steps": [FIT, REGION]}, "stand in the order"),
        ({"version": 2, "steps": [{"step": "detect_spots"}, FIT]}, "goes with fit_spots, not with fit_image"),
        ({"version": 2, "steps": [REGION, {**FIT, "verb": "fit_spots"}]}, "leave it out for spots"),
        ({"version": 2, "steps": [{**REGION, "shape": "4"}, FIT]}, "shape of the region step must be whole numbers"),
        ({"version": 2, "steps": [{**REGION, "regions": []}, FIT]}, "regions of the region step must be a list"),
        ({"version": 2, "steps": [{**REGION, "regions": [{"pixels": [[0, 21]]}]}, FIT]}, "within its shape"),
        ({"version": 2, "steps": [{**REGION, "regions": [{"pixels": [3]}]}, FIT]}, "a list of runs"),
        ({"version": 2, "steps": [{**REGION, "regions": [{"colour": 1}]}, FIT]}, "it may have label, name"),
        ({"version": 2, "steps": [{**REGION, "labels": [2], "regions": [{"label": 1}]}, FIT]}, "must be one of"),
        ({"version": 2, "steps": [FIT, {"step": "derive"}]}, "expression of the step 'derive' must be a text"),
        ({"version": 2, "steps": [FIT, {"step": "derive", "expression": "1/", "units": {}}]}, "1/"),
        ({"version": 2, "steps": [FIT, {"step": "derive", "expression": "1/x", "units": 3}]}, "units of the step"),
        ({"version": 3, "steps": [LEFT, FIT]}, "'leave_out' goes with fit_spots, not with fit_image"),
        ({"version": 3, "steps": [LEFT, {"step": "detect_spots"}, SPOTS_FIT]}, "stand in the order"),
        ({"version": 3, "steps": [LEFT, LEFT, SPOTS_FIT]}, "stand in the order"),
        ({"version": 3, "steps": [{**LEFT, "parts": 3}, SPOTS_FIT]}, "parts of the step 'leave_out' must be a list"),
        ({"version": 3, "steps": [{**LEFT, "parts": [{"mask": 1}]}, SPOTS_FIT]}, "it may have pixels, frames"),
        ({"version": 3, "steps": [{**LEFT, "parts": [{"pixels": [[0, 99]]}]}, SPOTS_FIT]}, "within its shape"),
        (
            {"version": 2, "steps": [{"step": "detect_spots", "ndim": 4}, {**FIT, "verb": "fit_spots"}]},
            "ndim of the step 'detect_spots' must be 2 or 3",
        ),
    ],
)
def test_mistakes_are_sentences(said: Any, words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        Recipe.of(said)


def counted(kind: str) -> Any:
    """Which pixels of `SPOTS` count: the same in both frames, other ones in each, or fewer in one of them."""
    used = np.ones((2, 40, 50), bool)
    used[:, 8:12, 12:14] = used[:, 29:, 38:40] = False
    if kind != "plane":
        used[1, 18:22, 24] = False
    if kind == "one frame":
        used[0] = True
    return used[0] if kind == "plane" else used


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plane", "each frame", "one frame"])
@pytest.mark.parametrize("lazily", [False, True])
def test_pixels_that_are_left_out_of_spots(tmp_path: Path, kind: str, lazily: bool) -> None:
    data: Any = da.from_array(SPOTS, chunks=(1, 20, 25)) if lazily else SPOTS
    wanted = fit_spots(data, POINTS, "gaussian_2d", window=9, mask=counted(kind), saturation=85)
    assert np.asarray(wanted.n_left_out).max() > 4, "some pixels of some windows do not count"
    recipe = again(Recipe.of_result(wanted), tmp_path)
    said = recipe.to_dict()
    assert said["version"] == 3
    assert [step["step"] for step in said["steps"]] == ["leave_out", "fit"]
    assert [part.get("frames") for part in said["steps"][0]["parts"]] == {
        "plane": [None],
        "each frame": [[[0, 1]], [[1, 1]]],
        "one frame": [[[1, 1]]],
    }[kind]
    assert_same(recipe.run(data, points=POINTS), wanted)
    assert_same(recipe.run(da.from_array(SPOTS, chunks=(1, 20, 25)), points=POINTS), wanted)
    # what is saturated in other data is not what was saturated here
    darker = recipe.replace(saturation=None).run(SPOTS, points=POINTS)
    assert_same(darker, fit_spots(SPOTS, POINTS, "gaussian_2d", window=9, mask=counted(kind)))


def test_pixels_are_left_out_of_data_of_their_shape_only() -> None:
    recipe = Recipe.of({"version": 3, "steps": [LEFT, SPOTS_FIT]})
    with pytest.raises(FitInputError, match=r"leaves pixels of a plane of shape \(4, 5\) out, but the image has \(40"):
        recipe.run(SPOTS, points=POINTS)
    framed = {**LEFT, "shape": [40, 50], "parts": [{"pixels": [[0, 3]], "frames": [[2, 1]]}]}
    with pytest.raises(FitInputError, match="leaves pixels of frame 2 out, but the image has 2 frames"):
        Recipe.of({"version": 3, "steps": [framed, SPOTS_FIT]}).run(SPOTS, points=POINTS)


def test_a_mask_for_each_window_is_for_scripts() -> None:
    result = fit_spots(SPOTS, POINTS, "gaussian_2d", window=9, mask=np.ones((18, 9, 9), bool))
    with pytest.raises(FitInputError, match="one for each window is for scripts"):
        Recipe.of_result(result)


def test_a_region_goes_with_data_of_its_shape() -> None:
    recipe = Recipe.of({"version": 2, "steps": [REGION, FIT]})
    with pytest.raises(FitInputError, match=r"region is of shape \(4, 5\), but the plane of the image has \(40, 50\)"):
        recipe.run(CLOUDS)
    whole = RegionStep.of_recipe({"shape": [4, 5], "regions": [{}]})
    assert isinstance(whole.regions[0].pixels, EveryPixel)


def test_derived_maps_of_a_piece_that_comes_from_a_worker() -> None:
    """A worker sends numbers only; what was held in the piece is known from the plan."""
    low, high = np.zeros((4, 6)), np.full((4, 6), 50.0)
    low[0, 0] = high[0, 0] = 1.0
    fit = {"step": "fit", "verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}
    fit["bounds"] = {"tau": [low.tolist(), high.tolist()]}
    recipe = Recipe.of({"version": 2, "steps": [fit, {"step": "derive", "expression": "1/tau"}]})
    plan = recipe.plan(STACK)
    piece = plan.pieces((16, 2, 6))[0]
    here = drain(plan.steps(STACK[plan.on_data(piece)], plan.cut(piece)))
    wanted, found = recipe.derived(here)[0], recipe.derived(_result(plan, piece, pack(here)))[0]
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.stderr, wanted.stderr)
    assert np.isnan(found.stderr[0, 0])
    assert np.isfinite(found.stderr[0, 1:]).all()
