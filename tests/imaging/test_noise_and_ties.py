"""Noise, losses and ties as the verbs take them: images and stacks, masks and labels, recipes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

import napari_imagefit as nif
from napari_imagefit.engine.core.errors import FitInputError

Floats = NDArray[np.float64]
Y, X = np.mgrid[0:15, 0:17].astype(float)
T = np.linspace(0, 5, 40)
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-12, "gtol": 1e-12}


def round_spot(at: tuple[Floats, Floats], a: float, y: float, x: float, s: float, c: float) -> Floats:
    """A Gaussian that is 1.5 times as wide along y."""
    return a * np.exp(-((at[0] - y) ** 2) / (2 * (1.5 * s) ** 2) - (at[1] - x) ** 2 / (2 * s**2)) + c


@pytest.fixture(scope="module")
def images() -> Floats:
    clean = [round_spot((Y, X), 20, 7 + d, 8 - d, 2, 1) for d in (0, 0.4, -0.3)]
    return np.random.default_rng(0).normal(clean, 0.3)


@pytest.fixture(scope="module")
def tied(images: Floats) -> nif.FitResult:
    return nif.fit_image(images, "gaussian_2d_elliptic", tied={"sigma_y": "1.5*sigma_x"}, **TIGHT)


def test_tied_image_is_scipys_fit_of_the_reduced_model(images: Floats, tied: nif.FitResult) -> None:
    names = ("amplitude", "y", "x", "sigma_x", "offset")
    assert tied.converged.all()
    for i, image in enumerate(images):
        best, covariance = optimize.curve_fit(
            lambda _at, *p: round_spot((Y, X), *p).ravel(),
            0,
            image.ravel(),
            p0=(20, 7, 8, 2, 1),
            xtol=1e-14,
            ftol=1e-14,
        )
        errors = np.sqrt(np.diag(covariance))
        for name, value, error in zip(names, best, errors, strict=True):
            # SciPy's differences are good to 1e-8 of the values, its errors to about 1e-6
            assert abs(tied.params[name][i] - value) <= 1e-4 * error
            assert tied.stderr[name][i] == pytest.approx(error, rel=1e-5)
        assert tied.stderr["sigma_y"][i] == pytest.approx(1.5 * errors[3], rel=1e-5)


def test_tied_result_is_about_the_whole_model(images: Floats, tied: nif.FitResult) -> None:
    names = nif.models["gaussian_2d_elliptic"].names
    assert tied.model.names == names
    assert tied.covariance.shape == (3, 6, 6)
    assert (tied.n_free == 5).all()
    np.testing.assert_allclose(tied.params["sigma_y"], 1.5 * tied.params["sigma_x"], rtol=1e-14)
    at = dict(tied.params)
    expected = [round_spot((Y, X), *(at[n][i] for n in ("amplitude", "y", "x", "sigma_x", "offset"))) for i in range(3)]
    np.testing.assert_allclose(tied.fitted(), expected, rtol=1e-10)
    np.testing.assert_allclose(tied.residual(), images - expected, atol=1e-9)
    np.testing.assert_allclose(tied.chi2, np.sum((images - expected) ** 2, axis=(1, 2)), rtol=1e-9)
    table = tied.to_dataframe()
    assert table["sigma_y_stderr"].tolist() == tied.stderr["sigma_y"].tolist()
    assert tied.to_layers()
    assert "sigma_y" in tied.summary()


def test_ties_with_labels_frames_and_nan(images: Floats, tied: nif.FitResult) -> None:
    """A label without enough pixels, and one spoilt frame, leave the others as they are."""
    labels = np.ones(Y.shape, int)
    labels[0, :3] = 2
    spoilt = images.copy()
    spoilt[1] = np.nan
    result = nif.fit_image(spoilt, "gaussian_2d_elliptic", mask=labels, tied={"sigma_y": "1.5*sigma_x"}, **TIGHT)
    assert result.shape == (3, 2)
    assert (result.status[:, 1] == nif.Status.TOO_FEW_SAMPLES).all()
    assert result.status[1, 0] == nif.Status.TOO_FEW_SAMPLES
    for name in result.model.names:
        for values in (result.params[name], result.stderr[name]):
            assert np.isnan(values[:, 1]).all()
            assert np.isnan(values[1]).all()
        # 3 pixels fewer of 255 change little: a fifth of a standard error
        kept = [0, 2]
        moved = np.abs(result.params[name][kept, 0] - tied.params[name][kept])
        assert (moved <= 0.2 * tied.stderr[name][kept]).all()


def test_ties_with_counts_and_with_a_loss() -> None:
    """The tie holds whatever is minimised, and changes nothing if it says what is true anyway."""
    clean = 60 * np.exp(-T / 1.2)[:, None] + 6
    counts = np.random.default_rng(1).poisson(clean, (T.size, 4))
    for how in ({"noise": "poisson"}, {"loss": "huber", "f_scale": 3.0}):
        result = nif.fit_voxels(counts, "exponential_decay", x=T, tied={"offset": "amplitude/10"}, **how, **TIGHT)
        assert result.converged.all()
        np.testing.assert_allclose(result.params["offset"], result.params["amplitude"] / 10, rtol=1e-14)
        np.testing.assert_allclose(result.stderr["offset"], result.stderr["amplitude"] / 10, rtol=1e-10)
        for name, true in (("amplitude", 60), ("tau", 1.2), ("offset", 6)):
            assert (np.abs(result.params[name] - true) < 5 * result.stderr[name]).all()


def same(one: nif.FitResult, other: nif.FitResult, rtol: float = 1e-9) -> None:
    for name in one.model.names:
        np.testing.assert_allclose(one.params[name], other.params[name], rtol=rtol)
        np.testing.assert_allclose(one.stderr[name], other.stderr[name], rtol=rtol)


def test_camera_maps_follow_regions(images: Floats) -> None:
    """Values per pixel stay with their pixels under a mask, frames and labels: the same as one region by itself."""
    rng = np.random.default_rng(2)
    camera = nif.Camera(2.0, 100.0, rng.uniform(1, 6, Y.shape))
    data = 2 * rng.poisson(np.maximum(images, 0.1)) + 100.0
    whole = nif.fit_image(data, "gaussian_2d_elliptic", noise=camera, mask=X > 1, **TIGHT)
    cut = nif.Camera(2.0, 100.0, np.asarray(camera.read_noise)[:, 2:])
    part = nif.fit_image(
        data[:, :, 2:], "gaussian_2d_elliptic", noise=cut, coords=(np.arange(15.0), np.arange(2.0, 17.0)), **TIGHT
    )
    assert whole.converged.all()
    same(whole, part, rtol=1e-6)
    # a map of one value is the value
    flat = nif.Camera(np.full(Y.shape, 2.0), np.full(Y.shape, 100.0), np.full(Y.shape, 1.6))
    same(
        nif.fit_image(data, "gaussian_2d_elliptic", noise=flat, **TIGHT),
        nif.fit_image(data, "gaussian_2d_elliptic", noise=nif.Camera(2.0, 100.0, 1.6), **TIGHT),
        rtol=1e-8,
    )


def test_camera_on_a_stack_of_voxels() -> None:
    """Broadcast as the data are, whichever axis the curves run along."""
    rng = np.random.default_rng(3)
    read = rng.uniform(1, 5, (2, 3))
    data = 2 * rng.poisson(60 * np.exp(-T / 1.2)[:, None, None] + 6, (T.size, 2, 3)) + 100.0
    first = nif.fit_voxels(data, "exponential_decay", x=T, noise=nif.Camera(2.0, 100.0, read), **TIGHT)
    last = nif.fit_voxels(
        np.moveaxis(data, 0, -1),
        "exponential_decay",
        x=T,
        axis=-1,
        noise=nif.Camera(2.0, 100.0, read[..., None]),
        **TIGHT,
    )
    same(first, last)
    one = nif.fit_voxels(data[:, 1, 2], "exponential_decay", x=T, noise=nif.Camera(2.0, 100.0, read[1, 2]), **TIGHT)
    for name in one.model.names:
        assert float(one.params[name]) == pytest.approx(first.params[name][1, 2], rel=1e-8)


def test_f_scale_is_in_units_of_sigma() -> None:
    """With σ it counts in standard deviations, without in the data's unit."""
    rng = np.random.default_rng(4)
    data = 60 * np.exp(-T / 1.2)[:, None] + 6 + 2 * rng.standard_t(2, (T.size, 5))
    said = nif.fit_voxels(data, "exponential_decay", x=T, sigma=2.0, loss="huber", f_scale=1.5, **TIGHT)
    unsaid = nif.fit_voxels(data, "exponential_decay", x=T, loss="huber", f_scale=3.0, **TIGHT)
    # a standard error is some hundredths of the value; both end within 1e-6 of one
    same(said, unsaid, rtol=1e-7)
    plain = nif.fit_voxels(data, "exponential_decay", x=T, **TIGHT)
    assert (np.abs(plain.params["tau"] / said.params["tau"] - 1) > 1e-4).all()
    # so wide that nothing bends: least squares
    wide = nif.fit_voxels(data, "exponential_decay", x=T, loss="huber", f_scale=1e6, **TIGHT)
    same(wide, plain, rtol=1e-6)


