"""Progress of a run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

End = TypeVar("End")
# Between two yields of `Progress`, after each of which a fit may be stopped.
REPORT_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Progress:
    """Fits done, fits in all, and whether a program is being compiled for the first time.

    Attributes
    ----------
    partial : FitResult or None
        The result so far, if the run provides it; fits that have not ended have `Status.STOPPED` and no values.
    """

    done: int
    total: int
    compiling: bool = False
    partial: Any = None


def drain(steps: Generator[Progress, None, End], report: Callable[[int, int], object] | None = None) -> End:
    """Run a generator to its end and return what it returns; `report` is called with the fits done and the fits in all.

    Examples
    --------
    >>> def steps():
    ...     yield Progress(1, 2)
    ...     return "found"
    >>> drain(steps(), print)
    1 2
    'found'
    """
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            found: End = end.value
            return found
        if report is not None:
            report(progress.done, progress.total)


def retold(
    steps: Generator[Progress, None, End], how: Callable[[Progress], Progress]
) -> Generator[Progress, None, End]:
    """Pass the progress of a part on as that of the whole, and return what the part returns.

    Examples
    --------
    >>> def part():
    ...     yield Progress(1, 2)
    >>> [progress.done for progress in retold(part(), lambda own: Progress(10 + own.done, 20))]
    [11]
    """
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found: End = end.value
                return found
            yield how(progress)
    finally:
        steps.close()
