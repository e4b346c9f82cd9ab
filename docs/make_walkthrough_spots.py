"""Walk through spots as a person does, with mouse and keyboard, and take the pictures of ``spots_walkthrough.md``.

Run it with ``python docs/make_walkthrough_spots.py`` on a screen, a virtual one such as Xvfb's too. With
``--beads FILE`` it takes the picture of real beads as well; FILE is trackpy's ``bulk_water.tif``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import tifffile
from make_walkthrough_voxels import IMAGES, LEFT, Person, answer_dialog
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

from napari_imagefit.gui.spots.docks import find_dock
from napari_imagefit.gui.widget import ImageFitWidget

PATIENCE = 300  # seconds


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something to happen."""
    for _ in range(PATIENCE * 10):
        QTest.qWait(100)
        if condition():
            QTest.qWait(300)
            return
    raise TimeoutError(f"after {PATIENCE} s: {what}")


def choose_in_menu(viewer: Any, *names: str) -> int:
    """Click through the menus; returns how many clicks it took."""
    bar = viewer.window._qt_window.menuBar()
    action = next(a for a in bar.actions() if a.text().replace("&", "") == names[0])
    QTest.mouseClick(bar, LEFT, pos=bar.actionGeometry(action).center())
    menu = action.menu()
    for name in names[1:]:
        QTest.qWait(250)
        action = next(a for a in menu.actions() if a.text().replace("&", "").startswith(name))
        where = menu.actionGeometry(action).center()
        QTest.mouseMove(menu, where)
        # what has a menu of its own opens it under the pointer
        if action.menu() is None:
            QTest.mouseClick(menu, LEFT, pos=where)
        else:
            QTest.mouseClick(menu, LEFT, pos=where)
            menu = action.menu()
    QTest.qWait(300)
    return len(names)


