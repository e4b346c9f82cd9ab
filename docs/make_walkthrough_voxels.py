"""Walk through a voxel map as a person does, with mouse and keyboard, and take the pictures of ``voxels.md``.

Run it with ``python docs/make_walkthrough_voxels.py`` on a screen, a virtual one such as Xvfb's too. With
``--diffusion FILE`` it takes the picture of the diffusion maps as well; FILE is DIPY's ``small_101D.npz``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QLineEdit

from napari_imagefit.catalogue import models
from napari_imagefit.catalogue.titles import title_of
from napari_imagefit.gui.demo import FIRST_FIT_LIMIT_S
from napari_imagefit.gui.widget import ImageFitWidget

IMAGES = Path(__file__).parent / "images"
COLOURS = 256  # of a picture: enough for a window, and a third of the bytes
LEFT = Qt.MouseButton.LeftButton


def menu_click(viewer: Any, *path: str, picture: str = "") -> None:
    """Open one menu after the other with the mouse and click on the last entry, of which the beginning is enough.

    Parameters
    ----------
    picture : str
        The name of a picture to be taken before that last click.
    """
    bar = viewer.window._qt_window.menuBar()
    action = entry(bar, path[0])
    QTest.mouseMove(bar, bar.actionGeometry(action).center())
    QTest.mouseClick(bar, LEFT, pos=bar.actionGeometry(action).center())
    for number, text in enumerate(path[1:], 1):
        menu = action.menu()
        for _ in range(50):
            if menu.isVisible():
                break
            QTest.qWait(100)
        action = entry(menu, text)
        middle = menu.actionGeometry(action).center()
        QTest.mouseMove(menu, middle)
        QTest.qWait(300)
        if picture and number == len(path) - 1:
            # menus are windows of their own: the whole screen is taken, and cut to the window
            grabbed = viewer.window._qt_window.screen().grabWindow(0)
            grabbed.copy(viewer.window._qt_window.frameGeometry()).save(str(IMAGES / f"{picture}.png"))
            reduce(IMAGES / f"{picture}.png")
        QTest.mouseClick(menu, LEFT, pos=middle)
        QTest.qWait(300)


def entry(menu: Any, text: str) -> Any:
    """The entry of a menu or a menu bar that begins with a text."""
    shown = {action.text().replace("&", ""): action for action in menu.actions()}
    found = [action for title, action in shown.items() if title.startswith(text)]
    if not found:
        raise ValueError(f"there is no {text!r} among {', '.join(filter(None, shown))}")
    return found[0]


def open_from_menus(viewer: Any, sample: str) -> ImageFitWidget:
    """Open the widget, then a sample, for which it sets itself up."""
    QTest.qWait(500)
    menu_click(viewer, "Plugins", "napari-imagefit", "Image Fit")
    widget = next(dock for dock in viewer.window.dock_widgets.values() if isinstance(dock, ImageFitWidget))
    menu_click(viewer, "File", "Open Sample", "napari-imagefit", sample, picture="walkthrough_0_sample")
    QTest.qWait(500)
    return widget


class Person:
    """Sits in front of the window."""

    def __init__(self, viewer: Any, widget: ImageFitWidget) -> None:
        self.viewer, self.widget = viewer, widget

    def click(self, button: Any) -> str:
        """Click, wait until what that begins is done, and read what the widget says."""
        self.widget.column.reveal(button)
        QTest.qWait(100)
        QTest.mouseClick(button, LEFT)
        self.wait()
        return str(self.widget.message.text())

    def wait(self) -> None:
        """Until the widget is done."""
        for _ in range(FIRST_FIT_LIMIT_S * 10):
            QTest.qWait(100)
            if not self.widget.session.running and not self.widget.follow_ups.exports.busy:
                QTest.qWait(300)
                return
        raise TimeoutError(f"not done after {FIRST_FIT_LIMIT_S} s: {self.widget.message.text()}")

    def choose(self, combo: QComboBox, text: str) -> None:
        """An entry of a box, with the keyboard."""
        self.widget.column.reveal(combo)
        combo.setFocus()
        QTest.keyClick(combo, Qt.Key.Key_Home)
        for _ in range(combo.count()):
            if combo.currentText().startswith(text):
                return
            QTest.keyClick(combo, Qt.Key.Key_Down)
        raise ValueError(f"there is no {text!r}")

    def write(self, field: QLineEdit, text: str) -> None:
        """Into a field."""
        self.widget.column.reveal(field)
        QTest.mouseClick(field, LEFT)
        field.selectAll()
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)

    def pixel(self, y: float, x: float) -> QPoint:
        """Where a point of the plane is on the canvas."""
        QTest.qWait(50)
        view = self.canvas.view
        mapped = (view.transform * view.scene.transform).map([x, y])
        return QPoint(round(float(mapped[0])), round(float(mapped[1])))

    @property
    def canvas(self) -> Any:
        """napari's canvas has no public name."""
        return self.viewer.window._qt_viewer.canvas

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Over the image, with the button held."""
        native, first, last = self.canvas.native, self.pixel(*start), self.pixel(*end)
        QTest.mouseMove(native, first)
        QTest.qWait(100)
        QTest.mousePress(native, LEFT, pos=first)
        for part in np.linspace(0, 1, 12)[1:]:
            QTest.mouseMove(native, first + QPoint(*(round(part * d) for d in _difference(last, first))))
            QTest.qWait(40)
        QTest.mouseRelease(native, LEFT, pos=last)
        QTest.qWait(200)

    def click_image(self, y: float, x: float) -> None:
        """Point at it, then click."""
        native, pixel = self.canvas.native, self.pixel(y, x)
        QTest.mouseMove(native, pixel + QPoint(3, 0))
        QTest.qWait(50)
        QTest.mouseMove(native, pixel)
        QTest.qWait(150)
        QTest.mouseClick(native, LEFT, pos=pixel)
        QTest.qWait(200)

    def picture(self, name: str) -> None:
        """Of the whole window."""
        QTest.qWait(400)
        save(self.viewer, IMAGES / f"{name}.png")


def _difference(a: QPoint, b: QPoint) -> tuple[int, int]:
    return a.x() - b.x(), a.y() - b.y()


def save(viewer: Any, path: Path) -> None:
    """The window in few colours."""
    shown = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(shown[..., :3]).save(path)
    reduce(path)


def reduce(path: Path) -> None:
    """A picture in few colours."""
    with Image.open(path) as found:
        picture = found.convert("RGB").quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


def answer_dialog(path: Path, kind: str) -> None:
    """Type a name into the file dialog that comes next, and press Save."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(100, answer)
            return
        dialog.selectNameFilter(next(f for f in dialog.nameFilters() if f.startswith(kind)))
        field = dialog.findChild(QLineEdit)
        field.selectAll()
        QTest.keyClicks(field, str(path))
        QTest.keyClick(field, Qt.Key.Key_Return)

    QTimer.singleShot(500, answer)


