"""Shots of a condensing gas: a region, two models, all shots."""

from __future__ import annotations

import dock_driver as driver
import numpy as np
from dock_driver import popups

from .person import Person

BIMODAL, ELLIPTIC = "Bimodal", "Gaussian, elliptic"
IN_HISTORY = {BIMODAL: "Bimodal", ELLIPTIC: "Gauss ellip."}
SHOTS = "atom_clouds/helium_bec_od.tif"


def atoms(person: Person) -> None:
    person.row("open the shots and the dock", "done", "5", "5.5 for the dock")
    person.do("open the shots", lambda: person.open_file(SHOTS, "clouds"))
    person.do("open the dock", person.open_dock)
    person.row("draw a rectangle", "done; Home first: the dock crops the image", "3")
    person.do("see the whole image", person.see_whole)
    shape = person.viewer.layers[0].data.shape[-2:]
    corners = np.array([[0.1, 0.15], [0.6, 0.8]]) * shape
    person.do("draw it", lambda: driver.draw_rectangle(person.viewer, person.widget, *corners))
    person.do("the tool is pan and zoom again", lambda: driver.check_tool(person.viewer))
    person.row("a rectangle of exact pixels", "**impossible**")
    person.do("type its numbers", lambda: exact_region(person))

    person.row("bimodal, all shots", "done", "3", "12.5, then 2.2")
    person.do("choose the model", lambda: person.choose_model(BIMODAL))
    person.do("fit", person.fit)
    person.do("fit again", person.fit, again=True)
    person.row(
        "elliptic Gaussian beside it", "hard: it replaces the first, unless *Keep* was pressed before", "4", "2.7–11.8"
    )
    person.do("choose the model", lambda: person.choose_model(ELLIPTIC))
    person.do("fit", lambda: (person.fit(), beside(person))[1])
    person.row("frame slider, residual", "done; cut plots are cropped", "", "0.2 a step")
    person.do("show the bimodal fit again", lambda: show_entry(person, BIMODAL))
    person.do("show its residuals", lambda: person.choose("Show", "residual"))
    person.do("go to shot 7", lambda: driver.step_to(person.viewer, 7))
    person.do("see the plots", lambda: see_plots(person))

    person.row("find a failed shot", "done by the line of reasons, in a strange order (0→4→9)", "1 each")
    person.do("click the count of failed ones", lambda: visit(person, "failed"))
    person.row("find a doubtful shot", "hard: '5 × a parameter is at its upper bound' does not say which")
    person.do("click the count of those with remarks", lambda: visit(person, "remarks"))
    person.do("click the last reason", lambda: driver.click_reason(person.widget))
    person.row("bound, fix, fit again", "done", "4", "18.4, then 2.0")
    person.do("bound", lambda: driver.type_bound(person.widget, "sigma_y", "upper", "300"))
    person.do("fix", lambda: driver.fix(person.widget, "offset", "0"))
    person.do("fit", person.fit)
    person.do("fit again", person.fit, again=True)
    person.row("compare before and after", "hard: Keep first; no comparison in Region")
    person.do("Compare ▾", lambda: person.choose("Compare ▾", IN_HISTORY[ELLIPTIC]))
    person.do("the fits before and after", lambda: beside(person))
    person.row("table of all shots with errors", "done", "3")
    person.do("export", lambda: csv_of_shots(person))
    person.row("Copy as Python, run outside", "done, identical", "1", "20 for the run")
    person.do("copy, run and compare", person.copy_and_run)
    person.row("these settings on another layer", "done", "2", "2.8")
    person.do("add another layer", lambda: another_layer(person))
    person.do("choose it", lambda: popups.pick(person.widget.data.layers, "other shots", person.look))
    person.do("fit", lambda: (person.fit(), check_settings(person))[1])
    person.row("close the dock and open it again", "**loses everything**")
    person.do("close and open", person.reopen)


def exact_region(person: Person) -> str:
    """Give the shape that was drawn exact numbers."""
    region = person.widget.region
    driver.click(region.numbers_button)
    wanted = {"y": "20", "x": "40", "height": "150", "width": "200"}
    for name, text in wanted.items():
        driver.type_into(region.numbers.edits[name], text) if name == "width" else driver.fill(
            region.numbers.edits[name], text
        )
    person.look()
    layer = region.layer
    low, high = layer.data[-1].min(axis=0)[-2:], layer.data[-1].max(axis=0)[-2:]
    driver.click(region.numbers_button)
    if layer.nshapes != 1:
        raise AssertionError(f"there are {layer.nshapes} shapes")
    return f"from {low.tolist()} to {high.tolist()}"


def entries(person: Person) -> list[str]:
    listed = person.widget.results.history.list
    return [listed.topLevelItem(i).text(1).split("\n")[0] for i in range(listed.topLevelItemCount())]


def beside(person: Person) -> str:
    found = entries(person)
    if len(found) < 2:
        raise AssertionError(f"the history holds {found}")
    return f"{len(found)} fits in the history"


def show_entry(person: Person, title: str) -> str:
    """Double click on the newest entry of a model."""
    listed = person.widget.results.history.list
    row = next(i for i, words in enumerate(entries(person)) if IN_HISTORY[title] in words)
    driver.double_click_row(listed, row, 1)
    driver.wait_for_layout()
    driver.wait(lambda: not person.widget.session.running, "it is shown")
    return str(person.widget.message.text())


def see_plots(person: Person) -> str:
    if int(person.size.split("x")[0]) < 1500:
        person.click("Inspect")
    driver.wait_for_layout()
    return str(person.inspector().note.text())


def visit(person: Person, kind: str) -> str:
    """Click a count until it begins again; returns the frames in their order."""
    chip = person.widget.fit_bar.chips[kind]
    if not chip.isEnabled():
        return f"there is none: {chip.text()}"
    number = int(chip.text().split()[-1])
    frames = []
    for _ in range(min(number, 4)):
        driver.click(chip)
        driver.wait_for_layout()
        frames.append(int(person.viewer.dims.current_step[0]))
    if frames != sorted(frames):
        raise AssertionError(f"frames {frames}")
    return f"{chip.text()}, in frames {frames}"


def csv_of_shots(person: Person) -> str:
    import pandas as pd

    told = person.export("shots.csv")
    table = pd.read_csv(person.files / "shots.csv")
    errors = [name for name in table.columns if "stderr" in name]
    if not errors:
        raise AssertionError(f"the table has {list(table.columns)}")
    return f"{told}: {len(table)} rows, {len(errors)} columns of errors"


def another_layer(person: Person) -> None:
    layer = person.viewer.layers[0]
    person.viewer.add_image(np.asarray(layer.data) * 1.05, name="other shots", scale=layer.scale, units=layer.units)
    driver.settle()


def check_settings(person: Person) -> str:
    rows = {row.name: row for row in person.widget.choices().rows}
    if rows["sigma_y"].upper != 300 or not rows["offset"].fixed:
        raise AssertionError(f"settings have become {rows}")
    return "all settings are there"
