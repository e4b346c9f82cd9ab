"""``napari-imagefit run``: a recipe, a file of data, and a folder of results that can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..engine.core.errors import FitInputError
from ..imaging.chunked.plan import Plan
from ..imaging.files.zarr_store import ResultStore
from ..imaging.fitting.argument_checks import check_surface
from ..imaging.fitting.chunks import Slices
from ..imaging.readers.optional_packages import need
from ..imaging.readers.stored_arrays import StoredArray, open_stored
from ..imaging.recipes.recipe import Recipe
from ..imaging.spots.points_file import read_points
from .interrupt import Interrupt
from .progress import show_progress

Say = Callable[[str], object]


def run_recipe(
    recipe_file: Path,
    input_text: str,
    output: Path,
    scheduler: str | None,
    most_fits: int | None,
    say: Say,
    points: Path | None = None,
    interrupt: Interrupt | None = None,
) -> None:
    """Fit what is not yet in the output; `points` is the table of those of spots.

    Raises
    ------
    FitInputError
        One sentence about what is wrong.
    FitEngineError
        If the results cannot be written.
    KeyboardInterrupt
        If the user stopped it; the message before it tells how to go on.
    """
    interrupt = interrupt or Interrupt()
    need("zarr", "napari-imagefit run")
    if scheduler is not None:
        need("distributed", "--scheduler")
    recipe = Recipe.load(recipe_file)
    data = open_stored(input_text)
    rows = None if points is None else read_points(points, data.ndim, _frame_axes(recipe, data.ndim))
    plan = recipe.plan(data, rows)
    store = ResultStore.open(output, plan, recipe, data, most_fits)
    if data.remark:
        say(data.remark)
    if recipe.filters:
        say("the recipe's filters are left to who reads the results: every spot is fitted and written")
    n_pieces, finished = len(store.pieces), store.finished()
    if finished:
        say(f"{len(finished)} of {n_pieces} chunks were there already")
    if store.lost:
        say(f"{len(store.lost)} chunks that were finished lack files now, and are fitted again")
    todo = [number for number in range(n_pieces) if number not in finished]
    # what is written meanwhile is not read for it: the file may be in the midst of being written
    interrupt.words = lambda: _stopped(len(finished) + len(store.written), n_pieces)
    try:
        if scheduler is None:
            with interrupt.looked_for():
                _fit_here(plan, data, store, todo, interrupt.came)
        else:
            from .cluster import fit_on_cluster

            fit_on_cluster(scheduler, plan, data, store, todo, say)
    except KeyboardInterrupt:
        say(_stopped(len(store.finished()), n_pieces))
        raise
    if todo and data.changed():
        raise FitInputError(
            f"{data.path!r} was changed while it was fitted, so that {str(output)!r} may hold results of both; "
            "remove that folder and start again"
        )
    _tell_counts(store, plan, output, say)


def _frame_axes(recipe: Recipe, n_axes: int) -> int:
    """Return how many of the leading axes of an image with spots are frames."""
    if recipe.fit.verb != "fit_spots":
        raise FitInputError(f"the recipe's verb is {recipe.fit.verb}, which takes no points; leave --points out")
    check_surface(recipe.model, n_axes, "fit_spots")
    return n_axes - recipe.model.ndim


def _stopped(n_finished: int, n_pieces: int) -> str:
    return f"stopped with {n_finished} of {n_pieces} chunks; the same command goes on from there"


def _tell_counts(store: ResultStore, plan: Plan, output: Path, say: Say) -> None:
    counts = store.status_counts()
    converged = sum(n for status, n in counts.items() if status.converged)
    say(f"{plan.model.name}: {sum(counts.values())} fits · {converged} converged · {output}")
    for status, n in sorted(counts.items(), key=lambda pair: -pair[1]):
        if not status.converged:
            say(f"  {n} × {status.message}")


def _fit_here(
    plan: Plan, data: StoredArray, store: ResultStore, todo: list[int], should_stop: Callable[[], bool]
) -> None:
    """One piece after the other, for a fit uses all cores; the next is read and the last one written meanwhile."""
    sizes = {number: plan.n_fits(store.pieces[number]) for number in todo}
    done = 0
    written: Future[None] | None = None
    with ThreadPoolExecutor(2) as pool, show_progress(sum(sizes.values())) as tell:
        for number, values in _read_ahead(pool, data, [store.plan.on_data(store.pieces[n]) for n in todo], todo):
            steps = plan.steps(values, plan.cut(store.pieces[number]), should_stop)
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    result = end.value
                    break
                tell(done + progress.done, "compiling" if progress.compiling else "")
            if should_stop():
                raise KeyboardInterrupt
            done += sizes[number]
            tell(done, "")
            if written is not None:
                written.result()  # never more than one waits in memory
            written = pool.submit(store.write, number, result)
        if written is not None:
            written.result()
    if should_stop():
        raise KeyboardInterrupt


def _read_ahead(
    pool: ThreadPoolExecutor, data: StoredArray, places: list[Slices], todo: list[int]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each piece; the one after it is being read by then."""
    waiting = None
    for number, where, following in zip(todo, places, [*places[1:], None][: len(todo)], strict=True):
        values = data[where] if waiting is None else waiting.result()
        waiting = None if following is None else pool.submit(data.__getitem__, following)
        yield number, values
