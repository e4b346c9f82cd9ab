"""What people come for, task by task, as new users did it once: each beside what became of it then."""

from collections.abc import Callable

from .atoms import atoms
from .beads import beads, volumes
from .manners import layers, manners, regions, samples
from .person import Person, Row, Step, a_person
from .voxels import voxels

TASKS: dict[str, Callable[[Person], None]] = {
    "atoms": atoms,
    "beads": beads,
    "volumes": volumes,
    "voxels": voxels,
    "samples": samples,
    "layers": layers,
    "regions": regions,
    "manners": manners,
}

__all__ = ["TASKS", "Person", "Row", "Step", "a_person"]
