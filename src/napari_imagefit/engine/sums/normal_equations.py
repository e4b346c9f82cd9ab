"""From parameters to cost, gradient and JᵀJ by one pass over the samples: the program that is compiled for each model.

Samples are contiguous, along the last axis. All sums of a fit are one variadic reduction, a vectorised loop in which
what the terms have in common is computed once and nothing is written to memory but the sums; the Jacobian is never
held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import xp
from ..core.options import Criterion, Options
from ..core.programs import find, obtain, request
from ..core.types import Array
from ..models.evaluation import jacobian
from ..models.model import Model
from .noise_and_loss import terms
from .samples import STRETCH, Samples

if TYPE_CHECKING:
    from concurrent.futures import Future

    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Sums = TypeVar("Sums")


def normal_sums(
    model: Model, criterion: Criterion, samples: Samples, params: tuple[Array, ...], length: Array | None = None
) -> tuple[Array, ...]:
    """Cost, gradient by all parameters, and the lower triangle of JᵀJ row by row, each ``(B,)``.

    Parameters
    ----------
    samples : Samples
        With the samples along the last axis; of any type of numbers, the parameters' is computed in.
    params : tuple of arrays, each ``(B,)``
    length : int array, ``()``, optional
        Samples beyond it are padding, for a single fit.
    """
    dtype = params[0].dtype

    def piece(part: Samples) -> tuple[Array, ...]:
        part = _widened(part, dtype)
        value, slopes = jacobian(model, part.coords, params, across=True)
        found = terms(criterion, value, part)
        used = part.usable()

        def of_used(values: Array) -> Array:
            return xp.where(used, values, 0)

        rows = [of_used(found.slope * slope) for slope in slopes]
        return sums_of(of_used(found.cost), of_used(found.residual), rows, axis=1)

    found: tuple[Array, ...] = over_stretches(piece, samples, length)
    return found


def sums_of(cost: Array, residual: Array, slopes: Sequence[Array], axis: int) -> tuple[Array, ...]:
    """Reduce costs, residuals and slopes of samples along an axis."""
    gradient = [slope * residual for slope in slopes]
    products = [slopes[i] * slopes[j] for i in range(len(slopes)) for j in range(i + 1)]
    return add_up(cost, *gradient, *products, axis=axis)


def add_up(*values: Array, axis: int = 0) -> tuple[Array, ...]:
    """The sums over the samples of several arrays, in one pass."""
    alike = tuple(xp.broadcast_arrays(*values))
    sums: tuple[Array, ...] = xp.reduce_sums(alike, axis)
    return sums


def over_stretches(piece: Callable[[Samples], Sums], samples: Samples, length: Array | None) -> Sums:
    """Add up what `piece` returns for stretches of one fit's samples, and skip the padding."""
    m = samples.data.shape[1]
    if length is None or m <= STRETCH:
        return piece(samples)

    def stretch(index: Array) -> Samples:
        def some(array: Array | None) -> Array | None:
            if array is None or array.ndim < 2:
                return array
            return jax.lax.dynamic_slice_in_dim(array, index * STRETCH, STRETCH, axis=1)

        return jax.tree.map(some, samples)

    def add(index: Array, sums: Sums) -> Sums:
        total: Sums = jax.tree.map(jnp.add, sums, piece(stretch(index)))
        return total

    shapes = jax.eval_shape(piece, jax.eval_shape(stretch, jnp.zeros((), jnp.int32)))
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total: Sums = jax.lax.fori_loop(0, (length + STRETCH - 1) // STRETCH, add, zero)
    return total


def _widened(samples: Samples, dtype: Any) -> Samples:
    """In the precision in which is computed: samples are kept in the narrowest that holds them exactly."""

    def widen(array: Array | None) -> Array | None:
        return array if array is None or array.dtype == dtype else array.astype(dtype)

    return Samples(
        coords=tuple(widen(c) for c in samples.coords),
        data=widen(samples.data),
        weights=widen(samples.weights),
        shift=widen(samples.shift),
        f_scale=widen(samples.f_scale),
    )


class NormalSums:
    """The program of a model's sums for samples of one shape, compiled when it is first wanted.

    Parameters
    ----------
    stacked : bool
        Whether it returns one array ``(K, B)``, of which little is made on the host, or as many arrays ``(B,)``.
    """

    def __init__(self, model: Model, options: Options, *, stacked: bool) -> None:
        self.model, self.options, self.stacked = model, options, stacked

    def _request(self, samples: Samples, params: tuple[Array, ...], length: Any) -> tuple[Any, ...]:
        model, criterion, stacked = self.model, self.options.criterion, self.stacked
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype), (samples, params, length))
        key = (
            "sums",
            model.key,
            criterion,
            stacked,
            model.reassociate,
            self.options.dtype,
            self.options.device,
            jax.tree.structure(shapes),
            tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(shapes)),
        )

        def function(samples: Samples, params: tuple[Array, ...], length: Any) -> Any:
            found = normal_sums(model, criterion, samples, params, length)
            return jnp.stack(found) if stacked else found

        return key, function, shapes

    def prepare(self, samples: Samples, params: tuple[Array, ...], length: Any = None) -> Future[Any]:
        """Have it compiled in the background."""
        key, function, shapes = self._request(samples, params, length)
        return request(key, function, shapes, self.options, reassociate=self.model.reassociate)

    def program(self, samples: Samples, params: tuple[Array, ...], length: Any = None) -> Any:
        """The program, compiled if need be."""
        key, function, shapes = self._request(samples, params, length)
        return find(key) or obtain(key, function, shapes, self.options, reassociate=self.model.reassociate)
