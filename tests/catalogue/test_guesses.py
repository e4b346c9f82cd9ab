"""Whatever the data are, a guess is finite and inside the bounds, and the fit ends in a status."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from napari_imagefit import Model, fit_image, fit_voxels, models

Y, X = np.mgrid[:24.0, :28.0]
PEAK = np.exp(-0.5 * ((Y - 12) ** 2 + (X - 14) ** 2) / 9)


def peak_at(y: float, x: float) -> np.ndarray:
    return np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 9)


def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, X.shape)
    hot, spoilt, holes = noise.copy(), PEAK + noise, PEAK + noise
    hot[5, 6] = 1e4
    spoilt[3:9, 4:20] = np.nan
    holes[::2] = np.inf
    return {
        "empty": np.zeros_like(X),
        "constant": np.full_like(X, 7.3),
        "slope": 0.1 * X + 0.2 * Y,
        "noise": noise,
        "slope and peak": 0.05 * X + 5 * PEAK + noise,
        "dip": -PEAK + noise,
        "at the edge": peak_at(0, 14) + noise,
        "at the corner": peak_at(23, 27) + noise,
        "beyond the corner": peak_at(-4, -4) + noise,
        "hot pixel": hot,
        "huge offset": 1e6 + PEAK + noise,
        "negative": -1e6 - PEAK + noise,
        "patch of NaN": spoilt,
        "rows of inf": holes,
        "checkerboard": (-1.0) ** (X + Y),
        "one sample": np.where((Y == 3) & (X == 4), 1.0, np.nan),
        "no sample": np.full_like(X, np.nan),
        "1e200": 1e200 * PEAK,
        "1e-200": 1e-200 * PEAK,
    }


IMAGES = images()
SURFACES = [model for model in models.values() if model.ndim == 2]
ids = [model.name for model in SURFACES]


# a second or five to compile each
FAST = {"gaussian_2d_rotated", "bimodal_2d"}
MARKED = [m if m.name in FAST else pytest.param(m, marks=pytest.mark.slow) for m in SURFACES]


@pytest.fixture(scope="module", params=MARKED, ids=ids)
def fitted(request: pytest.FixtureRequest) -> object:
    """All images in one batch, so that each model is compiled once."""
    return fit_image(np.stack(list(IMAGES.values())), request.param)


def inside(model: Model, result: object) -> np.ndarray:
    starts = np.stack([result.start[name] for name in model.names])  # type: ignore[attr-defined]
    grid = (-1,) + (1,) * (starts.ndim - 1)
    return (np.isfinite(starts) & (starts > model.lower.reshape(grid)) & (starts < model.upper.reshape(grid))).all(
        axis=0
    )


def test_guesses_are_finite_and_inside(fitted: object) -> None:
    good = inside(fitted.model, fitted)  # type: ignore[attr-defined]
    assert good.all(), [name for name, ok in zip(IMAGES, good, strict=True) if not ok]


def test_no_answer_is_nan_and_an_answer_is_finite(fitted: object) -> None:
    for name in fitted.model.names:  # type: ignore[attr-defined]
        answered = np.isfinite(fitted.params[name])  # type: ignore[attr-defined]
        assert not answered[fitted.status < 0].any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["empty", "constant"])
def test_nothing_to_see_is_singular(fitted: object, kind: str) -> None:
    i = list(IMAGES).index(kind)
    assert fitted.status[i] == -4  # type: ignore[attr-defined]
    assert fitted.n_iterations[i] < 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind", ["at the edge", "at the corner", "slope and peak", "dip", "huge offset", "patch of NaN"]
)
def test_what_can_be_seen_is_found(fitted: object, kind: str) -> None:
    if fitted.model.name == "plane_2d":  # type: ignore[attr-defined]
        pytest.skip("a plane has no centre")
    if fitted.model.name == "bimodal_2d":  # type: ignore[attr-defined]
        pytest.skip("one round peak does not make a bimodal cloud")
    if fitted.model.name in {"thomas_fermi_2d", "parabola_2d"} and kind == "at the corner":  # type: ignore[attr-defined]
        pytest.skip("a quarter of a Gaussian is best described by a larger parabola outside")
    i = list(IMAGES).index(kind)
    assert fitted.status[i] > 0  # type: ignore[attr-defined]
    centre = {"at the edge": (0, 14), "at the corner": (23, 27)}.get(kind, (12, 14))
    # σ = 3, noise a twentieth of the peak: the centre of a whole peak is known to 0.05, of a quarter of one to 0.3;
    # the slope moves it
    assert abs(fitted.params["y"][i] - centre[0]) < 1  # type: ignore[attr-defined]
    assert abs(fitted.params["x"][i] - centre[1]) < 1  # type: ignore[attr-defined]
    assert (fitted.params["amplitude"][i] < 0) == (kind == "dip")  # type: ignore[attr-defined]


# the others start from the same `find_blob`
SHAPED = [model for model in SURFACES if model.name not in {"parabola_2d", "lorentzian_2d", "airy_2d"}]


@pytest.mark.slow
@pytest.mark.parametrize("model", SHAPED, ids=lambda model: model.name)
def test_regions_of_odd_shapes(model: Model) -> None:
    """1-row and 1-column regions, tiny ones, a ring, a diagonal; in one call, so that all are in a few batches."""
    labels = np.zeros(X.shape, int)
    labels[0, :] = 1
    labels[2:, 0] = 2
    labels[2:4, 2:4] = 3
    labels[6, 6] = 4
    ring = np.hypot(Y - 15, X - 15)
    labels[(ring > 4) & (ring < 7)] = 5
    labels[np.arange(2, 10), np.arange(18, 26)] = 6
    result = fit_image(5 * PEAK + IMAGES["noise"], model, mask=labels)
    assert inside(model, result).all()
    assert ((result.status == -2) == (result.n_used < len(model.names))).all()
    assert result.n_used.tolist() == [np.count_nonzero(labels == i) for i in range(1, 7)]


def curves() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 32)
    noise = rng.normal(0, 0.02, 32)
    spike = noise.copy()
    spike[7] = 1e4
    return {
        "empty": np.zeros(32),
        "constant": np.full(32, 7.3),
        "slope": t,
        "noise": noise,
        "recovery": 1 - np.exp(-t) + noise,
        "huge offset": 1e6 + np.exp(-t) + noise,
        "fast": np.exp(-t / 0.01),
        "slow": np.exp(-t / 1e4),
        "growth": np.exp(t),
        "spike": spike,
        "half NaN": np.where(t > 2, np.nan, np.exp(-t)),
        "one sample": np.where(t == 0, 1.0, np.nan),
        "NaN": np.full(32, np.nan),
        "inf": np.full(32, np.inf),
        "alternating": (-1.0) ** np.arange(32),
        "1e200": 1e200 * np.exp(-t),
        "1e-200": 1e-200 * np.exp(-t),
    }


CURVES = curves()
LINES = [model for model in models.values() if model.ndim == 1]
VOLUMES = [model for model in models.values() if model.ndim == 3]


@pytest.mark.parametrize(
    "model",
    [m if m.name == "exponential_decay" else pytest.param(m, marks=pytest.mark.slow) for m in LINES],
    ids=lambda model: model.name,
)
def test_curves(model: Model) -> None:
    result = fit_voxels(np.stack(list(CURVES.values()), axis=1), model, x=np.linspace(0, 5, 32))
    assert inside(model, result).all()
    status = dict(zip(CURVES, result.status.tolist(), strict=True))
    # where one part may vanish it can take until the iteration limit to see that nothing is determined
    nothing = {-4, 0} if model.name in {"inversion_recovery", "ivim"} else {-4}
    assert {status["empty"], status["constant"]} <= nothing
    assert status["NaN"] == status["inf"] == status["one sample"] == -2
    if model.name in {"exponential_decay", "exponential_recovery"}:
        assert status["recovery"] > 0
        assert status["huge offset"] > 0
        rises = result.params["amplitude"][list(CURVES).index("recovery")] > 0
        assert rises == (model.name == "exponential_recovery")


# curves as they are guessed: what does not count is 0 with weight 0
SEEN = np.stack([np.where(np.isfinite(c), c, 0) for c in CURVES.values()], axis=1)
COUNTS = np.stack([np.isfinite(c) for c in CURVES.values()], axis=1).astype(float)


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", LINES, ids=lambda model: model.name)
def test_guesses_of_curves_are_finite(model: Model, dtype: str) -> None:
    """At any place of the axis, in both precisions; the fits are slow tests."""
    guess = jax.jit(model.guess)
    with jax.enable_x64(dtype == "float64"):
        for first, step in ((0, 0.16), (-100, 0.16), (1e6, 1), (0, 1e-9), (0, 0)):
            t = (first + step * np.arange(32.0))[:, None].astype(dtype)
            usual = np.abs(SEEN).max(axis=0) < 1e20
            start = np.asarray(guess((t,), np.where(usual, SEEN, 0).astype(dtype), COUNTS.astype(dtype)))
            assert start.dtype == dtype
            assert np.isfinite(start).all(), (first, step)


@pytest.mark.parametrize(
    "name", ["stretched_exponential", "inversion_recovery", "ivim", "gaussian_1d", "voigt_1d", "damped_sine"]
)
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_guesses_of_curves_do_not_depend_on_units(cases: dict, name: str, scale: float) -> None:
    case, model = cases[name], models[name]
    data = np.stack([case.function(p, *case.coords) for p in case.truths(4, seed=5)], axis=1)
    t, weights, guess = case.coords[0][:, None], np.ones_like(data), jax.jit(model.guess)
    with jax.enable_x64(True):
        one, other = guess((t,), data, weights), guess((t * 1e3,), data * scale, weights)
    powers = {"data": scale, "coord0": 1e3, "1/coord0": 1e-3}
    expected = np.asarray(one) * np.array([powers.get(p.unit, 1) for p in model.parameters])[:, None]
    np.testing.assert_allclose(other, expected, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("model", [VOLUMES[0], pytest.param(VOLUMES[1], marks=pytest.mark.slow)], ids=lambda m: m.name)
def test_volumes(model: Model) -> None:
    z, y, x = np.mgrid[:10.0, :12.0, :14.0]
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, z.shape)
    peak = np.exp(-0.5 * ((z - 4) ** 2 + (y - 6) ** 2 + (x - 8) ** 2) / 4)
    spoilt, hot, row = 3 + peak + noise, noise.copy(), np.full_like(z, np.nan)
    spoilt[2:4, 5:8, 6:8] = np.nan
    hot[5, 6, 7] = 1e4
    row[4, 6] = peak[4, 6]
    kinds = {
        "empty": np.zeros_like(z), "constant": np.full_like(z, 7.3), "slope": x + y - z, "noise": noise, "hot": hot,
        "one row": row, "NaN": np.full_like(z, np.nan), "1e200": 1e200 * peak, "1e-200": 1e-200 * peak,
        "peak": peak + noise, "dip": -peak + noise, "huge offset": 1e6 + peak + noise, "patch of NaN": spoilt,
    }  # fmt: skip
    result = fit_image(np.stack(list(kinds.values())), model)
    assert inside(model, result).all()
    status = dict(zip(kinds, result.status.tolist(), strict=True))
    assert status["empty"] == status["constant"] == -4
    assert status["NaN"] == -2
    for kind in ("peak", "dip", "huge offset", "patch of NaN"):
        i = list(kinds).index(kind)
        assert result.status[i] > 0, kind
        # σ = 2, noise a twentieth of the peak
        found = [result.params[name][i] for name in "zyx"]
        np.testing.assert_allclose(found, (4, 6, 8), atol=0.15, err_msg=kind)
        assert (result.params["amplitude"][i] < 0) == (kind == "dip")


@pytest.mark.slow
def test_a_volume_in_frames_with_labels_and_coordinates() -> None:
    z, y, x = np.mgrid[:10.0, :12.0, :24.0]
    two = [np.exp(-0.5 * ((z - 4) ** 2 + (y - 6) ** 2 + (x - at) ** 2) / 4) for at in (6, 17)]
    labels = 1 + (x > 11.5).astype(int)
    frames = np.stack([two[0] + two[1], 2 * two[0] + 3 * two[1]])
    coords = 0.5 * np.arange(10), np.arange(12), 2.0 * np.arange(24)
    result = fit_image(frames, "gaussian_3d_elliptic", mask=labels, coords=coords)
    assert result.shape == (2, 2)
    assert result.converged.all()
    # the tail of the other peak is small on this side
    np.testing.assert_allclose(result.params["amplitude"], [[1, 1], [2, 3]], rtol=1e-2)
    np.testing.assert_allclose(result.params["x"], [[12, 34]] * 2, atol=0.1)
    np.testing.assert_allclose(result.params["sigma_z"], 1, rtol=1e-2)
    assert result.fitted().shape == frames.shape
    np.testing.assert_allclose(result.fitted(), frames, atol=0.05)


@pytest.mark.parametrize("first", [-100.0, 20.0, 100.0, 1e6])
def test_a_decay_may_begin_at_any_time(first: float) -> None:
    t = first + np.linspace(0, 5, 32)
    stack = 2 * np.exp(-(t - first) / 1.5)[:, None] + 0.5 + np.random.default_rng(0).normal(0, 0.01, (32, 4))
    result = fit_voxels(stack, "exponential_decay", x=t)
    right = np.isclose(result.params["tau"], 1.5, rtol=0.05)
    # at 100 the amplitude at t = 0 is 10²⁹: it may not be found, but nothing wrong may be called converged
    assert (right | ~result.converged).all()
    if first == 20:
        assert right.all()
