"""Entries of the history: their layers, and what they hold and let go."""

from __future__ import annotations

import gc
import weakref
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_imagefit import fit_image
from napari_imagefit.layers.geometry.output_layers import put, role, role_of
from napari_imagefit.layers.history import memory
from napari_imagefit.layers.history.entry import Entry
from napari_imagefit.layers.history.entry_layers import is_shown, layers_of, take_away
from napari_imagefit.layers.history.history import history_of
from napari_imagefit.layers.history.memory import arrays_in
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.request.layer_names import remember
from napari_imagefit.layers.tasks.run_fit import run_any
from napari_imagefit.layers.tasks.voxel_tasks import add_map

from .history_help import ELLIPTIC, ROUND, add, choices, clouds, drive, fit, show, toggle


def roles(viewer: ViewerModel, entry: Entry, *, visible: bool = False) -> set[str]:
    return {what for what, layer in layers_of(viewer.layers, entry).items() if layer.visible or not visible}


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    return viewer.add_image(clouds(), name="clouds")


def test_an_entry_tells_what_it_was(viewer: ViewerModel, image: Image) -> None:
    drawn = viewer.add_shapes([[[2, 2], [2, 27], [18, 27], [18, 2]]], shape_type="rectangle", name="ROI")
    entry = fit(viewer, image, region=drawn, frames="current", current=(1, 0, 0))
    facts = entry.facts
    assert (entry.number, facts.short, facts.data, facts.place) == (1, "Gauss ellip.", "clouds", "ROI, frame 1")
    assert (facts.counts.converged, facts.counts.failed, facts.seconds) == (1, 0, 1.5)
    assert facts.chi2 == pytest.approx(0.02**2, rel=0.2)
    assert facts.numbers.startswith("✓ 1")
    assert fit(viewer, image).facts.place == "whole image, all frames"


def test_another_model_hides_the_layers_of_the_last_and_removes_none(viewer: ViewerModel, image: Image) -> None:
    first = fit(viewer, image)
    layers_of(viewer.layers, first)["residual"].visible = True
    second = fit(viewer, image, ROUND)
    assert roles(viewer, first) == {"fitted", "residual", "status", "outlines"}
    assert not is_shown(viewer.layers, first)
    assert roles(viewer, second, visible=True) == {"outlines"}
    show(viewer, first)
    assert roles(viewer, first, visible=True) == {"outlines", "residual"}, "as it was seen before"
    assert not is_shown(viewer.layers, second)


def test_a_hidden_model_that_is_fitted_again_is_seen(viewer: ViewerModel, image: Image) -> None:
    first = fit(viewer, image)
    layers_of(viewer.layers, first)["residual"].visible = True
    fit(viewer, image, ROUND)
    again = fit(viewer, image)
    assert roles(viewer, again, visible=True) == {"outlines", "residual"}
    assert not is_shown(viewer.layers, history_of(viewer).entries[1])


def test_layers_of_another_image_are_left_alone(viewer: ViewerModel, image: Image) -> None:
    first = fit(viewer, image)
    fit(viewer, viewer.add_image(clouds()[:1], name="other"), ROUND)
    assert is_shown(viewer.layers, first)


def test_one_frame_after_all_frames_takes_the_layers_and_gives_them_back(viewer: ViewerModel, image: Image) -> None:
    """All rows were thrown away but that of the frame."""
    whole = fit(viewer, image)
    outlines = layers_of(viewer.layers, whole)["outlines"]
    one = fit(viewer, image, frames="current", current=(2, 0, 0))
    assert layers_of(viewer.layers, one)["outlines"] is outlines
    assert outlines.features["frame"].tolist() == [2]
    assert not layers_of(viewer.layers, whole)
    assert whole.outcome is not None
    assert whole.outcome.result is not None
    outlines.visible = False
    show(viewer, whole)
    assert layers_of(viewer.layers, whole)["outlines"] is outlines
    assert outlines.features["frame"].tolist() == [0, 1, 2]
    script = fit_image(image.data, ELLIPTIC)
    np.testing.assert_array_equal(outlines.features["y [px]"], script.params["y"])
    assert len(viewer.layers) == 5


def test_the_eye_brings_back_what_was_deleted_or_taken(viewer: ViewerModel, image: Image) -> None:
    entry = fit(viewer, image)
    toggle(viewer, entry)
    assert roles(viewer, entry, visible=True) == set()
    viewer.layers.remove(layers_of(viewer.layers, entry)["outlines"])
    toggle(viewer, entry)
    assert roles(viewer, entry, visible=True) == {"outlines"}
    for layer in list(layers_of(viewer.layers, entry).values()):
        viewer.layers.remove(layer)
    toggle(viewer, entry)
    assert roles(viewer, entry) == {"fitted", "residual", "status", "outlines"}
    assert is_shown(viewer.layers, entry)
    later = fit(viewer, image)
    toggle(viewer, entry)
    assert is_shown(viewer.layers, entry)
    assert not layers_of(viewer.layers, later)


def test_layers_that_a_fit_has_begun_to_fill_in_belong_to_no_entry(viewer: ViewerModel, image: Image) -> None:
    entry = fit(viewer, image)
    layer = layers_of(viewer.layers, entry)["residual"]
    before = layer.data
    request = freeze(choices(image), frozenset({"residual"}))
    begun = next(o for o in drive(run_any(request)).outputs if role(o.data) == "residual")
    put(viewer.layers, type(begun)((begun.data[0] * 0, *begun.data[1:]), None))
    assert "residual" not in layers_of(viewer.layers, entry)
    show(viewer, entry)
    assert layers_of(viewer.layers, entry)["residual"] is layer
    np.testing.assert_array_equal(layer.data, before)


