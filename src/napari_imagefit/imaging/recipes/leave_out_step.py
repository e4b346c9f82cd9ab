"""The step that says which pixels count in no window of a spot, by runs of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from .runs import Indices, from_runs, runs_of, whole_numbers


@dataclass(frozen=True, eq=False)
class LeaveOutStep:
    """Pixels of the plane that do not count, for `fit_spots`.

    Attributes
    ----------
    shape : tuple of int
        Of the plane. The step goes with data of this shape only.
    parts : tuple of (int array, int array or None)
        Flat places in the plane, and the flat frames in which they do not count: None for all.
    """

    name: ClassVar[str] = "leave_out"

    shape: tuple[int, ...]
    parts: tuple[tuple[Indices, Indices | None], ...]

    @classmethod
    def of_mask(cls, used: NDArray[np.bool_], ndim: int) -> Self:
        """Return the step of a mask of the image's shape, the plane's `ndim` axes last: True where pixels count."""
        plane, frames = used.shape[used.ndim - ndim :], used.shape[: used.ndim - ndim]
        if not any(used.strides[: len(frames)]):
            left = np.flatnonzero(~used[(0,) * len(frames)])
            return cls(plane, ((left, None),) if left.size else ())
        alike: dict[bytes, tuple[Indices, list[int]]] = {}
        for frame, own in enumerate(used.reshape(-1, *plane)):
            left = np.flatnonzero(~own)
            if left.size:
                alike.setdefault(left.tobytes(), (left, []))[1].append(frame)
        return cls(plane, tuple((left, np.array(where)) for left, where in alike.values()))

    @classmethod
    def of_recipe(cls, said: Mapping[str, Any]) -> Self:
        """Return the step that `recipe` describes.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        shape = whole_numbers(said.get("shape"), "shape of the step 'leave_out'", least=1)
        parts = said.get("parts")
        if not isinstance(parts, list) or not all(isinstance(one, dict) for one in parts):
            raise FitInputError(f"parts of the step 'leave_out' must be a list of objects, got {parts!r}")
        return cls(shape, tuple(_part_of(one, int(np.prod(shape))) for one in parts))

    def recipe(self) -> dict[str, Any]:
        """Return the step as JSON; pixels and frames are runs ``[first, length]`` of flat indices."""
        parts = [
            {"pixels": runs_of(pixels), **({} if frames is None else {"frames": runs_of(frames)})}
            for pixels, frames in self.parts
        ]
        return {"shape": list(self.shape), "parts": parts}

    def mask(self, image: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return which pixels of an image of that shape count, of its plane's shape where all frames are alike.

        Raises
        ------
        FitInputError
            If its plane has another shape, or a frame is missing.
        """
        n_frame_axes = len(image) - len(self.shape)
        plane, n_frames = image[max(n_frame_axes, 0) :], int(np.prod(image[: max(n_frame_axes, 0)]))
        if plane != self.shape:
            raise FitInputError(
                f"the recipe leaves pixels of a plane of shape {self.shape} out, but the image has {plane}; run it on "
                "data of that shape, or remove the step 'leave_out'"
            )
        alike = all(frames is None for _, frames in self.parts)
        used = np.ones((1 if alike else n_frames, int(np.prod(plane))), bool)
        for pixels, frames in self.parts:
            if frames is not None and frames[-1] >= n_frames:
                raise FitInputError(
                    f"the recipe leaves pixels of frame {frames[-1]} out, but the image has {n_frames} frames; run it "
                    "on an image with as many, or edit the step 'leave_out'"
                )
            where = slice(None) if frames is None else frames[:, None]
            used[where, pixels] = False
        return used.reshape(plane if alike else image)


def _part_of(said: Mapping[str, Any], size: int) -> tuple[Indices, Indices | None]:
    for name in said:
        if name not in ("pixels", "frames"):
            raise FitInputError(f"a part of the step 'leave_out' has {name!r}; it may have pixels, frames")
    pixels = from_runs(said.get("pixels"), size, "pixels of the step 'leave_out'")
    frames = said.get("frames")
    return pixels, None if frames is None else from_runs(frames, None, "frames of the step 'leave_out'")
