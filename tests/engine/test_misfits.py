"""What residuals and samples say against a fit is said, and not said by chance.

False alarms are counted as in `test_flags`: at most what is promised, and 4 standard deviations.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

import napari_imagefit as nif
from napari_imagefit import Flag
from napari_imagefit.engine.core.progress import drain
from napari_imagefit.imaging.chunked.dispatch import iter_fit
from napari_imagefit.imaging.voxels.common_residual import MOST
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

# each of its models is compiled for these tests alone
pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]
N = 40_000
Y, X = np.mgrid[0:51, 0:51].astype(float)


def share(result: nif.FitResult, flag: Flag) -> float:
    return float(np.mean((result.flags & flag) != 0))


def spot(y: float, x: float, sigma: float) -> Floats:
    return np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * sigma**2))


def two_decays(t: Floats) -> Floats:
    return 500 * np.exp(-t / 20) + 500 * np.exp(-t / 150)


# Structure


@pytest.mark.parametrize(
    ("t", "sigma"),
    [(np.linspace(10, 320, 24), 2), (np.geomspace(5, 320, 17), 2), (np.linspace(10, 320, 32), 8)],
    ids=["24 echoes", "17 echoes", "32 echoes in noise"],
)
def test_short_curves_of_another_model_have_structure(t: Floats, sigma: float) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, sigma, (t.size, 200))
    wrong = nif.fit_voxels(two_decays(t)[:, None] + noise, "exponential_decay", x=t)
    assert wrong.converged.all()
    assert share(wrong, Flag.STRUCTURED_RESIDUAL) > 0.95
    right = nif.fit_voxels(1000 * np.exp(-t[:, None] / 60) + noise, "exponential_decay", x=t)
    assert share(right, Flag.STRUCTURED_RESIDUAL) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 17, 20, 24])
def test_short_curves_of_the_right_model_are_seldom_flagged(n: int) -> None:
    t = np.linspace(0, 5, n)
    data = 100 * np.exp(-t / 1.2)[:, None] + 2 + np.random.default_rng(n).normal(0, 1, (n, N))
    result = nif.fit_voxels(data, "exponential_decay", x=t, sigma=1.0)
    for flag, level in ((Flag.STRUCTURED_RESIDUAL, 1e-3), (Flag.SMALL_CHI2, 1e-4), (Flag.UNEVEN_NOISE, 1e-4)):
        assert share(result, flag) <= level + 4 * np.sqrt(level / N), flag


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("sigma", "least"), [(0.6, 0.8), (0.7, 1), (1.0, 1)])
def test_a_second_narrow_source_is_structure(sigma: float, least: float, masked: bool) -> None:
    """One of σ = 0.6 in 98 % (simulated, 1500 images); it was in half."""
    rng = np.random.default_rng(2)
    image = 200 * spot(25, 25, 6) + rng.normal(0, 2, (20, 51, 51))
    image += np.stack([200 * spot(y, x, sigma) for y, x in rng.uniform(9, 14, (20, 2))])
    mask = np.hypot(Y - 25, X - 25) < 24 if masked else None
    result = nif.fit_image(image, "gaussian_2d", init={"y": 25, "x": 25, "sigma": 6}, mask=mask)
    assert share(result, Flag.STRUCTURED_RESIDUAL) >= least


@pytest.mark.parametrize("count", [1, 2])
def test_hot_pixels_are_none(count: int) -> None:
    image = 200 * spot(25, 25, 6) + np.random.default_rng(3).normal(0, 2, (20, 51, 51))
    image[:, 8, 9 : 9 + count] += 2000
    result = nif.fit_image(image, "gaussian_2d", init={"y": 25, "x": 25, "sigma": 6})
    assert share(result, Flag.STRUCTURED_RESIDUAL) == 0


@pytest.mark.parametrize("n_fits", [1, 7])
def test_a_flag_does_not_depend_on_the_neighbours(n_fits: int) -> None:
    t = np.linspace(10, 320, 22)
    data = two_decays(t)[:, None] + np.random.default_rng(4).normal(0, 12, (t.size, 42))
    whole = nif.fit_voxels(data, "exponential_decay", x=t)
    # some are flagged and some are not
    assert 0 < share(whole, Flag.STRUCTURED_RESIDUAL) < 1
    parts = [nif.fit_voxels(data[:, i : i + n_fits], "exponential_decay", x=t).flags for i in range(0, 42, n_fits)]
    np.testing.assert_array_equal(np.concatenate(parts), whole.flags)


# Short curves of a map


def test_a_map_of_short_curves_remarks_on_what_they_have_in_common() -> None:
    t = np.linspace(10, 320, 8)
    noise = np.random.default_rng(5).normal(0, 2, (8, 10, 10))
    wrong = nif.fit_voxels(two_decays(t)[:, None, None] + noise, "exponential_decay", x=t)
    assert "a pattern in common" in wrong.summary()
    right = nif.fit_voxels(1000 * np.exp(-t[:, None, None] / 60) + noise, "exponential_decay", x=t)
    assert "a pattern in common" not in right.summary()
    assert right.source.remarks(right) == []
    # one curve cannot tell, and is not told by the others
    np.testing.assert_array_equal(wrong.flags & Flag.STRUCTURED_RESIDUAL, 0)


@pytest.mark.parametrize("masked", [False, True])
def test_a_map_in_pieces_remarks_on_the_same(masked: bool) -> None:
    t = np.linspace(10, 320, 8)
    noise = np.random.default_rng(5).normal(0, 2, (8, 80, 90))
    data = two_decays(t)[:, None, None] + noise
    data[3, ::7, ::5] = np.nan
    mask = np.indices((80, 90)).sum(axis=0) % 3 > 0 if masked else None
    # more curves than are looked at
    assert (7200 if mask is None else np.count_nonzero(mask)) > MOST
    said = {"x": t, "mask": mask}
    (want,) = _remarks(nif.fit_voxels(data, "exponential_decay", **said))
    lazy = nif.fit_voxels(da.from_array(data, chunks=(8, 30, 40)), "exponential_decay", **said)
    assert lazy.source.remarks(lazy) == []
    for options in ({"scheduler": "sync"}, {"scheduler": "threads"}):
        assert _remarks(lazy.compute(**options)) == [want]
    assert _remarks(lazy.persist().compute()) == [want]
    assert want in lazy.summary()
    steps = iter_fit(da.from_array(data, chunks=(4, 30, 40)), VoxelRequest(nif.models["exponential_decay"], **said))
    assert _remarks(drain(steps)) == [want]
    right = 1000 * np.exp(-t[:, None, None] / 60) + noise
    assert _remarks(nif.fit_voxels(da.from_array(right), "exponential_decay", **said).compute()) == []


def test_a_map_in_pieces_is_read_once() -> None:
    """The remark reads nothing again."""
    t = np.linspace(10, 320, 8)
    data = two_decays(t)[:, None, None] + np.random.default_rng(5).normal(0, 2, (8, 20, 20))
    read: list[int] = []

    def load(block: np.ndarray) -> np.ndarray:
        read.append(block.size)
        return block

    stack = da.from_array(data, chunks=(8, 10, 20)).map_blocks(load, dtype=float, meta=np.empty((0, 0, 0)))
    nif.fit_voxels(stack, "exponential_decay", x=t).compute(scheduler="sync")
    assert read == [1600, 1600]


def _remarks(result: nif.FitResult) -> list[str]:
    return result.source.remarks(result)


# χ²


def test_counts_that_are_no_whole_numbers_are_fitted_and_what_is_no_counts_is_flagged() -> None:
    """Photons that a camera's numbers were turned into are 98 % no whole numbers, and their errors are right."""
    rng = np.random.default_rng(3)
    t, truth = np.linspace(0, 3, 24), {"amplitude": 3000.0, "tau": 1.0, "offset": 200.0}
    rate = truth["amplitude"] * np.exp(-t[:, None] / truth["tau"]) + truth["offset"]
    photons = 0.47 * np.rint(rng.poisson(rate, (24, 2000)) / 0.47)
    assert np.mean(photons != np.rint(photons)) > 0.9
    right = nif.fit_voxels(photons, "exponential_decay", x=t, noise="poisson")
    assert right.converged.all()
    assert share(right, Flag.SMALL_CHI2) + share(right, Flag.LARGE_CHI2) < 0.005
    for name, value in truth.items():
        np.testing.assert_allclose(np.std((right.params[name] - value) / right.stderr[name]), 1, atol=0.07)
    # values in a unit of their own, with a noise far below that of counts of this size
    other = 3 * np.exp(-t[:, None] / rng.uniform(0.5, 2, 300)) + 0.2 + rng.normal(0, 0.02, (24, 300))
    assert share(nif.fit_voxels(other, "exponential_decay", x=t, noise="poisson"), Flag.SMALL_CHI2) > 0.99