def answer_open(path: Path) -> None:
    """Type a name into the dialog that asks what to open."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(100, answer)
            return
        field = dialog.findChild(QLineEdit)
        field.selectAll()
        QTest.keyClicks(field, str(path))
        QTest.keyClick(field, Qt.Key.Key_Return)

    QTimer.singleShot(500, answer)


class SpotPerson(Person):
    """Works with spots."""

    @property
    def spots(self) -> Any:
        """The controls."""
        return self.widget.spots

    @property
    def dock(self) -> Any:
        """The table."""
        return find_dock(self.viewer)

    def preview(self) -> str:
        """Wait for the preview, and read what it says."""
        until(lambda: not self.spots.preview.busy, "no preview")
        return str(self.spots.detect.note.text())

    def detect(self) -> str:
        """Click Detect."""
        QTest.mouseClick(self.spots.section.detect_button, LEFT)
        until(lambda: not self.spots.detecting, "nothing was detected")
        return str(self.widget.message.text())

    def turn(self, spin: Any, text: str) -> None:
        """Type into a box with a number."""
        self.write(spin.lineEdit(), text)

    def pick(self, combo: Any, text: str) -> None:
        """An entry of a box outside of the column."""
        combo.setFocus()
        QTest.keyClick(combo, Qt.Key.Key_Home)
        for _ in range(combo.count()):
            if combo.currentText() == text:
                return
            QTest.keyClick(combo, Qt.Key.Key_Down)
        raise ValueError(f"there is no {text!r}")

    def put(self, field: Any, text: str) -> None:
        """Into a field outside of the column."""
        QTest.mouseClick(field, LEFT)
        field.selectAll()
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)

    def click_row(self, row: int) -> None:
        """A row of the table."""
        table = self.dock.table
        QTest.mouseClick(table.viewport(), LEFT, pos=table.visualRect(table.rows.index(row, 0)).center())
        QTest.qWait(300)

    def look_at(self, centre: Sequence[float], zoom: float) -> None:
        """Come nearer."""
        self.viewer.scene.camera.center = tuple(centre)
        self.viewer.scene.camera.zoom = zoom
        QTest.qWait(300)


def begin(title: str = "napari-imagefit") -> Any:
    """A window."""
    viewer = napari.Viewer(title=title)
    viewer.window.resize(1600, 960)
    QTest.qWait(500)
    return viewer


def widget_of(viewer: Any) -> ImageFitWidget:
    """The dock "Image Fit"."""
    return next(w for w in viewer.window.dock_widgets.values() if isinstance(w, ImageFitWidget))


def walk(folder: Path) -> None:
    """Sample, widget, Detect, Fit: four choices; then the table, filters, pictures, files."""
    viewer = begin()
    choose_in_menu(viewer, "File", "Open Sample", "napari-imagefit", "Hubble")
    until(lambda: len(viewer.layers) == 1, "the sample did not open")
    choose_in_menu(viewer, "Plugins", "napari-imagefit", "Image Fit")
    person = SpotPerson(viewer, widget_of(viewer))
    print("preview:", person.preview())
    person.look_at((436, 500), 1.15)
    person.picture("walkthrough_spots_1_detect")

    print("detect:", person.detect())
    print("fit:", person.click(person.widget.fit_bar.fit))
    person.look_at((300, 300), 3)
    layer = fitted_spots(viewer)
    shown = layer.features[(layer.features["reason"] == "") & (abs(layer.data[:, 0] - 300) < 50)]
    chosen = shown[(abs(layer.data[shown.index, 1] - 300) < 60)]["r2"].idxmax()
    person.click_image(*layer.data[chosen])
    person.picture("walkthrough_spots_2_fit")

    person.click(person.spots.section.table_button)
    panel = person.dock.filters
    person.pick(panel.column, "fwhm [px]")
    QTest.mouseClick(panel.on, LEFT, pos=QPoint(8, panel.on.height() // 2))
    person.put(panel.low, "1.5")
    person.put(panel.high, "6")
    person.pick(person.dock.colour_by, "ellipticity")
    person.pick(person.dock.show_rows, "spots that count")
    column = person.dock.table.rows.names.index("amplitude")
    person.dock.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    person.dock.table.scrollToTop()
    person.click_row(3)
    print("filter:", person.dock.summary.text())
    person.picture("walkthrough_spots_3_table")

    person.dock.table.clearSelection()
    QTest.mouseClick(person.dock.average, LEFT)
    until(lambda: not person.spots.beads.busy, "no average")
    person.look_at((436, 500), 1.15)
    person.picture("walkthrough_spots_4_average")

    person.widget.parentWidget().raise_()
    person.widget.column.reveal(person.widget.results.export_button)
    answer_dialog(folder / "sources_locs.csv", "Picasso")
    print("export:", person.click(person.widget.results.export_button))
    person.dock.table.clearSelection()
    print("written:", ", ".join(sorted(path.name for path in folder.iterdir())))
    fitted_spots(viewer).visible = False
    answer_open(folder / "sources_locs.csv")
    print("read back:", person.click(person.spots.section.load_button))
    person.picture("walkthrough_spots_5_back")
    viewer.close()


def fitted_spots(viewer: Any) -> Any:
    return next(layer for layer in viewer.layers if layer.name.endswith(" · fitted spots"))


def beads(path: Path) -> None:
    """Colloids in water, dark on bright, in five frames."""
    viewer = begin()
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    person = SpotPerson(viewer, widget)
    viewer.add_image(
        tifffile.imread(path), name="beads in water", axis_labels=("t", "y", "x"), contrast_limits=(85, 125)
    )
    QTest.mouseClick(widget.data._buttons["spots"], LEFT)
    person.click(person.spots.fold.button)
    person.choose(person.spots.detect.sign, "dark")
    person.turn(person.spots.detect.scale, "2.5")
    person.turn(person.spots.detect.threshold, "5")
    person.turn(person.spots.detect.distance, "8")
    print("preview:", person.preview())
    print("detect:", person.detect())
    print("fit:", person.click(widget.fit_bar.fit))
    viewer.dims.set_current_step(0, 2)
    layer = fitted_spots(viewer)
    here = layer.features[(layer.features["frame"] == 2) & (layer.features["reason"] == "")]
    person.click(person.spots.section.table_button)
    person.pick(person.dock.colour_by, "fwhm [px]")
    person.click_image(*layer.data[here["r2"].idxmax(), 1:])
    print("spots:", person.dock.summary.text())
    person.picture("walkthrough_spots_beads")
    viewer.close()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beads", type=Path, help="trackpy's bulk_water.tif")
    parser.add_argument("--only-beads", action="store_true")
    given = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if not given.only_beads:
        with tempfile.TemporaryDirectory() as folder:
            walk(Path(folder))
    if given.beads is not None:
        beads(given.beads)


if __name__ == "__main__":
    main()
