"""The measuring itself: peers take turns, so that a machine that drifts drifts for all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import peers
from .costs import costs, excesses
from .problems import Key, problem
from .workers import PeerError, Worker


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Parameters
    ----------
    sizes : list of int
        Pixels, voxels or spots, ascending.
    repeats : int
        Calls after the first.
    budget : float
        Seconds for a peer at one size, after which it is not called again.
    limit : float
        Seconds that a call may take, judged by the size before; a longer one is not run.
    leave_out : tuple of str
        Peers that are not run at all, as the tables then say.
    """

    sizes: list[int]
    repeats: int = 5
    budget: float = 8.0
    limit: float = 60.0
    leave_out: tuple[str, ...] = ()


@dataclass
class Row:
    """What is known of one peer at one size."""

    size: int
    name: str
    note: str = ""
    fits: int = 0  # 0: not measured
    first: float | None = None  # seconds of the first call, compiling included
    seconds: list[float] = field(default_factory=list)  # of the others
    peaks: list[int] = field(default_factory=list)  # bytes above those before the call, first call first
    excess: dict[str, float] | None = None
    reason: str = ""  # why it was not measured

    @property
    def median(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median}


def measure(section: str, plan: Plan, folder: Path) -> Iterator[list[Row]]:
    """All peers of a section, size by size."""
    with _working(section, plan, folder) as workers:
        paces: dict[str, float] = {}  # seconds per fitted size, from the size before
        for size in plan.sizes:
            if section == "images" and size == plan.sizes[-1]:
                # memory is judged at this size: a fresh process has nothing left from smaller ones
                for worker in workers:
                    if worker.missing is None:
                        worker.start()
            yield _measure_size(section, size, plan, workers, paces, folder)
            _tidy(folder)


@contextmanager
def _working(section: str, plan: Plan, folder: Path) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        for which in peers.SECTIONS[section]:
            workers.append(Worker(which, folder, left_out=which in plan.leave_out))
            state = workers[-1].missing
            print(f"  {workers[-1].peer.name}: {state or 'ready'}", flush=True)
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def _measure_size(
    section: str, size: int, plan: Plan, workers: list[Worker], paces: dict[str, float], folder: Path
) -> list[Row]:
    rows = {worker.which: Row(size, worker.peer.name, worker.peer.note) for worker in workers}
    # one image per call, as the paper has it; decays and spots are many enough in one
    several = section == "images"
    answers: dict[str, dict[int, NDArray[np.float64]]] = {}
    running = []
    for worker in workers:
        row, most = rows[worker.which], worker.peer.most
        expected = paces.get(worker.which, 0.0) * min(size, most or size)
        if worker.missing is not None:
            row.reason = worker.missing
        elif expected > plan.limit:
            row.reason = f"not run: would take about {_rounded(expected)} s"
        else:
            running.append(worker)

    problem(Key(section, size), folder)  # made before anyone is measured
    for turn in range(plan.repeats + 1):
        key = Key(section, size, turn if several else 0)
        for worker in list(running):
            row = rows[worker.which]
            spent = sum(row.seconds)
            # a peer that compiles is called at least twice
            if spent >= plan.budget or (row.seconds and spent + row.seconds[-1] > 2 * plan.budget):
                continue
            problem(key, folder)
            try:
                call = worker.fit(key)
            except PeerError as error:
                row.reason, row.first, row.seconds = f"failed: {error}", None, []
                answers.pop(worker.which, None)
                running.remove(worker)
                if "process" in row.reason or "stopped" in row.reason:
                    worker.start()
                continue
            answers.setdefault(worker.which, {})[key.index] = call.answer
            row.fits = call.answer.shape[1]
            if call.peak is not None:
                row.peaks.append(call.peak)
            if turn == 0:
                row.first = call.seconds
            if turn > 0 or not worker.peer.compiles:
                row.seconds.append(call.seconds)

    for worker in workers:
        row = rows[worker.which]
        if row.median is not None:
            paces[worker.which] = row.median / min(size, worker.peer.most or size)
            said = f"{row.median:.4g} s for {row.fits} fits, first {row.first:.3g} s"
        else:
            said = row.reason
        print(f"  {size:>9,} {row.name}: {said}", flush=True)
    _judge(section, size, workers, rows, answers, folder)
    return list(rows.values())


def _judge(
    section: str,
    size: int,
    workers: list[Worker],
    rows: dict[str, Row],
    answers: dict[str, dict[int, NDArray[np.float64]]],
    folder: Path,
) -> None:
    """Excess of each peer's cost over the best one's, for the same problem; of several images the worst counts."""
    integrated = {worker.which: worker.peer.integrated for worker in workers}
    found: dict[str, list[dict[str, float]]] = {}
    for index in sorted({index for own in answers.values() for index in own}):
        data = problem(Key(section, size, index), folder)
        each = {
            which: costs(data.first(own[index].shape[1]), own[index], integrated=integrated[which])
            for which, own in answers.items()
            if index in own
        }
        # another model's cost says nothing about how low this one's can be
        same = {which: cost for which, cost in each.items() if not integrated[which]}
        for which, excess in excesses(same).items():
            found.setdefault(which, []).append(excess)
        for which in each.keys() - same.keys():
            above = excesses({**same, which: each[which]})[which]
            found.setdefault(which, []).append(above)
    for which, several in found.items():
        worst = max(several, key=lambda excess: excess["q99"])
        rows[which].excess = {**worst, "close": min(excess["close"] for excess in several)}


def _rounded(seconds: float) -> str:
    """To one digit: it is an estimate."""
    digits = -math.floor(math.log10(seconds))
    return f"{round(seconds, digits):g}"


def _tidy(folder: Path) -> None:
    for file in folder.glob("*.npy"):
        file.unlink()
