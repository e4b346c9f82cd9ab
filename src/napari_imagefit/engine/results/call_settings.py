"""Settings of a call that its result keeps, beside data and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from numpy.typing import ArrayLike

from ..core.options import Options
from ..core.types import Bounds, Values
from ..noise.camera import Camera


class Asked(Protocol):
    """Settings of the parameters and the noise of a fit, as they were given: see the arguments of `fit_image`."""

    @property
    def bounds(self) -> Bounds | None:
        """Lower and upper ends by parameter name."""

    @property
    def fixed(self) -> Values | None:
        """Values that were fixed, by parameter name."""

    @property
    def tied(self) -> Mapping[str, str] | None:
        """Expressions by parameter name."""

    @property
    def shared(self) -> Sequence[str]:
        """Parameters that all fits have in common."""

    @property
    def sigma(self) -> ArrayLike | None:
        """Standard deviations of the data."""

    @property
    def camera(self) -> Camera | None:
        """The camera that made the data."""

    @property
    def options(self) -> Options:
        """Options of the computation."""
