"""Choices that outlive their layers: a name stands for each layer, which is found again when the choices come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .choices import Choices

if TYPE_CHECKING:
    from napari.layers import Layer


@dataclass(frozen=True)
class LayerName:
    """A layer that may be gone by now: its unique id, and what it was called."""

    unique_id: str
    name: str


def remember(choices: Choices) -> Choices:
    """Return the settings alone, with a `LayerName` for each layer; equal where the settings are the same.

    What is on screen, what was painted and which expressions have maps are no settings that come back.

    Examples
    --------
    >>> from napari.layers import Image
    >>> import numpy as np
    >>> image = Image(np.zeros((3, 4)), name="cloud")
    >>> remember(Choices(image, "region", "gaussian_2d", ())).image.name
    'cloud'
    """
    kept = _with_layers(choices, lambda layer: LayerName(str(layer.unique_id), layer.name))
    return replace(kept, paint=None, derived=())


def settings_of(remembered: Choices) -> Choices:
    """Return remembered choices without the frame that was on screen: by these, two are the same or not."""
    return replace(remembered, current=())


def recall(remembered: Choices, layers: Sequence[Layer]) -> tuple[Choices, tuple[str, ...]]:
    """Return the choices with the layers that are there, and the names of those that are not."""
    there = {str(layer.unique_id): layer for layer in layers}
    gone: list[str] = []

    def find(name: LayerName) -> Any:
        layer = there.get(name.unique_id)
        if layer is None and name.name not in gone:
            gone.append(name.name)
        return layer

    return _with_layers(remembered, find), tuple(gone)


def _with_layers(choices: Choices, change: Callable[[Any], Any]) -> Choices:
    """Return the choices with each of their layers changed."""

    def changed(value: Any) -> Any:
        return value if value is None or isinstance(value, (int, float)) else change(value)

    return replace(
        choices,
        image=changed(choices.image),
        rows=tuple(replace(row, start=changed(row.start)) for row in choices.rows),
        region=changed(choices.region),
        leave_out=changed(choices.leave_out),
        noise=replace(choices.noise, sigma=changed(choices.noise.sigma)),
        spots=replace(choices.spots, points=changed(choices.spots.points)),
    )
