"""Diffusion MRI: decays along b, maps, second chances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dock_driver as driver
import numpy as np
from dock_driver import popups
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from .person import Person

STACK = "diffusion_mri/small_101D.npz"


def voxels(person: Person) -> None:
    person.row("open the stack and the dock", "impossible for .npz; .npy done")
    person.do("open the stack", lambda: person.open_file(STACK, "trouble", lambda path: read(path)))
    person.do("open the dock", person.open_dock)
    person.row("b-values from .bval, offset fixed at 0, fit", "done", "15", "16.6, then 2.4")
    person.do("choose Voxels", lambda: driver.choose_job(person.widget, "Voxels"))
    if person.has(STACK):
        last = person.viewer.layers[0].ndim - 1
        person.do("choose the axis", lambda: popups.pick(person.widget.data.axis, f"axis {last}", person.look))
        person.do("b-values from a file", lambda: b_values(person))
    person.do("fix the offset", lambda: driver.fix(person.widget, "offset", "0"))
    person.do("fit", person.fit)
    person.do("fit again", person.fit, again=True)
    person.row("hover, three pins", "done; the table shows 2 of 4 columns")
    person.do("inspect", lambda: person.click("Inspect"))
    for number, part in enumerate(((0.3, 0.3), (0.5, 0.5), (0.7, 0.6))):
        person.do(f"pin voxel {number + 1}", lambda part=part: driver.click_canvas(person.viewer, part))
    person.do("hover", lambda: hover(person))
    person.row("histogram, brush", "works; the window leaves the screen, nan hangs napari")
    person.do("the histogram", lambda: histogram(person))
    person.do("brush", lambda: brush(person))
    person.do("nan as an end", lambda: not_a_number(person))
    person.row("refit failed from neighbours", "done, 539 of 547", "1", "9.8")
    person.do("refit", lambda: person.click("Refit failed from neighbours"))
    person.row("compare with biexponential", "done; colours without legend over two other layers", "1", "28.7")
    person.do("compare", lambda: compare(person))
    person.row("map of 1/tau", "done, the unit is right", "2", "< 4")
    person.do("type it", lambda: driver.add_map(person.widget, "1/tau", 600))
    person.row("OME-TIFF, NIfTI, CSV", "done", "3 each", "1–3 each")
    for name in ("maps.ome.tif", "maps.nii.gz", "maps.csv"):
        person.do(name, lambda name=name: person.export(name))
    person.row("mean curve, paint, refit painted", "done")
    person.do("paint", lambda: paint(person))
    person.do("refit painted", lambda: person.click("Refit painted"))
    person.do("fit the mean curve", lambda: mean_curve(person))
    person.row("Copy as Python, run outside", "done, identical (tau)", "1")
    person.do("fit again", person.fit)
    person.do("copy, run and compare", person.copy_and_run)


def read(path: Path) -> Any:
    return np.load(path)["signal"].astype(float)


def b_values(person: Person) -> str:
    """A column of a file, as scanners write it."""
    values = np.load(person.data / STACK)["bvalues"]
    file = person.files / "small.bval"
    file.write_text(" ".join(f"{b:g}" for b in values) + "\n", encoding="utf-8")
    coordinates = person.widget.data.coordinates
    popups.pick(coordinates.kinds, "column of a file", person.look)
    popups.answer_open(file)
    driver.click(coordinates.file_button)
    driver.type_into(coordinates.unit, "s/mm^2")
    return str(coordinates.preview.text())


def hover(person: Person) -> str:
    """Every fit that is shown has a column of values."""
    driver.move_over(person.viewer, (0.4, 0.7))
    driver.wait_for_layout()
    tree, pinned = person.widget.parameters.tree, person.widget.inspection.pinned
    titles = [tree.headerItem().text(i) for i in range(2, tree.columnCount())]
    if len(titles) < len(pinned):
        raise AssertionError(f"pins {list(pinned)}, columns {titles}")
    return f"columns {titles}"


def histogram(person: Person) -> None:
    if not any(driver.show_tab(widget, "Histogram") for widget in driver.docked(person.viewer)):
        raise AssertionError("there is no histogram")


def brush(person: Person) -> str:
    panel = person.inspector().histogram
    driver.click(panel.select)
    low, high = panel.range.getRegion()
    driver.type_into(panel.low, f"{low + (high - low) / 4:.4g}")
    driver.type_into(panel.high, f"{low + (high - low) / 2:.4g}")
    driver.wait_for_layout()
    return f"{panel.words}; {person.check_sizes()}"


def not_a_number(person: Person) -> str:
    panel = person.inspector().histogram
    driver.type_into(panel.low, "nan")
    driver.wait_for_layout()
    said = str(panel.words)
    driver.click(panel.select)
    return said


def compare(person: Person) -> str:
    popups.pick(person.widget.results.other, "Exponential decay, two parts", person.look)
    said = person.click("Compare")
    if "better" not in said:
        raise AssertionError(said)
    return said


def paint(person: Person) -> str:
    person.click("Paint voxels")
    driver.drag_over(person.viewer, (0.3, 0.3), (0.6, 0.3))
    layer = person.viewer.layers.selection.active
    painted = int((np.asarray(layer.data) > 0).sum())
    if not painted:
        raise AssertionError("nothing was painted")
    return f"{painted} voxels"


def mean_curve(person: Person) -> str:
    QTest.keyClick(person.viewer.window._qt_window, Qt.Key.Key_Escape)
    return person.click("Fit mean curve")
