"""A result as a Python script that gives the same numbers without napari."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.core.errors import FitInputError
from ...engine.core.status import Status
from ...imaging.requests.python_script import Script, call
from ..request.fit_request import Outcome, Request
from ..request.verb_requests import region_request, spot_request, voxel_request

if TYPE_CHECKING:
    from napari.layers import Layer

# where the samples of File → Open Sample come from
SAMPLES = {
    "clouds": ("simulate", "cold_clouds"),
    "phantom": ("simulate", "multi_echo_phantom"),
    "trouble": ("phantom", "troubled_phantom"),
}


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
        script.lines.append(f"result = {spot_request(request).to_python(script)}")
    else:
        asked = region_request(request).with_mask(request.data.shape)
        script.lines.append(f"result = {asked.to_python(script)}")
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


def _fit_voxels(script: Script, outcome: Outcome) -> None:
    request, result, asked = outcome.request, outcome.result, voxel_request(outcome.request)
    assert result is not None
    arguments = asked.arguments(script)
    if request.mean != "no":
        arguments |= _mean(script, request, arguments)
    if request.coarse_to_fine:
        arguments["coarse_to_fine"] = "True"
    script.lines.append(f"result = {asked.to_python(script, arguments)}")
    for step, *given in outcome.history:
        if step == "refit":
            script.imports.add("from napari_imagefit.imaging.voxels.refit import refit")
            places = "" if given[0] is None else f", places={script.mask('again', given[0])}"
            script.lines.append(f"result = refit(result{places})")
        elif step == "leave_out":
            script.imports.add("from napari_imagefit.imaging.fitting.exclude import without")
            script.lines.append(f"result = without(result, {script.mask('left_out', given[0])})")
    if (result.status == Status.STOPPED).any():
        script.lines.append("# in napari the fit was cancelled before it reached all voxels; here it reaches them")
    units = {name: unit for name, unit in request.units.items() if unit}
    for i, expression in enumerate(request.derived, start=1):
        script.imports.add("from napari_imagefit.imaging.fitting.derived_maps import derive")
        script.lines.append(f"derived_{i} = derive(result, {expression!r}, {units!r})  # .values, .stderr, .unit")


def _mean(script: Script, request: Request, arguments: Mapping[str, str]) -> dict[str, str]:
    """Fit the mean curve first; returns the arguments by which the map starts from it."""
    script.imports |= {
        "from napari_imagefit.imaging.voxels.mean_curve import fit_mean_curve, seed",
        "from napari_imagefit.imaging.fitting.run import Settings",
    }
    where = {name: value for name, value in arguments.items() if name in ("x", "axis", "mask", "select")}
    settings = (f"{name}={value}" for name, value in arguments.items() if name not in where)
    first = f"data, {request.model.name!r}"
    factor = repr(request.factor) if request.mean == "bounds" else "None"
    script.lines += [
        f"settings = Settings.of({', '.join(settings)})",
        f"mean = {call('fit_mean_curve', first, {**where, 'settings': 'settings'})}",
        f"seeded = seed(settings, mean, bounds_factor={factor})",
    ]
    return {"init": "seeded.init", "bounds": "seeded.bounds"}
