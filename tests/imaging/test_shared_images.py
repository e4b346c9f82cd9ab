"""Parameters that frames, regions and spots of images share: against one dense problem, and each at its own minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit import Status

from .joint_problem import NEAR, TIGHT, Floats, Joint, assert_like, spot

Y, X = np.mgrid[0:16, 0:16].astype(float)
YX = np.stack([Y.ravel(), X.ravel()])
SPOT = np.array([5.0, 7.0, 8.0, 2.0, 1.0])


def test_frames_of_an_image() -> None:
    """One width, and one background, for all frames."""
    rng = np.random.default_rng(3)
    places = SPOT + rng.uniform(-1, 1, (4, 5)) * [1, 1, 1, 0, 0]
    image = np.stack([spot(YX, p)[0] for p in places]) + rng.normal(0, 0.2, (4, 256))
    result = nif.fit_image(image.reshape(4, 16, 16), "gaussian_2d", shared=["sigma", "offset"], **TIGHT)
    assert_like(result, Joint(spot, [(YX, d) for d in image], (3, 4), SPOT).solve())


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
def test_labels_of_different_sizes(known: bool) -> None:
    """Spots in regions of 36 to 120 pixels, and a label of 3, fewer than own parameters."""
    labels = np.zeros((32, 32), int)
    labels[0:6, 0:6], labels[0:12, 10:20], labels[20:29, 2:11], labels[31, 29:] = 1, 2, 5, 7
    yx = np.stack([a.astype(float) for a in np.mgrid[0:32, 0:32]])
    image = np.random.default_rng(4).normal(1.0, 0.1, labels.shape)
    for height, y, x in ((3, 2.5, 2.0), (5, 6.1, 14.7), (2, 24.0, 6.6)):
        image += spot(yx.reshape(2, -1), np.array([height, y, x, 1.5, 0]))[0].reshape(labels.shape)
    how = {"sigma": 0.1} if known else {}
    result = nif.fit_image(image, "gaussian_2d", mask=labels, shared=["sigma"], **TIGHT, **how)
    assert result.shape == (4,)
    assert result.status[3] == Status.TOO_FEW_SAMPLES
    own = [(yx[:, labels == i], image[labels == i]) for i in (1, 2, 5)]
    held = np.full((5, 3), np.nan)
    start = np.array([3.0, 0.0, 0.0, 1.5, 1.0])
    joint = Joint(spot, own, (3,), start, np.full((120, 3), 0.1) if known else None, held)
    joint.start[1:3] = np.array([[2.5, 6.1, 24.0], [2.0, 14.7, 6.6]])
    truth = joint.solve()
    for p, name in enumerate(result.model.names):
        error = np.sqrt(truth.covariance[:, p, p])
        assert (np.abs(result.params[name][:3] - truth.params[p]) < NEAR * error).all()
        np.testing.assert_allclose(result.stderr[name][:3], error, rtol=NEAR)


def dim_spots(count: int, photons: float, sigma: float, background: float) -> tuple[Floats, Floats]:
    """Counts of one spot per frame, and the points in their middle."""
    rng = np.random.default_rng(6)
    half = int(np.ceil(3 * sigma))
    line = np.arange(-half, half + 1.0)
    y, x = (np.exp(-0.5 * ((line - c[:, None]) / sigma) ** 2) for c in rng.uniform(-0.5, 0.5, (2, count)))
    light = photons / (2 * np.pi * sigma**2) * y[:, :, None] * x[:, None, :]
    middle = np.full((count, 2), half)
    return rng.poisson(light + background).astype(float), np.column_stack([np.arange(count), middle])


@pytest.mark.slow
def test_fits_that_wander_off_do_not_stop_the_others() -> None:
    """Spots of 50 photons on 10 per pixel: as one problem alone none of them came to an answer."""
    stack, points = dim_spots(1500, 50, 0.8, 10)
    how: dict[str, Any] = {"window": stack.shape[1], "noise": "poisson"}
    # with the usual tolerances the width is 4 % of its error away: a few spots end early in flat valleys
    result = nif.fit_spots(stack, points, "gaussian_2d", shared=["sigma"], **TIGHT, **how)
    kept = result.converged
    assert kept.mean() > 0.99
    width, error = result.params["sigma"][kept][0], result.stderr["sigma"][kept][0]
    assert np.ptp(result.params["sigma"][kept]) == 0
    costs = []
    # from where they are: a spot of so few photons has more than one minimum
    how["init"] = {name: np.where(kept, result.params[name], 1) for name in ("amplitude", "y", "x", "offset")}
    for away in (-0.1, 0, 0.1):
        held = nif.fit_spots(stack, points, "gaussian_2d", fixed={"sigma": width + away * error}, **TIGHT, **how)
        costs.append(np.where(held.converged & kept, held.cost, np.nan))
    curvature = np.nansum(costs[0] + costs[2] - 2 * costs[1]) / 0.1**2
    slope = np.nansum(costs[2] - costs[0]) / (2 * 0.1)
    # of many photons the curvature would be 1
    assert 0.5 < curvature < 1.5
    assert abs(slope) < 0.02


@pytest.mark.slow
def test_each_fit_is_at_its_own_minimum() -> None:
    """The cost of 1 000 spots together does not tell where one of them is; ftol alone left some 3 % of an error off."""
    stack, points = dim_spots(1000, 200, 2.5, 10)
    how: dict[str, Any] = {"window": stack.shape[1], "noise": "poisson"}
    result = nif.fit_spots(stack, points, "gaussian_2d", shared=["sigma"], **how)
    assert result.converged.all()
    held = nif.fit_spots(stack, points, "gaussian_2d", fixed={"sigma": result.params["sigma"][0]}, **TIGHT, **how)
    for name in ("amplitude", "y", "x", "offset"):
        away = np.abs(result.params[name] - held.params[name]) / result.stderr[name]
        assert away.max() < 0.01, name


def test_a_window_that_has_no_answer_does_not_lead_the_others_astray() -> None:
    """A ramp of 1e4 takes the width of all to 4 557 pixels; it has no answer by itself, and so no say."""
    stack, points = dim_spots(60, 2500, 1.4, 5)
    middle = stack.shape[1]
    stack[0] = 1000.0 * np.arange(middle) + 5
    how: dict[str, Any] = {"window": middle}
    result = nif.fit_spots(stack, points, "gaussian_2d", shared=["sigma"], **how)
    others = nif.fit_spots(stack[1:], points[: len(points) - 1], "gaussian_2d", shared=["sigma"], **how)
    assert result.converged[1:].all()
    assert others.converged.all()
    np.testing.assert_allclose(result.params["sigma"][1:], others.params["sigma"], rtol=1e-4)
    np.testing.assert_allclose(result.stderr["sigma"][1:], others.stderr["sigma"], rtol=1e-3)
    assert result.n_shared.tolist() == [0] + [1] * 59


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_minimum_in_a_flat_valley_is_reached(seed: int) -> None:
    """As bright as their noise: Gauss and Newton's matrix misses the curvature, and steps shrink by a fifth only."""
    rng = np.random.default_rng(seed)
    grid = np.mgrid[0:11, 0:11].reshape(2, -1).astype(float)
    centres = 5 + rng.uniform(-0.5, 0.5, (200, 2))
    stack = np.stack([spot(grid, np.array([1.0, *c, 1.4, 2.0]))[0] for c in centres]).reshape(-1, 11, 11)
    stack += rng.normal(size=stack.shape)
    points = np.column_stack([np.arange(200), np.full((200, 2), 5)])
    result = nif.fit_spots(stack, points, "gaussian_2d", window=11, shared=["sigma"])
    assert result.converged.mean() > 0.95
