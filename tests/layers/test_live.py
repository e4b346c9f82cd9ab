"""What of the choices is on screen, and what a fit of it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.programs import compiled_programs
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.live import choices_seen, key_of
from napari_imagefit.layers.tasks.live_tasks import fit_mean, fit_seen


def cloud() -> Image:
    y, x = np.mgrid[0:60, 0:70]
    noise = np.random.default_rng(11).normal(0, 0.5, (60, 70))
    return Image(5 + 20 * np.exp(-((y - 28) ** 2 / 50 + (x - 34) ** 2 / 90)) + noise)


def choices(image: Image, drawn: Any, **more: Any) -> Choices:
    names = models.find("gaussian_2d_elliptic").names
    said = {"region": drawn, "frames": "current", **more}
    return Choices(image, "region", "gaussian_2d_elliptic", tuple(Row(name) for name in names), **said)


def end_of(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_nothing_is_compiled_for_another_size_of_the_same_bucket() -> None:
    image, drawn = cloud(), Shapes([[(8, 8), (54, 62)]], shape_type="rectangle")
    asked = choices(image, drawn)

    def fit(bottom: float, right: float) -> int:
        drawn.data = [[(8, 8), (8, right), (bottom, right), (bottom, 8)]]
        request = freeze(asked)
        outcome = end_of(fit_seen(request, {"outlines"}, lambda: False))
        assert outcome.result.converged.all()
        return int(request.regions[0].pixels.size)

    assert fit(54, 62) == 47 * 55
    before = compiled_programs()
    sizes = [fit(bottom, right) for bottom in (53, 52.4, 50) for right in (61, 60, 58)]
    assert len(set(sizes)) > 6
    assert min(sizes) > 2048, "all of them in the bucket of the first"
    assert compiled_programs() == before


def test_the_same_choices_have_the_same_key_and_every_change_another() -> None:
    image, drawn = cloud(), Shapes([[(8, 8), (54, 62)]], shape_type="rectangle")
    dust = Shapes([[(10, 10), (12, 12)]], shape_type="rectangle")
    asked = choices(image, drawn, leave_out=dust)
    keys = [key_of(asked)]
    assert key_of(asked) == keys[0]
    drawn.data = [np.asarray(drawn.data[0]) + 0.01]
    keys.append(key_of(asked))
    dust.data = [np.asarray(dust.data[0]) + 1]
    keys.append(key_of(asked))
    drawn.translate = (1, 0)
    keys.append(key_of(asked))
    assert all(one != other for number, one in enumerate(keys) for other in keys[:number])


def test_what_all_frames_share_needs_all_of_them() -> None:
    asked = choices(cloud(), None, frames="all")
    assert choices_seen(asked).frames == "current"
    shared = Choices(asked.image, "region", asked.model, (Row("offset", shared=True),), frames="all")
    assert choices_seen(shared).frames == "all"
    assert choices_seen(choices(cloud(), None, frames="drawn")).frames == "drawn"


def test_a_mean_curve_is_fitted_where_something_is_drawn_or_maps_start_from_it() -> None:
    stack = Image(10 * np.exp(-np.arange(12.0)[:, None, None] / 4) * np.ones((5, 6)))
    painted = Labels(np.pad(np.ones((2, 3), int), ((1, 2), (1, 2))))
    rows = tuple(Row(name) for name in models.find("exponential_decay").names)

    def voxels_of_mean(**more: Any) -> int | None:
        found = end_of(fit_mean(freeze(Choices(stack, "voxels", "exponential_decay", rows, **more)), lambda: False))
        return None if found is None else int(found.n.max())

    assert voxels_of_mean() is None
    assert voxels_of_mean(region=painted) == 6
    assert voxels_of_mean(mean="start") == 30
