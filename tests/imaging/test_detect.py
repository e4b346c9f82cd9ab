"""Detection: what is found, how far it stands out, and what is not found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.spots.detection import (
    Detection,
    find_in_frame,
    find_spots,
    iter_find_spots,
    pick,
    response,
)
from napari_imagefit.imaging.spots.log_filter import keep_apart, laplacian

SHAPE = (90, 120)


def draw(centres: np.ndarray, shape: tuple[int, ...] = SHAPE, height: float = 1.0, sigma: Any = 1.5) -> np.ndarray:
    pixels, sigmas = np.indices(shape), np.broadcast_to(sigma, len(shape))
    parts = (
        np.exp(-0.5 * sum(((p - c) / s) ** 2 for p, c, s in zip(pixels, centre, sigmas, strict=True)))
        for centre in centres
    )
    return height * sum(parts)


def lattice(seed: int = 0) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(8, 85, 12), np.arange(8, 115, 12), indexing="ij"), -1).reshape(-1, 2)
    return grid + np.random.default_rng(seed).uniform(-0.5, 0.5, grid.shape)


CENTRES = lattice()
NOISE = np.random.default_rng(1).normal(100, 1, SHAPE)


def nearest(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.sqrt(((points[:, None] - truth) ** 2).sum(-1)).min(axis=0)


def test_every_spot_is_found_once_and_nothing_else() -> None:
    spots = find_spots(NOISE + draw(CENTRES, height=12), Detection())
    assert spots.count == len(CENTRES)
    assert nearest(spots.points, CENTRES).max() < 0.5
    assert (np.diff(spots.strengths) <= 0).all()


def test_starts_are_within_a_tenth_of_a_pixel_without_noise() -> None:
    spots = find_spots(draw(CENTRES, height=50), Detection(threshold=1))
    assert nearest(spots.points, CENTRES).max() < 0.1


def test_dark_spots() -> None:
    image = NOISE - draw(CENTRES, height=12)
    assert find_spots(image, Detection(bright=False)).count == len(CENTRES)
    assert find_spots(image, Detection(threshold=8)).count == 0


def test_the_filter_is_a_laplacian_of_gaussian() -> None:
    """Of a Gaussian of variance s² the answer at its middle is 2·σ²·s²/(s² + σ²)², in closed form."""
    image = draw(np.array([[45.0, 60.0]]), sigma=3.0)
    answer = laplacian(image, (2.0, 2.0))[45, 60]
    # what is cut off of the filter beyond 4 σ
    assert answer == pytest.approx(2 * 4 * 9 / (9 + 4) ** 2, rel=5e-3)
    y, x = np.indices(SHAPE)
    assert np.abs(laplacian(3.0 * y - 2 * x + 7, (2.0, 2.0))[20:-20, 20:-20]).max() < 1e-9


def test_strength_is_in_units_of_the_noise_of_the_filtered_image() -> None:
    rng = np.random.default_rng(2)
    filtered = laplacian(rng.normal(0, 3, (500, 500)), (1.5, 1.5))
    centre = np.array([[250.0, 250.0]])
    spot = draw(centre, (500, 500), 40.0)
    expected = laplacian(spot, (1.5, 1.5)).max() / filtered.std()
    found = [find_spots(rng.normal(0, 3, (500, 500)) + spot, Detection(min_distance=5)).strengths[0] for _ in range(20)]
    # 20 spots with an error of 1 each; the maximum among pixels leans a little upwards
    assert np.mean(found) == pytest.approx(expected, abs=4 / np.sqrt(20))
    # bright spots change the median absolute deviation by what they cover, not by how bright they are
    few = draw(CENTRES[:6].round(), (200, 200), 1000)
    strengths = find_spots(np.random.default_rng(1).normal(0, 3, (200, 200)) + few, Detection()).strengths
    assert strengths[5] > 0.9 * 1000 / 40 * expected


def test_white_noise_seldom_stands_out() -> None:
    rng = np.random.default_rng(5)
    above = [response(rng.normal(100, 3, (512, 512)), Detection()).strengths for _ in range(8)]
    assert sum(np.count_nonzero(s > 5) for s in above) <= 3
    assert sum(np.count_nonzero(s > 3) for s in above) > 100


def test_what_is_constant_or_a_slope_holds_no_spot() -> None:
    y, x = np.indices(SHAPE)
    for image in (np.zeros(SHAPE), np.full(SHAPE, 1e7), np.full(SHAPE, 7, np.uint16)):
        assert find_spots(image, Detection()).count == 0
    spots = find_spots(NOISE + 0.5 * y + x, Detection(threshold=6, border=6))
    assert spots.count == 0


def test_pixels_that_are_not_finite_are_not_found_and_do_not_spread() -> None:
    clean = NOISE + draw(CENTRES, height=12)
    image = clean.copy()
    # some alone, one block, one on a spot
    image[14, 14] = np.nan
    image[40:44, 2:4] = np.inf
    on = CENTRES[30].round().astype(int)
    image[tuple(on)] = -np.inf
    spots, all_of_them = find_spots(image, Detection()), find_spots(clean, Detection())
    assert np.isfinite(spots.points).all()
    pixels = np.floor(spots.points + 0.5).astype(int)
    assert np.isfinite(image[tuple(pixels.T)]).all()
    others = np.delete(CENTRES, 30, axis=0)
    assert nearest(spots.points, others).max() < 0.5
    assert spots.count >= len(others)
    far = (np.abs(all_of_them.points - on).max(axis=1) > 20) & (all_of_them.points[:, 1] > 30)
    for point in all_of_them.points[far]:
        assert nearest(spots.points, point[None])[0] < 1e-9
    assert find_spots(np.full(SHAPE, np.nan), Detection()).count == 0


def test_frames_each_with_their_own_noise() -> None:
    quiet = NOISE - 100 + draw(CENTRES[:10], height=12)
    stack = np.stack([quiet, 50 * quiet, NOISE])[:, None]
    spots = find_spots(stack, Detection())
    assert spots.points.shape[1] == 4
    first, second = (spots.points[spots.points[:, 0] == frame] for frame in (0, 1))
    assert len(first) == 10
    np.testing.assert_allclose(first[:, 1:], second[:, 1:], atol=1e-9)
    assert not (spots.points[:, 0] == 2).any()
    told = [step.done for step in iter_find_spots(stack, Detection())]
    assert told == [1, 2, 3]


def test_volumes_with_a_scale_of_their_own_along_z() -> None:
    centres = np.array([(6.3, 14.2, 15.8), (14.1, 30.4, 40.2), (7.8, 36.7, 12.1)])
    image = draw(centres, (22, 46, 56), 8, (2.5, 1.3, 1.3)) + np.random.default_rng(3).normal(0, 1, (22, 46, 56))
    detection = Detection(scale=(2.5, 1.3, 1.3), threshold=7)
    spots = find_spots(image, detection, ndim=3)
    assert spots.count == 3
    assert nearest(spots.points, centres).max() < 0.6
    assert detection.window(3) == (17, 9, 9)
    frames = find_spots(np.stack([image] * 2), detection, ndim=3)
    assert frames.points.shape == (6, 4)


def test_of_close_ones_the_strongest_is_kept() -> None:
    centres = np.array([(40.0, 40.0), (40.0, 46.0), (40.0, 52.0)])
    image = NOISE + draw(centres[:1], height=30) + draw(centres[1:2], height=40) + draw(centres[2:], height=20)
    assert find_spots(image, Detection(min_distance=2)).count == 3
    kept = find_spots(image, Detection(min_distance=8))
    assert kept.count == 1
    assert nearest(kept.points, centres[1:2]).max() < 0.5
    # what is dropped threatens nobody: the third is 12 pixels from the first
    image = NOISE + draw(centres[:1], height=60) + draw(centres[1:2], height=40) + draw(centres[2:], height=20)
    assert find_spots(image, Detection(min_distance=8)).count == 2
    assert find_spots(image, Detection(min_distance=(2, 7))).count == 2


def test_keeping_apart_is_what_going_through_the_list_makes() -> None:
    points = np.random.default_rng(4).uniform(0, 60, (400, 2))
    kept: list[int] = []
    for row, point in enumerate(points):
        if all(np.hypot(*((point - points[k]) / (4, 6))) >= 1 for k in kept):
            kept.append(row)
    np.testing.assert_array_equal(keep_apart(points, np.array([4.0, 6.0])), kept)


def test_two_equal_pixels_are_one_spot() -> None:
    image = draw(np.array([(30.5, 40.0), (50.5, 60.5)]), height=50)
    spots = find_spots(image, Detection(min_distance=0, threshold=50))
    assert spots.count == 2


def test_border_and_mask() -> None:
    centres = np.array([(1.0, 50.0), (45.0, 60.0), (88.0, 118.0)])
    image = NOISE + draw(centres, height=30)
    assert find_spots(image, Detection()).count == 3
    assert find_spots(image, Detection(border=3)).count == 1
    assert find_spots(image, Detection(border=(3, 0))).count == 1
    mask = np.zeros(SHAPE, bool)
    mask[:20] = True
    assert find_spots(image, Detection(), mask=mask).count == 1
    assert find_spots(np.stack([image] * 2), Detection(), mask=np.stack([mask, ~mask])).count == 3


def test_a_preview_picks_without_filtering_again() -> None:
    image = NOISE + draw(CENTRES, height=12)
    filtered = response(image, Detection())
    for detection in (Detection(threshold=3), Detection(threshold=20, border=5), Detection(min_distance=9)):
        again = find_in_frame(image, detection)
        np.testing.assert_array_equal(pick(filtered, detection).points, again.points)


def test_dask_arrays() -> None:
    dask_array = pytest.importorskip("dask.array")
    stack = np.stack([NOISE + draw(CENTRES, height=12), NOISE])
    lazy = find_spots(dask_array.from_array(stack, chunks=(1, 45, 60)), Detection())
    np.testing.assert_array_equal(lazy.points, find_spots(stack, Detection()).points)


def test_recipe() -> None:
    for detection in (Detection(), Detection((3, 1.5, 1.5), 4, (2, 3, 3), (0, 5, 5), bright=False)):
        assert Detection.of_recipe(json.loads(json.dumps(detection.recipe()))) == detection
    assert json.dumps(Detection(bright=np.False_).recipe()) == '{"bright": false}'  # type: ignore[arg-type]


WRONG = {
    "scale": ({"scale": 0.1}, "scale is 0.1"),
    "text": ({"scale": "1"}, "scale is '1'"),
    "threshold": ({"threshold": 0}, "threshold is 0"),
    "distance": ({"min_distance": -1}, "min_distance is -1"),
    "border": ({"border": 1.5}, "border is 1.5"),
    "nan": ({"scale": float("nan")}, "scale is nan"),
    "empty": ({"scale": ()}, r"scale is \(\)"),
    "bright": ({"bright": "no"}, "bright is 'no'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense(name: str) -> None:
    said, message = WRONG[name]
    with pytest.raises(FitInputError, match=message):
        Detection(**said)  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match=message):
        Detection.of_recipe(said)


def test_what_does_not_go_together() -> None:
    with pytest.raises(FitInputError, match="2 axes; give one, or 2"):
        find_spots(NOISE, Detection(scale=(1, 2, 2)))
    with pytest.raises(FitInputError, match="ndim=3 does not go"):
        find_spots(NOISE, Detection(), ndim=3)
    with pytest.raises(FitInputError, match="shape \\(3, 3\\)"):
        find_spots(NOISE, Detection(), mask=np.ones((3, 3), bool))
    with pytest.raises(FitInputError, match="type int64"):
        find_in_frame(NOISE, Detection(), np.ones(NOISE.shape, int))  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match="sigma"):
        Detection.of_recipe({"sigma": 2})
    with pytest.raises(FitInputError, match="give an object"):
        Detection.of_recipe([1])


def test_the_example_runs() -> None:
    import doctest

    import napari_imagefit.imaging.spots.detection as module

    assert doctest.testmod(module).failed == 0


def few(height: float, shape: tuple[int, int] = (300, 300)) -> tuple[np.ndarray, np.ndarray]:
    """Some twenty spots, and where they are."""
    grid = np.stack(np.meshgrid(np.arange(30, 290, 55), np.arange(25, 290, 60), indexing="ij"), -1).reshape(-1, 2)
    centres = grid + np.random.default_rng(7).uniform(-3, 3, grid.shape)
    return draw(centres, shape, height, 1.3), centres


def found(image: np.ndarray, **settings: Any) -> np.ndarray:
    return find_spots(image, Detection(scale=1.3, **settings)).points


OUTSIDE = {
    "border": np.maximum(*np.abs(np.indices((300, 300)) - 149.5)) > 75,
    "half": np.indices((300, 300))[1] > 160,
    "disc": np.hypot(*(np.indices((300, 300)) - 149.5)) > 100,
    "mosaic": (np.indices((300, 300)) // 60).sum(axis=0) % 2 == 1,
}


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize(("value", "dtype"), [(0, np.uint16), (0, np.float64), (-100.5, np.float32), (4095, np.uint16)])
def test_areas_of_one_value_are_no_data(outside: str, value: float, dtype: Any) -> None:
    """A stitched, masked or saturated image: neither its edges are spots, nor do its areas lower the noise."""
    spots, centres = few(60.0)
    image = np.random.default_rng(0).normal(20 + spots, 4)
    image = (np.rint(image) if np.issubdtype(dtype, np.integer) else image).astype(dtype)
    image[OUTSIDE[outside]] = value
    well_inside = ~laplacian_reach(OUTSIDE[outside])[tuple(np.rint(centres).astype(int).T)]
    points = found(image)
    assert nearest(points, centres[well_inside]).max() < 1.0
    assert nearest(centres, points).max() < 3.0


def laplacian_reach(outside: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(outside, 9))


@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.005, 0.05, 0.5])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_photons_by_the_piece_are_no_spots(rate: float, dtype: Any) -> None:
    """Most pixels are 0: single counts are noise, some together are a spot."""
    rng = np.random.default_rng(1)
    spots, centres = few(15.0)
    # of 90 000 pixels of rare counts, whose distribution has a longer tail than the normal one
    assert len(found(rng.poisson(np.full(spots.shape, rate)).astype(dtype))) <= 20
    points = found(rng.poisson(rate + spots).astype(dtype))
    assert nearest(points, centres).max() < 1.5
    assert len(points) <= len(centres) + 20


@pytest.mark.parametrize("clip", [2, 3, 4])
def test_a_clipped_background_keeps_its_noise(clip: int) -> None:
    """What is left of the noise above the clip is rare, and as large as ever."""
    rng = np.random.default_rng(2)
    spots, centres = few(80.0)
    assert len(found(np.maximum(rng.normal(0, 4, spots.shape), 4 * clip))) <= 100
    points = found(np.maximum(rng.normal(spots, 4), 4 * clip))
    assert nearest(points, centres).max() < 1.0
    assert len(points) <= len(centres) + 100


@pytest.mark.parametrize("clip", [0.25, 0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float64, np.uint16])
def test_no_more_stands_out_of_a_clipped_background_than_of_a_whole_one(clip: float, dtype: Any) -> None:
    """The tail that is left tells the noise there was, of which 5 times as much is as rare as ever."""
    rng = np.random.default_rng(3)
    spots, centres = few(120.0)
    noise = rng.normal(0, 10, spots.shape) - 10 * clip
    assert len(found(np.maximum(noise, 0).astype(dtype))) <= 3
    points = found(np.maximum(noise + spots, 0).astype(dtype))
    assert nearest(points, centres).max() < 1.0
    assert len(points) <= len(centres) + 3
    dark = found(np.minimum(-noise - spots, 0), bright=False)
    assert nearest(dark, centres).max() < 1.0
    assert len(dark) <= len(centres) + 3


def test_spots_without_noise_on_a_background_of_one_value() -> None:
    spots, centres = few(50.0)
    for image in (np.rint(100 + spots).astype(np.uint8), (spots > 5).astype(np.uint8), np.where(spots > 5, spots, 0)):
        points = found(image)
        assert len(points) == len(centres)
        # of a plain of one value any pixel is its maximum
        assert nearest(points, centres).max() < 1.5


def test_pixels_that_are_not_finite_beside_areas_of_one_value() -> None:
    spots, centres = few(60.0)
    image = np.random.default_rng(0).normal(20 + spots, 4)
    image[:, 160:] = 0
    image[140:165, 100:220] = np.nan
    points = found(image)
    assert nearest(centres, points).max() < 3.0
    assert len(points) >= 10
