"""The fit in a recipe: the call of a verb as JSON. It is checked, and nothing in it is ever run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.models.model import Model
from ...engine.noise.camera import Camera
from ..fitting.argument_checks import check_surface
from ..fitting.run import Settings, plain
from ..fitting.selection import Selection
from ..regions.region_fits import ImageRequest
from ..spots.filters import SpotFilter
from ..spots.grouping import check_groups
from ..spots.spot_fits import SpotRequest
from ..voxels.voxel_fits import VoxelRequest
from .leave_out_step import LeaveOutStep
from .region_step import RegionStep

VERBS = {
    "fit_voxels": {"axis", "x", "select"},
    "fit_image": {"coords"},
    "fit_spots": {"window", "background", "groups", "saturation", "filters"},
}
COMMON = {"verb", "model", "init", "bounds", "fixed", "tied", "shared", "camera", "options", "sigma"}
NOT_HERE = {
    "mask": "masks stand in a step 'region', of spots in a step 'leave_out' (one for each window is for scripts)",
    "points": "points are given beside it (--points FILE), or found by a step 'detect_spots'",
}
EXPRESSION = {"expression", "coords", "name", "bounds", "init"}


@dataclass(frozen=True, eq=False)
class FitStep:
    """The call of a verb, checked: what `FitResult.recipe` gives.

    Attributes
    ----------
    verb : {"fit_voxels", "fit_image", "fit_spots"}
    model : Model
    settings : Settings
    places : dict
        The arguments of the verb that say where the samples are: `axis`, `x` and `select`, `coords`, or `window`,
        `background`, `groups` and `saturation`.
    said : dict
        The call as JSON.
    filters : tuple of SpotFilter
        Which spots count; for whoever reads the table, the fit is the same.
    """

    verb: str
    model: Model
    settings: Settings
    places: dict[str, Any]
    said: dict[str, Any]
    filters: tuple[SpotFilter, ...] = ()

    @classmethod
    def of(cls, said: Any) -> Self:
        """Check a call in JSON, as `FitResult.recipe` gives it.

        Beyond that ``model`` may be ``{"expression": "a*exp(-t/tau)", "coords": ["t"]}`` with ``bounds`` and ``init``,
        ``sigma`` a number, and ``coords`` a list of values along each axis of the plane.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        if not isinstance(said, dict):
            raise FitInputError(
                "a recipe is a JSON object with 'verb' and 'model'; export one, or see docs/large-data.md"
            )
        verb = said.get("verb")
        if not isinstance(verb, str) or verb not in VERBS:
            raise FitInputError(f"the recipe's verb is {verb!r}; choose one of {', '.join(VERBS)}")
        _refuse_unknown(said, COMMON | VERBS[verb], "the recipe")
        settings = _settings(said)
        filters = said.get("filters", [])
        if not isinstance(filters, list):
            raise FitInputError(f"the recipe's filters are {filters!r}; give a list of them")
        return cls(
            verb,
            _model(said.get("model")),
            settings,
            PLACES[verb](said),
            plain(said),
            tuple(SpotFilter.of_recipe(one) for one in filters),
        )

    def recipe(self) -> dict[str, Any]:
        """Return the call as JSON."""
        return dict(self.said)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the grid of voxels of a stack of this shape."""
        axis = self.places["axis"]
        if not -len(shape) <= axis < len(shape):
            raise FitInputError(f"the recipe's axis is {axis}, but the stack has {len(shape)} axes; edit the recipe")
        return tuple(n for a, n in enumerate(shape) if a != axis % len(shape))

    def frame_axes(self, n_axes: int) -> int:
        """Return how many of the leading axes of an image with spots are frames.

        Raises
        ------
        FitInputError
            If it is no fit of spots, or the model does not go with so many axes.
        """
        if self.verb != "fit_spots":
            raise FitInputError(f"the recipe's verb is {self.verb}, which takes no points; leave --points out")
        check_surface(self.model, n_axes, "fit_spots")
        return n_axes - self.model.ndim

    def request(
        self,
        shape: tuple[int, ...],
        *,
        points: ArrayLike | None = None,
        region: RegionStep | None = None,
        left_out: LeaveOutStep | None = None,
    ) -> VoxelRequest | ImageRequest | SpotRequest:
        """Return what is asked of data of this shape: of a region, or of spots at points.

        Raises
        ------
        FitInputError
            If it does not go with them.
        """
        model, settings = self.model, self.settings
        if self.verb == "fit_spots":
            assert points is not None
            check_surface(model, len(shape), "fit_spots")
            used = None if left_out is None else left_out.mask(shape)
            return SpotRequest(model, points, mask=used, settings=settings, **self.places)
        if self.verb == "fit_voxels":
            mask = None if region is None else region.mask(self.grid(shape))
            return VoxelRequest(model, mask=mask, settings=settings, **self.places)
        if region is None:
            return ImageRequest(model, settings=settings, **self.places)
        first = len(shape) - model.ndim
        regions, _, labels = region.find(shape[:first], shape[first:])
        return ImageRequest(model, regions=regions, labels=labels, settings=settings, **self.places)


def _settings(said: Mapping[str, Any]) -> Settings:
    """Return what all verbs take beside data and model."""
    sigma, camera = said.get("sigma"), _camera(said.get("camera"))
    settings = Settings(
        init={name: _numbers(v, f"init of {name!r}") for name, v in _object(said.get("init"), "init").items()},
        bounds={name: _pair(v, name) for name, v in _object(said.get("bounds"), "bounds").items()},
        fixed={name: _numbers(v, f"fixed of {name!r}") for name, v in _object(said.get("fixed"), "fixed").items()},
        tied=_texts(said.get("tied")),
        shared=_names(said.get("shared", []), "shared"),
        sigma=None if sigma is None else _number(sigma, "sigma"),
        camera=camera,
        options=_options(_object(said.get("options"), "options")),
    )
    if camera is not None and settings.options.noise != "poisson":
        raise FitInputError("the recipe has a camera, which makes noise 'poisson'; say so in its options")
    if settings.sigma is not None and settings.knows_noise and settings.options.noise == "poisson":
        raise FitInputError("the recipe has sigma and counts, and both say how large the noise is; leave one out")
    return settings


def _camera(said: Any) -> Camera | None:
    if said is None:
        return None
    _refuse_unknown(_object(said, "camera"), {"gain", "offset", "read_noise"}, "the recipe's camera")
    return Camera(**{name: _numbers(value, f"the camera's {name}") for name, value in said.items()})


def _of_voxels(said: Mapping[str, Any]) -> dict[str, Any]:
    axis = said.get("axis", 0)
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise FitInputError(f"the recipe's axis is {axis!r}; give a whole number")
    places = {"axis": axis, "x": None if said.get("x") is None else _numbers(said["x"], "x")}
    if said.get("select") is not None:
        places["select"] = Selection.of_recipe(said["select"])
    return places


def _of_spots(said: Mapping[str, Any]) -> dict[str, Any]:
    places = {"window": _window(said.get("window", 11)), "background": said.get("background", "constant")}
    if said.get("groups") is not None:
        places["groups"] = check_groups(said["groups"])
    if said.get("saturation") is not None:
        places["saturation"] = _number(said["saturation"], "saturation")
    return places


def _of_image(said: Mapping[str, Any]) -> dict[str, Any]:
    coords = said.get("coords")
    if coords is None:
        return {}
    if not isinstance(coords, list):
        raise FitInputError(f"the recipe's coords are {coords!r}; give a list of values for each axis")
    return {"coords": [_numbers(c, "coords") for c in coords]}


PLACES = {"fit_voxels": _of_voxels, "fit_spots": _of_spots, "fit_image": _of_image}


def _refuse_unknown(said: Mapping[str, Any], known: set[str], what: str) -> None:
    for name in said:
        if name not in known:
            why = NOT_HERE.get(name, f"it may have {', '.join(sorted(known))}")
            raise FitInputError(f"{what} has {name!r}, which is not known here; {why}")


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FitInputError(f'{what} in the recipe is {value!r}; give an object, such as {{"tau": 1}}')
    return value


def _window(value: Any) -> int | list[int]:
    sizes = value if isinstance(value, list) else [value]
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int) for size in sizes):
        raise FitInputError(f"window in the recipe is {value!r}; give an odd number of pixels, or one for each axis")
    return value  # type: ignore[no-any-return]


def _number(value: Any, what: str) -> float:
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FitInputError(f"{what} in the recipe is {value!r}; give a number" + _arrays(what))
    try:
        return float(value)
    except OverflowError:
        raise FitInputError(f"{what} in the recipe is too large; give a number below 1e308") from None


def _arrays(what: str) -> str:
    return " (sigma as an array is for scripts)" if what == "sigma" else ""


def _numbers(value: Any, what: str) -> Any:
    """Return a number, or lists of them as an array."""

    def check(v: Any) -> Any:
        return [check(one) for one in v] if isinstance(v, list) else _number(v, what)

    found = check(value)
    if not isinstance(found, list):
        return found
    try:
        return np.array(found, dtype=float)
    except ValueError:
        raise FitInputError(f"{what} in the recipe has rows of different lengths; give a regular array") from None


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise FitInputError(f"bounds of {name!r} in the recipe are {value!r}; give [lower, upper]")
    lower, upper = (_numbers(v, f"a bound of {name!r}") for v in value)
    return lower, upper


def _texts(value: Any) -> dict[str, str] | None:
    tied = _object(value, "tied")
    for name, text in tied.items():
        if not isinstance(text, str):
            raise FitInputError(f"{name!r} is tied to {text!r} in the recipe; give an expression of other parameters")
    return tied or None


def _names(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise FitInputError(f"{what} in the recipe is {value!r}; give a list of names")
    return value


def _options(said: dict[str, Any]) -> Options:
    _refuse_unknown(said, {f.name for f in fields(Options)}, "the recipe's options")
    for name, value in said.items():
        if isinstance(value, (dict, list)) or (name == "loss" and not isinstance(value, str)):
            raise FitInputError(f"{name} in the recipe's options is {value!r}; give a number or a name")
    return Options(**said)


def _model(said: Any) -> Model:
    if isinstance(said, str):
        try:
            return models.find(said)
        except FitInputError as error:
            if said.isidentifier():
                raise
            raise FitInputError(
                f"{error}; of an expression give also its coordinates: "
                f'"model": {{"expression": "{said}", "coords": ["t"]}}'
            ) from None
    if not isinstance(said, dict) or not isinstance(said.get("expression"), str):
        raise FitInputError(f"the recipe's model is {said!r}; give the name of one, or an expression and its coords")
    _refuse_unknown(said, EXPRESSION, "the recipe's model")
    name = said.get("name")
    if name is not None and not isinstance(name, str):
        raise FitInputError(f"the name of the recipe's model is {name!r}; give a text")
    bounds = {name: _pair(v, name) for name, v in _object(said.get("bounds"), "bounds of the model").items()}
    init = {name: _number(v, f"init of {name!r}") for name, v in _object(said.get("init"), "init of the model").items()}
    if any(np.ndim(end) for pair in bounds.values() for end in pair) or any(math.isnan(v) for v in init.values()):
        raise FitInputError("bounds and init of the recipe's model are numbers; give arrays beside the model instead")
    return Model.from_expression(
        said["expression"], _names(said.get("coords"), "coords of the model"), name=name, bounds=bounds, init=init
    )
