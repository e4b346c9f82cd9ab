"""A result as a Python script that gives the same numbers without napari."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.status import Status
from ...engine.noise.camera import Camera
from ..request.fit_request import Outcome, Request

if TYPE_CHECKING:
    from napari.layers import Layer

MOST_TEXT = 400_000  # characters of one array
# where the samples of File → Open Sample come from
SAMPLES = {
    "clouds": ("simulate", "cold_clouds"),
    "phantom": ("simulate", "multi_echo_phantom"),
    "trouble": ("phantom", "troubled_phantom"),
}
MOST_NUMBERS = 200  # of one array that is written out
UNPACK = '''
def unpack(text, shape, dtype):
    """An array from text."""
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype).reshape(shape)
'''


class Script:
    """Lines of Python, and what they need."""

    def __init__(self) -> None:
        self.imports = {"import numpy as np", "import napari_imagefit as nif"}
        self.lines: list[str] = []
        self.packed = False

    def value(self, name: str, value: Any) -> str:
        """Return a value as an expression; an array gets a line of its own."""
        if isinstance(value, Camera):
            parts = (f"{part}={self.value(part, getattr(value, part))}" for part in ("gain", "offset", "read_noise"))
            return f"nif.Camera({', '.join(parts)})"
        if isinstance(value, Mapping):
            parts = (f"{key!r}: {self.value(f'{name}_{key}', one)}" for key, one in value.items())
            return f"{{{', '.join(parts)}}}"
        if isinstance(value, tuple):
            ends = [self.value(f"{name}_{i}", one) for i, one in enumerate(value)]
            return f"({', '.join(ends)})"
        if isinstance(value, np.ndarray) and value.ndim:
            self.lines.append(f"{name} = {self.array(name, value)}")
            return name
        if isinstance(value, (float, np.floating, np.ndarray)):
            number = float(value)
            return repr(number) if np.isfinite(number) else f"{'-' if number < 0 else ''}np.inf"
        return repr(value)

    def array(self, name: str, values: NDArray[Any]) -> str:
        """Return an array as an expression: written out, or packed into text where it is long.

        Raises
        ------
        FitInputError
            If it is too long for a script.
        """
        if values.dtype == float and values.ndim == 1 and (even := _evenly(values)):
            return even
        if values.dtype != bool and values.size <= MOST_NUMBERS and values.ndim == 1 and np.isfinite(values).all():
            return f"np.array({values.tolist()!r})"
        small = values.astype(np.uint8) if values.dtype == bool else np.ascontiguousarray(values)
        text = base64.b85encode(zlib.compress(small.tobytes(), 9)).decode()
        if len(text) > MOST_TEXT:
            raise FitInputError(
                f"The array {name!r} of shape {values.shape} is too large for a script; take one number instead of a "
                "layer for it, or export the recipe."
            )
        self.packed = True
        self.imports |= {"import base64", "import zlib"}
        cast = ".astype(bool)" if values.dtype == bool else ""
        return f"unpack({text!r}, {values.shape}, {str(small.dtype)!r}){cast}"

    def text(self, title: str) -> str:
        """Return the whole script."""
        imports = sorted(self.imports, key=lambda line: (line.startswith("from"), "napari_imagefit" in line, line))
        parts = [f'"""{title}"""', "\n".join(imports)]
        return (
            "\n\n".join([*parts, *([UNPACK.strip("\n") + "\n"] if self.packed else []), "\n".join(self.lines)]) + "\n"
        )


def as_python(outcome: Outcome, layer: Layer | None) -> str:
    """Return the script of an outcome.

    Parameters
    ----------
    outcome : Outcome
    layer : Layer or None
        The layer that was fitted, which may know the file that it came from.

    Raises
    ------
    FitInputError
        If something of it does not go into a script.
    """
    if outcome.result is None:
        raise FitInputError("There is no script of a mean curve's fit alone; fit the map, and copy its script.")
    request, script = outcome.request, Script()
    _load(script, request, layer)
    if request.job == "voxels":
        _fit_voxels(script, outcome)
    elif request.job == "spots":
        _fit_spots(script, request)
    else:
        _fit_image(script, request)
    script.lines.append("print(result.summary())")
    return script.text(
        f"{request.model.name} in {request.layer_name!r}, as fitted by napari-imagefit {version('napari-imagefit')}."
    )


def _load(script: Script, request: Request, layer: Layer | None) -> None:
    source = None if layer is None else layer.source
    path = "" if source is None or source.path is None else str(source.path)
    if Path(path).is_file():
        path = str(Path(path).absolute())  # as it was opened it may count from a folder that the script does not run in
    sample = None if source is None else source.sample
    if sample is not None and sample[0] == "napari-imagefit" and sample[1] in SAMPLES:
        module, function = SAMPLES[sample[1]]
        script.imports.add(f"from napari_imagefit.imaging.simulation.{module} import {function}")
        script.lines.append(f"data = {function}().data")
    elif path.lower().endswith((".tif", ".tiff")):
        script.imports.add("import tifffile")
        script.lines.append(f"data = tifffile.imread({path!r})")
    elif path.lower().endswith(".npy"):
        script.lines.append(f"data = np.load({path!r})")
    else:
        script.imports.add("import sys")
        script.lines += [
            f"# save the data of layer {request.layer_name!r} as .npy first: np.save('data.npy', layer.data)",
            "data = np.load(sys.argv[1] if len(sys.argv) > 1 else 'data.npy')",
        ]
    shape = tuple(int(n) for n in request.data.shape)
    script.lines += [f"if data.shape != {shape}:", f"    raise SystemExit(f'other data: {{data.shape}}, not {shape}')"]


def _settings(script: Script, request: Request) -> dict[str, str]:
    """Return the keyword arguments that all verbs share."""
    settings, own = request.settings, {p.name: (p.lower, p.upper) for p in request.model.parameters}
    given: dict[str, str] = {}
    for name in ("init", "bounds", "fixed", "tied"):
        said = dict(getattr(settings, name) or {})
        if name == "bounds":
            said = {key: pair for key, pair in said.items() if tuple(pair) != own[key]}
        if said:
            given[name] = script.value(name, said)
    if settings.shared:
        given["shared"] = repr(list(settings.shared))
    if settings.sigma is not None:
        given["sigma"] = script.value("sigma", settings.sigma)
    if settings.camera is not None:
        given["noise"] = script.value("camera", settings.camera)
    plain = Options()
    for name, value in vars(settings.options).items():
        if value != getattr(plain, name) and name not in given:
            given[name] = script.value(name, value)
    return given


def _call(script: Script, target: str, function: str, first: str, arguments: Mapping[str, str]) -> None:
    script.lines += [f"{target} = {function}(", f"    {first},"]
    script.lines += [f"    {name}={value}," for name, value in arguments.items()]
    script.lines.append(")")


def _fit_voxels(script: Script, outcome: Outcome) -> None:
    request, result = outcome.request, outcome.result
    assert result is not None
    where = {"x": script.value("x", request.coords[0])}
    if request.axis:
        where["axis"] = str(request.axis)
    if request.mask is not None:
        where["mask"] = _mask(script, "mask", request.mask)
    if request.select is not None:
        parts = (f"{name}={value!r}" for name, value in vars(request.select).items() if value not in (None, 0, ()))
        where["select"] = f"nif.Selection({', '.join(parts)})"
    settings = _settings(script, request)
    model = f"data, {request.model.name!r}"
    if request.mean != "no":
        script.imports |= {
            "from napari_imagefit.imaging.voxels.mean_curve import fit_mean_curve, seed",
            "from napari_imagefit.imaging.fitting.run import Settings",
        }
        script.lines.append(f"settings = Settings.of({', '.join(f'{k}={v}' for k, v in settings.items())})")
        _call(script, "mean", "fit_mean_curve", model, {**where, "settings": "settings"})
        factor = repr(request.factor) if request.mean == "bounds" else "None"
        script.lines.append(f"seeded = seed(settings, mean, bounds_factor={factor})")
        settings |= {"init": "seeded.init", "bounds": "seeded.bounds"}
    _call(script, "result", "nif.fit_voxels", model, {**where, **settings, **_order(request)})
    for step, *given in outcome.history:
        if step == "refit":
            script.imports.add("from napari_imagefit.imaging.voxels.refit import refit")
            places = "" if given[0] is None else f", places={_mask(script, 'again', given[0])}"
            script.lines.append(f"result = refit(result{places})")
        elif step == "leave_out":
            script.imports.add("from napari_imagefit.imaging.fitting.exclude import without")
            script.lines.append(f"result = without(result, {_mask(script, 'left_out', given[0])})")
    if (result.status == Status.STOPPED).any():
        script.lines.append("# in napari the fit was cancelled before it reached all voxels; here it reaches them")
    units = {name: unit for name, unit in request.units.items() if unit}
    for i, expression in enumerate(request.derived, start=1):
        script.imports.add("from napari_imagefit.imaging.fitting.derived_maps import derive")
        script.lines.append(f"derived_{i} = derive(result, {expression!r}, {units!r})  # .values, .stderr, .unit")


def _order(request: Request) -> dict[str, str]:
    return {"coarse_to_fine": "True"} if request.coarse_to_fine else {}


def _fit_image(script: Script, request: Request) -> None:
    where: dict[str, str] = {"coords": f"({', '.join(script.value(n, c) for n, c in _axes(request))})"}
    labels = _labels(request)
    if labels is not None:
        where["mask"] = _mask(script, "mask", labels)
    _call(script, "result", "nif.fit_image", f"data, {request.model.name!r}", {**where, **_settings(script, request)})


def _fit_spots(script: Script, request: Request) -> None:
    points = script.value("points", request.points)
    only = dict(request.spot_arguments)
    used = only.pop("mask", None)
    own = {"window": repr(request.window), **{name: repr(value) for name, value in only.items()}}
    if used is not None:
        own["mask"] = f"~{_mask(script, 'not_counted', ~used)}"
    first = f"data, {points}, {request.model.name!r}"
    _call(script, "result", "nif.fit_spots", first, {**own, **_settings(script, request)})


def _axes(request: Request) -> list[tuple[str, NDArray[np.float64]]]:
    names = ("z", "y", "x")[-len(request.coords) :]
    return list(zip(names, request.coords, strict=True))


def _labels(request: Request) -> NDArray[np.uint16] | None:
    """Return the regions as labels, of the plane's shape where they are the same in all frames.

    None for the whole image.
    """
    shape = request.data.shape
    frames, plane = int(np.prod(shape[:-2])), shape[-2:]
    labels = np.zeros((frames, int(np.prod(plane))), np.uint16)
    for region in request.regions:
        where = (region.frames[:, None], region.pixels)
        if labels[where].any():
            raise FitInputError("Regions that overlap do not go into one script; copy one for each of them.")
        labels[where] = 1 + region.places[0] % request.grid[-1]
    if (labels == 1).all():
        return None
    return labels[0].reshape(plane) if (labels == labels[0]).all() else labels.reshape(shape)


def _evenly(values: NDArray[np.float64]) -> str:
    """Values as an expression of their numbers, empty where that is not the same to the last bit."""
    if values.size < 4:
        return ""
    first, steps = float(values[0]), (values[1] - values[0], (values[-1] - values[0]) / (values.size - 1))
    for step in map(float, steps):
        number = np.arange(values.size)
        if np.array_equal(step * number + first, values):
            return f"{step!r} * np.arange({values.size}) + {first!r}"
    return ""


def _mask(script: Script, name: str, mask: NDArray[Any]) -> str:
    """Return a mask, as a rectangle where it is one."""
    mask = np.asarray(mask)
    filled = np.argwhere(mask)
    box = tuple(
        slice(int(low), int(high) + 1) for low, high in zip(filled.min(axis=0), filled.max(axis=0), strict=True)
    )
    name = name if name == "mask" else f"{name}_{sum(line.startswith(name) for line in script.lines) + 1}"
    if (mask[box] == 1).all():
        ranges = ", ".join(f"{part.start}:{part.stop}" for part in box)
        kind, one = ("bool", "True") if mask.dtype == bool else ("int", "1")
        script.lines += [f"{name} = np.zeros({mask.shape}, {kind})", f"{name}[{ranges}] = {one}"]
        return name
    return script.value(name, mask)
