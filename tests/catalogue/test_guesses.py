"""Whatever the data are, a guess is finite and inside the bounds, and the fit ends in a status."""

from __future__ import annotations

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
    if fitted.model.name == "bimodal_2d":  # type: ignore[attr-defined]
        pytest.skip("one round peak does not make a bimodal cloud")
    if fitted.model.name == "thomas_fermi_2d" and kind == "at the corner":  # type: ignore[attr-defined]
        pytest.skip("a quarter of a Gaussian is best described by a larger parabola outside")
    i = list(IMAGES).index(kind)
    assert fitted.status[i] > 0  # type: ignore[attr-defined]
    centre = {"at the edge": (0, 14), "at the corner": (23, 27)}.get(kind, (12, 14))
    # σ = 3, noise a twentieth of the peak: the centre of a whole peak is known to 0.05, of a quarter of one to 0.3;
    # the slope moves it
    assert abs(fitted.params["y"][i] - centre[0]) < 1  # type: ignore[attr-defined]
    assert abs(fitted.params["x"][i] - centre[1]) < 1  # type: ignore[attr-defined]
    assert (fitted.params["amplitude"][i] < 0) == (kind == "dip")  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("model", SURFACES, ids=ids)
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
    assert (result.status[[2, 3]] == -2).all()
    assert result.n_used.tolist() == [np.count_nonzero(labels == i) for i in range(1, 7)]


def test_curves() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 32)
    noise = rng.normal(0, 0.02, 32)
    spike = noise.copy()
    spike[7] = 1e4
    curves = {
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
        "NaN": np.full(32, np.nan),
        "inf": np.full(32, np.inf),
        "alternating": (-1.0) ** np.arange(32),
    }
    result = fit_voxels(np.stack(list(curves.values()), axis=1), "exponential_decay", x=t)
    assert inside(result.model, result).all()
    status = dict(zip(curves, result.status.tolist(), strict=True))
    assert status["empty"] == status["constant"] == -4
    assert status["NaN"] == status["inf"] == -2
    assert status["recovery"] > 0
    assert status["huge offset"] > 0
    assert result.params["amplitude"][list(curves).index("recovery")] < 0


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
