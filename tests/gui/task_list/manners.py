"""Samples, layers of every kind, regions, and manners: theme, keys, Cancel, undo, nonsense."""

from __future__ import annotations

import dock_driver as driver
import numpy as np
from dock_driver import popups
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_imagefit.gui.widgets.theme import READABLE, contrast

from .person import MENU, Person

SAMPLES = ("clouds", "phantom", "trouble", "spots", "hubble")


def samples(person: Person) -> None:
    person.row(
        "the five samples, dock closed and open", "done; with the dock closed only a bare layer appears", "4 each"
    )
    person.do("clouds, without the dock", lambda: sample(person, "clouds"))
    person.do("the dock", person.open_dock)
    person.do("fit", person.fit)
    for name in SAMPLES[1:]:
        person.do(name, lambda name=name: sample(person, name))
        if name in ("spots", "hubble"):
            person.do("detect", lambda: person.click("Detect"))
        person.do("fit", person.fit)
        person.do("sizes", person.check_sizes)


def sample(person: Person, name: str) -> str:
    """File ▸ Open Sample; the others are hidden."""
    for layer in person.viewer.layers:
        layer.visible = False
    driver.hands.clicks += 1 + MENU
    person.viewer.open_sample("napari-imagefit", name)
    person.viewer.reset_view()
    driver.settle()
    return "done"


def cloud(seed: int = 1) -> np.ndarray:
    """An image of 60 × 80 with a cloud at (24, 50)."""
    y, x = np.mgrid[:60, :80]
    noise = np.random.default_rng(seed).normal(0, 2, y.shape)
    return 100 * np.exp(-((y - 24) ** 2 / 50 + (x - 50) ** 2 / 90)) + noise


def layers(person: Person) -> None:
    person.row("a layer that is rotated and scaled", "outline right; y, x in a frame that nothing shows")
    person.do("open the dock", person.open_dock)
    person.do("add the layer", lambda: rotated(person))
    person.do("choose the model", lambda: person.choose_model("Gaussian, elliptic"))
    person.do("fit", lambda: (person.fit(), where_it_is(person))[1])
    person.row("a layer with an odd name", "done; the file's name is cleaned")
    name = "n/a: 🙂 " + "very long " * 12
    person.do("rename", lambda: setattr(person.viewer.layers[0], "name", name))
    person.do("fit", person.fit)
    person.do("sizes", person.check_sizes)
    person.do("export", lambda: person.export("odd.csv"))
    person.row("an RGB image", "a good sentence")
    person.do(
        "add it", lambda: add(person, np.repeat(cloud()[..., None] / 100, 3, axis=-1).clip(0, 1), "rgb", rgb=True)
    )
    person.do("choose it", lambda: popups.pick(person.widget.data.layers, "rgb", person.look))
    person.do("Fit", lambda: refused(person, "RGB"))
    person.row("odd layers in the table of features", "26 rows for 13 shots; names differ from the CSV")
    person.do("names of features and CSV", lambda: features(person))


def add(person: Person, data: np.ndarray, name: str, **options: object) -> None:
    person.viewer.add_image(data, name=name, **options)
    driver.settle()


def rotated(person: Person) -> None:
    add(person, cloud(), "turned", scale=(0.5, 0.5), rotate=30, translate=(40, 10), units=("µm", "µm"))
    person.viewer.reset_view()


def where_it_is(person: Person) -> str:
    """What the pointer reads at the cloud, beside what the dock says."""
    result = person.widget.follow_ups.outcome.result
    y, x = (float(result.params[name].squeeze()) for name in "yx")
    outline = next(layer for layer in person.viewer.layers if "outline" in layer.name)
    middle = np.mean(outline.data_to_world(outline.data[0][0]), axis=0) if outline.nshapes else None
    world = person.viewer.layers[0].data_to_world((24, 50))
    centre = [np.mean([outline.data_to_world(corner) for corner in outline.data[0]], axis=0)[-2:]]
    if np.abs(np.asarray(world) - centre[0]).max() > 1:
        raise AssertionError(f"the outline is at {centre}, the cloud at {world}, {middle}")
    return f"y {y:.2f}, x {x:.2f}; the outline lies over the cloud"


def refused(person: Person, word: str) -> str:
    driver.press_fit(person.widget)
    driver.settle()
    text = person.said(word)
    if not text.startswith("⚠"):
        raise AssertionError(text)
    return text


