"""`napari-imagefit run`: files in, a Zarr group out, and one sentence for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner, Result

from napari_imagefit import FitResult, fit_image, fit_voxels
from napari_imagefit.command_line.app import app
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.fitting.records import all_maps
from napari_imagefit.imaging.recipes.recipe import Recipe

RNG = np.random.default_rng(0)
T = np.linspace(0, 5, 16)
STACK = RNG.uniform(1, 3, (6, 14)) * np.exp(-T[:, None, None] / RNG.uniform(0.5, 2, (6, 14))) + 0.3
STACK = (STACK + RNG.normal(0, 0.03, STACK.shape)).astype(np.float32)
RECIPE: dict[str, Any] = {"verb": "fit_voxels", "model": "exponential_decay", "axis": 0, "x": T.tolist()}


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPE))
    return path


@pytest.fixture(scope="module")
def expected() -> FitResult:
    return fit_voxels(STACK, "exponential_decay", x=T)


def save_npy(folder: Path) -> str:
    np.save(folder / "stack.npy", STACK)
    return str(folder / "stack.npy")


def save_zarr(folder: Path) -> str:
    zarr.create_array(str(folder / "stack.zarr"), data=STACK, chunks=(8, 3, 7))
    return str(folder / "stack.zarr")


def save_ome_zarr(folder: Path) -> str:
    group = zarr.create_group(str(folder / "stack.ome.zarr"))
    group.create_array("0", data=STACK, chunks=(16, 2, 14))
    group.create_array("1", data=STACK[:, ::2, ::2])
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    return str(folder / "stack.ome.zarr")


def save_tif(folder: Path) -> str:
    tifffile.imwrite(folder / "stack.tif", STACK)
    return str(folder / "stack.tif")


def save_compressed_tif(folder: Path) -> str:
    tifffile.imwrite(folder / "small.tiff", STACK, compression="zlib")
    return str(folder / "small.tiff")


def save_h5(folder: Path) -> str:
    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("raw/stack", data=STACK, chunks=(16, 3, 7))
    return f"{folder / 'stack.h5'}::/raw/stack"


@pytest.mark.parametrize("save", [save_npy, save_zarr, save_ome_zarr, save_tif, save_compressed_tif, save_h5])
def test_every_kind_of_file(save: Callable[[Path], str], tmp_path: Path, recipe: Path, expected: FitResult) -> None:
    output = tmp_path / "results"
    done = run(recipe, save(tmp_path), "-o", output, "--fits-per-chunk", 30)
    assert done.exit_code == 0, done.output
    assert "84 fits" in done.stderr
    group = zarr.open_group(str(output), mode="r")
    for name, values in all_maps(expected):
        np.testing.assert_array_equal(group[name][:], values, err_msg=name)
    said = group.attrs["napari_imagefit"]
    assert said["model"]["name"] == "exponential_decay"
    assert [p["name"] for p in said["parameters"]] == ["amplitude", "tau", "offset"]
    assert said["recipe"] == {"version": 2, "steps": [{"step": "fit", **RECIPE}]}
    assert group["params/tau"].attrs["unit"] == "coord0"


def test_maps_lie_where_the_input_lay(tmp_path: Path, recipe: Path) -> None:
    stack = STACK.reshape(16, 2, 3, 14)
    group = zarr.create_group(str(tmp_path / "stack.ome.zarr"))
    group.create_array("0", data=stack)
    steps = [
        {"type": "scale", "scale": [2.0, 3.0, -0.5, 0.25]},
        {"type": "translation", "translation": [0.0, 1.0, 7.0, -8.0]},
    ]
    axes = [{"name": "t", "unit": "second"}, *({"name": name, "unit": "micrometer"} for name in "zyx")]
    whole = [{"type": "scale", "scale": [1.0, 1.0, 2.0, 2.0]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"multiscales": [image | {"coordinateTransformations": whole}]}
    sizes = {f"PhysicalSize{name}": size for name, size in zip("ZYX", (3.0, 0.5, 0.25), strict=True)}
    units = {f"PhysicalSize{name}Unit": "µm" for name in "ZYX"}
    planes = {"PositionX": [-8.0] * 32, "PositionXUnit": ["µm"] * 32, "PositionY": [1.0] * 32}
    metadata = {"axes": "TZYX", **sizes, **units, "Plane": planes}
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata=metadata)
    tifffile.imwrite(tmp_path / "plain.tif", stack)
    places = []
    for number, name in enumerate(("stack.ome.zarr", "stack.ome.tif", "plain.tif")):
        done = run(recipe, tmp_path / name, "-o", tmp_path / f"{number}")
        assert done.exit_code == 0, done.output
        there = zarr.open_group(str(tmp_path / f"{number}"), mode="r")
        assert there["params/tau"].shape == (2, 3, 14)
        places.append(there.attrs["napari_imagefit"]["place"])
    assert places == [
        {"axes": ["z", "y", "x"], "scale": [3, -1, 0.5], "translate": [1, 14, -16], "units": ["micrometer"] * 3},
        {"axes": ["z", "y", "x"], "scale": [3, 0.5, 0.25], "translate": [0, 0, -8], "units": ["µm"] * 3},
        {},
    ]


def test_a_result_gives_the_recipe_that_made_it(tmp_path: Path) -> None:
    offset = np.linspace(0.2, 0.4, 14)
    plain = fit_voxels(STACK, "exponential_decay", x=T, fixed={"offset": offset}, bounds={"tau": (0, np.inf)})
    path = tmp_path / "own.json"
    path.write_text(json.dumps(plain.recipe()))
    assert run(path, save_npy(tmp_path), "-o", tmp_path / "out", "--fits-per-chunk", 20).exit_code == 0
    tau = zarr.open_array(str(tmp_path / "out" / "params" / "tau"), mode="r")[:]
    np.testing.assert_array_equal(tau, plain.params["tau"])


def test_surfaces_and_expressions(tmp_path: Path) -> None:
    y, x = np.mgrid[:12.0, :16.0]
    image = 5 * np.exp(-0.5 * ((y - 6) ** 2 + (x - 8) ** 2) / 4) + RNG.normal(0, 0.1, (3, 12, 16))
    np.save(tmp_path / "frames.npy", image)
    path = tmp_path / "surface.json"
    path.write_text(json.dumps({"verb": "fit_image", "model": "gaussian_2d", "sigma": 0.1}))
    assert run(path, tmp_path / "frames.npy", "-o", tmp_path / "a", "--fits-per-chunk", 1).exit_code == 0
    sigma = zarr.open_array(str(tmp_path / "a" / "stderr" / "sigma"), mode="r")[:]
    np.testing.assert_array_equal(sigma, fit_image(image, "gaussian_2d", sigma=0.1).stderr["sigma"])

    line = {"expression": "a + b*t", "coords": ["t"], "bounds": {"b": [0, "inf"]}}
    path.write_text(json.dumps({"verb": "fit_voxels", "model": line, "axis": -1}))
    ramp = np.arange(16.0) * np.array([[1.0], [2.0]])
    np.save(tmp_path / "ramp.npy", ramp)
    assert run(path, tmp_path / "ramp.npy", "-o", tmp_path / "b").exit_code == 0
    slope = zarr.open_array(str(tmp_path / "b" / "params" / "b"), mode="r")[:]
    np.testing.assert_allclose(slope, [1, 2])


# The process interrupts itself: all of 42 chunks may be done before anybody sees that five are.
INTERRUPTED = """
import os
import signal
from napari_imagefit.__main__ import main
from napari_imagefit.imaging.files.zarr_store import ResultStore

