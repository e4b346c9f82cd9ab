"""Points of any layer become pixel indices of the image, and the script of a fit of spots gives its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Points

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.files.script import as_python
from napari_imagefit.layers.files.spot_reader import points_over
from napari_imagefit.layers.request.choices import Choices, NoiseChoice, Row, SpotChoice
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.spot_inputs import pixel_sizes_of, points_on_image
from napari_imagefit.layers.tasks.run_fit import run_any


def stack() -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:30, 0:40]
    data = rng.normal(2, 0.1, (2, 30, 40))
    return data + 9 * np.exp(-((y - 14.2) ** 2 + (x - 20.7) ** 2) / 4.5)


def choices(image: Image, points: Points, **more: Any) -> Choices:
    return Choices(image, "spots", "gaussian_2d", (), spots=SpotChoice(points, (11,)), **more)


def test_points_in_other_units_and_with_fewer_axes() -> None:
    image = Image(stack(), scale=(1, 0.1, 0.1), translate=(0, 3, 5), units=("s", "um", "um"))
    flat = Points([[4400.0, 7050.0]], units=("nm", "nm"))
    request = freeze(choices(image, flat))
    np.testing.assert_allclose(request.points, [[0, 14, 20.5], [1, 14, 20.5]])
    here = freeze(choices(image, flat, frames="current", current=(1, 0, 0)))
    np.testing.assert_allclose(here.points, [[1, 14, 20.5]])
    np.testing.assert_allclose(request.pixel_size, (0.1, 0.1))
    assert request.pixel_unit == "µm"


def test_this_frame_is_one_plane_though_points_have_fewer_axes() -> None:
    image = Image(np.zeros((3, 4, 30, 40)))
    points = Points([[z, 14, 20] for z in range(4)])
    current = choices(image, points, frames="current", current=(1, 2, 0, 0))
    np.testing.assert_array_equal(points_on_image(points, image, current), [[1, 2, 14, 20]])
    assert len(points_on_image(points, image, choices(image, points))) == 12


def test_tables_over_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = tmp_path / "them.csv"
    path.write_text('"id","frame","x [nm]","y [nm]","intensity [photon]"\n1,1,1050,2900,100\n')
    plane = Image(np.zeros((1, 40, 50)), scale=(1, 0.2, 0.1), units=("s", "um", "um"))
    np.testing.assert_allclose(points_over(plane, str(path))[0], [[0, 14, 10]])
    path.write_text('"id","frame","x [nm]","y [nm]","z [nm]","intensity [photon]"\n1,1,1050,1450,2190,100\n')
    volume = Image(np.zeros((20, 40, 50)), scale=(0.3, 0.1, 0.1), units=("um", "um", "um"))
    np.testing.assert_allclose(points_over(volume, str(path))[0], [[7.3, 14, 10]])
    # the third axis is time: there is no depth
    movie = Image(np.zeros((20, 40, 50)), scale=(1, 0.1, 0.1), units=("s", "um", "um"))
    with pytest.raises(FitInputError, match="does not go with 3 axes"):
        points_over(movie, str(path))
    path.write_text("frame,x,y,photons\n3,10,11,9\n7,12,13,9\n")
    with pytest.raises(FitInputError, match=r"points of several frames, but layer 'picture' has none"):
        points_over(Image(np.zeros((40, 50)), name="picture"), str(path))
    path.write_text("frame,x,y,photons\n3,10,11,9\n3,12,13,9\n")
    np.testing.assert_array_equal(points_over(Image(np.zeros((40, 50))), str(path))[0], [[11, 10], [13, 12]])


def test_pixels_of_several_units() -> None:
    volume = Image(np.zeros((3, 4, 5)), scale=(0.2, 65, 65), units=("um", "nm", "nm"))
    sizes, unit = pixel_sizes_of(volume, 3)
    np.testing.assert_allclose(sizes, (200, 65, 65))
    assert unit == "nm"
    assert pixel_sizes_of(Image(np.zeros((4, 5)), scale=(2, 2), units=("s", "um")), 2) == ((1.0, 1.0), "px")
    # a scale of nobody knows what: widths are pixels, as their label says
    assert pixel_sizes_of(Image(np.zeros((4, 5)), scale=(0.1, 0.1)), 2) == ((1.0, 1.0), "px")


def test_mistakes_are_sentences() -> None:
    image = Image(stack())
    for points, more, words in (
        (Points(np.empty((0, 3)), ndim=3, name="none"), {}, "'none' holds no points"),
        (Points([[0, 9, 9]]), {"frames": "current", "current": (1, 0, 0)}, "no points in the frame on screen"),
        (Points([[0, 90, 9]]), {}, "90"),
    ):
        with pytest.raises(FitInputError, match=words):
            freeze(choices(image, points, **more))


def outcome_of(chosen: Choices) -> Outcome:
    steps = run_any(freeze(chosen))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def test_noise_that_grows_with_the_light_gets_a_word() -> None:
    """Least squares states its errors of counts too small; of even noise, and of counts fitted as such, it need not."""
    y, x = np.mgrid[0:96, 0:96]
    places = np.stack(np.meshgrid(*[np.arange(8.0, 90, 12)] * 2), axis=-1).reshape(-1, 2)
    clean = sum(60 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4) for cy, cx in places) + 8
    rng = np.random.default_rng(2)
    points = Points(places)
    counts = choices(Image(rng.poisson(clean).astype(float)), points)
    note = outcome_of(counts).note
    assert "times larger at the tops of spots" in note
    assert "precision and the errors of photons and widths take it into account" in note
    assert "Poisson or Camera" in note
    assert not outcome_of(replace(counts, noise=NoiseChoice("poisson"))).note
    assert not outcome_of(choices(Image(clean + rng.normal(0, 4, clean.shape)), points)).note
    assert not outcome_of(choices(Image(clean), points)).note


def test_a_width_that_dim_spots_share_gets_a_word() -> None:
    """Of spots known to a quarter of their width; of bright ones, or with the width held, there is nothing to say."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:11, 0:11]
    shape = np.exp(-((y - 5) ** 2 + (x - 5) ** 2) / (2 * 1.3**2))
    points = Points(np.column_stack([np.arange(200), np.full((200, 2), 5)]))
    rows = (Row("sigma", shared=True),)
    dim = choices(Image(rng.poisson(5 * shape + 1, (200, 11, 11)).astype(float)), points, noise=NoiseChoice("poisson"))
    note = outcome_of(replace(dim, rows=rows)).note
    assert "a width that such spots share comes out too small" in note
    assert "sigma by some 2 %" in note or "sigma by some 3 %" in note
    assert not outcome_of(dim).note
    assert not outcome_of(replace(dim, rows=(Row("sigma", 1.3, fixed=True),))).note
    bright = Image(rng.poisson(500 * shape + 1, (200, 11, 11)).astype(float))
    assert not outcome_of(replace(dim, image=bright, rows=rows)).note