def test_noise_that_was_said_to_be_larger_than_it_is() -> None:
    t = np.linspace(0, 5, 32)
    data = 100 * np.exp(-t / 1.2)[:, None] + np.random.default_rng(6).normal(0, 1, (32, 200))
    assert share(nif.fit_voxels(data, "exponential_decay", x=t, sigma=3.0), Flag.SMALL_CHI2) == 1
    assert share(nif.fit_voxels(data, "exponential_decay", x=t, sigma=1.0), Flag.SMALL_CHI2) <= 0.01
    assert share(nif.fit_voxels(data, "exponential_decay", x=t), Flag.SMALL_CHI2) == 0


def test_counts_that_were_averaged_are_less_noisy_than_counts() -> None:
    counts = np.random.default_rng(7).poisson(40 * spot(25, 25, 6) + 20, (16, 20, 51, 51))
    single = nif.fit_image(counts[0], "gaussian_2d", noise="poisson")
    averaged = nif.fit_image(counts.mean(axis=0), "gaussian_2d", noise="poisson")
    assert share(single, Flag.SMALL_CHI2) == 0
    assert share(averaged, Flag.SMALL_CHI2) == 1


@pytest.mark.slow
def test_few_counts_are_not_too_small() -> None:
    y, x = np.mgrid[0:11, 0:11] - 5.0
    window = np.exp(-(y**2 + x**2) / (2 * 1.5**2))
    peaks = np.array([3.0, 10.0, 30.0])[:, None, None, None]
    counts = np.random.default_rng(8).poisson(peaks * window + 0.5, (3, 20_000, 11, 11))
    result = nif.fit_image(counts, "gaussian_2d", noise="poisson")
    raised = np.count_nonzero(result.flags & Flag.SMALL_CHI2, axis=1)
    assert (raised <= 2 + 4 * np.sqrt(2)).all(), raised


