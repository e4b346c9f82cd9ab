"""What a person has chosen in the widget, frozen at the click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

Job = Literal["region", "voxels"]
Frames = Literal["all", "current", "drawn"]


@dataclass(frozen=True)
class Row:
    """One line of the parameter table; None where the field was left empty."""

    name: str
    start: float | None = None
    lower: float | None = None
    upper: float | None = None
    fixed: bool = False


@dataclass(frozen=True)
class Choices:
    """Everything that decides what is fitted, and to what.

    Attributes
    ----------
    image : Image or None
        The layer to fit.
    job : {"region", "voxels"}
        A surface for each region and frame, or a curve for each voxel.
    model : str
    rows : tuple of Row
        The parameter table, in the model's order.
    region : Shapes, Labels or None
        Where to fit; None for the whole image.
    frames : {"all", "current", "drawn"}
        For surfaces: whether a region counts in all frames, in the one on screen, or where it was drawn.
    current : tuple of int
        The index that is on screen, along every axis of the image.
    axis : int
        For curves: the axis along which they run.
    x : tuple of float or None
        For curves: the coordinates of the samples; None for the layer's own.
    """

    image: Image | None
    job: Job
    model: str
    rows: tuple[Row, ...]
    region: Shapes | Labels | None = None
    frames: Frames = "all"
    current: tuple[int, ...] = ()
    axis: int = 0
    x: tuple[float, ...] | None = None
