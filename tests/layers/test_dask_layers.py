"""A layer whose data are a Dask array is fitted chunk by chunk: the whole is never loaded."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_imagefit import Status, fit_image, fit_voxels, models
from napari_imagefit.engine.core.progress import Progress
from napari_imagefit.layers.geometry.output_layers import role
from napari_imagefit.layers.request.choices import Choices, Coordinates, Row
from napari_imagefit.layers.request.fit_request import Outcome, Request
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.result_layers import make_more, what_can_be_shown
from napari_imagefit.layers.tasks.run_fit import run_any

T = np.linspace(0, 5, 16)
RNG = np.random.default_rng(0)
STACK = RNG.uniform(1, 3, (6, 7)) * np.exp(-T[:, None, None] / RNG.uniform(0.5, 2, (6, 7))) + 0.3
STACK += RNG.normal(0, 0.03, STACK.shape)
Y, X = np.mgrid[:12.0, :16.0]
FRAMES = 5 * np.exp(-0.5 * ((Y - 6) ** 2 + (X - 8) ** 2) / 4) + RNG.normal(0, 0.1, (5, 12, 16))


class Watch:
    """How many chunks were loaded, and how many at most were alive at once."""

    def __init__(self) -> None:
        self.loaded = self.alive = self.most = 0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        loaded = block.copy()
        if loaded.size:
            self.loaded += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(loaded, self._drop)
        return loaded

    def _drop(self) -> None:
        self.alive -= 1


def watched(values: np.ndarray, *chunks: int) -> tuple[Any, Watch]:
    watch = Watch()
    array = da.from_array(values, chunks=chunks)
    return array.map_blocks(watch, dtype=values.dtype, meta=np.empty((0,) * values.ndim)), watch


def choices(layer: Image, job: Any, model: str, **more: Any) -> Choices:
    return Choices(layer, job, model, tuple(Row(name) for name in models[model].names), **more)


def finish(request: Request) -> tuple[Outcome, list[Progress]]:
    told, steps = [], run_any(request)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return end.value, told


def by_role(outcome: Outcome) -> dict[str, Any]:
    return {out.data[1]["metadata"]["napari_imagefit"]["role"]: out.data[0] for out in outcome.outputs}


def test_voxels_of_a_dask_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 7)
    stack, watch = watched(STACK, 16, 1, 7)
    layer = Image(stack, contrast_limits=(0, 4), cache=False)
    request = freeze(
        choices(layer, "voxels", "exponential_decay", axis=0, coordinates=Coordinates("typed", values=tuple(T)))
    )
    watch.loaded = watch.most = 0
    outcome, told = finish(request)
    assert outcome.result is not None
    expected = fit_voxels(STACK, "exponential_decay", x=T)
    np.testing.assert_array_equal(outcome.result.params["tau"], expected.params["tau"])
    assert watch.loaded == 6, "each of six chunks once"
    assert watch.most == 1
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[-1], told[-1].total) == (42, 42)
    # maps are there, what is as large as the data is not
    assert isinstance(by_role(outcome)["param:tau"], np.ndarray)
    (residual,) = (output.data[0] for output in make_more(outcome, ["residual"]))
    assert isinstance(residual, da.Array)
    assert watch.loaded == 7, "one of them again for the contrast of the residual"
    np.testing.assert_allclose(residual, expected.residual(), atol=1e-6)


def test_frames_of_a_dask_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 1)
    frames, watch = watched(FRAMES, 1, 12, 16)
    layer = Image(frames, contrast_limits=(0, 4), cache=False)
    square = Shapes([[[2, 3], [2, 13], [10, 13], [10, 3]], [[0, 0], [0, 15], [11, 15], [11, 0]]], name="ROI")
    watch.loaded = watch.most = 0
    outcome, _ = finish(freeze(choices(layer, "region", "gaussian_2d", region=square, frames="all")))
    assert outcome.result is not None
    assert outcome.result.shape == (5, 2)
    assert watch.most == 1
    plain, _ = finish(freeze(choices(Image(FRAMES), "region", "gaussian_2d", region=square, frames="all")))
    assert plain.result is not None
    for name in models["gaussian_2d"].names:
        np.testing.assert_array_equal(outcome.result.params[name], plain.result.params[name])
    roles = what_can_be_shown(outcome)
    lazy, wanted = ({role(out.data): out.data[0] for out in make_more(one, roles)} for one in (outcome, plain))
    assert lazy.keys() == wanted.keys() == roles.keys()
    for name in ("fitted", "residual", "status"):
        np.testing.assert_array_equal(lazy[name], wanted[name])
    for one, other in zip(lazy["outlines"], wanted["outlines"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_frame_on_screen_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_imagefit.imaging.fitting.chunks.MOST_FITS", 1)
    frames, watch = watched(FRAMES, 1, 12, 16)
    layer = Image(frames, contrast_limits=(0, 4), cache=False)
    request = freeze(choices(layer, "region", "gaussian_2d", frames="current", current=(3, 0, 0)))
    watch.loaded = 0
    outcome, _ = finish(request)
    assert outcome.result is not None
    assert watch.loaded == 1
    status = outcome.result.status[:, 0]
    assert status[3] > 0
    assert (np.delete(status, 3) == Status.NOT_FITTED).all()
    expected = fit_image(FRAMES[3], "gaussian_2d")
    assert outcome.result.params["sigma"][3, 0] == expected.params["sigma"]


def test_a_mistake_is_a_sentence() -> None:
    stack, _ = watched(STACK.astype(complex), 16, 6, 7)
    layer = Image(np.zeros(STACK.shape), contrast_limits=(0, 4))
    request = freeze(choices(layer, "voxels", "exponential_decay", axis=0))
    outcome, _ = finish(replace(request, data=stack))
    assert "complex" in outcome.refusal
