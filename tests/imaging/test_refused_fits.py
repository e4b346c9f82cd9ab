"""A setting that makes no sense in one fit costs that fit, and no other; see `napari_imagefit.imaging.fitting`."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_imagefit import Camera, FitInputError, FitResult, Status, fit_image, fit_spots, fit_voxels
from napari_imagefit.engine.drive import run
from napari_imagefit.imaging.fitting.fit_report import facts
from napari_imagefit.imaging.fitting.status_labels import reasons, worth_a_look
from napari_imagefit.imaging.voxels.refit import refit

RNG = np.random.default_rng(3)
T = np.linspace(0, 5, 16)
GRID = 4, 5
TAU = RNG.uniform(0.5, 2, GRID)
STACK = 3 * np.exp(-T[:, None, None] / TAU) + 0.3 + RNG.normal(0, 0.02, (16, *GRID))
BAD = (1, 2)
OTHERS = np.ones(GRID, bool)
OTHERS[BAD] = False


def one(value: float, bad: float, shape: tuple[int, ...] = GRID, at: tuple[int, ...] = BAD) -> np.ndarray:
    values = np.full(shape, float(value))
    values[at] = bad
    return values


# what is said with one that makes no sense, the same without, and what the result says of it
VOXELS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "start NaN": ({"init": {"tau": one(1, np.nan)}}, {"init": {"tau": one(1, 1)}}, "the start of 'tau'"),
    "start infinite": ({"init": {"offset": one(0, np.inf)}}, {"init": {"offset": one(0, 0)}}, "the start of 'offset'"),
    "start outside the model": ({"init": {"tau": one(1, -1)}}, {"init": {"tau": one(1, 1)}}, "the start of 'tau'"),
    "start outside bounds": (
        {"init": {"tau": one(1, 9)}, "bounds": {"tau": (0.1, 5)}},
        {"init": {"tau": one(1, 1)}, "bounds": {"tau": (0.1, 5)}},
        "the start of 'tau'",
    ),
    "bounds without the start": (
        {"init": {"tau": 1.0}, "bounds": {"tau": (0.1, one(5, 0.5))}},
        {"init": {"tau": 1.0}, "bounds": {"tau": (0.1, one(5, 5))}},
        "the start of 'tau'",
    ),
    "bound NaN": (
        {"bounds": {"offset": (one(-1, np.nan), 9)}},
        {"bounds": {"offset": (one(-1, -1), 9)}},
        "the bounds of 'offset'",
    ),
    "bounds crossed": (
        {"bounds": {"offset": (one(-1, 10), 9)}},
        {"bounds": {"offset": (one(-1, -1), 9)}},
        "the bounds of 'offset'",
    ),
    "bounds infinite": (
        {"bounds": {"offset": (one(-1, np.inf), one(9, np.inf))}},
        {"bounds": {"offset": (one(-1, -1), one(9, 9))}},
        "the bounds of 'offset'",
    ),
    "fixed NaN": (
        {"fixed": {"offset": one(0.3, np.nan)}},
        {"fixed": {"offset": one(0.3, 0.3)}},
        "the fixed value of 'offset'",
    ),
    "fixed outside the model": (
        {"fixed": {"tau": one(1, -2)}},
        {"fixed": {"tau": one(1, 1)}},
        "the fixed value of 'tau'",
    ),
    "sigma 0": ({"sigma": one(0.02, 0)}, {"sigma": one(0.02, 0.02)}, "sigma"),
    "sigma negative": ({"sigma": one(0.02, -1)}, {"sigma": one(0.02, 0.02)}, "sigma"),
    "sigma NaN": ({"sigma": one(0.02, np.nan)}, {"sigma": one(0.02, 0.02)}, "sigma"),
    "sigma too small": ({"sigma": one(0.02, 5e-324)}, {"sigma": one(0.02, 0.02)}, "sigma"),
    "one sigma of a curve": (
        {"sigma": one(0.02, 0, STACK.shape, (7, *BAD))},
        {"sigma": one(0.02, 0.02, STACK.shape, (7, *BAD))},
        "sigma",
    ),
    "of magnitudes": (
        {"sigma": one(0.02, 0), "noise": "rician"},
        {"sigma": one(0.02, 0.02), "noise": "rician"},
        "sigma",
    ),
    "tied": (
        {"init": {"tau": one(1, np.nan)}, "tied": {"amplitude": "10*offset"}},
        {"init": {"tau": one(1, 1)}, "tied": {"amplitude": "10*offset"}},
        "the start of 'tau'",
    ),
    "a count below 0": (
        {"init": {"offset": one(1, -1)}, "noise": "poisson"},
        {"init": {"offset": one(1, 1)}, "noise": "poisson"},
        "the start of 'offset'",
    ),
}


def check(found: FitResult, expected: FitResult, others: np.ndarray, said: str) -> None:
    """One fit is lost, and is said why; the others are those of a call in which nothing is wrong, to the last bit."""
    assert (found.status[~others] == Status.BAD_SETTINGS).all()
    assert found.refusals() == {said: int((~others).sum())}
    for name in found.model.names:
        for values in (found.params[name], found.stderr[name], found.solution[name]):
            assert np.isnan(values[~others]).all()
        np.testing.assert_array_equal(found.params[name][others], expected.params[name][others], err_msg=name)
        np.testing.assert_array_equal(found.stderr[name][others], expected.stderr[name][others], err_msg=name)
    for values in ("status", "flags", "cost", "n_used", "n_iterations"):
        np.testing.assert_array_equal(getattr(found, values)[others], getattr(expected, values)[others], values)
    assert np.isnan(found.covariance[~others]).all()


@pytest.fixture(params=["few", "wide"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "wide":
        monkeypatch.setattr(run, "WIDE_FROM", 2)
    return str(request.param)


@pytest.mark.parametrize("case", VOXELS)
def test_voxels(case: str) -> None:
    bad, good, said = VOXELS[case]
    data = np.maximum(STACK, 0)
    found = fit_voxels(data, "exponential_decay", x=T, **bad)
    check(found, fit_voxels(data, "exponential_decay", x=T, **good), OTHERS, said)
    assert f"1 × {Status.BAD_SETTINGS.message}" in found.summary()
    assert f"1 × {said}" in found.summary()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", ["start NaN", "sigma 0"])
def test_voxels_in_both_ways_and_in_chunks(case: str) -> None:
    bad, good, said = VOXELS[case]
    expected = fit_voxels(STACK, "exponential_decay", x=T, **good)
    check(fit_voxels(STACK, "exponential_decay", x=T, **bad), expected, OTHERS, said)
    # a chunk of its own for the one that is lost
    lazy = fit_voxels(da.from_array(STACK, chunks=(16, 1, (2, 1, 2))), "exponential_decay", x=T, **bad)
    check(lazy.compute(), expected, OTHERS, said)  # type: ignore[attr-defined]
    as_dask = {
        key: {name: da.from_array(v, chunks=2) if np.ndim(v) else v for name, v in value.items()}
        if key in ("init", "fixed")
        else value
        for key, value in bad.items()
    }
    lazy = fit_voxels(da.from_array(STACK, chunks=(16, 2, 2)), "exponential_decay", x=T, **as_dask)
    check(lazy.compute(), expected, OTHERS, said)  # type: ignore[attr-defined]


def test_only_one_is_left() -> None:
    two = STACK[:, 1, 2:4]
    found = fit_voxels(two, "exponential_decay", x=T, sigma=np.array([0.0, 0.02]))
    expected = fit_voxels(two, "exponential_decay", x=T, sigma=np.array([0.02, 0.02]))
    check(found, expected, np.array([False, True]), "sigma")


def test_an_earlier_result_with_a_fit_that_failed_is_a_start() -> None:
    """What a map of an earlier fit is used for, and how it is mended: from the neighbours."""
    stack = STACK.copy()
    stack[:, 1, 2] = 0
    first = fit_voxels(stack, "exponential_decay", x=T)
    assert np.isnan(first.params["tau"][BAD])
    found = fit_voxels(STACK, "exponential_decay", x=T, init=dict(first.params))
    expected = fit_voxels(STACK, "exponential_decay", x=T)
    assert found.status[BAD] == Status.BAD_SETTINGS
    np.testing.assert_allclose(found.params["tau"][OTHERS], expected.params["tau"][OTHERS], rtol=1e-5)
    again = refit(found)
    assert again.converged.all()
    assert not again.refused.any()
    np.testing.assert_allclose(again.params["tau"], expected.params["tau"], rtol=1e-5)


def test_a_second_chance_cannot_mend_bounds_and_sigma() -> None:
    for case in ("bounds crossed", "sigma 0"):
        found = refit(fit_voxels(STACK, "exponential_decay", x=T, **VOXELS[case][0]))
        assert found.status[BAD] == Status.BAD_SETTINGS
        assert found.refusals() == {VOXELS[case][2]: 1}


def test_coarse_to_fine_too() -> None:
    tau = np.linspace(0.5, 2, 40 * 40).reshape(40, 40)
    stack = 3 * np.exp(-T[:, None, None] / tau)
    sigma = one(0.1, 0, (40, 40), (8, 8))
    found = fit_voxels(stack, "exponential_decay", x=T, sigma=sigma, coarse_to_fine=True)
    assert found.counts()[Status.BAD_SETTINGS] == 1
    others = np.ones((40, 40), bool)
    others[8, 8] = False
    np.testing.assert_allclose(found.params["tau"][others], tau[others], rtol=1e-5)


def test_what_lies_outside_the_mask_is_not_looked_at() -> None:
    for case, (bad, good, _) in VOXELS.items():
        if case in ("a count below 0", "of magnitudes"):
            continue
        found = fit_voxels(STACK, "exponential_decay", x=T, mask=OTHERS, **bad)
        expected = fit_voxels(STACK, "exponential_decay", x=T, mask=OTHERS, **good)
        np.testing.assert_array_equal(found.status, expected.status)
        np.testing.assert_array_equal(found.params["amplitude"], expected.params["amplitude"])
        assert found.status[BAD] == Status.NOT_FITTED
        assert not found.refusals()


def test_sigma_does_not_matter_where_there_is_no_sample() -> None:
    stack = STACK.copy()
    stack[7, 1, 2] = np.nan
    found = fit_voxels(stack, "exponential_decay", x=T, sigma=one(0.02, 0, STACK.shape, (7, *BAD)))
    assert found.converged.all()
    unknown = fit_voxels(STACK, "exponential_decay", x=T, sigma=one(0.02, np.nan, STACK.shape, (7, *BAD)))
    assert unknown.converged.all()
    assert unknown.n_used[BAD] == 15


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"init": {"tau": np.full(GRID, np.nan)}}, "the start of 'tau' is not finite"),
        ({"init": {"tau": np.full(GRID, -1.0)}}, "the start -1 of 'tau' is outside its bounds"),
        ({"fixed": {"offset": np.full(GRID, np.nan)}}, "the fixed value of 'offset' is not finite"),
        ({"bounds": {"tau": (np.full(GRID, 3.0), 2)}}, "the lower bound 3 of 'tau' is above its upper bound 2"),
        ({"sigma": np.zeros(GRID)}, "sigma has the value 0; standard deviations must be positive"),
        ({"sigma": np.full(GRID, 5e-324)}, "too large a number"),
        ({"sigma": np.full(GRID, np.nan)}, "nothing but NaN"),
        ({"init": {"tau": one(1, np.nan), "offset": np.nan}}, "the start of 'offset' is not finite"),
        ({"init": {"tau": one(1, np.nan)}, "sigma": 0}, "sigma has the value 0"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_what_no_fit_can_use_is_refused(said: dict[str, Any], message: str, lazy: bool) -> None:
    data = da.from_array(STACK, chunks=(16, 2, 2)) if lazy else STACK
    with pytest.raises(FitInputError, match=message):
        fit_voxels(data, "exponential_decay", x=T, **said)


Y, X = np.mgrid[:12.0, :30.0]
SHIFTS = np.array([0.0, 0.3, -0.4])[:, None, None]
FRAMES = sum(
    5 * np.exp(-0.5 * ((Y - 5.5 - SHIFTS) ** 2 + (X - centre + SHIFTS) ** 2) / 2.5) for centre in (5, 15, 25)
) + RNG.normal(0, 0.05, (3, 12, 30))
LABELS = np.zeros((12, 30), int)
LABELS[1:11, 1:10], LABELS[:, 10:20], LABELS[2:, 21:29] = 1, 2, 5


@pytest.mark.parametrize("shared", [(), ("sigma",)])
def test_regions_and_frames(shared: tuple[str, ...]) -> None:
    others = np.ones((3, 3), bool)
    others[1, 2] = False

    def start(bad: float) -> dict[str, Any]:
        return {"init": {"sigma": one(1.5, bad, (3, 3), (1, 2)), "x": np.array([5.0, 15, 25])}, "shared": shared}

    found = fit_image(FRAMES, "gaussian_2d", mask=LABELS, **start(-1))
    expected = fit_image(FRAMES, "gaussian_2d", mask=LABELS, **start(1.5))
    if not shared:
        check(found, expected, others, "the start of 'sigma'")
        lazy = fit_image(da.from_array(FRAMES, chunks=(1, 12, 30)), "gaussian_2d", mask=LABELS, **start(-1))
        check(lazy.compute(), expected, others, "the start of 'sigma'")  # type: ignore[attr-defined]
    assert found.status[1, 2] == Status.BAD_SETTINGS
    assert found.converged[others].all()
    # without it there is one fewer to say what all have in common
    np.testing.assert_allclose(found.params["x"][others], expected.params["x"][others], atol=1e-3 if shared else 0)


def test_a_sigma_in_a_region() -> None:
    """One pixel of one region in one frame; one outside of the regions is nothing."""
    sigma = np.full(FRAMES.shape, 0.05)
    good = sigma.copy()
    sigma[2, 5, 14], sigma[0, 0, 0], sigma[0, 11, 29] = 0, -1, np.nan
    found = fit_image(FRAMES, "gaussian_2d", mask=LABELS, sigma=sigma)
    others = np.ones((3, 3), bool)
    others[2, 1] = False
    check(found, fit_image(FRAMES, "gaussian_2d", mask=LABELS, sigma=good), others, "sigma")
    assert np.isnan(found.fitted()[2, 5, 14])


POINTS = np.array([[5, 5], [6, 15], [5, 25], [1, 9], [6, 19]])


@pytest.mark.parametrize("groups", [None, 3])
def test_spots(groups: int | None) -> None:
    image = FRAMES[0] + 3.0
    said: dict[str, Any] = {"window": 7, "groups": groups}

    def start(bad: float) -> dict[str, Any]:
        # pixel indices of the image, which bounds are, too
        return {"init": {"x": np.array([5.0, 15, bad, 9, 19])}, "bounds": {"x": (0, 29)}}

    found = fit_spots(image, POINTS, "gaussian_2d", **start(90.0), **said)
    expected = fit_spots(image, POINTS, "gaussian_2d", **start(25.0), **said)
    assert (found.status == Status.BAD_SETTINGS).tolist() == [False, False, True, False, False]
    assert found.refusals() == {"the start of 'x'": 1}
    # a group without it is another one
    apart = [0, 3] if groups else [0, 1, 3, 4]
    for name in found.model.names:
        np.testing.assert_array_equal(found.params[name][apart], expected.params[name][apart], err_msg=name)
    if groups is None:
        others = np.array([True, True, False, True, True])
        check(found, expected, others, "the start of 'x'")
        lazy = fit_spots(da.from_array(image, chunks=(12, 10)), POINTS, "gaussian_2d", **start(90.0), **said)
        check(lazy.compute(), expected, others, "the start of 'x'")  # type: ignore[attr-defined]


def test_a_spot_of_a_group_that_is_lost_leaves_the_other_alone() -> None:
    image = FRAMES[0] + 3.0
    start = np.array([5.0, 15, 25, 9, np.nan])
    found = fit_spots(image, POINTS, "gaussian_2d", window=7, groups=2, init={"x": start}, bounds={"x": (0, 29)})
    assert (found.status == Status.BAD_SETTINGS).tolist() == [False, False, False, False, True]
    assert abs(found.params["x"][1] - 15) < 0.1


def test_a_sigma_in_a_window() -> None:
    image = FRAMES[0]
    sigma, good = np.full(image.shape, 0.05), np.full(image.shape, 0.05)
    sigma[2, 2] = 0  # of the first window
    sigma[0, 0] = sigma[11, 12] = -1  # of none
    found = fit_spots(image, POINTS, "gaussian_2d", window=7, sigma=sigma)
    expected = fit_spots(image, POINTS, "gaussian_2d", window=7, sigma=good)
    check(found, expected, np.array([False, True, True, True, True]), "sigma")
    mask = np.ones(image.shape, bool)
    mask[2, 2] = False
    assert not fit_spots(image, POINTS, "gaussian_2d", window=7, sigma=sigma, mask=mask).refusals()
    lazy = fit_spots(da.from_array(image, chunks=(12, 10)), POINTS, "gaussian_2d", window=7, sigma=sigma)
    check(lazy.compute(), expected, np.array([False, True, True, True, True]), "sigma")  # type: ignore[attr-defined]


def test_a_camera_with_values_for_each_fit() -> None:
    counts = np.round(100 * STACK)
    camera = Camera(gain=1, offset=0, read_noise=np.linspace(1, 2, 5))
    found = fit_voxels(counts, "exponential_decay", x=T, noise=camera, init={"tau": one(1, np.nan)})
    expected = fit_voxels(counts, "exponential_decay", x=T, noise=camera, init={"tau": one(1, 1)})
    check(found, expected, OTHERS, "the start of 'tau'")


def test_it_is_told_wherever_fits_are() -> None:
    found = fit_voxels(STACK, "exponential_decay", x=T, init={"tau": one(1, np.nan)})
    table = found.to_dataframe()
    assert table.message[7] == f"{Status.BAD_SETTINGS.message}: the start of 'tau'"
    assert "the start of 'tau' cannot be used" in facts(found, BAD).remarks
    why = {reason.words: reason.fits for reason in reasons(found)}
    assert why[Status.BAD_SETTINGS.message] == 1
    assert sum(why.values()) == 20
    assert worth_a_look(reasons(found))