def walk(folder: Path) -> None:
    """Open sample, choose axis, draw, fit, inspect, refit, compare, export."""
    viewer = napari.Viewer(title="napari-imagefit")
    viewer.window.resize(1600, 960)
    widget = open_from_menus(viewer, "Decays with trouble")
    viewer.reset_view()
    person = Person(viewer, widget)
    viewer.dims.set_current_step(0, 1)
    QTest.qWait(300)

    person.choose(widget.data.axis, "echo")
    person.click(widget.region.draw_button)
    person.drag((22, 8), (92, 250))
    person.click(widget.region.mean_button)
    person.picture("walkthrough_1_mean")

    person.click(widget.options_fold.button)
    spin = widget.options.iterations
    person.widget.column.reveal(spin)
    spin.lineEdit().selectAll()
    QTest.keyClicks(spin.lineEdit(), "3")
    QTest.keyClick(spin.lineEdit(), Qt.Key.Key_Return)
    person.click(widget.options_fold.button)
    print("fit:", person.click(widget.fit_bar.fit))
    viewer.layers["ROI"].visible = False
    person.click_image(46, 215)
    person.click_image(80, 120)
    person.picture("walkthrough_2_inspect")

    print("refit:", person.click(widget.results.refit_button))
    table = widget.results.reasons
    last = table.rowCount() - 1
    QTest.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(table.item(last, 0)).center())
    person.picture("walkthrough_3_refit")

    viewer.reset_view()
    person.choose(widget.results.other, "Exponential decay, two parts")
    print("compare:", person.click(widget.results.compare_button))
    person.picture("walkthrough_4_compare")
    person.write(widget.results.expression, "1/tau")
    person.wait()

    answer_dialog(folder / "decays.ome.tif", "OME-TIFF")
    print("export:", person.click(widget.results.export_button))
    print("written:", ", ".join(sorted(path.name for path in folder.iterdir())))
    viewer.close()


def diffusion(path: Path) -> None:
    """Mono-exponential and stretched maps of a real block of diffusion MRI, side by side."""
    data = np.load(path)
    viewer = napari.Viewer(title="napari-imagefit")
    viewer.window.resize(1600, 960)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    person = Person(viewer, widget)
    viewer.add_image(data["signal"], name="diffusion MRI", axis_labels=("x", "y", "z", "b"))
    QTest.qWait(300)
    QTest.mouseClick(widget.data._buttons["voxels"], LEFT)
    person.choose(widget.data.axis, "b")
    person.choose(widget.data.coordinates.kinds, "typed")
    field = widget.data.coordinates.values
    field.setText(" ".join(f"{b:g}" for b in data["bvalues"]))
    person.write(widget.data.coordinates.unit, "s/mm2")
    for model in ("exponential_decay", "stretched_exponential"):
        person.choose(widget.model.names, title_of(models[model]))
        fields = widget.parameters.unfold("offset")
        fields.lines["start"].clear()
        QTest.keyClicks(fields.lines["start"], "0")
        if not fields.fix.isChecked():
            QTest.mouseClick(fields.fix, LEFT)
        print(model, person.click(widget.fit_bar.fit))
    _side_by_side(viewer)
    person.click_image(4.5, 4.5)
    person.picture("diffusion_maps")
    viewer.close()


def _side_by_side(viewer: Any) -> None:
    """The time constants of both models: the first one's map is moved to the left of the other."""
    for layer in viewer.layers:
        made = layer.metadata.get("napari_imagefit", {})
        layer.visible = made.get("role") == "param:tau"
        if layer.visible and "stretched" not in made["group"]:
            shift = np.zeros(layer.ndim)
            shift[viewer.dims.displayed[-1]] = layer.data.shape[viewer.dims.displayed[-1]] + 1
            layer.translate = layer.translate - shift
    viewer.reset_view()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffusion", type=Path, help="DIPY's small_101D.npz")
    parser.add_argument("--only-diffusion", action="store_true")
    given = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if not given.only_diffusion:
        with tempfile.TemporaryDirectory() as folder:
            walk(Path(folder))
    if given.diffusion is not None:
        diffusion(given.diffusion)


if __name__ == "__main__":
    main()
