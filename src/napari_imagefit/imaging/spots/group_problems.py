"""Problems of groups of spots: the pixels of all their windows, each once, and one background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.fits import Fits
from ...engine.core.status import Status
from ...engine.core.types import Floats, Indices
from ...engine.drive.problem import Problem
from ...engine.models.model import Model
from ..fitting.positions import find_positions
from ..fitting.run import Job, ParameterSettings
from .group_model import JointModel, common_names, joint_model, share
from .grouping import Groups
from .problems import iter_jobs
from .source import SpotSource
from .windows import VALUES_AT_A_TIME


@dataclass(frozen=True)
class GroupJob(Job):
    """Groups of one size; `places` are their spots, one group after the other.

    Attributes
    ----------
    members : int array, ``(n_groups, k)``
    n_again : int array, ``(n_groups,)``
        Pixels that were left out because a group has them already.
    failed : list of int array
        Takes the spots of groups without a result.
    """

    joint: JointModel
    members: Indices
    n_again: NDArray[np.int64]
    source: SpotSource
    failed: list[Indices]

    def apart(self, fits: Fits) -> Iterator[tuple[Indices, Fits]]:
        """Yield for each spot of the groups its rows in the list of points, and its share of the fits."""
        again = (fits.status <= 0) & (fits.status != Status.STOPPED)
        # a group of one is there twice
        self.failed.append(np.unique(self.members[again]))
        beyond = self.source.windows.n_outside
        begun = fits.n_left_out + fits.n_used > 0
        left_out = fits.n_left_out - np.where(begun, self.n_again + beyond[self.members].sum(axis=1), 0)
        for spot, rows in enumerate(self.members.T):
            own = self._from_own_middle(share(self.joint, fits, spot), spot)
            # the pixels beyond the image are taken off once more for each window
            yield rows, replace(own, n_left_out=left_out + np.where(begun, beyond[rows], 0))

    def _from_own_middle(self, fits: Fits, spot: int) -> Fits:
        """Count positions from the middle of a spot's own window, not from that of the group's first."""
        moved = {name: getattr(fits, name).copy() for name in ("params", "solution", "start")}
        centres = self.source.windows.centres
        for axis, name in enumerate(self.source.positions):
            away = centres[self.members[:, spot], axis] - centres[self.members[:, 0], axis]
            for values in moved.values():
                values[self.joint.single.index(name)] -= away
        return replace(fits, **moved)


def iter_group_jobs(
    source: SpotSource,
    model: Model,
    parameter_settings: ParameterSettings,
    weights: Floats | None,
    shifts: Floats | None,
    groups: Groups,
    usable: Indices,
) -> Iterator[Job]:
    """Problems for spots alone, for groups, and last for the spots of groups without a result, one by one.

    Of those alone only the `usable` ones; the others are not fitted.
    """
    alone = np.intersect1d(groups.members[0][:, 0], usable)
    if alone.size:
        yield from iter_jobs(source, model, parameter_settings, weights, shifts, together=False, some=alone)
    failed: list[Indices] = []
    for members in groups.members[1:]:
        for some, padded in _portions(source, members):
            yield _job(source, model, parameter_settings, weights, shifts, some, padded, failed)
    again = np.unique(np.concatenate([np.empty(0, np.intp), *failed]))
    if again.size:
        # from now on they are spots by themselves, which others disturb
        groups.others[again] = -1
        groups.parted[again] = True
        yield from iter_jobs(source, model, parameter_settings, weights, shifts, together=False, some=again)


def _portions(source: SpotSource, members: Indices) -> Iterator[tuple[Indices, bool]]:
    most = max(1, VALUES_AT_A_TIME // (source.windows.n_samples * members.shape[1]))
    cut = source.windows.is_cut[members].any(axis=1)
    for some, is_cut in ((members[~cut], False), (members[cut], True)):
        for first in range(0, len(some), most):
            own = some[first : first + most]
            # see iter_jobs: a column by itself is fitted twice
            yield (own if len(own) > 1 else np.repeat(own, 2, axis=0)), is_cut


def _job(
    source: SpotSource,
    model: Model,
    parameter_settings: ParameterSettings,
    weights: Floats | None,
    shifts: Floats | None,
    members: Indices,
    padded: bool,
    failed: list[Indices],
) -> GroupJob:
    windows, count = source.windows, members.shape[1]
    joint = joint_model(model, count)
    pixels = [np.stack(windows.coordinates(rows), axis=-1) for rows in members.T]  # (m, n_groups, ndim)
    samples = [_as_float(source.samples(rows, padded=padded)).T for rows in members.T]
    again = [_seen(pixels[spot], windows.centres[members[:, :spot]], windows.reach) for spot in range(count)]
    inside = [windows.inside(rows).T for rows in members.T]
    starts = [
        _starts(source, model, parameter_settings, rows, own, at, windows.points[members], spot)
        for spot, (rows, own, at) in enumerate(zip(members.T, samples, pixels, strict=True))
    ]
    centres = windows.centres[members].astype(float)
    # positions count from the middle of the first window where those of single spots do from their own
    origin = centres[:, 0] if source.positions else np.zeros_like(centres[:, 0])
    coords = tuple(np.concatenate([at[..., axis] for at in pixels]) - origin[:, axis] for axis in range(model.ndim))
    data = np.concatenate([np.where(seen, np.nan, own) for own, seen in zip(samples, again, strict=True)])

    def gather(array: Floats | None) -> Floats | None:
        if array is None:
            return None
        if not any(array.strides):
            return np.full((data.shape[0], 1), array.flat[0])
        return np.concatenate(
            [np.where(there, windows.gather(array, rows).T, 1.0) for rows, there in zip(members.T, inside, strict=True)]
        )

    problem = Problem.build(
        joint.model,
        coords,
        data,
        weights=gather(weights),
        shift=gather(shifts),
        options=source.settings.options,
        **_parameter_settings(source, joint, parameter_settings, members, starts, centres - centres[:, :1]),
    )
    # where a spot starts from a guess, no branch was requested
    given = [name in parameter_settings.init for name in (*joint.own * count, *joint.common)]
    problem = replace(problem, asked=np.where(np.array(given)[:, None], problem.start, np.nan))
    counted = sum((seen & there).sum(axis=0) for seen, there in zip(again, inside, strict=True))
    return GroupJob(problem, members.ravel(), joint, members, np.asarray(counted), source, failed)


def _as_float(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.astype(np.result_type(samples.dtype, np.float32), copy=False)


def _seen(pixels: Floats, centres: NDArray[np.intp], reach: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which pixels ``(m, n_groups)`` of a window lie in earlier ones of the group, ``(n_groups, k, ndim)``."""
    away = np.abs(pixels[:, :, None] - centres)
    return np.asarray((away <= reach).all(axis=-1).any(axis=-1))


