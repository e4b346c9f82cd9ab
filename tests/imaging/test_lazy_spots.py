"""Spots in Dask arrays: the same numbers to the last bit, and no chunk read that holds no pixel of a window."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from napari_imagefit import Camera, FitResult, Flag, Status, fit_spots, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.progress import drain
from napari_imagefit.engine.drive import run
from napari_imagefit.imaging.chunked.dask_result import LazyFitResult
from napari_imagefit.imaging.chunked.dispatch import iter_fit, plan_of
from napari_imagefit.imaging.fitting.records import all_maps
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.spots.spot_fits import SpotRequest

RNG = np.random.default_rng(0)
SHAPE = (3, 40, 50)
WINDOW = 7
# in no order, with neighbours across the edges of chunks, and at all edges of the image
POINTS = np.column_stack([RNG.integers(0, 3, 40), RNG.uniform(0, [39, 49], (40, 2))])
POINTS[:5] = [(0, 12.4, 19.8), (0, 14.2, 21.0), (1, 0, 0), (2, 39, 49), (1, 0.3, 30)]
STACK = RNG.normal(5, 1, SHAPE)
Y, X = np.indices(SHAPE[1:])
for frame, y, x in POINTS:
    STACK[int(frame)] += 60 * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.3**2)
COUNTS = RNG.poisson(STACK.clip(0)).astype(np.uint16)
GAIN = RNG.uniform(1.8, 2.2, SHAPE[1:])
EACH = np.linspace(0.5, 1, 40)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are to be fitted in the way of the whole request also where that is a wide batch."""
    monkeypatch.setattr(run, "WIDE_FROM", 257)


def same(lazy: FitResult, expected: FitResult) -> None:
    """Every array, to the last bit."""
    loaded = lazy.compute() if isinstance(lazy, LazyFitResult) else lazy
    assert loaded.shape == expected.shape
    for (name, values), (_, wanted) in zip(all_maps(loaded), all_maps(expected), strict=True):
        assert values.dtype == wanted.dtype, name
        np.testing.assert_array_equal(values, wanted, err_msg=name)
    np.testing.assert_array_equal(lazy.fitted(), expected.fitted())
    np.testing.assert_array_equal(loaded.residual(), expected.residual())
    assert loaded.recipe() == expected.recipe()
    assert loaded.to_dataframe().equals(expected.to_dataframe())
    ((places, options, kind),) = loaded.to_layers()
    ((wanted_places, wanted_options, wanted_kind),) = expected.to_layers()
    assert kind == wanted_kind
    np.testing.assert_array_equal(places, wanted_places)
    np.testing.assert_array_equal(options["size"], wanted_options["size"])


def chunked(values: np.ndarray, *chunks: Any) -> Any:
    return da.from_array(values, chunks=chunks)


# each is called with a function that makes of an array the one that is given
CASES: dict[str, Callable[[Callable[..., Any]], dict[str, Any]]] = {
    "nothing said": lambda _: {},
    "for each spot": lambda make: {
        "init": {"sigma": make(1 + EACH, 9)},
        "bounds": {"x": (POINTS[:, 2] - 3, make(POINTS[:, 2] + 3, 40)), "amplitude": (0, 500)},
        "fixed": {"offset": 5},
    },
    "for each pixel": lambda make: {
        "sigma": make(RNG_SIGMA, 11, 50),
        "mask": make(RNG_MASK, 2, 13, 50),
    },
    "a mask of the plane": lambda make: {
        "mask": make(RNG_MASK[0], 40, 9),
        "sigma": np.array([[0.9], [1.0], [1.1]])[:, None],
    },
    "tied": lambda _: {"tied": {"offset": "amplitude/12"}, "loss": "huber", "f_scale": 2.0, "sigma": 1.0},
}
RNG_SIGMA = RNG.uniform(0.8, 1.2, SHAPE[1:])
RNG_MASK = RNG.uniform(size=SHAPE) > 0.04


