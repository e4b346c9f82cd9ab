"""Blocks of fits: as many as stay in cache are worked on together, one block after the other in one program.

A block always has the same shape, whatever the number of fits or of blocks: the arithmetic of a fit, and so its last
bit, does not depend on its company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..models.model import Array

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# A tree of arrays, some of them wrapped in `Own`.
Tree = Any


class Own(NamedTuple):
    """An array ``(K, ..., W)`` with one part for each of K blocks; an array without this is common to all."""

    value: Array


def is_own(node: Any) -> bool:
    return isinstance(node, Own)


def over_blocks(stage: Callable[..., Any]) -> Callable[..., Any]:
    """A stage for blocks from one for a single block: it takes the number of blocks that are in use, then arguments.

    What it returns is `Own` throughout; blocks that are not in use are zero.
    """

    def of_blocks(kernel: Any, count: Array, *args: Tree) -> Tree:
        capacity = next(a.value.shape[0] for a in jax.tree.leaves(args, is_leaf=is_own) if is_own(a))

        def take(index: Array) -> Tree:
            def one(node: Any) -> Any:
                return jax.lax.dynamic_index_in_dim(node.value, index, 0, keepdims=False) if is_own(node) else node

            return jax.tree.map(one, args, is_leaf=is_own)

        def work(index: Array, results: Tree) -> Tree:
            return jax.tree.map(
                lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, index, 0),
                results,
                stage(kernel, *take(index)),
            )

        shapes = jax.eval_shape(lambda: stage(kernel, *take(jnp.zeros((), jnp.int32))))
        blank = jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), shapes)
        return jax.tree.map(Own, jax.lax.fori_loop(0, count, work, blank))

    of_blocks.of = f"{stage.__module__}.{stage.__qualname__}"  # type: ignore[attr-defined]
    return of_blocks


def to_blocks(columns: NDArray[Any], blocks: int, width: int, pad: Any = 0) -> Own:
    """Columns ``(..., N)`` as blocks ``(K, ..., W)``; what is missing is filled with `pad`."""
    *front, n = columns.shape
    target = np.empty((blocks, *front, width), columns.dtype)
    full, rest = divmod(n, width)
    for k in range(full):
        target[k] = columns[..., k * width : (k + 1) * width]
    if rest:
        target[full, ..., :rest] = columns[..., full * width :]
        target[full, ..., rest:] = pad
    target[full + (rest > 0) :] = pad
    return Own(target)


def to_columns(tree: Tree, which: NDArray[np.intp] | slice) -> Tree:
    """Some of the columns ``(..., N)`` of a tree of blocks."""

    def one(node: Any) -> Any:
        if not is_own(node):
            return np.asarray(node)
        array = np.moveaxis(np.asarray(node.value), 0, -2)
        return array.reshape(*array.shape[:-2], -1)[..., which]

    return jax.tree.map(one, tree, is_leaf=is_own)


def join(trees: Sequence[Tree], like: Tree) -> Tree:
    """Trees of columns side by side; what `like` has in common for all is taken from the first."""

    def one(node: Any, *arrays: NDArray[Any]) -> Any:
        return np.concatenate(arrays, axis=-1) if is_own(node) else arrays[0]

    return jax.tree.map(one, like, *trees, is_leaf=is_own)
