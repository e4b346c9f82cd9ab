"""Layers as values of a parameter: how a field names one, and a menu to choose from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMenu, QWidget

from ...engine.core.errors import FitInputError
from .numbers import shortened

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

PREFIX = "layer:"


def names_layer(text: str) -> bool:
    """Whether a field names a layer rather than a number."""
    return text.strip().lower().startswith(PREFIX)


def name_of(layer: Layer) -> str:
    """Return a layer as a field names it."""
    return f"{PREFIX}{layer.name}"


def layer_named(text: str, layers: LayerList) -> Layer:
    """Return the layer that a field names.

    Raises
    ------
    FitInputError
        If there is none of that name that holds a number for each voxel.
    """
    name = text.strip()[len(PREFIX) :].strip()
    found = [layer for layer in layers if layer.name == name]
    if not found:
        raise FitInputError(
            f"There is no layer {shortened(name)!r}; type the name of one, or choose it with ▾ beside the field."
        )
    if not holds_numbers(found[0]):
        raise FitInputError(
            f"Layer {shortened(name)!r} holds no number for each voxel; choose an image or labels layer."
        )
    return found[0]


def holds_numbers(layer: Layer) -> bool:
    """Whether a layer has one number for each of its pixels."""
    return layer._type_string in ("image", "labels") and not getattr(layer, "rgb", False)


def layer_menu(parent: QWidget, name: str, layers: LayerList, take: Callable[[str, bool], None]) -> QMenu:
    """Offers layers to fix a parameter to or start it from; `take` gets the field's text, and whether to fix."""
    menu = QMenu(parent)
    offered = [layer for layer in reversed(layers) if holds_numbers(layer)]
    for title, fixed in ((f"Fix {name} to layer", True), (f"Start {name} from layer", False)):
        part = menu.addMenu(title)
        part.setEnabled(bool(offered))
        part.setToolTipsVisible(True)
        for layer in offered:
            action = part.addAction(shortened(layer.name).replace("&", "&&"))
            action.setToolTip(layer.name)
            action.triggered.connect(partial(_take, take, name_of(layer), fixed))
    back = menu.addAction(f"Estimate {name} from the data")
    back.triggered.connect(lambda: take("", False))
    return menu


def _take(take: Callable[[str, bool], None], text: str, fixed: bool, _checked: bool = False) -> None:
    take(text, fixed)