@pytest.mark.parametrize("case", CASES)
def test_the_same_to_the_last_bit(case: str) -> None:
    expected = fit_spots(STACK, POINTS, "gaussian_2d", window=WINDOW, **CASES[case](lambda values, *_: values))
    wishes = CASES[case](chunked)
    result = fit_spots(chunked(STACK, 2, 13, (20, 17, 13)), POINTS, "gaussian_2d", window=WINDOW, **wishes)
    assert isinstance(result.params["x"], da.Array)
    assert (expected.flags & Flag.CUT_BY_EDGE).any()
    assert (expected.flags & Flag.NEIGHBOUR_OVERLAP).any()
    same(result, expected)
    mask = wishes.pop("mask", None)
    request = SpotRequest(models["gaussian_2d"], POINTS, WINDOW, mask=mask, settings=Settings.of(**wishes))
    steps = iter_fit(chunked(STACK, 1, 13, 20), request)
    told: list[tuple[int, int]] = []
    same(drain(steps, lambda done, total: told.append((done, total))), expected)
    assert told == sorted(told)
    assert told[-1] == (40, 40)


@pytest.mark.parametrize("noise", ["poisson", "camera", "camera with pixels of their own"])
def test_counts(noise: str) -> None:
    camera = {"camera": Camera(2.0, 0.0, 1.0), "camera with pixels of their own": Camera(GAIN, 0.1 * GAIN, EACH[:1])}
    said: Any = {"noise": camera.get(noise, noise)}
    expected = fit_spots(COUNTS, POINTS, "gaussian_2d", window=WINDOW, **said)
    same(fit_spots(chunked(COUNTS, 1, 20, 20), POINTS, "gaussian_2d", window=WINDOW, **said), expected)


def test_a_piece_for_few_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 7)
    expected = fit_spots(STACK, POINTS, "gaussian_2d", window=WINDOW)
    result = fit_spots(chunked(STACK, 3, 40, 50), POINTS, "gaussian_2d", window=WINDOW)
    assert result.params["x"].chunks == ((7, 7, 7, 7, 7, 5),)
    same(result, expected)
    plan = plan_of(STACK, SpotRequest(models["gaussian_2d"], POINTS, WINDOW))
    pieces = plan.pieces(plan.piece_shape(STACK))
    assert len(pieces) > 5
    np.testing.assert_array_equal(np.sort(np.concatenate([where[-1] for where in pieces])), np.arange(40))


def test_one_spot() -> None:
    same(
        fit_spots(chunked(STACK[0], 13, 20), POINTS[:1, 1:], "gaussian_2d", window=WINDOW),
        fit_spots(STACK[0], POINTS[:1, 1:], "gaussian_2d", window=WINDOW),
    )


@pytest.mark.slow
def test_volumes() -> None:
    z, y, x = np.indices((14, 20, 28))
    volume = RNG.normal(3, 0.2, z.shape)
    centres = np.array([(1.2, 5.3, 6.8), (9.6, 15.4, 20.3), (10.2, 4.1, 22.7), (7.1, 9.8, 14.2)])
    for a, b, c in centres:
        volume += 50 * np.exp(-0.5 * (((z - a) / 1.1) ** 2 + ((y - b) / 1.6) ** 2 + ((x - c) / 1.5) ** 2))
    image = np.stack([volume, volume])
    points = np.insert(centres.round(), 0, [1, 0, 1, 0], axis=1)
    expected = fit_spots(image, points, "gaussian_3d_elliptic", window=(5, 7, 7))
    assert expected.converged.all()
    same(fit_spots(chunked(image, 1, 7, 10, 14), points, "gaussian_3d_elliptic", window=(5, 7, 7)), expected)


