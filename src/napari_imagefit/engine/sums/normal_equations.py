"""Cost, gradient and JᵀJ at parameters by one pass over the samples: the program that is compiled for each model.

Samples are contiguous, along the last axis. All sums of a fit are one variadic reduction, a vectorised loop in which
what the terms have in common is computed once and nothing is written to memory but the sums; the Jacobian is never
held. Only the cost of counts, with its logarithm, is summed up in a loop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import LazyModule
from ..core.array_module import xp
from ..core.options import Criterion, Options
from ..core.programs import Arithmetic, find, obtain, request
from ..core.types import Array
from ..functions.evaluation import jacobian
from ..models.model import Model
from ..noise.noise_and_loss import terms
from ..noise.samples import Samples

if TYPE_CHECKING:
    from concurrent.futures import Future

    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


Axes = int | tuple[int, ...]


def normal_sums(
    model: Model,
    criterion: Criterion,
    samples: Samples,
    params: tuple[Array, ...],
    plane: tuple[int, int] | None = None,
) -> tuple[Array, ...]:
    """Cost, gradient by all parameters, and the lower triangle of JᵀJ row by row, each ``(B,)``.

    Parameters
    ----------
    samples : Samples
        With the samples along the last axis; of any type of numbers, the parameters' is computed in.
    params : tuple of arrays, each ``(B,)``
    plane : (int, int), optional
        The shape of the lattice whose pixels the samples of each fit are, row by row, for a model `on_open_grids`.
    """
    samples = _widened(samples, params[0].dtype)
    axes: Axes = 1
    if plane is not None:
        samples, axes = _on_open_grid(samples, plane), (1, 2)
    value, slopes = jacobian(model.function, model.jacobian, samples.coords, params, across=True)
    found = terms(criterion, value, samples)
    used = samples.usable()

    def of_used(values: Array) -> Array:
        return xp.where(used, values, 0)

    rows = [of_used(found.slope * slope) for slope in slopes]
    cost, products = of_used(found.cost), _products(of_used(found.residual), rows)
    if criterion.noise == "poisson":
        # a logarithm takes ten times as long in the midst of so many sums as in a loop of its own
        return (*add_up(cost, axis=axes), *add_up(*products, axis=axes))
    return add_up(cost, *products, axis=axes)


def _on_open_grid(samples: Samples, plane: tuple[int, int]) -> Samples:
    """Reshape data to ``(B, h, w)``, and coordinates to ``(1, h, 1)`` and ``(1, 1, w)``."""

    def spread(array: Array | None) -> Any:
        return array if array is None or not array.ndim else array.reshape(-1, *plane)

    y, x = (spread(c) for c in samples.coords)
    data, weights, shift, f_scale = (spread(array) for array in samples[1:])
    return Samples((y[:, :, :1], x[:, :1]), data, weights, shift, f_scale)


def sums_of(cost: Array, residual: Array, slopes: Sequence[Array], axis: Axes) -> tuple[Array, ...]:
    """Reduce costs, residuals and slopes of samples along one axis or several."""
    return add_up(cost, *_products(residual, slopes), axis=axis)


def _products(residual: Array, slopes: Sequence[Array]) -> list[Array]:
    gradient = [slope * residual for slope in slopes]
    return gradient + [slopes[i] * slopes[j] for i in range(len(slopes)) for j in range(i + 1)]


def add_up(*values: Array, axis: Axes = 0) -> tuple[Array, ...]:
    """Return the sums over the samples of several arrays, in one pass."""
    alike = values
    if any(value.shape != values[0].shape for value in values):
        alike = tuple(xp.broadcast_arrays(*values))
    sums: tuple[Array, ...] = xp.reduce_sums(alike, axis)
    return sums


def _widened(samples: Samples, dtype: Any) -> Samples:
    """Convert samples, kept in the narrowest precision that holds them exactly, to that of the computation."""

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
        self._program: Any = None

    def _request(self, samples: Samples, params: Array | tuple[Array, ...]) -> tuple[Any, ...]:
        model, criterion, stacked = self.model, self.options.criterion, self.stacked
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype), (samples, params))
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

        def function(samples: Samples, params: Array | tuple[Array, ...]) -> Any:
            found = normal_sums(model, criterion, samples, tuple(params))
            return jnp.stack(found) if stacked else found

        return key, function, shapes

    def _arithmetic(self) -> Arithmetic:
        return "reassociated" if self.model.reassociate else "as written"

    def prepare(self, samples: Samples, params: Array | tuple[Array, ...]) -> Future[Any]:
        """Compile it in the background."""
        key, function, shapes = self._request(samples, params)
        return request(key, function, shapes, self.options, self._arithmetic())

    def program(self, samples: Samples, params: Array | tuple[Array, ...]) -> Any:
        """Return the program, compiled if need be; all samples passed to it have one shape.

        Parameters are one array ``(n, B)``, which is quicker to pass on than many, or as many arrays ``(B,)``.
        """
        if self._program is None:
            key, function, shapes = self._request(samples, params)
            self._program = find(key) or obtain(key, function, shapes, self.options, self._arithmetic())
        return self._program