# Uneven noise


@pytest.mark.parametrize("width", [21, 51])
def test_counts_that_are_not_said_to_be_counts(width: int) -> None:
    some = slice(25 - width // 2, 26 + width // 2)
    counts = np.random.default_rng(9).poisson(100 * spot(25, 25, width / 8)[some, some] + 10, (100, width, width))
    assert share(nif.fit_image(counts, "gaussian_2d"), Flag.UNEVEN_NOISE) > 0.95
    assert share(nif.fit_image(counts, "gaussian_2d", noise="poisson"), Flag.UNEVEN_NOISE) == 0
    sigma = np.sqrt(100 * spot(25, 25, width / 8)[some, some] + 10)
    assert share(nif.fit_image(counts, "gaussian_2d", sigma=sigma), Flag.UNEVEN_NOISE) == 0


def test_decays_of_counts() -> None:
    t = np.linspace(0, 5, 128)
    counts = np.random.default_rng(10).poisson(1000 * np.exp(-t)[:, None] + 10, (128, 200))
    assert share(nif.fit_voxels(counts, "exponential_decay", x=t), Flag.UNEVEN_NOISE) > 0.9


@pytest.mark.slow
def test_even_noise_is_seldom_uneven() -> None:
    """On windows, and with tails as heavy as Student's of 5 degrees of freedom seldom too."""
    rng = np.random.default_rng(11)
    clean = (20 * spot(25, 25, 1.5) + 5)[20:31, 20:31]
    even = nif.fit_image(rng.normal(clean, 1, (N, 11, 11)), "gaussian_2d")
    assert share(even, Flag.UNEVEN_NOISE) <= 1e-4 + 4 * np.sqrt(1e-4 / N)
    heavy = nif.fit_image(clean + rng.standard_t(5, (N, 11, 11)), "gaussian_2d")
    assert share(heavy, Flag.UNEVEN_NOISE) <= 1e-3


# Saturation


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_curves_that_a_converter_of_12_bits_has_cut(kind: Any) -> None:
    t = np.linspace(10, 320, 32)
    decay = 9000 * np.exp(-t[:, None] / 60) + np.random.default_rng(12).normal(60, 8, (32, 50))
    cut = np.minimum(np.rint(decay), 4095).astype(kind)
    result = nif.fit_voxels(cut, "exponential_decay", x=t)
    assert share(result, Flag.SATURATED) == 1
    left = nif.fit_voxels(cut, "exponential_decay", x=t, select=nif.Selection(saturation=4095))
    assert share(left, Flag.SATURATED) == 0
    np.testing.assert_allclose(np.median(left.params["tau"]), 60, rtol=0.02)
    whole = nif.fit_voxels(np.rint(decay).astype(kind), "exponential_decay", x=t)
    assert share(whole, Flag.SATURATED) == 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_two_samples_at_the_largest_number_of_their_type(kind: Any) -> None:
    most = np.iinfo(kind).max
    window = np.random.default_rng(13).normal(0.7 * most * spot(25, 25, 1.5)[20:31, 20:31] + 0.1 * most, 0.01 * most)
    image = np.stack([np.rint(window), np.rint(window), np.rint(window)]).astype(kind)
    image[1, 5, 5] = image[2, 5, 4:6] = most
    points = [[k, 5, 5] for k in range(3)]
    for result in (nif.fit_image(image, "gaussian_2d"), nif.fit_spots(image, points, "gaussian_2d", window=11)):
        assert (result.flags & Flag.SATURATED != 0).tolist() == [False, False, True]
    left = nif.fit_spots(image, points, "gaussian_2d", window=11, saturation=most)
    assert not (left.flags & Flag.SATURATED).any()


def test_data_that_end_by_chance_where_bits_do_are_not_cut() -> None:
    """Noise whose largest sample is often a limit, of a few numbers' width or of many."""
    rng = np.random.default_rng(14)
    for sigma in (1.0, 3.0, 10.0):
        levels = rng.uniform(1023 - 5 * sigma, 1023, (3000, 1, 1))
        image = np.rint(rng.normal(levels, sigma, (3000, 20, 20))).astype(np.uint16)
        assert np.mean(image.max(axis=(1, 2)) == 1023) > 0.005
        assert share(nif.fit_image(image, "plane_2d"), Flag.SATURATED) <= 1e-3


# A camera that cannot have made the data


@pytest.fixture
def dim() -> Floats:
    """Spots of a camera with a gain of 2, an offset of 100 and a read noise of 1.6."""
    rng = np.random.default_rng(15)
    electrons = rng.poisson(60 * spot(25, 25, 1.5)[20:31, 20:31] + 10, (100, 11, 11))
    return 2 * (electrons + rng.normal(0, 1.6, electrons.shape)) + 100


def fits(image: Floats, camera: nif.Camera, **said: Any) -> list[Any]:
    """The same fits by each of the verbs."""
    n = len(image)
    points = np.stack([np.arange(n), np.full(n, 5), np.full(n, 5)], axis=1)
    curves = image.reshape(n, -1)
    return [
        lambda: nif.fit_image(image, "gaussian_2d", noise=camera, **said),
        lambda: nif.fit_spots(image, points, "gaussian_2d", window=11, noise=camera, **said),
        lambda: nif.fit_voxels(curves, "linear", axis=1, noise=camera, **said),
    ]


def test_an_offset_far_above_the_data_is_refused(dim: Floats) -> None:
    for fit in fits(dim, nif.Camera(2, offset=200, read_noise=1.6)):
        with pytest.raises(nif.FitInputError, match="% of the data lie far below the camera's offset 200"):
            fit()
    for gain in (2.0, np.full((11, 11), 2.0)):
        with pytest.raises(nif.FitInputError, match="far below the camera's offset"):
            nif.fit_image(dim, "gaussian_2d", noise=nif.Camera(gain, offset=200, read_noise=1.6))


def test_the_right_camera_is_not_refused_nor_are_dead_pixels(dim: Floats) -> None:
    dim[:, 0, :3] = 0
    camera = nif.Camera(2, offset=100, read_noise=1.6)
    image, spots, _ = fits(dim, camera)
    for fit in (image, spots):
        # no light makes them
        assert share(fit(), Flag.LARGE_CHI2) == 1
    mask = np.ones((11, 11), bool)
    mask[0, :3] = False
    whole = nif.fit_image(dim, "gaussian_2d", noise=camera, mask=mask)
    assert share(whole, Flag.LARGE_CHI2 | Flag.SMALL_CHI2) <= 0.02


def test_pieces_of_zeros_do_not_stop_a_dask_array(dim: Floats) -> None:
    da: Any = pytest.importorskip("dask.array")
    image = np.concatenate([dim[:4], np.zeros((4, 11, 11))])
    lazy = nif.fit_image(da.from_array(image, chunks=(4, 11, 11)), "gaussian_2d", noise=nif.Camera(2, 100, 1.6))
    flags = lazy.compute().flags
    assert not (flags[:4] & Flag.LARGE_CHI2).all()
    cut = nif.fit_image(image[:4], "gaussian_2d", noise=nif.Camera(2, 100, 1.6))
    np.testing.assert_array_equal(flags[:4], cut.flags)
    # no piece can know that it is all, but each fit says what it has
    camera = nif.Camera(2, 200, 1.6)
    points = [[k, 5, 5] for k in range(8)]
    part = da.from_array(dim[:8], chunks=(4, 11, 11))
    for wrong in (
        nif.fit_image(part, "gaussian_2d", noise=camera),
        nif.fit_spots(part, points, "gaussian_2d", window=11, noise=camera),
        nif.fit_voxels(part.reshape(8, -1), "linear", axis=1, noise=camera),
    ):
        assert share(wrong.compute(), Flag.LARGE_CHI2) == 1
