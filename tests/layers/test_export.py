"""What is written of a fit: files that keep its place and units, and scripts that give its numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Image

from napari_imagefit import Selection, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.files.export import formats_for, write_outcome
from napari_imagefit.layers.files.script import as_python
from napari_imagefit.layers.geometry.output_layers import role
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any
from napari_imagefit.layers.tasks.voxel_tasks import add_map, refit_painted

from .voxel_help import decays, drive, fit_of, request_for


@pytest.fixture
def image() -> Image:
    return decays()


@pytest.fixture
def fitted(image: Image) -> Outcome:
    return fit_of(image)


def test_export_keeps_scale_units_and_affine(fitted: Outcome, image: Image, tmp_path: Path) -> None:
    outcome, _ = drive(add_map(fitted, "1/tau"))
    assert formats_for(outcome) == ("ome-tiff", "nifti", "zarr", "csv", "parquet")
    written = write_outcome(outcome, str(tmp_path / "maps.ome.tif"), "ome-tiff", image)
    assert [path.name for path in written] == ["maps.ome.tif", "maps.recipe.json"]
    with tifffile.TiffFile(written[0]) as file:
        assert 'PhysicalSizeX="2.0" PhysicalSizeXUnit="µm"' in (file.ome_metadata or "")
        assert "1/tau in 1/ms" in (file.ome_metadata or "")
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -7, 4, 1
    image.metadata["affine"] = affine
    files = write_outcome(outcome, str(tmp_path / "maps.nii.gz"), "nifti", image)
    tau = nibabel.load(next(path for path in files if path.name == "maps_tau.nii.gz"))
    np.testing.assert_array_equal(tau.affine, affine)
    assert fitted.result is not None
    np.testing.assert_allclose(np.squeeze(tau.get_fdata()), fitted.result.params["tau"], rtol=1e-6)
    assert json.loads(files[-1].read_text())["steps"][0]["verb"] == "fit_voxels"
    # again, over what is there
    assert write_outcome(outcome, str(tmp_path / "maps.csv"), "csv", None)
    table = pd.read_csv(write_outcome(outcome, str(tmp_path / "maps.csv"), "csv", None)[0])
    np.testing.assert_allclose(table["1/tau [1/ms]"], 1 / table["tau [ms]"])


def run_script(text: str, folder: Any, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    np.save("data.npy", data)
    monkeypatch.setattr("sys.argv", ["fit.py"])
    names: dict[str, Any] = {}
    exec(compile(text, "fit.py", "exec"), names)
    return names


def test_the_script_gives_the_same_numbers(
    image: Image, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    background = Image(np.linspace(0.9, 1.1, 63).reshape(7, 9), name="background", scale=(2, 2), units=("um", "um"))
    from napari.layers import Labels

    from napari_imagefit.layers.request.choices import Computing, NoiseChoice

    region = np.zeros((7, 9), int)
    region[1:6, 2:8] = 1
    region[3, 3] = 0
    request = request_for(
        image,
        Row("offset", background, fixed=True),
        Row("tau", 3.0, 0.5, 50.0),
        region=Labels(region, scale=(2, 2), units=("um", "um")),
        select=Selection(skip_first=1, exclude=((5, 6),)),
        noise=NoiseChoice("sigma", 0.02),
        computing=Computing(tolerance=1e-10, max_iterations=60),
        derived=("amplitude*tau",),
    )
    again, left = np.zeros((2, 7, 9), bool)
    again[2, 3:5], left[4, 4] = True, True
    outcome, _ = drive(run_any(request))
    outcome, _ = drive(refit_painted(outcome, again, left))
    text = as_python(outcome, image)
    names = run_script(text, tmp_path, monkeypatch, np.asarray(image.data))
    found, expected = names["result"], outcome.result
    assert expected is not None
    for name in expected.model.names:
        np.testing.assert_array_equal(found.params[name], expected.params[name])
        np.testing.assert_array_equal(found.stderr[name], expected.stderr[name])
    np.testing.assert_array_equal(found.status, expected.status)
    made = next(o.data[0] for o in outcome.outputs if role(o.data) == "derived:amplitude*tau")
    np.testing.assert_array_equal(names["derived_1"].values, made)
    assert "converged" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="other data"):
        run_script(text, tmp_path, monkeypatch, np.zeros((3, 3)))


def test_the_script_of_regions(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari.layers import Shapes
    from napari.layers._source import Source

    y, x = np.mgrid[:20, :30]
    frames = np.exp(-((y - 9) ** 2 + (x - 14) ** 2) / 18) + np.random.default_rng(1).normal(0, 0.02, (2, 20, 30))
    image = Image(frames, name="cloud", scale=(1, 0.5, 0.5))
    drawn = Shapes([np.array([[1, 2], [1, 12], [9, 12], [9, 2]]) / 2 + [1, 1]], shape_type="rectangle", name="ROI")
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    outcome, _ = drive(run_any(freeze(Choices(image, "region", "gaussian_2d", rows, drawn))))
    names = run_script(as_python(outcome, image), tmp_path, monkeypatch, frames)
    assert outcome.result is not None
    for name in outcome.result.model.names:
        np.testing.assert_array_equal(names["result"].params[name], outcome.result.params[name])
    # of a file that was opened by a path from where the program ran, the script is run elsewhere
    (tmp_path / "opened").mkdir()
    monkeypatch.chdir(tmp_path / "opened")
    np.save("cloud.npy", frames)
    image._set_source(Source(path="cloud.npy"))
    np.testing.assert_array_equal(
        run_script(as_python(outcome, image), tmp_path, monkeypatch, frames[:1])["data"], frames
    )
    drawn.add([drawn.data[0] + 1], shape_type="rectangle")
    overlapping, _ = drive(run_any(freeze(Choices(image, "region", "gaussian_2d", rows, drawn))))
    with pytest.raises(FitInputError, match="Regions that overlap"):
        as_python(overlapping, image)
