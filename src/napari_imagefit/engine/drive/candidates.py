"""Starts of regions: several candidates, evaluated on all samples, of which the best is fitted.

A model's guess sees everything that a region holds. Where there are two peaks, a dip beside a peak, or a ring, it may
see the wrong one, or nothing; bounds and starts of the call, of which it may know nothing, then make a wrong one of a
right one. Where its guess leaves more than noise it is called again: for the surroundings of the brightest and the
darkest position, for one part of a sum after the other, with widths as the distances from these positions.
Each candidate is moved inside the bounds, an ellipse turned if that suits them better, and its linear parameters are
regressed there by one Gauss–Newton step of the fit's own sums; what is compared is the fit's own cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.trees import tree_map
from ..core.types import Booleans, Floats
from ..functions.parameter import Roles
from ..linalg.linear_least_squares import solve_within
from ..models.model import Model, roles_of
from ..models.model_sum import Part, SumModel, evaluated
from ..models.places import Cells, Place
from ..models.starts import guess_starts, moved_inside
from ..noise.samples import Samples
from .level import Level, nanmedian
from .problem import Problem
from .starting import filled, fitting

# The part of what there is to explain beside the noise that a start may leave and be good enough.
GOOD = 0.03
# By how many times its relative scatter, 1/√n, the noise may have been measured too low.
SCATTER = 3.0
# The median of the distance of two normal numbers of standard deviation 1.
DISTANCE = 0.9539
# Surroundings of a position, in parts of the span of the samples.
SURROUNDINGS = (1 / 4, 1 / 12)
# Samples from which a start is guessed at a given position.
SAMPLES_TO_GUESS = 1024
# The part of a linear parameter's distance from its bound that is left where it is regressed.
LEFT_TO_BOUND = 0.01
# How often each part of a sum is looked for among the others.
ROUNDS = 2
# Starts that differ by less than these parts of their widths, and of the span, are one.
SAME_WIDTH, SAME_PLACE = 0.2, 0.02


class Seen(NamedTuple):
    """Data and bounds of some fits ``(B,)``, in NumPy."""

    samples: Samples
    level: Level
    given: Floats  # (n_params, B): NaN where the start is to be guessed
    lower: Floats
    upper: Floats

    def at(self, places: NDArray[np.intp]) -> Seen:
        """Return some of them."""

        def some(array: Any) -> Any:
            return array if np.ndim(array) < 2 or array.shape[1] == 1 else array[:, places]

        level = Level(*(np.asarray(row)[places] for row in self.level))
        return Seen(tree_map(some, self.samples), level, *(a[:, places] for a in self[2:]))


class Tried(NamedTuple):
    """A candidate ``(n_params, B)`` and what it costs."""

    cost: Floats
    params: Floats

    def unless(self, better: Booleans, new: Tried) -> Tried:
        """Return the new one where it is better."""
        return Tried(np.where(better, new.cost, self.cost), np.where(better, new.params, self.params))


# Cost, gradient and JᵀJ by the free parameters ``(K, b)`` at parameters ``(n_params, b)``, of fits at some positions.
Sums = Callable[[Floats, NDArray[np.intp]], Floats]


def own_guess(problem: Problem, seen: Seen, sums: Sums, fewer: Samples | None = None) -> Floats:
    """Return the model's own guess ``(n_params, B)``, from all samples or from fewer; sums are not asked for."""
    return _Search(problem, seen, sums).guess(fewer)


def best_start(problem: Problem, seen: Seen, sums: Sums, ahead: Floats, fewer: bool) -> Floats:
    """Return for each fit the model's own guess if it is good, else the first good candidate, or the best of all.

    What was guessed `ahead`, from all samples or from fewer that stand for all, is tried first, on all samples.
    """
    search = _Search(problem, seen, sums)
    if fewer:
        quick = search.tried(ahead)
        if search.is_good(quick.cost).all():
            return quick.params
    own = search.guess() if fewer else ahead
    first = search.tried(own)
    poor = np.flatnonzero(~search.is_good(first.cost))
    if not poor.size:
        return first.params
    fits = seen.given.shape[1]
    # of those that need it only, but of all where each number of them is compiled; one is computed as one of two
    poor = (np.repeat(poor, 2) if poor.size == 1 < fits else poor) if problem.model.broadcasts else np.arange(fits)
    among = _Search(problem, seen.at(poor), lambda params, some: sums(params, poor[some]))
    found = among.best(own[:, poor], Tried(first.cost[poor], first.params[:, poor]))
    best = first.params.copy()
    best[:, poor] = found.params
    return best


