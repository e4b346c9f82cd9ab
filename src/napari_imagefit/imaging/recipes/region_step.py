"""The step that says which pixels or voxels are fitted: regions of a plane, or voxels of a grid, by runs of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ..regions.region import EveryPixel, Pixels, Region
from .runs import Indices, from_runs, runs_of, whole_numbers


@dataclass(frozen=True, eq=False)
class NamedRegion:
    """Pixels of one label; `frames` are None where it is fitted in every frame."""

    label: int
    pixels: Pixels
    frames: Indices | None
    name: str = ""


@dataclass(frozen=True, eq=False)
class RegionStep:
    """Regions of a plane, for `fit_image`, or the voxels to fit, for `fit_voxels`.

    Attributes
    ----------
    shape : tuple of int
        Of the plane, or of the grid of voxels. The step goes with data of this shape only.
    labels : tuple of int or None
        Along the last axis of the grid of fits; None where the grid has no axis for them.
    regions : tuple of NamedRegion
    """

    name: ClassVar[str] = "region"

    shape: tuple[int, ...]
    labels: tuple[int, ...] | None
    regions: tuple[NamedRegion, ...]

    @classmethod
    def of_regions(
        cls,
        regions: Sequence[Region],
        labels: NDArray[np.int64] | None,
        frames: tuple[int, ...],
        plane: tuple[int, ...],
        names: Mapping[int, str],
    ) -> Self | None:
        """Return the step of these regions; None for the whole plane of every frame where the grid is of frames."""
        n_frames = int(np.prod(frames))
        several = 1 if labels is None else len(labels)
        named = []
        for region in regions:
            label = 1 if labels is None else int(labels[region.places[0] % several])
            every = np.array_equal(region.frames, np.arange(n_frames))
            named.append(NamedRegion(label, region.pixels, None if every else region.frames, names.get(label, "")))
        whole = labels is None and len(named) == 1 and named[0].frames is None
        if whole and named[0].pixels.size == int(np.prod(plane)):
            return None
        return cls(plane, None if labels is None else tuple(int(n) for n in labels), tuple(named))

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> Self:
        """Return the step of a mask of voxels."""
        return cls(mask.shape, None, (NamedRegion(1, np.flatnonzero(mask), None),))

    @classmethod
    def of_recipe(cls, said: Mapping[str, Any]) -> Self:
        """Return the step that `recipe` describes.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        shape = whole_numbers(said.get("shape"), "shape of the region step", least=1)
        labels = None if said.get("labels") is None else whole_numbers(said["labels"], "labels of the region step", 1)
        size, regions = int(np.prod(shape)), said.get("regions")
        if not isinstance(regions, list) or not regions or not all(isinstance(one, dict) for one in regions):
            raise FitInputError(f"regions of the region step must be a list of objects, got {regions!r}")
        return cls(shape, labels, tuple(_region_of(one, size, labels) for one in regions))

    def recipe(self) -> dict[str, Any]:
        """Return the step as JSON; pixels are runs ``[first, length]`` of flat indices, None for all."""
        said: dict[str, Any] = {"shape": list(self.shape)}
        if self.labels is not None:
            said["labels"] = list(self.labels)
        return said | {"regions": [_region_as_json(one, int(np.prod(self.shape))) for one in self.regions]}

    def find(
        self, frames: tuple[int, ...], plane: tuple[int, ...]
    ) -> tuple[list[Region], tuple[int, ...], NDArray[np.int64] | None]:
        """Return the regions in an image of so many frames, the grid of fits, and the labels along its last axis.

        Raises
        ------
        FitInputError
            If the plane has another shape, or a frame is missing.
        """
        self._check_shape(plane, "the plane of the image")
        n_frames, several = int(np.prod(frames)), 1 if self.labels is None else len(self.labels)
        found = []
        for one in self.regions:
            where = np.arange(n_frames) if one.frames is None else one.frames
            if where.size and where[-1] >= n_frames:
                raise FitInputError(
                    f"the recipe's region {one.name or one.label} is fitted in frame {where[-1]}, but the image has "
                    f"{n_frames} frames; run it on an image with as many, or edit the region step"
                )
            column = 0 if self.labels is None else self.labels.index(one.label)
            found.append(Region(one.label, one.pixels, where, where * several + column))
        grid = frames if self.labels is None else (*frames, several)
        return found, grid, None if self.labels is None else np.array(self.labels)

    def mask(self, grid: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the voxels to fit as a mask.

        Raises
        ------
        FitInputError
            If the grid has another shape.
        """
        self._check_shape(grid, "the grid of voxels")
        chosen = np.zeros(int(np.prod(grid)), bool)
        for one in self.regions:
            chosen[np.asarray(one.pixels)] = True
        return chosen.reshape(grid)

    def _check_shape(self, shape: tuple[int, ...], what: str) -> None:
        if tuple(shape) != self.shape:
            raise FitInputError(
                f"the recipe's region is of shape {self.shape}, but {what} has {tuple(shape)}; run it on data of that "
                "shape, or leave the region step out"
            )


def _region_as_json(one: NamedRegion, size: int) -> dict[str, Any]:
    said: dict[str, Any] = {"label": one.label}
    if one.name:
        said["name"] = one.name
    if one.frames is not None:
        said["frames"] = runs_of(one.frames)
    if not isinstance(one.pixels, EveryPixel) and one.pixels.size < size:
        said["pixels"] = runs_of(one.pixels)
    return said


def _region_of(said: Mapping[str, Any], size: int, labels: tuple[int, ...] | None) -> NamedRegion:
    for name in said:
        if name not in ("label", "name", "frames", "pixels"):
            raise FitInputError(f"a region of the recipe has {name!r}; it may have label, name, frames, pixels")
    label = said.get("label", 1)
    if isinstance(label, bool) or not isinstance(label, int) or (labels is not None and label not in labels):
        raise FitInputError(f"label of a region must be one of {labels}, got {label!r}")
    frames = None if said.get("frames") is None else from_runs(said["frames"], None, "frames of a region")
    pixels: Pixels = EveryPixel(size)
    if said.get("pixels") is not None:
        pixels = from_runs(said["pixels"], size, "pixels of a region")
    return NamedRegion(label, pixels, frames, str(said.get("name", "")))