def features(person: Person) -> str:
    """Columns of the outlines' features that the exported table does not have."""
    import pandas as pd

    outline = next(layer for layer in person.viewer.layers if "outline" in layer.name)
    table = pd.read_csv(person.files / "odd.csv")
    missing = [name for name in outline.features.columns if name not in table.columns]
    return f"{len(outline.features)} rows of features; not in the CSV: {missing}"


def regions(person: Person) -> None:
    person.row("two shapes", "fitted right; the dock shows medians across regions")
    person.do("open the dock", person.open_dock)
    person.do("an image with two clouds", lambda: add(person, cloud() + cloud(2)[:, ::-1], "two"))
    person.do("see the whole image", person.see_whole)
    for left, right in ((2, 38), (40, 78)):
        person.do(
            "draw a rectangle",
            lambda left=left, right=right: driver.draw_rectangle(
                person.viewer, person.widget, np.array([2.0, left]), np.array([56.0, right])
            ),
        )
    person.do("fit", person.fit)
    person.do("click into the second", lambda: look_into(person, (24, 50)))
    person.do("click into the first", lambda: look_into(person, (24, 29)))
    person.do("inspect", lambda: person.click("Inspect"))
    person.row("labels as regions", "fitted right; the dock shows medians across regions")
    person.do("add labels", lambda: add_labels(person))
    person.do("choose them", lambda: popups.pick(person.widget.region.layers, "halves", person.look))
    person.do("fit", person.fit)
    person.do("click into the second", lambda: look_into(person, (24, 50)))
    person.row("a click after *Draw*", "**draws** a region of one pixel, every Fit is refused")
    person.do("Draw, and click once", lambda: click_after_draw(person))
    person.do("fit", person.fit)


