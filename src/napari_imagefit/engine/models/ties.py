"""Parameters that follow from others: ``sigma_y = 1.5*sigma_x``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.array_module import xp
from ..core.device import computing
from ..core.errors import FitInputError
from ..core.fits import Fits
from ..core.options import Options
from ..core.programs import obtain
from ..core.status import Status
from ..core.types import Array
from ..functions.expression import term
from ..functions.parameter import unsaid
from .model import Model
from .starts import guess_starts
from .turns import Turn, renamed

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")


@dataclass(frozen=True, eq=False)
class Ties:
    """A model whose tied parameters are computed from the others; `Ties.of` makes one.

    Attributes
    ----------
    full : Model
        With all its parameters.
    model : Model
        With those that are not tied; this one is fitted.
    """

    full: Model
    model: Model
    kept: tuple[int, ...]
    followed: frozenset[str]  # names that stand in the expressions
    complete: Callable[..., list[Array]]  # from the values of `model` to those of `full`

    @classmethod
    def of(cls, full: Model, tied: Mapping[str, str]) -> Ties:
        """Check the expressions, and put them in an order in which they can be computed.

        Raises
        ------
        FitInputError
            For unknown names, expressions that hold what they may not, circles, and when nothing is left.
        """
        terms = _terms(full, tied)
        kept = tuple(i for i, name in enumerate(full.names) if name not in terms)
        if not kept:
            raise FitInputError(f"all parameters of {full.name!r} are tied; leave at least one to be fitted")
        order = _in_order(terms)
        _check_numbers(full, terms, order)

        def complete(params: Any) -> list[Array]:
            values = {full.names[i]: value for i, value in zip(kept, params, strict=True)}
            for name in order:
                others, value = terms[name]
                # a number is an array: formulas divide, and 1/0 of plain numbers is Python's error
                values[name] = value(values) if others else xp.full_like(params[0] * 1.0, value(values))
            return [values[name] for name in full.names]

        def function(coords: tuple[Array, ...], *params: Array) -> Array:
            return full.function(coords, *complete([p * 1.0 for p in params]))

        def guess(coords: tuple[Array, ...], data: Array, weights: Array) -> Array:
            found = guess_starts(full, coords, data, weights)
            return xp.stack([found[i] for i in kept])

        def within(coords: tuple[Array, ...], data: Array, weights: Array, *said: Array) -> Array:
            rows = [list(whole) for whole in unsaid(full.parameters, data)]
            for row, own in zip(rows, said, strict=True):
                for i, value in zip(kept, own, strict=True):
                    row[i] = value
            start, lower, upper = (xp.stack(row) for row in rows)
            found = guess_starts(full, coords, data, weights, (start, lower, upper))
            return xp.stack([found[i] for i in kept])

        model = Model(
            full.name, function, [full.parameters[i] for i in kept], full.ndim, guess, full.formula, full.reference
        )
        model.with_edge(full.has_edge)
        model.may_lack(*(tuple(name for name in part if name in model.names) for part in full.optional))
        followed = frozenset(other for names, _ in terms.values() for other in names)
        model.turning(*_turns(full, model, followed, complete))
        if full.guess_within is not None:
            model.knowing(within)
        model.made_of(("tied", full.key, tuple(sorted(tied.items()))), full)
        return cls(full, model, kept, followed, complete)

    def expand(self, fits: Fits) -> Fits:
        """Fits of `model` as fits of `full`; errors of tied parameters by linear propagation.

        A parameter that is fixed, or at a bound, adds nothing to the error of one that follows from it. The error of a
        parameter that follows from such ones only is NaN.
        """
        n, count = len(self.full.names), fits.status.size
        whole = Fits.blank(n, count, Status.NOT_FITTED)
        for name, values in vars(fits).items():
            if name not in ("params", "solution", "start", "at_bound", "covariance"):
                getattr(whole, name)[...] = values
        for name in ("params", "solution", "start"):
            own = getattr(fits, name)
            # a parameter tied to a number has no result where the fit has none
            getattr(whole, name)[...] = np.where(np.isnan(own).all(axis=0), np.nan, self.values(own))
        whole.at_bound[list(self.kept)] = fits.at_bound
        slopes = self._slopes(fits.solution)
        certain = np.isnan(fits.covariance) & ~np.isnan(fits.params.T)[:, :, None] & ~np.isnan(fits.params.T)[:, None]
        with np.errstate(invalid="ignore"):
            known = np.where(certain, 0, fits.covariance)
            covariance = np.einsum("bia,bac,bjc->bij", slopes, known, slopes)
        kept = np.array(self.kept)
        covariance[:, kept[:, None], kept] = fits.covariance
        nothing = np.diagonal(covariance, axis1=1, axis2=2) == 0
        covariance[nothing[:, :, None] | nothing[:, None]] = np.nan
        whole.covariance[...] = covariance
        return whole

    def values(self, params: NDArray[np.float64]) -> NDArray[np.float64]:
        """All parameters ``(n_full, N)`` by those that are fitted, ``(n, N)``."""
        with np.errstate(all="ignore"):
            rows = self.complete(list(params))
        return np.stack([np.broadcast_to(np.asarray(row), params.shape[1:]) for row in rows])

    def _slopes(self, params: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return derivatives ``(N, n_full, n)`` of all parameters by those that are fitted."""
        count, kept = params.shape[1], list(self.kept)
        tied = [i for i in range(len(self.full.names)) if i not in kept]
        slopes = np.zeros((len(self.full.names), len(kept), count))
        slopes[kept, range(len(kept))] = 1
        if followed := [k for k, i in enumerate(kept) if self.full.names[i] in self.followed]:
            rows = _padded(params)

            def derivatives(rows: Array) -> Array:
                """Return those of each tied parameter, in turn by each that is followed."""
                found = []
                for k in followed:

                    def of_tied(own: Array, k: int = k) -> list[Array]:
                        values = self.complete([*rows[:k], own, *rows[k + 1 :]])
                        return [jnp.broadcast_to(values[i], own.shape) for i in tied]

                    found.append(jnp.stack(jax.jvp(of_tied, (rows[k],), (jnp.ones_like(rows[k]),))[1]))
                return jnp.stack(found)

            key, options = ("slopes of ties", self.model.key, rows.shape), Options(device="cpu")
            with computing(options):
                program = obtain(key, derivatives, [rows], options, "as written")
                slopes[np.ix_(tied, followed)] = np.swapaxes(program(rows), 0, 1)[..., :count]
        return np.moveaxis(slopes, -1, 0)