class Watch:
    """Notes which chunks were loaded."""

    def __init__(self) -> None:
        self.loaded: list[tuple[int, ...]] = []

    def __call__(self, block: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            self.loaded.append(tuple(block_info[0]["chunk-location"]))
        return block


def test_only_chunks_with_pixels_of_windows_are_read() -> None:
    watch = Watch()
    image = chunked(STACK, 1, 10, 10).map_blocks(watch, dtype=STACK.dtype, meta=np.empty((0, 0, 0)))
    # well inside of a chunk, and across the corner of four
    points = np.array([[2, 25.0, 35.0], [0, 9.0, 9.0]])
    result = fit_spots(image, points, "gaussian_2d", window=WINDOW)
    lazy = [*result.params.values(), result.covariance, result.reduced_chi2, result.fitted(), result.residual()]
    assert all(isinstance(values, da.Array) for values in lazy)
    repr(result)
    assert not watch.loaded
    dask.compute(result.params["x"], result.stderr["x"], result.flags)
    assert sorted(watch.loaded) == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (2, 2, 3)]
    watch.loaded.clear()
    kept = result.persist()
    watch.loaded.clear()
    kept.params["x"].compute()
    kept.fitted().compute()
    assert not watch.loaded


def test_memory_is_that_of_a_few_frames() -> None:
    """A stack of 320 MB that is made frame by frame."""
    frame = STACK[0, :40, :50]

    def make(block_info: Any = None) -> np.ndarray:
        values = np.zeros((1, 1000, 1000))
        values[0, :40, :50] = frame + block_info[None]["chunk-location"][0]
        return values

    stack = da.map_blocks(make, chunks=((1,) * 40, (1000,), (1000,)), dtype=float, meta=np.empty((0, 0, 0)))
    points = [[t, *POINTS[0, 1:]] for t in range(40)]
    result = fit_spots(stack, points, "gaussian_2d", window=WINDOW)
    fit_spots(STACK, POINTS[:2], "gaussian_2d", window=WINDOW)  # compiled before it is measured
    tracemalloc.start()
    try:
        loaded = result.compute(scheduler="threads", num_workers=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * 8e6
    np.testing.assert_allclose(loaded.params["offset"], loaded.params["offset"][0] + np.arange(40), rtol=1e-3)


def test_stopping_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 5)
    done = 0

    def note(n: int, _: int) -> None:
        nonlocal done
        done = n

    request = SpotRequest(models["gaussian_2d"], POINTS, WINDOW)
    steps = iter_fit(chunked(STACK, 1, 13, 50), request, lambda: done >= 10)
    result = drain(steps, note)
    expected = fit_spots(STACK, POINTS, "gaussian_2d", window=WINDOW)
    stopped = result.status == Status.STOPPED
    assert 10 <= np.count_nonzero(~stopped) < 40
    np.testing.assert_array_equal(result.params["x"][~stopped], expected.params["x"][~stopped])
    # on a busy machine a piece under way is stopped between two steps: its fits keep what they have reached
    never_begun = np.isnan(result.params["x"])
    assert never_begun.any()
    assert stopped[never_begun].all()
    np.testing.assert_array_equal(result.n_left_out[never_begun], 0)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"shared": ["sigma"]}, "chunk by chunk"),
        ({"model": "exponential_decay"}, "use fit_voxels"),
        ({"points": [[0, 1, 99]]}, "lies outside"),
        ({"points": np.zeros((0, 3))}, "empty"),
        ({"window": 4}, "such as 5"),
        ({"mask": np.ones((3, 3), bool)}, r"the mask has shape \(3, 3\)"),
        ({"mask": da.ones((40, 50), dtype=int)}, "int64; give a boolean one"),
        ({"mask": np.zeros((40, 50), bool)}, "selects no pixel"),
        ({"sigma": 0}, "value 0"),
        ({"sigma": -np.ones((40, 50))}, "must be positive"),
        ({"sigma": da.ones((3, 3))}, r"sigma has shape \(3, 3\)"),
        ({"init": {"x": np.ones(3)}}, r"\(3,\)"),
        ({"init": {"x": 90}, "bounds": {"x": (0, 50)}}, "90 of 'x' is outside its bounds"),
        ({"init": {"z": da.ones(40)}}, "no parameter 'z'"),
        ({"should_stop": bool}, "nothing is computed yet"),
        ({"image": da.from_array(STACK * 1j)}, "complex128"),
        ({"image": da.from_array(STACK)[:, da.from_array(STACK[0, :, 0] > 0)]}, "compute_chunk_sizes"),
    ],
)
def test_mistakes_are_told_at_once(said: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit_spots(**{"image": da.from_array(STACK), "points": POINTS, "model": "gaussian_2d"} | said)
