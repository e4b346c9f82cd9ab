"""What a peer is to the suite."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..problems import Problem


class Peer:
    """One row of a table. It lives in a process of its own, where alone its library is imported.

    `load` brings the data into the form that the library wants, outside the time that counts; `fit` is what is
    measured, from arrays to arrays; `answer` sorts what came out into ``(parameter, fit)``, in the order of
    `benchmarks.problems`, outside the time again.
    """

    name: str
    module: str | None = None  # that must be importable
    package: str | None = None  # that pip installs it by
    note: str = ""
    compiles = False  # whether the first call is no measure of the next
    most: int | None = None  # fits that it is given at most
    integrated = False  # whether its model integrates over pixels

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""
        if self.module and find_spec(self.module.split(".")[0]) is None:
            return f"{self.package or self.module} is not installed"
        return None

    def prepare(self) -> None:
        """Import the library, and set up what is needed once."""

    def close(self) -> None:
        """End what it has started."""

    def load(self, problem: Problem) -> None:
        """Take the problem of the next calls of `fit`."""
        raise NotImplementedError

    def fit(self) -> Any:
        """Fit it."""
        raise NotImplementedError

    def answer(self, fitted: Any) -> NDArray[np.float64]:
        """Parameters ``(parameter, fit)`` out of what `fit` returned."""
        raise NotImplementedError