def other_start(problem: Problem, seen: Seen, sums: Sums, used: Floats) -> Floats:
    """Return for each fit the best of the candidates that differ much from the start `used`; NaN if there is none."""
    search = _Search(problem, seen, sums)
    own = search.guess()
    best = Tried(np.full(own.shape[1], np.inf), np.full(own.shape, np.nan))
    for candidate in itertools.chain([own], search.candidates(own)):
        new = search.tried(candidate)
        best = best.unless((new.cost < best.cost) & search.differ(new.params, used), new)
    return best.params


class _Search:
    def __init__(self, problem: Problem, seen: Seen, sums: Sums) -> None:
        self.problem, self.seen, self.sums = problem, seen, sums
        self.model: Model = problem.model
        self.roles: Roles = roles_of(problem.model)
        self.data, self.weights = filled(seen.samples, problem.options.criterion.is_robust)
        self.coords = seen.samples.coords
        self.free = list(problem.free)
        self.linear = [k for k, i in enumerate(self.free) if i in self.roles.linear]
        self.every = np.arange(seen.given.shape[1])
        # of several peaks the first: the others are looked for beside it
        axes = [axis for _, axis in self.roles.positions]
        self.positions = [p for k, p in enumerate(self.roles.positions) if p[1] not in axes[:k]]

    @cached_property
    def _enough(self) -> Floats:
        """The cost at which a start is good: that of the noise, as far as it is known, and little more."""
        criterion, count = self.problem.options.criterion, np.asarray(self.seen.level.n_used)
        usual = np.ones(count.shape)
        if criterion.is_robust:
            usual = 0.0 * usual
        elif criterion.noise == "gaussian":
            # how samples differ from those next to them
            used = np.broadcast_to(self.weights > 0, self.data.shape)
            away = np.abs(np.diff(self.data, axis=0) * np.broadcast_to(self.weights, self.data.shape)[1:])
            usual = nanmedian(np.where(used[1:] & used[:-1], away, np.nan)) / DISTANCE if len(away) else 0.0 * usual
        noise = 0.5 * count * np.where(np.isfinite(usual), usual, 0) ** 2
        rest = np.maximum(np.asarray(self.seen.level.constant) - noise, 0)
        return np.asarray(noise * (1 + SCATTER / np.sqrt(np.maximum(count, 1))) + GOOD * rest)

    def is_good(self, cost: Floats) -> Booleans:
        """Whether a start leaves hardly more than noise."""
        # that much may be left whatever the noise is, which takes a while to be measured
        surely = np.asarray(cost <= GOOD * np.asarray(self.seen.level.constant))
        return surely if surely.all() else np.asarray(cost <= self._enough)

    def best(self, own: Floats, best: Tried) -> Tried:
        """Return for each fit the first good candidate, or the best of all, if it is better than what there is."""
        for candidate in self.candidates(own):
            new = self.tried(candidate)
            best = best.unless(~self.is_good(best.cost) & (new.cost < best.cost), new)
            if self.is_good(best.cost).all():
                break
        return best

    def candidates(self, own: Floats) -> Iterator[Floats]:
        """Candidates ``(n_params, B)``, of which numbers may lie outside the bounds."""
        if isinstance(self.model, SumModel):
            for around in SURROUNDINGS:
                yield self._part_by_part(self.model, around)
            if len(self.coords) == 2 and len(self.positions) < len(self.roles.positions):
                yield self._side_by_side(self.model, own)
        elif self.positions:
            yield from self._at_places(own)

    def _at_places(self, own: Floats) -> Iterator[Floats]:
        cells = Cells.of(self.coords, self.data, self.weights)
        for i, axis in self.positions:
            cells = cells.outside(axis, self.seen.lower[i], self.seen.upper[i])
        peaks = [cells.highest(values) for values in (cells.mean, -cells.mean, np.abs(cells.own))]
        if self.model.guess_within is None:
            for around, peak in itertools.product(SURROUNDINGS, peaks):
                yield self.guess(near=cells.around(peak, around, self.coords))
        for at in (cells.middle(), cells.centre(), *peaks):
            place = cells.seen_from(at)
            base = self._placed(own, place)
            if self.model.guess_within is not None:
                base = self.guess(placed=base)
                yield base
            for widths in _widths(place, len(self.roles.scales)):
                params = base.copy()
                params[list(self.roles.scales)] = widths
                yield params

    def guess(
        self, samples: Samples | None = None, *, near: Booleans | None = None, placed: Floats | None = None
    ) -> Floats:
        """Return the model's own guess from all or some of the samples, or from others, optionally at a position."""
        seen, samples = self.seen, samples or self.seen.samples
        if near is not None:
            used = np.broadcast_to(near, samples.data.shape).astype(samples.data.dtype)
            samples = samples._replace(weights=used if samples.weights is None else used * samples.weights)
        given = seen.given.copy()
        if placed is not None:
            for i, _ in self.positions:
                given[i] = np.where(np.isnan(given[i]), np.clip(placed[i], seen.lower[i], seen.upper[i]), given[i])
        # a known position needs fewer samples than the search for one
        step = 1 if placed is None else samples.data.shape[0] // SAMPLES_TO_GUESS | 1
        samples = samples.rows(slice(None, None, step))
        some = filled(samples, self.problem.options.criterion.is_robust)
        return np.array(guess_starts(self.model, samples.coords, *some, (given, seen.lower, seen.upper)))

    def _placed(self, own: Floats, place: Place) -> Floats:
        params = own.copy()
        for i, axis in self.positions:
            params[i] = place.at[axis]
        return params

    def _part_by_part(self, model: SumModel, around: float) -> Floats:
        """Each part where most is left by the others, backgrounds first; again once all are found."""
        parts = sorted(model.layout, key=lambda part: bool(roles_of(part.model).positions))
        found = [np.zeros((0, 0))] * len(parts)
        values = [np.zeros((1, 1))] * len(parts)
        for _, i in itertools.product(range(ROUNDS), range(len(parts))):
            left = self.data - sum(own for k, own in enumerate(values) if k != i)
            found[i] = self._of_part(parts[i], np.where(self.weights > 0, left, 0), around)
            values[i] = evaluated(parts[i].model, self.coords, found[i])
        params = np.zeros(self.seen.given.shape)
        for part, rows in zip(parts, found, strict=True):
            for place, row in zip(part.places, rows, strict=True):
                if place is not None:
                    params[place] = row
        return params

    def _side_by_side(self, model: SumModel, own: Floats) -> Floats:
        """Return the parts that have a position along the longer axis of all that stands out."""
        cells, params = Cells.of(self.coords, self.data, self.weights), own.copy()
        (long, short), middle = cells.axis(), cells.middle()
        placed = [part for part in model.layout if roles_of(part.model).positions]
        for part, away in zip(placed, np.linspace(-1, 1, len(placed)), strict=True):
            roles = roles_of(part.model)
            for i, axis in roles.positions:
                params[part.places[i]] = middle[axis] + away * long[axis]
            for i in roles.scales:
                params[part.places[i]] = short
        return params

    def _of_part(self, part: Part, left: Floats, around: float) -> Floats:
        """Return the guess of one part from the surroundings of the position that stands out most."""
        weights = np.broadcast_to(self.weights, left.shape)
        start, lower, upper = part.said((self.seen.given, self.seen.lower, self.seen.upper), left)
        known = start.copy()
        if positions := roles_of(part.model).positions:
            cells = Cells.of(self.coords, left, weights)
            for i, axis in positions:
                cells = cells.outside(axis, lower[i], upper[i])
            peak = cells.highest(np.abs(cells.mean))
            weights = np.where(cells.around(peak, around, self.coords), weights, 0)
            for i, axis in positions:
                known[i] = np.where(np.isnan(start[i]), np.clip(peak[axis], lower[i], upper[i]), start[i])
        found = guess_starts(part.model, self.coords, np.where(weights > 0, left, 0), weights, (known, lower, upper))
        inside: Floats = np.asarray(moved_inside(found, lower, upper))
        return np.where(np.isnan(start), inside, start)

    def tried(self, candidate: Floats) -> Tried:
        """Return a candidate within its bounds, with its linear parameters regressed, and its cost."""
        inside = self._inside(candidate)
        for theta, one, other in self.roles.turned:
            turned = candidate.copy()
            turned[theta] += np.where(candidate[theta] > 0, -0.5, 0.5) * np.pi
            turned[[one, other]] = candidate[[other, one]]
            inside = self._nearer(candidate, inside, turned, self._inside(turned), (theta, one, other))
        first = self._evaluated(inside)
        if not self.linear:
            return Tried(first[0], inside)
        stepped = self._regressed(inside, first)
        second = self._evaluated(stepped)
        better = second[0] < first[0]
        return Tried(np.where(better, second[0], first[0]), np.where(better, stepped, inside))

    def _inside(self, candidate: Floats) -> Floats:
        """Return what is given instead of what is guessed; angles by whole turns, the rest moved inside the bounds."""
        seen, candidate = self.seen, candidate.copy()
        for theta, _, _ in self.roles.turned:
            middle = np.clip(candidate[theta], seen.lower[theta], seen.upper[theta])
            candidate[theta] += np.pi * np.round((middle - candidate[theta]) / np.pi)
        candidate = np.where(np.isnan(candidate), 1.0, candidate)
        return np.array(fitting(self.model, self.problem.options, seen.samples, seen.level, candidate, *seen[2:]))

    def _nearer(self, one: Floats, inside: Floats, other: Floats, turned: Floats, rows: Sequence[int]) -> Floats:
        """Take for each fit, of two descriptions of one ellipse, the one that the bounds change less."""

        def moved(before: Floats, after: Floats) -> Floats:
            theta, *widths = rows
            angle = (after[theta] - before[theta] + np.pi / 2) % np.pi - np.pi / 2
            ratios = [np.log(np.maximum(after[i], 1e-300) / np.maximum(before[i], 1e-300)) for i in widths]
            return np.asarray(np.abs([angle, *ratios]).max(axis=0))

        return np.where(moved(other, turned) < moved(one, inside) - 1e-2, turned, inside)

    def _evaluated(self, params: Floats) -> Floats:
        """Return the sums; a cost that is no number is infinite."""
        count = params.shape[1]
        found = np.array(self.sums(params, self.every))
        found[0] = np.where(np.isfinite(found).all(axis=0), found[0], np.inf)
        return found[:, :count]

    def _regressed(self, params: Floats, sums: Floats) -> Floats:
        """Return the linear parameters at the minimum of the cost's quadratic model, within their bounds."""
        n = len(self.free)
        places = np.array([self.free[k] for k in self.linear])
        gram = np.empty((len(places), len(places), params.shape[1]))
        for (a, i), (b, j) in itertools.product(enumerate(self.linear), repeat=2):
            gram[a, b] = sums[1 + n + max(i, j) * (max(i, j) + 1) // 2 + min(i, j)]
        scale = np.sqrt(np.stack([gram[a, a] for a in range(len(places))]))
        # what the model does not depend on stays where it is, and so does what is given
        held = ~(scale > 0) | ~np.isnan(self.seen.given[places])
        scale = np.where(scale > 0, scale, 1)
        gram = gram / scale[:, None] / scale[None]
        for a in range(len(places)):
            gram[a, a] = 1 + 1e3 * np.finfo(float).eps
        gram = np.where(np.isfinite(gram).all(axis=(0, 1)), gram, np.eye(len(places))[:, :, None])
        x = params[places] * scale
        product = np.stack([sum(gram[a, b] * x[b] for b in range(len(places))) for a in range(len(places))])
        right = product - sums[[1 + k for k in self.linear]] / scale
        # what would vanish keeps a little, from which it can appear
        lower, upper = (
            np.where(np.isfinite(b), b + LEFT_TO_BOUND * (params - b), b)[places] * scale
            for b in (self.seen.lower, self.seen.upper)
        )
        found = solve_within(gram, right, np.where(held, x, lower), np.where(held, x, upper)) / scale
        stepped = params.copy()
        stepped[places] = np.where(np.isfinite(found) & ~held, found, params[places])
        return stepped

    def differ(self, one: Floats, other: Floats) -> Booleans:
        """Return for which fits two starts ``(n_params, B)`` differ ``(B,)``."""
        apart = np.zeros(one.shape[1], bool)
        full = [np.broadcast_to(c, self.data.shape) for c in self.coords]
        places = dict(self.roles.positions)
        for i in self.free:
            step = np.abs(one[i] - other[i])
            if i in places:
                apart |= step > SAME_PLACE * np.ptp(full[places[i]], axis=0)
            elif i not in self.roles.linear:
                apart |= step > SAME_WIDTH * np.maximum(np.abs(one[i]), np.abs(other[i]))
        return apart


def _widths(place: Place, count: int) -> Iterator[Sequence[Floats]]:
    """Widths and radii from the spread of distances from a position: one, two in any order, or all alike."""
    if count:
        yield [place.size] * count
    if count == 2:
        yield from itertools.permutations((place.radius, place.width))
