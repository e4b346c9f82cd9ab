"""Names of the columns that identify a spot."""

from __future__ import annotations


def spot_columns(n_frame_axes: int, n_axes: int) -> list[str]:
    """``["frame", "point_y", "point_x"]``, or more of them; `n_axes` are those of the plane or volume."""
    frames = ["frame"] if n_frame_axes == 1 else [f"frame_{axis}" for axis in range(n_frame_axes)]
    axes = "zyx"[-n_axes:] if n_axes <= 3 else map(str, range(n_axes))
    return [*frames, *(f"point_{axis}" for axis in axes)]