def _turns(
    full: Model, model: Model, followed: Collection[str], complete: Callable[..., list[Array]]
) -> tuple[Turn, ...]:
    """Return the turns of the whole model that the fitted one has, too.

    A width that others follow from cannot be exchanged without them, and an angle can turn only if they turn with it.
    """
    periods = {turn.angle: turn.period for turn in full.turns}
    anywhere = np.sqrt(np.arange(2, 2 + len(model.names)))

    def may_turn(angle: str) -> bool:
        with np.errstate(all="ignore"):
            whole = model.names.index(angle)
            there = anywhere + periods[angle] * (np.arange(len(anywhere)) == whole)
            before, after = (np.array([float(value) for value in complete(list(at))]) for at in (anywhere, there))
            turned = (after - before) / np.array([periods.get(name, np.inf) for name in full.names])
            stays = np.abs(np.where(np.isin(full.names, list(periods)), turned - np.round(turned), after - before))
        return bool((stays < 1e-9 * (1 + np.abs(before))).all())

    names = {name: name for name in model.names if name not in followed or (name in periods and may_turn(name))}
    turns = renamed(full.turns, names)
    return tuple(replace(turn, widths=None) if turn.angle in followed else turn for turn in turns)


def _padded(params: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fits in columns, the last one repeated up to a power of two, for which JAX's operations are compiled.

    A single one is among others, too: a number by itself is divided otherwise than an array, in its last bit.
    """
    count = params.shape[1]
    return np.pad(params, ((0, 0), (0, (1 << max(4, (count - 1).bit_length())) - count)), mode="edge")


def _terms(full: Model, tied: Mapping[str, str]) -> dict[str, tuple[tuple[str, ...], Callable[..., Any]]]:
    """Return the names in each expression, which are the model's, and a function of their values."""
    terms = {}
    for name, text in tied.items():
        full.index(name)
        terms[name] = names, _ = term(text)
        for other in names:
            full.index(other)
    return terms


def _check_numbers(
    full: Model, terms: Mapping[str, tuple[tuple[str, ...], Callable[..., Any]]], order: Sequence[str]
) -> None:
    """Refuse to tie a parameter to a number that the model does not take, also by way of others."""
    known: dict[str, Any] = {}
    for name in order:
        others, value = terms[name]
        if not known.keys() >= set(others):
            continue
        with np.errstate(all="ignore"):
            known[name] = np.asarray(value(known), np.float64)
        parameter, number = full.parameters[full.index(name)], float(known[name])
        if not parameter.lower <= number <= parameter.upper:
            raise FitInputError(
                f"{name!r} is tied to {number:g}, which is outside of what the model takes, "
                f"[{parameter.lower:g}, {parameter.upper:g}]; tie it to a value inside"
            )


def _in_order(terms: Mapping[str, tuple[tuple[str, ...], Any]]) -> list[str]:
    """Each after those that it follows from."""
    order: list[str] = []
    while len(order) < len(terms):
        ready = [n for n in terms if n not in order and all(o not in terms or o in order for o in terms[n][0])]
        if not ready:
            circle = ", ".join(repr(n) for n in terms if n not in order)
            raise FitInputError(f"the tied parameters {circle} follow from each other; leave one of them free")
        order += ready
    return order