@pytest.mark.parametrize(("saturation", "shared"), [(None, False), (7.0, False), (None, True)])
def test_the_script_gives_the_same_numbers(
    saturation: float | None, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image(stack(), name="beads")
    points = Points([[0, 14, 20], [1, 14, 21]])
    chosen = replace(choices(image, points), rows=(Row("sigma", shared=shared),))
    outcome = outcome_of(replace(chosen, spots=replace(chosen.spots, saturation=saturation)))
    assert outcome.result is not None
    assert (outcome.result.n_left_out > 0).all() == (saturation is not None)
    assert (np.ptp(outcome.result.params["sigma"]) == 0) == shared
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["script.py"])
    np.save("data.npy", image.data)
    namespace: dict[str, Any] = {}
    exec(as_python(outcome, image), namespace)
    for name, values in outcome.result.params.items():
        np.testing.assert_array_equal(namespace["result"].params[name], values)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("sigma", 1.3, fixed=True, shared=True), "'sigma' is fixed and also shared; clear one or the other"),
        (Row("sigma", tied="0.1*amplitude", shared=True), "'sigma' is tied and also shared; clear one or the other"),
        (Row("sigma", Image(np.ones((2, 2)), name="map"), shared=True), "taken from layer 'map'"),
    ],
)
def test_what_cannot_be_shared(row: Row, words: str) -> None:
    with pytest.raises(FitInputError, match=words.replace("*", ".")):
        freeze(replace(choices(Image(stack()), Points([[0, 14, 20], [1, 14, 21]])), rows=(row,)))
