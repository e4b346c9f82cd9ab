"""`napari-imagefit run` of spots: an image and a table of points in, a Zarr group out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner, Result

from napari_imagefit import FitResult, fit_spots
from napari_imagefit.command_line.app import app
from napari_imagefit.imaging.files.localisations import write_localisations
from napari_imagefit.imaging.files.zarr_store import ResultStore
from napari_imagefit.imaging.fitting.records import all_maps
from napari_imagefit.imaging.spots.points_file import read_csv

RNG = np.random.default_rng(0)
POINTS = np.column_stack([RNG.integers(0, 4, 60), RNG.uniform(0, [39, 49], (60, 2))])
STACK = RNG.normal(5, 1, (4, 40, 50)).astype(np.float32)
Y, X = np.indices((40, 50))
for frame, y, x in POINTS:
    STACK[int(frame)] += 60 * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.3**2)
NAMES = ["frame", "point_y", "point_x"]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


@pytest.fixture(scope="module")
def expected() -> FitResult:
    return fit_spots(STACK, POINTS, "gaussian_2d", window=7, sigma=1.0)


@pytest.fixture
def files(tmp_path: Path, expected: FitResult) -> tuple[Path, ...]:
    """A recipe, an image, and points among other columns and not in their order."""
    recipe, image, points = tmp_path / "recipe.json", tmp_path / "stack.zarr", tmp_path / "points.csv"
    recipe.write_text(json.dumps(expected.recipe() | {"sigma": 1.0}))
    zarr.create_array(str(image), data=STACK, chunks=(1, 13, 20))
    table = pd.DataFrame(POINTS, columns=NAMES).assign(name="spot")
    table[["name", "point_x", "frame", "point_y"]].to_csv(points, index=False)
    return recipe, image, points


def test_a_stopped_run_goes_on(
    tmp_path: Path, files: tuple[Path, ...], expected: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, image, points = files
    command = (recipe, image, "--points", points, "-o", tmp_path / "out")
    write = ResultStore.write

    def stop(store: ResultStore, number: int, result: FitResult) -> None:
        if number == 3:
            raise KeyboardInterrupt
        write(store, number, result)

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "write", stop)
        stopped = run(*command, "--fits-per-chunk", 5)
    assert stopped.exit_code == 130, stopped.output
    assert "stopped with 3 of" in stopped.stderr
    group = zarr.open_group(str(tmp_path / "out"), mode="r")
    status = group["status"][:]
    assert 0 < np.count_nonzero(status == -5) < 60
    there = status != -5
    np.testing.assert_array_equal(group["params/x"][:], np.where(there, expected.params["x"], np.nan))

    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "3 of" in done.stderr
    assert "60 fits" in done.stderr
    for name, values in all_maps(expected):
        np.testing.assert_array_equal(group[name][:], values, err_msg=name)
    np.testing.assert_array_equal(group["points"][:], POINTS)

    # napari's own names; the same places, and others
    pd.DataFrame(POINTS, columns=["axis-0", "axis-1", "axis-2"]).to_csv(points)
    assert run(*command).exit_code == 0
    pd.DataFrame(POINTS[::-1], columns=NAMES).to_csv(points)
    refused = run(*command)
    assert refused.exit_code == 1
    assert "other points" in refused.stderr


@pytest.mark.parametrize("style", ["imagefit", "picasso"])
def test_points_from_tables_that_were_exported(
    tmp_path: Path, files: tuple[Path, ...], expected: FitResult, style: Any
) -> None:
    recipe, image, _ = files
    write_localisations(expected, tmp_path / "spots.csv", style)
    done = run(recipe, image, "--points", tmp_path / "spots.csv", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    found = zarr.open_group(str(tmp_path / "out"), mode="r")["params/x"][:]
    points = POINTS
    if style == "picasso":
        points = read_csv(tmp_path / "spots.csv")[["frame", "y", "x"]].to_numpy(float)
    wanted = fit_spots(STACK, points, "gaussian_2d", window=7, sigma=1.0)
    np.testing.assert_array_equal(found, wanted.params["x"])


def test_mistakes_are_sentences(tmp_path: Path, files: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, image, points = files

    def refusal(said: dict[str, Any] | None = None, *arguments: Any) -> str:
        if said is not None:
            recipe.write_text(json.dumps({"verb": "fit_spots", "model": "gaussian_2d"} | said))
        done = run(recipe, image, "-o", tmp_path / "out", *arguments)
        assert done.exit_code == 1
        assert "Traceback" not in done.output
        return done.stderr

    def table(text: str, name: str = "wrong.csv") -> tuple[str, Path]:
        (tmp_path / name).write_text(text)
        return "--points", tmp_path / name

    assert "give points (--points FILE)" in refusal()
    assert "cannot be read: No such file" in refusal(None, "--points", tmp_path / "none.csv")
    assert "of no kind" in refusal(None, "--points", recipe)
    assert "columns a, b; give frame, point_y, point_x or axis-0" in refusal(None, *table("a,b\n1,2\n"))
    assert "else than numbers" in refusal(None, *table("axis-0,axis-1,axis-2\n1,2,c\n"))
    assert "is no table" in refusal(None, *table(""))
    assert "lies outside" in refusal(None, *table("axis-0,axis-1,axis-2\n1,2,99\n"))
    assert "window in the recipe is 'wide'" in refusal({"window": "wide"}, "--points", points)
    assert "no pixel in its middle" in refusal({"window": [7, 8]}, "--points", points)
    assert "chunk by chunk" in refusal({"shared": ["sigma"]}, "--points", points)
    assert "use fit_voxels" in refusal({"model": "linear"}, "--points", points)
    assert "--points FILE" in refusal({"points": [[1, 2, 3]]}, "--points", points)
    assert "takes no points" in refusal({"verb": "fit_image"}, "--points", points)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in refusal({}, *table("", "points.parquet"))
