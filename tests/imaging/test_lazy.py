"""Dask arrays: the same numbers to the last bit, nothing computed before it is asked for, one piece at a time."""

from __future__ import annotations

import pickle
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

from napari_imagefit import Camera, FitResult, Model, Status, fit_image, fit_spots, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.progress import drain
from napari_imagefit.engine.drive import run
from napari_imagefit.imaging.chunked.dask_result import LazyFitResult
from napari_imagefit.imaging.chunked.dispatch import iter_fit, plan_of
from napari_imagefit.imaging.fitting.chunks import MOST_BYTES, iter_pieces, piece_shape
from napari_imagefit.imaging.fitting.records import all_maps
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.inspection.curves import voxel_curve
from napari_imagefit.imaging.inspection.spot_cuts import spot_picture
from napari_imagefit.imaging.inspection.surface_cuts import surface_cuts
from napari_imagefit.imaging.regions.region_fits import ImageRequest
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

RNG = np.random.default_rng(0)
T = np.linspace(0, 5, 16)
DECAYS = RNG.uniform(1, 3, (5, 7)) * np.exp(-T[:, None, None] / RNG.uniform(0.5, 2, (5, 7))) + 0.3
STACK = DECAYS + RNG.normal(0, 0.03, DECAYS.shape)
MASK = RNG.uniform(size=(5, 7)) > 0.3
MASK[:2, :3] = False  # a chunk without any fit
Y, X = np.mgrid[:12.0, :16.0]
CENTRES = RNG.uniform(5, 7, (2, 3, 1, 1))
IMAGE = 5 * np.exp(-0.5 * ((Y - CENTRES) ** 2 + (X - CENTRES - 2) ** 2) / 4) + RNG.normal(0, 0.1, (2, 3, 12, 16))
LABELS = np.zeros((12, 16), int)
LABELS[1:11, :8], LABELS[1:11, 8:] = 2, 5
EACH = np.broadcast_to(LABELS, IMAGE.shape).copy()
EACH[0, 0] = 0
EACH[1, 2][EACH[1, 2] == 5] = 0  # a single region in its chunk


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are to be fitted in the way of the whole request also where that is a wide batch."""
    monkeypatch.setattr(run, "WIDE_FROM", 257)


class Watch:
    """Counts the chunks that were loaded, and what was the most that were alive at once."""

    def __init__(self) -> None:
        self.loaded = 0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        self.loaded += block.size > 0
        return block


def chunked(values: np.ndarray, *chunks: int) -> Any:
    return da.from_array(values, chunks=chunks)


def same(lazy: FitResult, expected: FitResult) -> None:
    """Every array, to the last bit."""
    assert lazy.shape == expected.shape
    loaded = lazy.compute() if isinstance(lazy, LazyFitResult) else lazy
    for (name, values), (_, wanted) in zip(all_maps(loaded), all_maps(expected), strict=True):
        assert values.dtype == wanted.dtype, name
        np.testing.assert_array_equal(values, wanted, err_msg=name)
    np.testing.assert_array_equal(loaded.fitted(), expected.fitted())
    np.testing.assert_array_equal(lazy.residual(), expected.residual())
    assert loaded.recipe() == expected.recipe()
    columns = loaded.to_dataframe()
    assert columns.equals(expected.to_dataframe())


def read_noise() -> Any:
    return np.linspace(1, 2, 7)


VOXELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing said": ({}, {}),
    "wishes": (
        {"fixed": {"offset": np.linspace(0.2, 0.4, 7)}, "init": {"tau": 1.2}},
        {"fixed": {"offset": np.linspace(0.2, 0.4, 7)}, "init": {"tau": 1.2}},
    ),
    "arrays": (
        {
            "sigma": np.linspace(0.02, 0.05, 5)[:, None],
            "bounds": {"tau": (0.1, np.linspace(1, 3, 7)), "offset": (-1, 1)},
            "init": {"tau": np.full((5, 1), 0.9)},
            "mask": MASK,
        },
        {
            "sigma": chunked(np.linspace(0.02, 0.05, 5)[:, None], 2, 1),
            "bounds": {"tau": (0.1, chunked(np.linspace(1, 3, 7), 4)), "offset": (-1, 1)},
            "init": {"tau": chunked(np.full((5, 1), 0.9), 5, 1)},
            "mask": chunked(MASK, 5, 7),
        },
    ),
    "camera": (
        {"noise": Camera(gain=0.01 * np.linspace(1, 2, 7), offset=np.linspace(-0.1, 0.1, 5)[:, None], read_noise=1)},
        {"noise": Camera(gain=0.01 * np.linspace(1, 2, 7), offset=np.linspace(-0.1, 0.1, 5)[:, None], read_noise=1)},
    ),
    "tied": ({"tied": {"offset": "0.1*amplitude"}, "mask": MASK}, {"tied": {"offset": "0.1*amplitude"}, "mask": MASK}),
}


@pytest.mark.parametrize("case", VOXELS)
def test_voxels_are_the_same_to_the_last_bit(case: str) -> None:
    plain, lazy = VOXELS[case]
    result = fit_voxels(chunked(STACK, 4, 2, 3), "exponential_decay", x=T, **lazy)
    assert isinstance(result, FitResult)
    same(result, fit_voxels(STACK, "exponential_decay", x=T, **plain))


@pytest.mark.parametrize("case", ["nothing said", "wishes", "arrays"])
def test_piece_by_piece_is_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 6)
    plain, lazy = VOXELS[case]
    mask, settings = lazy.get("mask"), Settings.of(**{k: v for k, v in lazy.items() if k != "mask"})
    request = VoxelRequest(models["exponential_decay"], x=T, mask=mask, settings=settings)
    steps = iter_fit(da.from_array(STACK, chunks=(4, 2, 3)), request)
    told: list[tuple[int, int]] = []
    result = drain(steps, lambda done, total: told.append((done, total)))
    same(result, fit_voxels(STACK, "exponential_decay", x=T, **plain))
    n = MASK.sum() if mask is not None else 35
    assert told[-1] == (n, n)
    assert told == sorted(told)


@pytest.mark.parametrize("axis", [1, -1])
def test_any_axis(axis: int) -> None:
    stack = np.moveaxis(STACK, 0, axis)
    lazy = fit_voxels(da.from_array(stack, chunks=3), "exponential_decay", x=T, axis=axis)
    same(lazy, fit_voxels(stack, "exponential_decay", x=T, axis=axis))


def test_a_single_curve() -> None:
    same(
        fit_voxels(chunked(STACK[:, 0, 0], 5), "exponential_decay", x=T),
        fit_voxels(STACK[:, 0, 0], "exponential_decay", x=T),
    )


@pytest.mark.parametrize("mask", ["none", "pixels", "labels", "labels of each frame", "a Dask mask"])
def test_images_are_the_same_to_the_last_bit(mask: str) -> None:
    plain = {"none": None, "pixels": LABELS > 0, "labels": LABELS}.get(mask, EACH)
    lazy = chunked(EACH, 1, 3, 12, 8) if mask == "a Dask mask" else plain
    wishes: dict[str, Any] = {"bounds": {"sigma": (0.5, 9)}}
    if mask == "labels":
        wishes = {"sigma": 0.1 * np.ones((12, 16)), "init": {"sigma": np.full((3, 2), 2.0)}, "fixed": {"offset": 0}}
    result = fit_image(chunked(IMAGE, 1, 2, 6, 16), "gaussian_2d", mask=lazy, **wishes)
    expected = fit_image(IMAGE, "gaussian_2d", mask=plain, **wishes)
    same(result, expected)
    request = ImageRequest(models["gaussian_2d"], lazy, settings=Settings.of(**wishes))
    steps = iter_fit(chunked(IMAGE, 1, 2, 6, 16), request)
    same(drain(steps), expected)


def test_an_image_without_frames() -> None:
    same(fit_image(chunked(IMAGE[0, 0], 5, 5), "gaussian_2d"), fit_image(IMAGE[0, 0], "gaussian_2d"))


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    watch = Watch()
    stack = chunked(STACK, 16, 2, 3).map_blocks(watch, dtype=STACK.dtype, meta=np.empty((0, 0, 0)))
    result = fit_voxels(stack, "exponential_decay", x=T, mask=chunked(MASK, 5, 7))
    repr(result)
    for name in ("converged", "reduced_chi2", "r2", "aicc", "bic", "n_used"):
        assert isinstance(getattr(result, name), da.Array)
    lazy = [*result.params.values(), result.covariance, result.fitted(), result.residual()]
    assert all(isinstance(values, da.Array) for values in lazy)
    assert result.params["tau"].chunks == stack.chunks[1:]
    assert watch.loaded == 0
    # maps that are asked for together are fitted once
    tau, error = dask.compute(result.params["tau"], result.stderr["tau"])
    assert watch.loaded == 9
    assert np.isfinite(tau).sum() == np.isfinite(error).sum() == MASK.sum()
    kept = result.persist()
    watch.loaded = 0
    np.testing.assert_array_equal(kept.params["tau"].compute(), tau)
    assert watch.loaded == 0


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_schedulers(scheduler: str) -> None:
    """Several tasks in one process neither wait for each other for ever nor change a number."""
    result = fit_voxels(da.from_array(STACK, chunks=(16, 1, 2)), "exponential_decay", x=T)
    tau = result.params["tau"].compute(scheduler=scheduler, num_workers=4)
    np.testing.assert_array_equal(tau, fit_voxels(STACK, "exponential_decay", x=T).params["tau"])


def test_stopping_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 7)
    watch = Watch()
    stack = chunked(STACK, 16, 1, 7).map_blocks(watch, dtype=STACK.dtype, meta=np.empty((0, 0, 0)))
    done = 0

    def note(n: int, _: int) -> None:
        nonlocal done
        done = n

    request = VoxelRequest(models["exponential_decay"], x=T, mask=MASK)
    steps = iter_fit(stack, request, lambda: done >= MASK[:3].sum())
    result = drain(steps, note)
    expected = fit_voxels(STACK, "exponential_decay", x=T, mask=MASK)
    np.testing.assert_array_equal(result.params["tau"][:3], expected.params["tau"][:3])
    assert (result.status[3:] == np.where(MASK[3:], Status.STOPPED, Status.NOT_FITTED)).all()
    assert np.isnan(result.params["tau"][3:]).all()
    assert watch.loaded == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"shared": ["tau"]}, "chunk by chunk"),
        ({"x": T[:3]}, "16 samples along axis 0"),
        ({"axis": 4}, "axis 4 does not exist in a stack of 3 axes"),
        ({"mask": np.ones((2, 2), bool)}, r"the mask has shape \(2, 2\)"),
        ({"mask": np.zeros((5, 7), bool)}, "selects no voxel"),
        ({"mask": da.ones((5, 7), dtype=float)}, "has type float64"),
        ({"sigma": da.ones((3, 7))}, r"sigma has shape \(3, 7\)"),
        ({"sigma": -np.ones((5, 7))}, "must be positive"),
        ({"init": {"tau": da.ones(5)}}, "does not broadcast to the grid of fits"),
        ({"init": {"tua": da.ones(7)}}, "no parameter 'tua'"),
        ({"fixed": {"tau": np.full(7, np.nan)}}, "not finite"),
        ({"bounds": {"tau": (np.full(7, 3), 2)}}, "above its upper bound"),
        ({"progress": print}, "nothing is computed yet"),
    ],
)
def test_mistakes_are_told_at_once(said: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        fit_voxels(da.from_array(STACK), "exponential_decay", **{"x": T} | said)


def test_mistakes_with_images() -> None:
    image = da.from_array(IMAGE)
    for said, words in [
        ({"model": "exponential_decay"}, "is a curve"),
        ({"mask": np.zeros_like(EACH)}, "selects no pixel"),
        ({"mask": np.ones((3, 3), bool)}, "the mask has shape"),
        ({"coords": [Y]}, "give one per axis"),
    ]:
        with pytest.raises(FitInputError, match=words):
            fit_image(image, **{"model": "gaussian_2d"} | said)
    with pytest.raises(FitInputError, match="compute_chunk_sizes"):
        fit_voxels(da.from_array(STACK)[:, da.from_array(MASK[:, 0])], "exponential_decay")


def test_pieces_are_neither_large_nor_tiny() -> None:
    def pieces(shape: tuple[int, ...], chunks: Any) -> tuple[int, ...]:
        return piece_shape(da.zeros(shape, chunks=chunks, dtype=np.float32), [0])

    for shape, chunks in [((32, 4096, 4096), (1, 2048, 2048)), ((32, 4096, 4096), (32, 8, 8)), ((4000, 512, 512), 64)]:
        piece = pieces(shape, chunks)
        assert piece[0] == shape[0]
        assert MOST_BYTES / 8 <= 4 * np.prod(piece) <= MOST_BYTES
        assert sum(1 for _ in iter_pieces(shape, piece)) < 2000
    assert pieces((16, 5, 7), 3) == (16, 5, 7)


def test_plans_travel_light() -> None:
    """A model that is met again in another process must not be compiled again."""
    own = Model.from_expression("a*exp(-t/tau) + c", ["t"])
    for model in (models["exponential_decay"], own):
        plan = plan_of(STACK, VoxelRequest(model, x=T))
        assert pickle.loads(pickle.dumps(plan)).model is plan.model
    assert len(pickle.dumps(plan_of(STACK, VoxelRequest(models["exponential_decay"], x=T)))) < 10_000


@pytest.mark.parametrize("job", ["region", *(pytest.param(job, marks=pytest.mark.slow) for job in ("voxels", "spots"))])
def test_curves_and_cuts_are_without_the_differences_of_a_cameras_pixels(job: str) -> None:
    draw = np.random.default_rng(0)
    camera = Camera(1.0, draw.uniform(0, 20, (24, 28)), 1.0)
    y, x = np.mgrid[0:24, 0:28].astype(float)
    cloud = 100 * np.exp(-((y - 11) ** 2 + (x - 13) ** 2) / 18) + 10
    decays = np.exp(-np.arange(9.0) / 5)[:, None, None] * cloud
    data = draw.poisson(decays if job == "voxels" else cloud) + camera.offset
    lazy = chunked(data, *(9, 12, 14)[-data.ndim :])

    def shown(data: Any) -> tuple[np.ndarray, ...]:
        if job == "voxels":
            curve = voxel_curve(fit_voxels(data, "exponential_decay", noise=camera), (3, 4))
            return curve.data, curve.residual
        if job == "region":
            cuts = surface_cuts(fit_image(data, "gaussian_2d", noise=camera), ())
            return *(line.data for line in cuts.along), cuts.patch
        picture = spot_picture(fit_spots(data, [[11.0, 13.0]], "gaussian_2d", window=9, noise=camera), (0,))
        return picture.window, picture.residual

    for whole, piecewise in zip(shown(data), shown(lazy), strict=True):
        np.testing.assert_array_equal(whole, np.asarray(piecewise))
