"""The layers of an entry in the viewer: shown, hidden and removed together.

Layers carry the number of the entry whose numbers they show. A later fit of the same layer, job and model takes them
over; the earlier entry gets them back when it is shown again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...imaging.fitting.chunks import is_dask
from ..geometry.output_layers import METADATA_KEY, PAINT, Output, put, remove_all, remove_stale, role_of
from .entry import NUMBER, Entry

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer


def layers_of(layers: Iterable[Layer], entry: Entry) -> dict[str, Layer]:
    """Return the layers that show an entry now, by role."""
    found = {}
    for layer in layers:
        made = layer.metadata.get(METADATA_KEY, {})
        if made.get("group") == entry.group and made.get(NUMBER) == entry.number:
            found[made["role"]] = layer
    return found


def is_shown(layers: Iterable[Layer], entry: Entry) -> bool:
    """Whether anything of an entry is to be seen."""
    return any(layer.visible for layer in layers_of(layers, entry).values())


def stamp(layers: Iterable[Layer], entry: Entry) -> None:
    """Give the layers that a fit has just made or updated to its entry."""
    for layer in layers:
        what = role_of(layer, entry.group)
        if what is not None and what != PAINT and what in entry.outputs:
            layer.metadata = {**layer.metadata, METADATA_KEY: {**layer.metadata[METADATA_KEY], NUMBER: entry.number}}


def hide(layers: Iterable[Layer], entry: Entry) -> None:
    """Hide the layers of an entry, and remember which of them were to be seen."""
    note_looks(layers, entry)
    for layer in layers_of(layers, entry).values():
        layer.visible = False


def note_looks(layers: Iterable[Layer], entry: Entry) -> None:
    """Remember which layers of an entry are to be seen, if any."""
    found = layers_of(layers, entry)
    if any(layer.visible for layer in found.values()):
        entry.looks = {what: layer.visible for what, layer in found.items()}


def bring_back(layers: LayerList, entry: Entry) -> Iterator[None]:
    """Show the layers of an entry as they were: those that another entry has taken, or that are gone, come back.

    A step for each layer.
    """
    there = layers_of(layers, entry)
    taken_from = {what: layer for layer in layers if (what := role_of(layer, entry.group)) in entry.outputs}
    # where another entry of the group is to be seen, the looks that its layers have now stay
    stays = not there and any(layer.visible for layer in taken_from.values())
    for what, new in entry.outputs.items():
        layer = there.get(what)
        taken = taken_from.get(what) if layer is None else None
        if taken is not None and is_dask(new[0]):
            # updating a layer looks at all of its data: one that is not in memory is replaced
            layers.remove(taken)
            taken = None
        if layer is None:
            layer = put(layers, Output.of(new, make=taken is None))
        if taken is None or not stays:
            layer.visible = entry.looks.get(what, entry.is_first_seen(what))
        yield
    if entry.outputs:
        remove_stale(layers, entry.group, entry.outputs)


def take_away(layers: LayerList, entry: Entry) -> None:
    """Remove the layers that show an entry now."""
    remove_all(layers, list(layers_of(layers, entry).values()))
