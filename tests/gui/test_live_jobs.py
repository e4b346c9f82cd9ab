"""Live of spots, of mean curves with the voxel under the pointer, and of layers that are not in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_imagefit.gui.widget import ImageFitWidget

from .live_help import PATIENCE, clouds, follow, numbers, of_a_click, rectangle, refitted
from .pointer import Arrivals, pixel_of, until


def decays() -> np.ndarray:
    rng = np.random.default_rng(12)
    t = np.arange(24.0)[:, None, None]
    tau = 3 + np.arange(30.0).reshape(5, 6) / 5
    return 10 * np.exp(-t / tau) + 1 + rng.normal(0, 0.05, (24, 5, 6))


@pytest.fixture
def opened(shown: tuple[Any, ImageFitWidget]) -> Iterator[tuple[Any, ImageFitWidget]]:
    _, widget = shown
    widget.live._too_long.setInterval(PATIENCE)
    yield shown
    widget.live.set_on(False)


def test_spots_of_the_frame_on_screen_follow_as_fit_has_them(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    y, x = np.mgrid[0:80, 0:90]
    rng = np.random.default_rng(3)
    places = np.array([(15, 20), (15, 60), (50, 25), (55, 70)])
    image = 10 + rng.normal(0, 0.5, (2, 80, 90))
    for cy, cx in places:
        image += 30 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4.5)
    viewer.add_image(image, name="beads")
    widget.data.set_job("spots")
    points = viewer.add_points(
        np.vstack([np.insert(places, 0, frame, axis=1) for frame in (0, 1)]), ndim=3, name="seen"
    )
    widget.spots.section.layers.choose(points)
    viewer.dims.set_current_step(0, 1)
    follow(widget)
    assert widget.follow_ups.outcome.result.shape == (4,)

    def move() -> None:
        points.data = points.data + np.array([0, 0.4, -0.3])

    refitted(widget, move)
    live = numbers(widget)
    np.testing.assert_allclose(live["y params"], places[:, 0], atol=0.1)
    clicked = of_a_click(widget)
    for name, values in live.items():
        np.testing.assert_array_equal(values, clicked[name], err_msg=name)


def test_the_mean_curve_and_the_voxel_under_the_pointer_follow(opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    layer = viewer.add_image(decays(), name="decays")
    widget.data.set_job("voxels")
    widget.data.set_axis(0)
    widget.model.set_model("exponential_decay")
    painted = viewer.add_labels(np.zeros((5, 6), int), name="where")
    painted.data[1:3, 1:4] = 1
    painted.refresh()
    widget.region.layers.choose(painted)
    viewer.layers.selection.active = layer
    viewer.reset_view()
    widget.inspection.open()
    follow(widget)
    mean = widget.inspection.mean
    assert mean is not None
    assert mean.mean is not None
    assert int(mean.mean.n.max()) == 6
    assert "Mean curve" in [column.title for column in widget.parameters._columns]

    with Arrivals(viewer) as arrivals:
        refitted(widget, lambda: arrivals.wait_for(pixel_of(viewer, (0.0, 2.0, 3.0))))
    voxel = widget.inspection.voxel
    assert voxel is not None
    assert voxel.place == (2, 3)
    assert widget.parameters._columns[0].title == "voxel 2, 3"

    refitted(widget, lambda: paint(painted))
    assert int(widget.inspection.mean.mean.n.max()) == 12
    refitted(widget, lambda: widget.region.layers.choose(None))
    assert widget.inspection.mean is None, "there is no region that it would be the mean of"
    widget.live.set_on(False)
    assert widget.inspection.voxel is None
    assert widget.parameters._columns == ()
    widget.fit()
    until(lambda: not widget.session.running, "the map is there")
    result = widget.follow_ups.outcome.result
    for name in result.model.names:
        assert result.params[name][2, 3] == voxel.result.params[name][0, 0]
        assert result.stderr[name][2, 3] == voxel.result.stderr[name][0, 0]


def paint(layer: Any) -> None:
    layer.data[1:3, :] = 1
    layer.refresh()


def test_a_lazy_layer_loads_the_frame_on_screen_and_what_is_around_the_region(
    opened: tuple[Any, ImageFitWidget],
) -> None:
    da = pytest.importorskip("dask.array")
    viewer, widget = opened
    loaded: set[tuple[int, int]] = set()
    stack = clouds(6)

    def block(block_info: Any = None) -> np.ndarray:
        (first, last), (top, bottom), across = block_info[None]["array-location"]
        loaded.add((first, top))
        return stack[first:last, top:bottom, slice(*across)]

    nothing = np.zeros((0, 0, 0))
    lazy = da.map_blocks(block, chunks=((1,) * 6, (20, 20, 20), (70,)), dtype=float, meta=nothing)
    viewer.add_image(lazy, name="shots", contrast_limits=(0, 30))
    widget.data.set_job("region")
    widget.model.set_model("gaussian_2d_elliptic")
    drawn = viewer.add_shapes([rectangle(22, 5, 59, 60)], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    viewer.dims.set_current_step(0, 4)
    viewer.layers["shots"].visible = False  # napari loads whole planes to draw them
    loaded.clear()
    follow(widget)
    refitted(widget, lambda: setattr(drawn, "data", [rectangle(23, 5, 59, 60)]))
    assert loaded == {(4, 20), (4, 40)}
    live = numbers(widget)
    assert live["y params"][4, 0] == pytest.approx(37, abs=0.3)
    for name, values in of_a_click(widget).items():
        np.testing.assert_array_equal(values, live[name], err_msg=name)