RECIPES: dict[str, Callable[[], nif.FitResult]] = {
    "tied": lambda: nif.fit_voxels(
        np.exp(-T)[:, None] + 0.1, "exponential_decay", x=T, tied={"offset": "amplitude/10"}
    ),
    "counts": lambda: nif.fit_voxels(np.arange(40) % 7, "linear", x=T, noise="poisson"),
    "camera": lambda: nif.fit_voxels(
        np.full((40, 2), 120.0), "linear", x=T, noise=nif.Camera(2.0, [100.0, 101.0], np.float32(1.5))
    ),
    "image": lambda: nif.fit_image(
        np.full((15, 17), 120.0), "plane_2d", noise=nif.Camera(np.full(Y.shape, 2.0)), bounds={"offset": (0, np.inf)}
    ),
    "loss": lambda: nif.fit_voxels(np.arange(40.0) ** 1.1, "linear", x=T, loss="cauchy", f_scale=np.float64(2)),
}
EXPECTED: dict[str, dict[str, Any]] = {
    "tied": {"tied": {"offset": "amplitude/10"}},
    "counts": {},
    "camera": {"camera": {"gain": 2.0, "offset": [100.0, 101.0], "read_noise": 1.5}},
    "image": {"bounds": {"offset": [0, "inf"]}},
    "loss": {},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "counts": {"noise": "poisson"}, "camera": {"noise": "poisson"}, "loss": {"loss": "cauchy", "f_scale": 2.0}
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_are_json(case: str) -> None:
    recipe = RECIPES[case]().recipe()
    assert json.loads(json.dumps(recipe, allow_nan=False)) == recipe
    for name, value in EXPECTED[case].items():
        assert recipe[name] == value
    for name, value in OPTIONS.get(case, {}).items():
        assert recipe["options"][name] == value


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"noise": "poisson", "sigma": 1.0}, "sigma and noise='poisson'"),
        ({"noise": nif.Camera(), "sigma": 1.0}, "sigma and noise='poisson'"),
        ({"noise": "poisson", "loss": "huber"}, "loss='huber' is for Gaussian noise"),
        ({"noise": nif.Camera(), "loss": "huber"}, "loss='huber' is for Gaussian noise"),
        ({"noise": "poisson"}, "the data hold -3"),
        ({"noise": "shot"}, "noise='shot' is not known"),
        ({"loss": "l1"}, "loss='l1' is not known"),
        ({"loss": "huber", "f_scale": 0.0}, "f_scale must be a positive number, got 0.0"),
        ({"loss": "huber", "f_scale": np.inf}, "f_scale must be a positive number, got inf"),
        ({"loss": "huber", "f_scale": "wide"}, "f_scale must be a positive number, got wide"),
        ({"tied": {"x": "y"}, "fixed": {"x": 3.0}}, "'x' is tied and also has a fixed value"),
        ({"tied": {"x": "y", "y": "x"}}, "follow from each other"),
        ({"tied": {"width": "y"}}, "no parameter 'width'"),
    ],
)
def test_refused_before_anything_is_computed(how: dict[str, Any], words: str) -> None:
    image = np.ones((15, 17))
    image[2, 3] = -3
    with pytest.raises(FitInputError, match=words):
        nif.fit_image(image, "gaussian_2d", **how)
    if "tied" not in how:
        with pytest.raises(FitInputError, match=words):
            nif.fit_voxels(image, "linear", **how)


def test_negative_pixels_outside_the_mask_are_no_matter() -> None:
    image = np.random.default_rng(5).poisson(30 * np.exp(-((Y - 7) ** 2 + (X - 8) ** 2) / 8) + 2).astype(float)
    clean = nif.fit_image(image, "gaussian_2d", mask=X > 0, noise="poisson")
    image[:, 0] = -1
    same(nif.fit_image(image, "gaussian_2d", mask=X > 0, noise="poisson"), clean)
    stack = np.random.default_rng(6).poisson(9.0, (40, 3)).astype(float)
    stack[4, 1] = -1
    assert nif.fit_voxels(stack, "linear", x=T, mask=np.array([1, 0, 1], bool), noise="poisson").converged[[0, 2]].all()
