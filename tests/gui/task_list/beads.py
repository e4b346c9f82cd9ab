"""Spots: found, fitted, looked at in a table; in planes and in a volume."""

from __future__ import annotations

from typing import Any

import dock_driver as driver
import numpy as np
from dock_driver import popups
from qtpy.QtWidgets import QDoubleSpinBox

from .person import FILE, Person

BEADS = "beads/bulk_water.tif"
SCALE = (0.2, 0.065, 0.065)  # µm
TRUTH = {"sigma_z": 0.45, "sigma": 0.13}  # µm


def beads(person: Person) -> None:
    person.row("open the dock and the beads", "done", "5", "5.5 for the dock")
    person.do("open the dock", person.open_dock)
    person.do("open the beads", lambda: person.open_file(BEADS, "spots"))
    person.row("Detect with preview, tune it", "done, very good", "14 in all", "0.2 a change")
    person.do("choose Spots", lambda: driver.choose_job(person.widget, "Spots"))
    person.do("open Detection", lambda: driver.open_fold(person.widget, "Detection"))
    person.do("they are dark", lambda: popups.pick(person.widget.spots.detect.sign, "dark", person.look))
    person.do("another scale", lambda: preview(person, "scale", "2"))
    person.do("another threshold", lambda: preview(person, "threshold", "4"))
    person.do("detect", lambda: person.click("Detect"))
    person.row("fit all spots", "done, 94.1 %", "1", "12.1, then 1.6")
    person.do("fit", person.fit)
    person.do("fit again", person.fit, again=True)
    person.row("table: sort, filter, colour", "done; fields are dead until *Filter* is ticked", "1 + 3")
    person.do("open the table", lambda: person.click("Table"))
    person.do("sort by a column", lambda: sort(person))
    person.do("filter", lambda: filter_spots(person))
    person.do("colour by a column", lambda: colour(person))
    person.row("click a row of another frame", "**wrong spot shown**")
    person.do("click the last row", lambda: click_last(person))
    person.row("average bead, widths", "done; cannot be kept or exported", "1", "1–2")
    person.do("average", lambda: average(person))
    person.do("widths of one", lambda: widths(person))
    person.do("keep it as a layer", lambda: keep(person))
    person.row("table to CSV and back", "done; 2886 rows back", "3 / 3")
    person.do("to the main dock", lambda: driver.raise_dock(person.widget))
    person.do("export", lambda: person.export("beads.spots.csv"))
    person.do("open it again", lambda: open_table(person))
    person.row("ThunderSTORM by its typed name", "**trap**: pixels in a file that is called so")
    person.do("export", lambda: refused(person))
    person.row("Copy as Python, run outside", "done, identical", "1", "25 for the run")
    person.do("copy, run and compare", person.copy_and_run)


def volumes(person: Person) -> None:
    person.row(
        "beads in a volume of 0.2 × 0.065 × 0.065 µm", "fit right; the first showing crashed", "10", "25, then 1.1"
    )
    person.do("open the dock", person.open_dock)
    person.do("open the volume", lambda: open_volume(person))
    person.do("choose Spots", lambda: driver.choose_job(person.widget, "Spots"))
    person.do("choose a model of volumes", lambda: person.choose_model("Gaussian 3-D, elliptic"))
    person.do("open Detection", lambda: driver.open_fold(person.widget, "Detection"))
    person.do("see the preview", lambda: preview(person, "along_z", "2.2"))
    person.do("detect", lambda: person.click("Detect"))
    person.do("fit", lambda: check_widths(person, person.fit()))
    person.do("fit again", person.fit, again=True)
    person.do("pin a bead", lambda: pin_a_bead(person), again=True)
    person.do("inspect", lambda: person.click("Inspect"), again=True)


def preview(person: Person, which: str, text: str) -> str:
    """Type a number into a field of the detection, and wait for its preview."""
    detect = person.widget.spots.detect
    box: QDoubleSpinBox = getattr(detect, which)
    before = detect.note.text()
    driver.type_into(box, text)
    driver.wait(lambda: detect.note.text() != before, "the preview is another")
    return str(detect.note.text())


def spots_dock(person: Person) -> Any:
    return next(widget for widget in driver.docked(person.viewer) if type(widget).__name__ == "SpotsDock")


def sort(person: Person) -> str:
    table = spots_dock(person).table
    name = driver.click_header(table, next(n for n in table.rows.names if n.startswith("amplitude")))
    values = [float(table.model().index(i, table.rows.names.index(name)).data()) for i in range(5)]
    if values not in (sorted(values), sorted(values, reverse=True)):
        raise AssertionError(f"{name}: {values}")
    return f"{name}: {values[0]} … {values[-1]}"


