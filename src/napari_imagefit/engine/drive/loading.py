"""From a problem to the arrays of one chunk, in shapes that many chunks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..models.model import Array
from ..models.starts import guess_starts, is_traceable
from ..solver.trust_region import Tolerances
from ..sums.normal_equations import Samples, bucket
from .blocks import to_blocks
from .problem import Options, Problem
from .stages import Limits

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

# Some of the fits of a problem.
Places = slice | NDArray[np.intp]


def padded_length(problem: Problem) -> int:
    """The samples of a problem's programs."""
    m = problem.n_samples
    if not problem.padded:
        return m
    return problem.pad_to if m <= problem.pad_to else bucket(m)


def fill_columns(
    array: NDArray[Any], part: slice, rows: int, columns: int, options: Options, pad: float = 1.0
) -> NDArray[Any]:
    """The part's columns of an array ``(m, N or 1)`` in the chosen precision, padded to ``(rows, columns or 1)``."""
    source = array if array.shape[1] == 1 else array[:, part]
    target = np.full((rows, 1 if array.shape[1] == 1 else columns), pad, options.dtype)
    with np.errstate(over="ignore"):
        target[: source.shape[0], : source.shape[1]] = source
    return target


def load(problem: Problem, part: slice, columns: int) -> tuple[Samples, Limits, Array | None]:
    """One chunk as arrays of a shape that many chunks share; padding is NaN and so left out.

    The third is the guess where it is not written for JAX; call this inside `computing`.
    """

    def fill(column: Padded) -> NDArray[Any]:
        values, pad = column
        target = np.full((*values.shape[:-1], columns), pad, values.dtype)
        target[..., : values.shape[-1]] = values
        return target

    loaded: tuple[Samples, Limits, Array | None] = _map_padded(fill, _gather(problem, part))
    return loaded


def load_blocks(problem: Problem, places: Places, blocks: int, width: int) -> tuple[Samples, Limits, Any]:
    """The fits at these places as blocks: what is theirs is `Own`."""
    gathered = _gather(problem, places)
    loaded: tuple[Samples, Limits, Any] = _map_padded(lambda c: to_blocks(c.values, blocks, width, c.pad), gathered)
    return loaded


class Padded(NamedTuple):
    """Columns ``(..., N)``, one for each fit, and what to fill up with."""

    values: NDArray[Any]
    pad: float


def _map_padded(fill: Callable[[Padded], Any], tree: Any) -> Any:
    return jax.tree.map(
        lambda node: fill(node) if isinstance(node, Padded) else node, tree, is_leaf=lambda n: isinstance(n, Padded)
    )


def _gather(problem: Problem, places: Places) -> Any:
    """Samples, limits and guess of some fits in the chosen precision; what is theirs alone is `Padded`."""
    options = problem.options
    rows = padded_length(problem)
    dtype = np.dtype(options.dtype)

    def take(array: NDArray[Any], pad: float = 1.0, rows: int = rows) -> NDArray[Any]:
        source = array if array.shape[1] == 1 else array[:, places]
        if source.shape[0] == rows and source.dtype == dtype:
            return source
        target = np.full((rows, source.shape[1]), pad, dtype)
        with np.errstate(over="ignore"):  # what does not fit into single precision becomes infinite, and is left out
            target[: source.shape[0]] = source
        return target

    def padded(array: NDArray[Any], pad: float = 1.0, rows: int = rows, own: bool = False) -> Any:
        taken = take(array, pad, rows)
        return Padded(taken, pad) if own or array.shape[1] > 1 else np.ascontiguousarray(taken)

    # what a single fit has is its own, as it would be among others
    single = problem.n_fits == 1 and not problem.alone
    data = take(problem.data, np.nan)
    n = len(problem.model.names)
    samples = Samples(
        coords=tuple(
            padded(c, own=True) if c.ndim == 2 else padded(c[:, None]) for c in map(np.asarray, problem.coords)
        ),
        data=Padded(data, np.nan),
        weights=None if problem.weights is None else padded(problem.weights, pad=0.0, own=single),
        length=Padded(_lengths(problem, places), 0),
        shift=None if problem.shift is None else padded(problem.shift, own=single),
        f_scale=np.asarray(options.f_scale, dtype) if options.criterion.is_robust else None,
        root=None if problem.root is None else _pad_root(problem.root, rows).astype(dtype),
    )
    start, lower, upper = (padded(a, rows=n, own=problem.each) for a in (problem.start, problem.lower, problem.upper))
    limits = Limits(start, lower, upper, None if problem.norms is None else problem.norms.astype(dtype))
    found = _guess_on_host(problem, *_map_padded(lambda column: column.values, (samples, limits)))
    return samples, limits, None if found is None else Padded(found, 1.0)


def _pad_root(root: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Padding is correlated with nothing."""
    padded = np.eye(rows)
    padded[: len(root), : len(root)] = root
    return padded


def _lengths(problem: Problem, places: Places) -> NDArray[np.int32]:
    if problem.lengths is not None:
        return problem.lengths[places]
    count = len(range(*places.indices(problem.n_fits))) if isinstance(places, slice) else places.size
    return np.full(count, problem.n_samples, np.int32)


def _guess_on_host(problem: Problem, samples: Samples, limits: Limits) -> Array | None:
    """Guesses that are not written for JAX, ``(n_params, N)``; None if a program is to find them."""
    if not np.isnan(limits.start).any():
        return limits.start + np.zeros_like(samples.data[:1])
    if is_traceable(problem.model):
        return None
    data_and_weights = samples.filled(problem.options.criterion.is_robust)
    with np.errstate(all="ignore"):
        return np.asarray(guess_starts(problem.model, samples.coords, *data_and_weights), problem.options.dtype)


def tolerances_of(options: Options) -> Tolerances:
    """As numbers of the right precision."""
    # in single precision a cost cannot be told from its neighbours below this
    floor = 0.0 if options.dtype == "float64" else 8 * float(np.finfo(np.float32).eps)
    return Tolerances(*(np.asarray(max(t, floor), options.dtype) for t in (options.ftol, options.xtol, options.gtol)))
