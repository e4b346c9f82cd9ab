"""The fields of a call in JSON, as a recipe has them: each is checked, and nothing in them is ever run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.models.model import Model
from ...engine.noise.camera import Camera
from ..fitting.run import Settings

NOT_HERE = {
    "mask": "masks stand in a step 'region', of spots in a step 'leave_out' (one for each window is for scripts)",
    "points": "points are given beside it (--points FILE), or found by a step 'detect_spots'",
}
EXPRESSION = {"expression", "coords", "name", "bounds", "init"}


def refuse_unknown(said: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Refuse fields that are not known; raises `FitInputError`."""
    for name in said:
        if name not in known:
            why = NOT_HERE.get(name, f"it may have {', '.join(sorted(known))}")
            raise FitInputError(f"{what} has {name!r}, which is not known here; {why}")


def settings_of(said: Mapping[str, Any]) -> Settings:
    """Return what all verbs take beside data and model; raises `FitInputError`."""
    sigma, camera = said.get("sigma"), _camera(said.get("camera"))
    settings = Settings(
        init={name: numbers(v, f"init of {name!r}") for name, v in _object(said.get("init"), "init").items()},
        bounds={name: _pair(v, name) for name, v in _object(said.get("bounds"), "bounds").items()},
        fixed={name: numbers(v, f"fixed of {name!r}") for name, v in _object(said.get("fixed"), "fixed").items()},
        tied=_texts(said.get("tied")),
        shared=_names(said.get("shared", []), "shared"),
        sigma=None if sigma is None else number(sigma, "sigma"),
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
    refuse_unknown(_object(said, "camera"), {"gain", "offset", "read_noise"}, "the recipe's camera")
    return Camera(**{name: numbers(value, f"the camera's {name}") for name, value in said.items()})


def model_of(said: Any) -> Model:
    """Return the model of a name, or of an expression; raises `FitInputError`."""
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
    refuse_unknown(said, EXPRESSION, "the recipe's model")
    name = said.get("name")
    if name is not None and not isinstance(name, str):
        raise FitInputError(f"the name of the recipe's model is {name!r}; give a text")
    bounds = {name: _pair(v, name) for name, v in _object(said.get("bounds"), "bounds of the model").items()}
    init = {name: number(v, f"init of {name!r}") for name, v in _object(said.get("init"), "init of the model").items()}
    if any(np.ndim(end) for pair in bounds.values() for end in pair) or any(math.isnan(v) for v in init.values()):
        raise FitInputError("bounds and init of the recipe's model are numbers; give arrays beside the model instead")
    return Model.from_expression(
        said["expression"], _names(said.get("coords"), "coords of the model"), name=name, bounds=bounds, init=init
    )


def number(value: Any, what: str) -> float:
    """Return a number, infinity and NaN by their names; raises `FitInputError`."""
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        arrays = " (sigma as an array is for scripts)" if what == "sigma" else ""
        raise FitInputError(f"{what} in the recipe is {value!r}; give a number{arrays}")
    try:
        return float(value)
    except OverflowError:
        raise FitInputError(f"{what} in the recipe is too large; give a number below 1e308") from None


def numbers(value: Any, what: str) -> Any:
    """Return a number, or lists of them as an array; raises `FitInputError`."""

    def check(v: Any) -> Any:
        return [check(one) for one in v] if isinstance(v, list) else number(v, what)

    found = check(value)
    if not isinstance(found, list):
        return found
    try:
        return np.array(found, dtype=float)
    except ValueError:
        raise FitInputError(f"{what} in the recipe has rows of different lengths; give a regular array") from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FitInputError(f'{what} in the recipe is {value!r}; give an object, such as {{"tau": 1}}')
    return value


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise FitInputError(f"bounds of {name!r} in the recipe are {value!r}; give [lower, upper]")
    lower, upper = (numbers(v, f"a bound of {name!r}") for v in value)
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
    refuse_unknown(said, {f.name for f in fields(Options)}, "the recipe's options")
    for name, value in said.items():
        if isinstance(value, (dict, list)) or (name == "loss" and not isinstance(value, str)):
            raise FitInputError(f"{name} in the recipe's options is {value!r}; give a number or a name")
    return Options(**said)