def filter_spots(person: Person) -> str:
    """Type a limit, without ticking anything."""
    filters = spots_dock(person).filters
    column = next(
        filters.column.itemText(i)
        for i in range(filters.column.count())
        if filters.column.itemText(i).startswith("fwhm")
    )
    popups.pick(filters.column, column, person.look)
    driver.type_into(filters.low, "3")
    driver.type_into(filters.high, "9")
    driver.wait_for_layout()
    return str(spots_dock(person).summary.text())


def colour(person: Person) -> str:
    dock = spots_dock(person)
    popups.pick(dock.colour_by, next(name for name in dock.table.rows.names if name.startswith("photons")), person.look)
    return str(dock.colour_by.currentText())


def click_last(person: Person) -> str:
    """The row clicked, the spot shown and the frame on screen are of one spot."""
    dock = spots_dock(person)
    row = dock.table.model().rowCount() - 1
    driver.click_row(person.viewer, row)
    driver.wait_for_layout()
    spot, shown = int(dock.table.selected_spots()[0]), person.widget.inspection.place
    frame = int(dock.facts["frame"].iloc[spot])
    if shown != (spot,) or person.viewer.dims.current_step[0] != frame:
        raise AssertionError(f"row of spot {spot}, frame {frame}: shown {shown}, {person.viewer.dims.current_step}")
    return f"spot {spot} in frame {frame}"


def bead(person: Person) -> Any:
    return next(widget for widget in driver.docked(person.viewer) if type(widget).__name__ == "BeadView")


def average(person: Person) -> str:
    person.click("Average…")
    driver.wait(
        lambda: any(type(w).__name__ == "BeadView" and w.picture for w in driver.docked(person.viewer)), "a bead"
    )
    driver.wait_for_layout()
    return str(bead(person).note.text())


def widths(person: Person) -> str:
    before = bead(person).picture
    person.click("Widths…")
    driver.wait(lambda: bead(person).picture is not before, "another bead")
    driver.wait_for_layout()
    return str(bead(person).note.text())


def keep(person: Person) -> str:
    before = len(person.viewer.layers)
    person.click("Add as layer")
    if len(person.viewer.layers) != before + 1:
        raise AssertionError("no layer was added")
    return str(person.viewer.layers[-1].name)


def open_table(person: Person) -> str:
    """File ▸ Open of what was exported."""
    driver.hands.clicks += FILE
    layer = person.viewer.open(person.files / "beads.spots.csv", plugin="napari-imagefit")[0]
    rows = len((person.files / "beads.spots.csv").read_text(encoding="utf-8").splitlines()) - 1
    if len(layer.data) != rows:
        raise AssertionError(f"{len(layer.data)} points of {rows} rows")
    return f"{rows} rows back"


def refused(person: Person) -> str:
    """A layer without a unit has no nanometres: the dialog says so."""
    try:
        person.export("beads.thunderstorm.csv")
    except ValueError as said:
        return f"refused in the dialog: {said}"
    head = (person.files / "beads.thunderstorm.csv").read_text(encoding="utf-8").splitlines()[0]
    if "x [nm]" not in head:
        raise AssertionError(f"the file begins with {head!r}")
    return "in nm"


def open_volume(person: Person) -> None:
    rng = np.random.default_rng(5)
    z, y, x = np.mgrid[:28, :120, :140].astype(float)
    image = np.full(z.shape, 20.0)
    sigmas = (TRUTH["sigma_z"] / SCALE[0], TRUTH["sigma"] / SCALE[1])
    for cy in range(15, 110, 22):
        for cx in range(15, 130, 22):
            at = np.array([14.0, cy, cx]) + rng.uniform(-2, 2, 3)
            squares = ((z - at[0]) / sigmas[0]) ** 2 + ((y - at[1]) ** 2 + (x - at[2]) ** 2) / sigmas[1] ** 2
            image += 300 * np.exp(-squares / 2)
    driver.hands.clicks += FILE
    person.viewer.add_image(
        rng.poisson(image).astype(np.float32), name="beads in a volume", scale=SCALE, units=("µm",) * 3
    )
    driver.settle()
    person.viewer.dims.set_current_step(0, 14)
    driver.settle()


def check_widths(person: Person, said: str) -> str:
    result = person.widget.follow_ups.outcome.result
    found = {
        name: float(np.median(v[result.converged])) for name, v in result.params.items() if name.startswith("sigma")
    }
    for name in found:
        truth, scale = (TRUTH["sigma_z"], SCALE[0]) if name == "sigma_z" else (TRUTH["sigma"], SCALE[1])
        value = found[name] = found[name] * scale
        if abs(value / truth - 1) > 0.05:
            raise AssertionError(f"{name} is {value}, not {truth} µm")
    return f"{said.splitlines()[0]}; " + ", ".join(f"{name} {value:.3f}" for name, value in found.items())


def pin_a_bead(person: Person) -> None:
    result = person.widget.follow_ups.outcome.result
    spot = int(np.flatnonzero(result.converged)[0])
    driver.click_point(person.viewer, [float(result.params[name][spot]) for name in "yx"])
