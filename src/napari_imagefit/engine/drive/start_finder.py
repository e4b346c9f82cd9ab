"""The start of a large fit, by fewer of its samples: the guess, and where they lead to from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.programs import Runner, computing
from ..solver.trust_region import RUNNING
from ..sums.normal_equations import Kernel
from .blocks import to_columns
from .loading import load_blocks, tolerances_of
from .many import STEPS, advance, begin, shape_of
from .problem import Problem

ALL = slice(0, 1)


class StartFinder:
    """A problem of fewer samples, with the programs of `many`; to be made inside `computing`.

    Parameters
    ----------
    problem : Problem
        Of a single fit.
    kernel : Kernel
    descend : bool
        Whether it is fitted, or only its guess is wanted.
    """

    def __init__(self, problem: Problem, kernel: Kernel, descend: bool) -> None:
        self.problem, self.descend = problem, descend
        self.runner = Runner(kernel, problem.options)
        samples, limits, found = load_blocks(problem, ALL, *shape_of(problem))
        self.samples, self.limits, self.found = samples, limits, found
        self.rest = (
            tolerances_of(problem.options),
            np.int32(problem.options.max_iterations),
            np.int32(STEPS),
            np.int32(0),
        )

    def is_ready(self) -> bool:
        """Whether the programs are compiled; inside `computing` only."""
        return self.runner.is_ready(begin, *self._first())

    def _first(self) -> tuple[Any, ...]:
        return np.int32(1), self.samples, self.limits, self.found

    def calls(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """The stages with arguments of their shapes."""
        first = self._first()
        if not self.descend:
            return [(begin, first)]
        with computing(self.problem.options):
            task, state, _ = self.runner.shapes(begin, *first)
        return [(begin, first), (advance, (np.int32(1), self.samples, task, state, *self.rest))]

    def find(self, should_stop: Callable[[], bool]) -> tuple[NDArray[Any], bool, int]:
        """The start ``(n_params, 1)``, whether it is an answer, and the steps to it; inside `computing` only."""
        task, state, _ = self.runner(begin, *self._first())
        start = np.array(to_columns(task.params, ALL))
        if not self.descend:
            return start, True, 0
        while True:
            state = self.runner(advance, np.int32(1), self.samples, task, state, *self.rest)
            status = int(to_columns(state.status, ALL)[0])
            if status < RUNNING or should_stop():
                break
        steps = int(to_columns(state.iterations, ALL)[0])
        end = start.copy()
        end[list(self.runner.kernel.free)] = to_columns(state.x, ALL)
        answered = 0 <= status < RUNNING and bool(np.isfinite(end).all())
        return (end if answered else start), answered, steps