def _starts(
    source: SpotSource,
    model: Model,
    parameter_settings: ParameterSettings,
    rows: Indices,
    samples: NDArray[Any],
    pixels: Floats,
    points: Floats,
    spot: int,
) -> Floats:
    """Return starts ``(n_params, n)`` of one spot of each group, by the pixels that are nearest to it."""
    places = points[:, :, source.windows.frames.shape[1] :]
    away = ((pixels[:, :, None] - places) ** 2).sum(axis=-1)
    nearest = away[:, :, spot] <= away.min(axis=-1)
    own = np.where(nearest, samples, np.nan)
    problem = Problem.build(model, source.coords(rows), own, options=replace(source.settings.options, noise="gaussian"),
                            **parameter_settings.at(rows))  # fmt: skip
    from ...engine.drive.run import find_starts

    found = find_starts(problem)
    for axis, name in enumerate(find_positions(model)):
        if name in parameter_settings.init or name in parameter_settings.fixed:
            continue
        place = places[:, spot, axis] - (source.windows.centres[rows, axis] if name in source.positions else 0)
        row = model.index(name)
        # a guess that has gone to another spot is none
        found[row] = np.where(np.abs(found[row] - place) <= 2, found[row], place)
    return found


def _parameter_settings(
    source: SpotSource,
    joint: JointModel,
    parameter_settings: ParameterSettings,
    members: Indices,
    starts: list[Floats],
    away: Floats,
) -> dict[str, Any]:
    """Return starts, bounds and fixed values of a group by the joint names.

    Of the background those of the first spot.
    """
    single, positions = joint.single, list(find_positions(joint.single)) if source.positions else []
    init, bounds, fixed = {}, {}, {}
    common = common_names(single)
    for name in single.names:
        for spot in range(1 if name in common else joint.count):
            rows, row = members[:, spot], single.index(name)
            shift = away[:, spot, positions.index(name)] if name in positions else 0.0

            def own(value: ArrayLike, rows: Indices = rows, shift: Any = shift) -> ArrayLike:
                picked = value if np.ndim(value) == 0 else np.asarray(value)[rows]
                return picked if np.ndim(shift) == 0 else picked + shift

            called = joint.name(name, spot)
            if name in parameter_settings.fixed:
                fixed[called] = own(parameter_settings.fixed[name])
                continue
            low, high = single.parameters[row].lower, single.parameters[row].upper
            if source.settings.options.noise == "poisson" and single.parameters[row].unit == "data":
                low = max(low, 0.0)  # as Problem.build has it
            if name in parameter_settings.bounds:
                low, high = bounds[called] = tuple(own(end) for end in parameter_settings.bounds[name])  # type: ignore[assignment]
            every = np.mean([own_start[row] for own_start in starts], axis=0) if name in common else starts[spot][row]
            init[called] = np.clip(every + shift, low, high)
    return {"init": init, "bounds": bounds, "fixed": fixed}


def usable_windows(source: SpotSource, n_params: int) -> NDArray[np.bool_]:
    """Return which windows have enough samples of their own to be part of a group: others would spoil it."""
    enough = np.zeros(source.windows.count, bool)
    for rows, is_cut in source.windows.portions():
        enough[rows] = np.isfinite(source.samples(rows, padded=is_cut)).sum(axis=1) >= n_params
    return enough
