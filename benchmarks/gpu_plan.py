"""How large everything is that is checked on a GPU, and what a row of the tables is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .passes import CLOUD, DECAY, SPOT, Pass

PRECISIONS = ("float64", "float32")
LOOKS = (1, 2, 4)


@dataclass(frozen=True)
class Plan:
    """How large everything is.

    Attributes
    ----------
    devices : tuple of str
        The one that is checked, and the one that it is compared with.
    side, voxels, spots : int
        Of the checks of parity.
    throughput : dict
        Numbers of pixels, voxels and spots by section.
    passes : tuple of Pass
    """

    devices: tuple[str, str]
    nudged: bool
    side: int
    voxels: int
    spots: int
    throughput: dict[str, int]
    passes: tuple[Pass, ...]
    repeats: int


GPU = Plan(
    devices=("gpu", "cpu"),
    nudged=False,
    side=1024,
    voxels=16_384,
    spots=4096,
    throughput={"images": 1_000_000, "voxels": 65_536, "spots_lsq": 100_000},
    passes=(
        Pass("exponential_decay", 65_536, (32,), DECAY),
        Pass("gaussian_2d", 32_768, (11, 11), SPOT),
        Pass("gaussian_2d_rotated", 16, (256, 256), CLOUD),
        Pass("gaussian_2d_rotated", 1, (256, 256), CLOUD),
    ),
    repeats=20,
)
CPU = Plan(
    devices=("cpu", "cpu"),
    nudged=True,
    # more than one tile
    side=300,
    voxels=600,
    spots=400,
    throughput={"images": 90_000, "voxels": 2000, "spots_lsq": 1000},
    passes=(
        Pass("exponential_decay", 512, (32,), DECAY),
        Pass("gaussian_2d", 512, (11, 11), SPOT),
        Pass("gaussian_2d_rotated", 1, (256, 256), CLOUD),
    ),
    repeats=3,
)
# The first cells of a row, and what finds the others.
Job = tuple[list[str], Callable[[], list[str]]]
