"""Choices of a person in the widget, frozen at the click."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ...engine.core.types import DType, Loss
from ...imaging.fitting.selection import Selection
from ...imaging.spots.background import Background as Background
from ...imaging.spots.detection import Detection
from ...imaging.spots.filters import SpotFilter

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Points, Shapes

Job = Literal["region", "spots", "voxels"]
Frames = Literal["all", "current", "drawn"]
CoordinateKind = Literal["layer", "index", "steps", "typed", "column"]
NoiseKind = Literal["unknown", "sigma", "poisson", "camera", "rician"]
MeanUse = Literal["no", "start", "bounds"]


@dataclass(frozen=True)
class Row:
    """One line of the parameter table; None where the field was left empty.

    Attributes
    ----------
    start : float or Layer or None
        Where the fit begins, or with `fixed` the value itself; a layer gives every voxel its own.
    tied : str
        An expression of other parameters that gives this one.
    shared : bool
        Whether all fits have one value of it.
    """

    name: str
    start: float | Layer | None = None
    lower: float | None = None
    upper: float | None = None
    fixed: bool = False
    tied: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of the samples of a curve along the fitted axis.

    Attributes
    ----------
    kind : {"layer", "index", "steps", "typed", "column"}
        The layer's own scale, translate and unit; the sample's number; `start` and `step`; or `values`, typed or read
        from a column of a table.
    unit : str
        Of all but the layer's own.
    """

    kind: CoordinateKind = "layer"
    start: float = 0.0
    step: float = 1.0
    values: tuple[float, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class NoiseChoice:
    """Choice of the noise, with its numbers.

    Attributes
    ----------
    sigma : float or Layer or None
        For ``"sigma"`` and ``"rician"``: the standard deviation, one for all or one for each voxel or sample.
    gain, offset, read_noise : float
        For ``"camera"``, as in `Camera`.
    """

    kind: NoiseKind = "unknown"
    sigma: float | Layer | None = None
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0


@dataclass(frozen=True)
class Computing:
    """Options of the computation, see `Options`; the tolerance is that of ftol, xtol and gtol."""

    loss: Loss = "linear"
    f_scale: float = 1.0
    max_iterations: int = 100
    tolerance: float = 1e-8
    dtype: DType = "float64"
    device: str | None = None


@dataclass(frozen=True)
class SpotChoice:
    """Choice of the spots to fit, and of their windows.

    Attributes
    ----------
    points : Points or None
        A fit around each.
    window : tuple of int
        Pixels of a window, one number for all axes of the model or one for each.
    background : {"constant", "sloping"}
    groups : int or None
        The most spots that are fitted together where their windows overlap; None fits each by itself.
    saturation : float or None
        Pixels at or above it do not count.
    filters : tuple of SpotFilter
        Which spots count, in the order in which they are applied.
    """

    points: Points | None = None
    window: tuple[int, ...] = (11,)
    background: Background = "constant"
    groups: int | None = None
    saturation: float | None = None
    filters: tuple[SpotFilter, ...] = ()


@dataclass(frozen=True)
class Choices:
    """Everything that decides what is fitted, and to what.

    Attributes
    ----------
    image : Image or None
        The layer to fit.
    job : {"region", "spots", "voxels"}
        A surface for each region and frame, or for each point, or a curve for each voxel.
    model : str
    rows : tuple of Row
        The parameter table, in the model's order.
    region : Shapes, Labels or None
        Where to fit; None for the whole image.
    leave_out : Shapes, Labels or None
        What does not count of it.
    frames : {"all", "current", "drawn"}
        For surfaces: whether a region counts in all frames, in the one on screen, or where it was drawn.
    current : tuple of int
        The index that is on screen, along every axis of the image.
    noise : NoiseChoice
    computing : Computing
    axis : int
        For curves: the axis along which they run.
    coordinates : Coordinates
        For curves: where their samples lie.
    select : Selection or None
        For curves: which samples count.
    mean : {"no", "start", "bounds"}
        For curves: whether the fit of the region's mean curve starts, or also bounds, those of its voxels.
    factor : float
        How far a voxel's parameters may be from the mean curve's, as a factor.
    paint : Labels or None
        For curves: what was painted to be left out, see `paint`.
    derived : tuple of str
        For curves: expressions of parameters to make maps of.
    spots : SpotChoice
        For spots.
    detection : Detection or None
        For spots: by which settings they are searched; None where these make no sense.
    search_axes : int
        For spots: 2 where each plane is searched by itself, 3 for volumes.
    """

    image: Image | None
    job: Job
    model: str
    rows: tuple[Row, ...]
    region: Shapes | Labels | None = None
    leave_out: Shapes | Labels | None = None
    frames: Frames = "all"
    current: tuple[int, ...] = ()
    noise: NoiseChoice = field(default_factory=NoiseChoice)
    computing: Computing = field(default_factory=Computing)
    axis: int = 0
    coordinates: Coordinates = field(default_factory=Coordinates)
    select: Selection | None = None
    mean: MeanUse = "no"
    factor: float = 3.0
    paint: Labels | None = None
    derived: tuple[str, ...] = ()
    spots: SpotChoice = field(default_factory=SpotChoice)
    detection: Detection | None = None
    search_axes: int = 2

    @property
    def source(self) -> str:
        """The unique id of the layer to fit; empty without one."""
        return "" if self.image is None else str(self.image.unique_id)

    @property
    def group(self) -> str:
        """Key by which the layers of earlier fits of the same layer, job and model are found."""
        return group_of(self.source, self.job, self.model)


def group_of(source: str, job: str, model: str) -> str:
    """Return the key of the layers of fits of one layer, job and model."""
    return f"{source}|{job}|{model}"