write = ResultStore.write

def write_and_interrupt(store, number, result):
    write(store, number, result)
    if number == 4:
        os.kill(os.getpid(), signal.SIGINT)

ResultStore.write = write_and_interrupt
# where the tests run in the background of a shell, interrupts are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def finished(output: Path) -> int:
    try:
        return int(np.count_nonzero(zarr.open_array(str(output / "finished_pieces"), mode="r")[:]))
    except (OSError, ValueError):
        return 0


def test_a_stopped_run_goes_on(tmp_path: Path, recipe: Path, expected: FitResult) -> None:
    data, output = save_npy(tmp_path), tmp_path / "results"
    command = [sys.executable, "-c", INTERRUPTED, "run", str(recipe), data, "-o", str(output), "--fits-per-chunk", "2"]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=240)
    said = stopped.stderr
    assert stopped.returncode == 130, said
    there = finished(output)
    assert 5 <= there < 42
    assert f"stopped with {there} of 42 chunks" in said
    status = zarr.open_array(str(output / "status"), mode="r")[:]
    assert (status == -5).any()

    # the size of the chunks is that of the first run
    again = run(recipe, data, "-o", output, "--fits-per-chunk", 50)
    assert again.exit_code == 0, again.output
    assert f"{there} of 42 chunks were there already" in again.stderr
    assert finished(output) == 42
    group = zarr.open_group(str(output), mode="r")
    for name, values in all_maps(expected):
        np.testing.assert_array_equal(group[name][:], values, err_msg=name)

    # nothing else gets mixed up with it
    other = tmp_path / "other.json"
    other.write_text(json.dumps(RECIPE | {"fixed": {"offset": 0}}))
    refused = run(other, data, "-o", output)
    assert refused.exit_code == 1
    assert "another recipe" in refused.stderr
    refused = run(recipe, save_tif(tmp_path), "-o", output)
    assert "another input" in refused.stderr
    np.save(tmp_path / "stack.npy", STACK + 1)
    assert "was changed since" in run(recipe, data, "-o", output).stderr


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "JSON object"),
        ({"verb": "fit_stars"}, "choose one of fit_voxels, fit_image, fit_spots"),
        ({"verb": []}, "choose one of fit_voxels, fit_image, fit_spots"),
        ({"sigma": 10**400}, "sigma in the recipe is too large"),
        ({"init": {"tau": [1, -(10**400)]}}, "give a number below 1e308"),
        ({"verb": "fit_spots", "model": "gaussian_2d", "x": [1]}, "'axis', which is not known"),
        ({"model": "exponential_decya"}, "did you mean 'exponential_decay'"),
        ({"model": "a*exp(-t)"}, "give also its coordinates"),
        ({"model": {"expression": "__import__('os')", "coords": ["t"]}}, "."),
        ({"model": 3}, "give the name of one"),
        ({"mask": [1]}, "masks stand in a step 'region'"),
        ({"colour": 1}, "'colour', which is not known"),
        ({"axis": "z"}, "whole number"),
        ({"x": ["a"]}, "x in the recipe is 'a'"),
        ({"init": [1]}, "init in the recipe"),
        ({"bounds": {"tau": 3}}, r"give \[lower, upper\]"),
        ({"fixed": {"tau": [[1], [1, 2]]}}, "rows of different lengths"),
        ({"tied": {"tau": 3}}, "give an expression"),
        ({"shared": "tau"}, "give a list of names"),
        ({"sigma": [1, 2]}, "sigma as an array is for scripts"),
        ({"options": {"max_iter": 3}}, "the recipe's options has 'max_iter'"),
        ({"options": {"ftol": "small"}}, "is not a tolerance"),
        ({"options": {"loss": ["huber"]}}, "give a number or a name"),
        ({"camera": {"gain": 2}}, "makes noise 'poisson'"),
        ({"camera": {"volts": 2}}, "'volts', which is not known"),
    ],
)
def test_recipes_are_checked(said: Any, words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        Recipe.of(RECIPE | said if isinstance(said, dict) else said)


def test_mistakes_are_sentences(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, output = save_npy(tmp_path), tmp_path / "results"

    def refusal(*arguments: Any) -> str:
        done = run(*arguments)
        assert done.exit_code == 1
        assert "Traceback" not in done.output
        return done.stderr

    assert "cannot be read" in refusal(tmp_path / "none.json", data, "-o", output)
    (tmp_path / "broken.json").write_text("{")
    assert "not JSON" in refusal(tmp_path / "broken.json", data, "-o", output)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "lists within lists" in refusal(tmp_path / "deep.json", data, "-o", output)
    assert "no file or folder" in refusal(recipe, tmp_path / "none.npy", "-o", output)
    assert "of no kind" in refusal(recipe, recipe, "-o", output)
    assert "cannot be read as an array" in refusal(recipe, _text(tmp_path / "text.npy"), "-o", output)
    assert "name one" in refusal(recipe, save_h5(tmp_path).partition("::")[0], "-o", output)
    assert "has no dataset" in refusal(recipe, save_h5(tmp_path) + "s", "-o", output)
    assert "is no Zarr array" in refusal(recipe, tmp_path, "-o", output)
    assert "no result of this program" in refusal(recipe, data, "-o", tmp_path)
    assert "nothing can be written to" in refusal(recipe, data, "-o", Path(data) / "below")
    damaged = Path(save_tif(tmp_path))
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    assert "cannot be read" in refusal(recipe, damaged, "-o", tmp_path / "damaged")
    np.save(tmp_path / "short.npy", STACK[:5])
    assert "5 samples along axis 0" in refusal(recipe, tmp_path / "short.npy", "-o", output)
    assert "no Dask scheduler answers" in refusal(recipe, data, "-o", output, "--scheduler", "tcp://127.0.0.1:9")
    for module, extra, options in (
        ("distributed", "cluster", ["--scheduler", "tcp://127.0.0.1:9"]),
        ("zarr", "export", []),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        said = refusal(recipe, data, "-o", tmp_path / "more", *options)
        assert f'needs {module}, which is not installed; run: pip install "napari-imagefit[{extra}]"' in said
        assert not (tmp_path / "more").exists()


def _text(path: Path) -> Path:
    path.write_text("no array")
    return path


def test_the_demo_without_qt_says_what_to_install() -> None:
    script = """
import sys
for name in ("PyQt5", "PyQt6", "PySide2", "PySide6"):
    sys.modules[name] = None
from napari_imagefit.__main__ import main
sys.argv = ["napari-imagefit", "demo"]
main()
"""
    environment = {name: value for name, value in os.environ.items() if name != "QT_API"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 1
    assert "Install a Qt binding" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
