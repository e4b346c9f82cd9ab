"""What is done at random to the viewer itself, with the plugin or without."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

MOST_LAYERS = 14
NAMES = ("clouds", "a b", "n" * 120, "🙂", "", "x/y", "layer:1", "clouds")


class ViewerHands:
    """Adds, changes and removes layers, steps through frames and touches the canvas, each drawn from the seed.

    Parameters
    ----------
    viewer : napari.Viewer
    seed : int
    """

    def __init__(self, viewer: Any, seed: int) -> None:
        self.viewer = viewer
        self.rng = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.own: list[tuple[int, Callable[[], None]]] = [
            (3, self.add_image),
            (3, self.remove_layer),
            (2, self.rename_layer),
            (3, self.change_data),
            (2, self.replace_data),
            (5, self.step),
            (6, self.touch_canvas),
            (2, self.toggle_layer),
            (1, self.turn),
            (1, self.add_other),
            (1, self.scale_layer),
        ]

    def say(self, words: str) -> None:
        """Tell what is about to be done."""
        raise NotImplementedError

    def pause(self, milliseconds: int) -> None:
        QTest.qWait(milliseconds)

    def any_layer(self, *kinds: str) -> Any | None:
        found = [layer for layer in self.viewer.layers if not kinds or layer._type_string in kinds]
        return self.rng.choice(found) if found else None

    def add_image(self) -> None:
        if len(self.viewer.layers) >= MOST_LAYERS:
            self.remove_layer()
        kind = self.rng.choice(("cloud", "frames", "decays", "spots", "tiny", "rgb", "counts", "nan", "volume"))
        self.say(f"add_image {kind}")
        data = self.make(kind)
        options: dict[str, Any] = {"rgb": True} if kind == "rgb" else {}
        if self.rng.random() < 0.3 and kind != "rgb":
            options["scale"] = [self.rng.choice((0.1, 1.0, 3.0))] * data.ndim
        self.viewer.add_image(data, name=self.rng.choice(NAMES) or kind, **options)

    def make(self, kind: str) -> Any:
        y, x = np.mgrid[:60, :70]
        cloud = np.exp(-((y - 28) ** 2 / 90 + (x - 33) ** 2 / 150)) * 100
        noisy = cloud + self.noise.normal(0, 3, cloud.shape)
        if kind == "frames":
            return noisy + self.noise.normal(0, 3, (4, *cloud.shape))
        if kind == "decays":
            t = np.arange(12.0)[:, None, None]
            return 5 * np.exp(-t / (3 + cloud[::2, ::2] / 20)) + self.noise.normal(0, 0.05, (12, 30, 35))
        if kind == "spots":
            spots = self.noise.poisson(5, (3, 90, 100)).astype(float)
            for _ in range(25):
                f, cy, cx = self.rng.randrange(3), self.rng.uniform(5, 85), self.rng.uniform(5, 95)
                yy, xx = np.mgrid[:90, :100]
                spots[f] += 80 * np.exp(-((yy - cy) ** 2 + (xx - cx) ** 2) / 4)
            return spots
        if kind == "rgb":
            return np.repeat((noisy.clip(0) / 130).clip(0, 1)[..., None], 3, axis=-1)
        if kind == "counts":
            return self.noise.poisson(cloud.clip(0)).astype(np.uint16)
        if kind == "nan":
            return np.where(self.noise.random(cloud.shape) < 0.2, np.nan, noisy)
        if kind == "volume":
            return self.noise.poisson(3, (8, 24, 24)).astype(np.float32)
        return noisy[:3, :2] if kind == "tiny" else noisy

    def add_other(self) -> None:
        if len(self.viewer.layers) >= MOST_LAYERS:
            return
        kind = self.rng.choice(("points", "labels"))
        self.say(f"add_other {kind}")
        if kind == "points":
            self.viewer.add_points(self.noise.uniform(0, 50, (6, 2)), name="points", size=3)
        else:
            self.viewer.add_labels((np.mgrid[:60, :70][0] // 20).astype(np.int32), name="labels")

    def remove_layer(self) -> None:
        found = [layer for layer in self.viewer.layers[1:] if layer._type_string != "shapes"]
        if found:
            layer = self.rng.choice(found)
            self.say(f"remove_layer {layer.name!r}")
            self.viewer.layers.remove(layer)

    def rename_layer(self) -> None:
        layer = self.any_layer()
        if layer is not None:
            layer.name = self.rng.choice(NAMES)

    def change_data(self) -> None:
        layer = self.any_layer("image")
        if layer is None or not isinstance(layer.data, np.ndarray) or not layer.data.flags.writeable:
            return
        self.say(f"change_data {layer.name!r}")
        with np.errstate(all="ignore"):
            layer.data[...] = (layer.data * self.rng.choice((0.5, 1.0, 1.5))).astype(layer.data.dtype)
        if self.rng.random() < 0.3 and layer.data.dtype.kind == "f":
            layer.data[..., 0] = np.nan
        layer.refresh()

    def replace_data(self) -> None:
        layer = self.any_layer("image")
        if layer is None or layer.rgb or not isinstance(layer.data, np.ndarray):
            return
        self.say(f"replace_data {layer.name!r}")
        if layer.data.ndim == 2:
            layer.data = self.make(self.rng.choice(("cloud", "tiny", "counts")))
        else:
            layer.data = layer.data[..., : max(2, layer.data.shape[-1] // 2)].copy()

    def step(self) -> None:
        dims = self.viewer.dims
        for axis in dims.not_displayed:
            dims.set_current_step(axis, self.rng.randrange(max(1, int(dims.nsteps[axis]))))

    def toggle_layer(self) -> None:
        layer = self.any_layer()
        if layer is None:
            return
        if self.rng.random() < 0.5:
            layer.visible = not layer.visible
        else:
            self.viewer.layers.selection.active = layer

    def turn(self) -> None:
        what = self.rng.choice(("transpose", "home", "3d", "theme"))
        self.say(f"turn {what}")
        if what == "transpose" and self.viewer.dims.ndim > 2:
            self.viewer.dims.transpose()
        elif what == "home":
            self.viewer.reset_view()
        elif what == "3d":
            self.viewer.dims.ndisplay = 3
            self.pause(100)
            self.viewer.dims.ndisplay = 2
        elif what == "theme":
            self.viewer.theme = self.rng.choice(("dark", "light"))

    def scale_layer(self) -> None:
        layer = self.any_layer("image")
        if layer is not None:
            layer.scale = [self.rng.choice((0.5, 1.0, 2.0))] * layer.ndim

    def touch_canvas(self) -> None:
        native = self.viewer.window._qt_viewer.canvas.native
        places = [
            QPoint(self.rng.randrange(max(1, native.width())), self.rng.randrange(max(1, native.height())))
            for _ in range(4)
        ]
        what = self.rng.choice(("move", "move", "click", "drag", "key"))
        self.say(f"touch_canvas {what}")
        if what == "click":
            QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=places[0])
        elif what == "drag":
            QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=places[0])
            for place in places[1:]:
                QTest.mouseMove(native, place)
                QTest.qWait(12)
            QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])
        elif what == "key":
            QTest.keyClick(native, self.rng.choice((Qt.Key.Key_Escape, Qt.Key.Key_Delete, Qt.Key.Key_2, Qt.Key.Key_Z)))
        else:
            for place in places:
                QTest.mouseMove(native, place)
                QTest.qWait(12)

    def like_a_fit(self) -> None:
        """Layers such as fits make, put in and changed, without the plugin."""
        names = ("map", "error")
        image = self.noise.normal(0, 1, (60, 70)).astype(np.float32)
        for name in names:
            there = [layer for layer in self.viewer.layers if layer.metadata.get("like") == name]
            if there:
                there[0].data = image
            elif len(self.viewer.layers) < MOST_LAYERS:
                self.viewer.add_image(image, name=name, metadata={"like": name}, colormap="viridis")
            self.pause(12)
        if not any(layer._type_string == "shapes" for layer in self.viewer.layers):
            self.viewer.add_shapes([[[5, 5], [5, 40], [40, 40], [40, 5]]], name="outlines")
