"""`Recipe`: a fit as steps that can be saved, edited, and run on other data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.progress import drain
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ..chunked.dispatch import fit, iter_fit, plan_of
from ..chunked.plan import Plan
from ..fitting.argument_checks import check_surface, checked_progress, checked_stop
from ..fitting.chunks import Sliceable, is_dask
from ..fitting.derived_maps import DerivedMap
from ..fitting.run import plain
from ..fitting.writing import write_files
from ..readers.stored_arrays import StoredArray, open_stored
from ..regions.region import Region
from ..regions.region_fits import ImageRequest
from ..spots.filters import SpotFilter
from ..spots.spot_fits import SpotRequest
from ..voxels.voxel_fits import VoxelRequest
from .leave_out_step import LeaveOutStep
from .region_step import RegionStep
from .steps import AFTER, BEFORE, LEAVE_OUT, VERSION, DeriveStep, DetectionStep, as_json, in_order

REQUESTS: dict[str, type[VoxelRequest | ImageRequest | SpotRequest]] = {
    kind.verb: kind for kind in (VoxelRequest, ImageRequest, SpotRequest)
}


@dataclass(frozen=True, eq=False)
class Recipe:
    """A fit as an ordered pipeline: prepare (a region, or a detection of spots and pixels to leave out), fit, derive.

    As JSON it is ``{"version": 2, "steps": [{"step": "region", …}, {"step": "fit", "verb": "fit_image", …}]}``. The
    widget writes one beside every export; `run` and ``napari-imagefit run`` give its numbers again. It is checked as a
    whole when it is made, and holds no code.

    Attributes
    ----------
    fit : VoxelRequest, ImageRequest or SpotRequest
        The call of the verb, without what the data or another step say: points, and what is fitted of the data.
    before : RegionStep, DetectionStep or None
        What says where is fitted.
    after : tuple of DeriveStep
        Maps that follow from the parameters.
    left_out : LeaveOutStep or None
        Pixels that count in no window of a spot.
    filters : tuple of SpotFilter
        Which spots count, for readers of the table: the fit is the same.
    said : dict
        The call of the verb as JSON, as it was given.

    See Also
    --------
    napari_imagefit.FitResult.recipe : the fit of a result, without its region.

    Notes
    -----
    Recipes of version 1, the fit alone, and of version 2, without a step ``leave_out``, are read as well, and written
    where they say all.

    Examples
    --------
    >>> import napari_imagefit as nif
    >>> t = np.linspace(0, 5, 16)
    >>> stack = 3 * np.exp(-t[:, None] / [0.5, 2.0])
    >>> recipe = nif.Recipe.of(nif.fit_voxels(stack, "exponential_decay", x=t).recipe())
    >>> edited = recipe.replace(fixed={"offset": 0})
    >>> edited.run(stack).params["tau"].round(6)
    array([0.5, 2. ])
    """

    fit: VoxelRequest | ImageRequest | SpotRequest
    before: RegionStep | DetectionStep | None = None
    after: tuple[DeriveStep, ...] = ()
    left_out: LeaveOutStep | None = None
    filters: tuple[SpotFilter, ...] = ()
    said: dict[str, Any] = field(kw_only=True)

    def __post_init__(self) -> None:
        verb = self.fit.verb
        if isinstance(self.before, DetectionStep) and verb != "fit_spots":
            raise FitInputError(f"the recipe's step 'detect_spots' goes with fit_spots, not with {verb}; leave it out")
        if isinstance(self.before, RegionStep) and verb == "fit_spots":
            raise FitInputError("the recipe's step 'region' goes with fit_image and fit_voxels; leave it out for spots")
        if self.left_out is not None and verb != "fit_spots":
            raise FitInputError(f"the recipe's step 'leave_out' goes with fit_spots, not with {verb}; edit its region")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recipe from a JSON file.

        Raises
        ------
        FitInputError
            If it cannot be read, or says what makes no sense.
        """
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise FitInputError(f"the recipe {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise FitInputError(f"the recipe {path} is not JSON: {error}") from None
        except RecursionError:
            raise FitInputError(f"the recipe {path} has lists within lists beyond all measure; export one") from None
        return cls.of(said)

    @classmethod
    def of(cls, said: Any) -> Self:
        """Check a recipe in JSON, of this version or the older one, or what `FitResult.recipe` gives.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        if not isinstance(said, dict) or "steps" not in said:
            return cls(**_checked(said))
        if said.get("version") not in range(2, VERSION + 1):
            raise FitInputError(
                f"the recipe's version is {said.get('version')!r}, but this program reads {VERSION}; "
                "take a newer napari-imagefit"
            )
        steps = said["steps"]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise FitInputError(f"steps of the recipe must be a list of objects, got {steps!r}")
        names = in_order([step.get("step") for step in steps])
        before, left_out, fit, after = None, None, {}, []
        for name, step in zip(names, steps, strict=True):
            own = {key: value for key, value in step.items() if key != "step"}
            if name in BEFORE:
                before = BEFORE[name].of_recipe(own)
            elif name in LEAVE_OUT:
                left_out = LEAVE_OUT[name].of_recipe(own)
            elif name in AFTER:
                after.append(AFTER[name].of_recipe(own))
            else:
                fit = own
        return cls(before=before, after=tuple(after), left_out=left_out, **_checked(fit))

    @classmethod
    def of_result(cls, result: FitResult) -> Self:
        """Make the recipe of a result: its fit, its region or voxels, and its coordinates.

        Raises
        ------
        FitInputError
            If the result holds what a recipe cannot: a model made of Python code, or σ as an array.
        """
        return cls.of(describe(result))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON objects."""
        return as_json([self.before, self.left_out], self.said, self.after)

    def replace(self, **arguments: Any) -> Self:
        """Return the recipe with other arguments of its fit, such as ``bounds={"tau": (0, 100)}``; None removes one.

        Raises
        ------
        FitInputError
            If they make no sense.
        """
        said = {name: value for name, value in (self.said | arguments).items() if value is not None}
        return replace(self, **_checked(plain(said)))

    def save(self, path: str | Path) -> None:
        """Write the recipe into a JSON file.

        Raises
        ------
        FitInputError
            If the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=1) + "\n"
        write_files([(Path(path), lambda to: to.write_text(text, encoding="utf-8"))])

    @property
    def model(self) -> Model:
        """The model that is fitted."""
        return self.fit.model

    def run(
        self,
        data: ArrayLike | str | Path,
        *,
        points: ArrayLike | None = None,
        progress: Callable[[int, int], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> FitResult:
        """Run the steps on data.

        Parameters
        ----------
        data : array, Dask array, or path of a file
            As the verb takes it. A file (``.npy``, ``.tif``, ``.zarr``, ``FILE.h5::/dataset``) is read piece by piece.
        points : array, ``(N, data.ndim)``, optional
            For `fit_spots` without a step ``detect_spots``: pixel indices, the frame first.
        progress, should_stop : callable, optional
            As the verbs take them; not for Dask arrays, whose result is lazy.

        Returns
        -------
        FitResult
            What the verb returns.

        Raises
        ------
        FitInputError
            If the recipe does not go with the data.
        """
        if isinstance(data, (str, Path)):
            stored = _as_dask(open_stored(str(data)))
            steps = iter_fit(stored, self._request(stored, points), checked_stop(should_stop))
            return drain(steps, checked_progress(progress))
        data = data if is_dask(data) else np.asarray(data)
        return fit(data, self._request(data, points), progress, should_stop)

    def derived(self, result: FitResult) -> list[DerivedMap]:
        """Return the maps that the steps ``derive`` make of a result."""
        return [step.of(result) for step in self.after]

    def plan(self, data: Sliceable, points: ArrayLike | None = None) -> Plan:
        """Return the fit of chunked data, detection included.

        Raises
        ------
        FitInputError
            If the recipe does not go with the data.
        """
        return plan_of(data, self._request(data, points))

    def _request(self, data: Sliceable, points: ArrayLike | None = None) -> VoxelRequest | ImageRequest | SpotRequest:
        """Return what is asked of data, detection included.

        Raises
        ------
        FitInputError
            If the recipe does not go with the data.
        """
        shape, points = tuple(data.shape), self._points(data, points)
        region = self.before if isinstance(self.before, RegionStep) else None
        fit = self.fit
        if isinstance(fit, SpotRequest):
            check_surface(fit.model, len(shape), fit.verb)
            return replace(fit, points=points, mask=None if self.left_out is None else self.left_out.mask(shape))
        if region is None:
            return fit
        if isinstance(fit, VoxelRequest):
            return replace(fit, mask=region.mask(_grid(shape, fit.axis)))
        first = len(shape) - fit.model.ndim
        regions, _, labels = region.find(shape[:first], shape[first:])
        return replace(fit, regions=regions, labels=labels)

    def _points(self, data: Any, given: ArrayLike | None) -> Any:
        """Return the points of spots: those given, or those that the detection finds."""
        if self.fit.verb != "fit_spots":
            if given is not None:
                raise FitInputError(f"the recipe's verb is {self.fit.verb}, which takes no points; leave them out")
            return None
        if isinstance(self.before, DetectionStep):
            if given is not None:
                raise FitInputError(
                    "the recipe finds its points by its step 'detect_spots', and points were given too; leave one out"
                )
            return self.before.points(_as_dask(data))
        if given is None:
            raise FitInputError(
                "the recipe fits spots, and nothing says where they are; give points (--points FILE), or a step "
                "'detect_spots'"
            )
        return given


def _checked(said: Any) -> dict[str, Any]:
    """Check the step of the fit, as JSON; returns what a recipe holds of it."""
    if not isinstance(said, dict):
        raise FitInputError("a recipe is a JSON object with 'verb' and 'model'; export one, or see docs/large-data.md")
    verb = said.get("verb")
    if not isinstance(verb, str) or verb not in REQUESTS:
        raise FitInputError(f"the recipe's verb is {verb!r}; choose one of {', '.join(REQUESTS)}")
    request, filters = REQUESTS[verb].from_json(said), said.get("filters", [])
    if not isinstance(filters, list):
        raise FitInputError(f"the recipe's filters are {filters!r}; give a list of them")
    return {"fit": request, "filters": tuple(map(SpotFilter.of_recipe, filters)), "said": plain(said)}


def describe(
    result: FitResult,
    *,
    before: DetectionStep | None = None,
    after: Sequence[DeriveStep] = (),
    region_names: Sequence[str] = (),
    filters: Sequence[SpotFilter] = (),
) -> dict[str, Any]:
    """Return the recipe of a result as JSON, to be written beside its numbers.

    It is not checked: of a model made of Python code it holds the name, and of σ as an array that it was one, and
    `Recipe.of` refuses both.

    Parameters
    ----------
    before : DetectionStep, optional
        By which the spots were found.
    after : sequence of DeriveStep
    region_names : sequence of str
        A name for each label, in their order.
    filters : sequence of SpotFilter
    """
    source: Any = result.source
    request, region, left_out = source.request, region_of(source, region_names), left_out_of(source)
    if isinstance(request, ImageRequest):
        request = replace(request, coords=source.coords)
    fit = request.to_json()
    if left_out is not None:
        del fit["mask"]
    if filters:
        fit["filters"] = [one.recipe() for one in filters]
    return as_json([before or region, left_out], plain(fit), after)


def region_of(source: Any, names: Sequence[str] = ()) -> RegionStep | None:
    """Return the step for the region or the voxels of a fit; None for all of the image or stack."""
    if source.job == "voxels":
        return None if source.mask is None else RegionStep.of_mask(source.mask)
    if source.job == "region":
        return _regions(source.regions, source.labels, source.frames, source.coords[0].shape, names)
    return None


def left_out_of(source: Any) -> LeaveOutStep | None:
    """Return the step for the pixels that a mask of the image left out of spots; None for none."""
    if source.job != "spots" or source.given is None:
        return None
    return LeaveOutStep.of_mask(source.given, len(source.windows.size))


def _grid(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the grid of voxels of a stack of this shape."""
    if not -len(shape) <= axis < len(shape):
        raise FitInputError(f"the recipe's axis is {axis}, but the stack has {len(shape)} axes; edit the recipe")
    return tuple(n for a, n in enumerate(shape) if a != axis % len(shape))


def _regions(
    regions: Sequence[Region],
    labels: NDArray[np.int64] | None,
    frames: tuple[int, ...],
    plane: tuple[int, ...],
    names: Sequence[str],
) -> RegionStep | None:
    by_label = dict(zip([1] if labels is None else labels.tolist(), names, strict=False))
    return RegionStep.of_regions(regions, labels, frames, plane, by_label)


def _as_dask(data: Any) -> Any:
    """Return a file as a Dask array, of which a frame is loaded at a time."""
    if isinstance(data, StoredArray):
        from dask import array

        da: Any = array
        return da.from_array(data, chunks=data.chunks or "auto")
    return data