def add_labels(person: Person) -> None:
    person.viewer.add_labels((np.mgrid[:60, :80][1] // 40 + 1).astype(np.int32), name="halves")
    driver.settle()


def look_into(person: Person, point: tuple[float, float]) -> str:
    """A click shows the values of the region under it."""
    driver.click_point(person.viewer, point)
    driver.wait_for_layout()
    tree, place = person.widget.parameters.tree, person.widget.inspection.place
    result = person.widget.follow_ups.outcome.result
    found = float(result.params["x"][place])
    if abs(found - point[1]) > 3:
        raise AssertionError(f"x is {found} at {place}")
    return f"{tree.headerItem().text(2)}: x {found:.1f}"


def click_after_draw(person: Person) -> str:
    popups.pick(person.widget.region.layers, "ROI", person.look)
    shapes = person.widget.region.layer
    before = shapes.nshapes
    driver.click(person.widget.region.draw_button)
    driver.wait_for_layout()
    driver.click_point(person.viewer, (30, 40))
    driver.wait_for_layout()
    if shapes.nshapes != before:
        raise AssertionError(f"{shapes.nshapes} shapes instead of {before}")
    return str(person.widget.message.text())


def manners(person: Person) -> None:
    person.row("nothing leaves a window of this size", "**broken after the first fit** at 1280 × 720")
    person.do("open the dock", person.open_dock)
    person.do("open a sample", lambda: sample(person, "phantom"))
    person.do("fit", person.fit)
    person.do("inspect", lambda: person.click("Inspect"))
    person.do("histogram", lambda: driver.show_tab(person.inspector(), "Histogram") or None)
    person.do("sizes", person.check_sizes)
    person.row("Cancel a fit", "done", "1", "0.4–6.3")
    person.do("Fit, Cancel", lambda: cancel(person))
    person.row("undo", "**none**: Ctrl+Z does nothing")
    person.do(
        "type a bound", lambda: driver.type_bound(person.widget, person.widget.model.model.names[0], "upper", "7")
    )
    person.do("Ctrl+Z", lambda: undo(person, Qt.Key.Key_Z, None))
    person.do("Ctrl+Y", lambda: undo(person, Qt.Key.Key_Y, 7.0))
    person.row("nonsense in a field", "caught, with excellent sentences, but for nan and 300 letters")
    for text in ("nan", "x" * 300):
        person.do(text[:3], lambda text=text: nonsense(person, text))
    person.do("take it back", lambda: nonsense(person, ""))
    person.row("light theme", "usable; the orange message has a contrast of 1.7:1")
    person.do("choose it", lambda: light(person))
    person.do("a sentence on a problem", lambda: readable(person))
    person.row("by keys alone", "done, but for drawing")
    person.do("a region and a fit", lambda: by_keys(person))
    person.row("the layer is removed in the midst of its fit", "done, right sentence")
    person.do("remove it", lambda: remove(person))
    person.do("Fit without an image", lambda: without(person))


def cancel(person: Person) -> str:
    driver.press_fit(person.widget)
    driver.wait(lambda: person.widget.fit_bar.cancel.isEnabled(), "Cancel can be clicked")
    driver.press_cancel(person.widget)
    driver.wait(lambda: not person.widget.session.running, "it has stopped")
    return str(person.widget.message.text())


def remove(person: Person) -> str:
    driver.press_fit(person.widget)
    person.viewer.layers.remove(person.widget.data.image)
    driver.settle()
    return person.said("removed")


def without(person: Person) -> str:
    if person.widget.data.image is not None:
        return "another image is chosen"
    bar = person.widget.fit_bar
    if bar.fit.isEnabled():
        raise AssertionError("Fit can be clicked")
    return str(bar.fit.toolTip())


def undo(person: Person, key: Qt.Key, wanted: float | None) -> str:
    """Press it where the focus is, until the bound is that one: a field takes back what was typed into it first."""
    QApplication.setActiveWindow(person.viewer.window._qt_window)  # no window manager does it here
    for _ in range(4):
        driver.press_key(QApplication.focusWidget() or person.widget, key, Qt.KeyboardModifier.ControlModifier)
        driver.wait_for_layout()
        found = person.widget.choices().rows[0].upper
        if found == wanted:
            return f"the bound is {'none' if found is None else f'{found:g}'}"
    raise AssertionError(f"the bound is {found}")


def nonsense(person: Person, text: str) -> str:
    name = person.widget.model.model.names[0]
    driver.type_bound(person.widget, name, "upper", text)
    driver.wait_for_layout()
    person.check_sizes()
    return str(person.widget.parameters.tree.editor(name).trouble.text()) or "done"


def light(person: Person) -> None:
    person.viewer.theme = "light"
    driver.wait_for_layout()


def readable(person: Person) -> str:
    """The message stands out of its background, by the pixels on screen."""
    popups.pick(person.widget.data.coordinates.kinds, "typed", person.look)
    driver.type_into(person.widget.data.coordinates.values, "1, 2, 3")
    driver.press_fit(person.widget)
    driver.settle()
    text, picture = person.said("⚠"), person.widget.message.grab().toImage()
    background = picture.pixelColor(0, 0)
    inks = (picture.pixelColor(x, y) for x in range(picture.width()) for y in range(picture.height()))
    found = max(contrast(ink, background) for ink in inks)
    popups.pick(person.widget.data.coordinates.kinds, "the layer", person.look)
    if found < READABLE:
        raise AssertionError(f"a contrast of {found:.1f}")
    return f"{found:.1f}:1 · {text}"


def by_keys(person: Person) -> str:
    """Alt and letters, Tab, Space and Enter; the mouse stays where it is."""
    alt = Qt.KeyboardModifier.AltModifier
    window, clicks = person.viewer.window._qt_window, driver.hands.clicks
    QApplication.setActiveWindow(window)
    driver.press_key(window, Qt.Key.Key_R, alt)  # Region
    focused = QApplication.focusWidget()
    if focused is not person.widget.region.layers:
        raise AssertionError(f"Alt+R leads to {focused}")
    for _ in range(2):
        driver.press_key(QApplication.focusWidget(), Qt.Key.Key_Tab)
    numbers = person.widget.region.numbers_button
    if QApplication.focusWidget() is not numbers:
        raise AssertionError(f"Tab leads to {QApplication.focusWidget()}")
    driver.press_key(numbers, Qt.Key.Key_Space)
    person.look()
    for name, text in {"y": "30", "x": "30", "height": "40", "width": "50"}.items():
        field = person.widget.region.numbers.edits[name]
        for _ in range(12):
            if QApplication.focusWidget() is field:
                break
            driver.press_key(QApplication.focusWidget(), Qt.Key.Key_Tab)
        driver.press_keys(field, text)
    driver.press_key(field, Qt.Key.Key_Return)
    if getattr(person.widget.region.layer, "nshapes", 0) != 1:
        raise AssertionError(f"no region: {person.widget.message.text()}")
    driver.press_key(window, Qt.Key.Key_I, alt)  # Fit
    driver.wait(lambda: "converged" in person.widget.message.text(), "the fit has ended")
    if driver.hands.clicks != clicks:
        raise AssertionError("something was clicked")
    return person.said("converged")