def test_a_removed_entry_takes_its_layers_with_it(viewer: ViewerModel, image: Image) -> None:
    history = history_of(viewer)
    first, second = fit(viewer, image), fit(viewer, image, ROUND)
    history.remove(second, viewer.layers)
    assert history.entries == [first]
    assert history.current is None
    assert {role_of(layer, second.group) for layer in viewer.layers} == {None}
    assert fit(viewer, image).number == 3, "a number is given once"


def test_the_image_is_removed_and_its_numbers_stay(viewer: ViewerModel, image: Image) -> None:
    entry = fit(viewer, image)
    viewer.layers.clear()
    assert entry.outcome is not None
    assert entry.outcome.result is not None
    assert len(entry.outcome.result.to_dataframe()) == 3
    show(viewer, entry)
    assert len(viewer.layers) == 4


def test_a_further_map_is_no_fit_of_its_own(viewer: ViewerModel) -> None:
    t = np.arange(12.0)[:, None, None]
    stack = viewer.add_image(2 * np.exp(-t / np.linspace(2, 5, 20).reshape(1, 4, 5)), name="decay")
    entry = fit(viewer, stack, "exponential_decay", job="voxels")
    assert entry.outcome is not None
    assert add(viewer, drive(add_map(entry.outcome, "1/tau"))) is entry
    assert "derived:1/tau" in roles(viewer, entry)
    assert len(history_of(viewer).entries) == 1
    other = fit(viewer, stack, "exponential_decay", job="voxels")
    assert "derived:1/tau" not in roles(viewer, other)
    show(viewer, entry)
    assert {"derived:1/tau", "param:tau"} <= roles(viewer, entry)


def test_the_oldest_arrays_are_let_go_beyond_the_budget(
    viewer: ViewerModel, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(viewer)
    first = fit(viewer, image)
    one = history.held(viewer.layers)
    pictures = sum(layers_of(viewer.layers, first)[what].data.nbytes for what in ("fitted", "residual"))
    assert pictures < one < pictures + image.data.nbytes + 200_000, "the image is the viewer's"
    monkeypatch.setattr("napari_imagefit.layers.history.history.budget", lambda: int(2.5 * one))
    second = fit(viewer, image)
    assert first.outcome is not None
    third = fit(viewer, image, ROUND)
    assert first.outcome is None
    assert not first.outputs
    assert (first.facts.counts.converged, first.choices.model) == (3, ELLIPTIC), "numbers and settings stay"
    assert history.held(viewer.layers) <= 2.5 * one
    assert second.outcome is not None
    freed = weakref.ref(layers_of(viewer.layers, second)["residual"].data)
    fit(viewer, image, ROUND)
    gc.collect()
    assert second.outcome is None
    assert not layers_of(viewer.layers, second), "its layers were hidden"
    assert freed() is None
    monkeypatch.setattr("napari_imagefit.layers.history.history.budget", lambda: 0)
    last = fit(viewer, image)
    assert third.outcome is None
    assert last.outcome is not None, "the current one is never let go"


def test_memory_is_counted_once_and_of_owners() -> None:
    values = np.zeros((4, 100))
    assert sum(arrays_in([values[1:], {"a": values.T}, (values,)]).values()) == values.nbytes
    assert arrays_in([1, "two", None, (3.0, 4.0)]) == {}
    assert memory.budget() <= 1 << 30


def test_a_mapped_file_takes_no_memory(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "some", np.float64, "w+", shape=(10, 10))
    assert arrays_in((mapped, mapped[2:])) == {}


def test_the_history_goes_with_its_viewer() -> None:
    viewer = ViewerModel()
    entry = weakref.ref(fit(viewer, viewer.add_image(clouds(), name="clouds")))
    assert history_of(viewer) is history_of(viewer)
    del viewer
    gc.collect()
    assert entry() is None


def test_the_history_holds_no_layer(viewer: ViewerModel, image: Image) -> None:
    """A layer that was removed would take its memory for ever, and what follows it."""
    fit(viewer, image)
    history_of(viewer).settings.record(remember(choices(image)))
    held: dict[int, Any] = {}
    waiting: list[Any] = [history_of(viewer).entries, history_of(viewer).settings]
    while waiting:
        one = waiting.pop()
        if id(one) not in held and not isinstance(one, (type, ModuleType, FunctionType)):
            held[id(one)] = one
            waiting += gc.get_referents(one)
    assert any(one is image.data for one in held.values())
    assert not [one for one in held.values() if isinstance(one, Layer)]


def test_layers_that_go_together_go_in_one_batch() -> None:
    """napari collects garbage once for each batch, some tenths of a second in which the window stands still."""
    viewer = ViewerModel()
    entry = fit(viewer, viewer.add_image(clouds(), name="clouds"))
    batches: list[Any] = []
    viewer.layers.events.end_batch.connect(batches.append)
    assert len(viewer.layers) > 3
    for _ in range(2):  # and none where there is nothing to remove
        take_away(viewer.layers, entry)
        assert [layer.name for layer in viewer.layers] == ["clouds"]
        assert len(batches) == 1
