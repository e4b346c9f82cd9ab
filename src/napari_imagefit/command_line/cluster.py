"""Pieces on the workers of a Dask cluster; results are written here as they come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.core.errors import FitEngineError, FitInputError
from ..imaging.chunked.dask_tasks import fit_piece
from ..imaging.chunked.plan import Cut, Plan
from ..imaging.chunked.split_settings import join
from ..imaging.files.zarr_store import ResultStore
from ..imaging.fitting.chunks import Slices
from ..imaging.fitting.records import unpack
from ..imaging.fitting.run import Settings
from ..imaging.readers.optional_packages import need
from ..imaging.readers.stored_arrays import StoredArray
from .progress import show_progress

# Pieces for each thread of the workers that are under way: one is fitted, the next is read.
AHEAD = 2
CONNECTING = "10s"


def fit_stored_piece(plan: Plan, data: StoredArray, where: Slices, cut: Cut) -> NDArray[Any]:
    """Read a piece and fit it; runs on a worker."""
    return fit_piece(plan, data[where], cut)


def fit_on_cluster(
    address: str, plan: Plan, data: StoredArray, store: ResultStore, todo: list[int], say: Callable[[str], object]
) -> None:
    """Fit these pieces. Those of a worker that dies are done again by another: the scheduler sees to it.

    Raises
    ------
    FitInputError
        If there is no scheduler, or the input makes no sense to a worker.
    FitEngineError
        If the scheduler is lost.
    """
    distributed = need("distributed", "--scheduler")
    # Dask reports a closed connection in a page of text
    logging.getLogger("distributed").setLevel(logging.WARNING)
    try:
        # a client that cannot even be connected waits for its own end, and complains
        distributed.comm.resolve_address(address)
        client = distributed.Client(address, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError) as error:
        raise FitInputError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with: dask scheduler"
        ) from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            say("the cluster has no workers yet; waiting for them")
        try:
            _drive(distributed, client, plan, data, store, todo, max(2, AHEAD * threads))
        except (OSError, CancelledError) as error:  # errors in files have been reported by then
            # the client tries to connect again, and reports in a page of text that its end prevents it
            logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
            raise FitEngineError(
                f"the Dask scheduler at {address!r} is lost ({error or type(error).__name__}); the same command goes "
                f"on from the {len(store.finished())} of {len(store.pieces)} chunks that are there, with another "
                "scheduler or without"
            ) from error


def _drive(
    distributed: Any, client: Any, plan: Plan, data: StoredArray, store: ResultStore, todo: list[int], ahead: int
) -> None:
    waiting, bare = iter(todo), plan.bare()
    numbers: dict[Any, int] = {}

    def submit() -> Any:
        for number in waiting:
            piece = store.pieces[number]
            future = client.submit(fit_stored_piece, bare, data, plan.on_data(piece), plan.cut(piece), pure=False)
            numbers[future.key] = number
            return future
        return None

    sizes = {number: plan.n_fits(store.pieces[number]) for number in todo}
    done = 0
    with show_progress(sum(sizes.values())) as tell:
        first = [future for _ in range(ahead) if (future := submit()) is not None]
        results = distributed.as_completed(first, loop=client.loop)
        del first
        for future in results:
            try:
                records = np.asarray(future.result())
            except distributed.KilledWorker as error:
                raise FitEngineError(
                    f"a chunk was given up because each worker that took it died, perhaps for lack of memory "
                    f"({error}); the same command, with a smaller --fits-per-chunk into a new folder, may do it"
                ) from error
            if (following := submit()) is not None:
                results.add(following)
            number = numbers.pop(future.key)
            store.write(number, _result(plan, store.pieces[number], records))
            done += sizes[number]
            tell(done, "")
            # a worker keeps a result for as long as anyone holds its future
            del future


@dataclass(frozen=True)
class _PieceSource:
    """Settings that a piece was fitted with; its data stay with the worker."""

    settings: Settings


def _result(plan: Plan, piece: Slices, records: NDArray[Any]) -> Any:
    source: Any = _PieceSource(join(plan.settings, plan.cut(piece)))
    return unpack(records, plan.model, source, known_sigma=plan.knows_noise, criterion=plan.settings.options.criterion)
