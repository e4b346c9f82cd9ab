"""Everything that is written is read back with the libraries that others read it with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_imagefit import FitResult, fit_image, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.files import export
from napari_imagefit.imaging.files.export import write
from napari_imagefit.imaging.fitting.derived_maps import DerivedMap, derive
from napari_imagefit.imaging.fitting.status_labels import remark_words
from napari_imagefit.imaging.recipes.recipe import Recipe

T = np.arange(8.0)
GRID = (3, 4, 5)
UNITS = {"tau": "ms"}
# of the stack; its first axis, the time, is left out
TRANSFORM = {"scale": (9.0, 2.0, 0.5, 0.25), "translate": (0.0, 10.0, 20.0, 30.0), "units": ("ms", "um", "um", "um")}
NAMES = ["amplitude", "tau", "offset", "amplitude_stderr", "tau_stderr", "offset_stderr"]
REST = ["reduced_chi2", "r2", "n_used", "status", "attempt"]


def make(grid: tuple[int, ...], axis: int = 0) -> FitResult:
    rng = np.random.default_rng(0)
    stack = 3 * np.exp(-T.reshape(-1, *(1,) * len(grid)) / rng.uniform(2, 5, grid)) + 0.2
    stack += rng.normal(0, 0.01, stack.shape)
    stack[(slice(None), *(0,) * len(grid))] = np.nan
    return fit_voxels(np.moveaxis(stack, 0, axis), "exponential_decay", x=T, axis=axis)


@pytest.fixture(scope="module")
def result() -> FitResult:
    return make(GRID)


@pytest.fixture(scope="module")
def rate(result: FitResult) -> DerivedMap:
    return derive(result, "1/tau", UNITS)


def expected(result: FitResult, name: str) -> np.ndarray:
    if name.endswith("_stderr"):
        return result.stderr[name.removesuffix("_stderr")]
    return result.params[name] if name in result.params else np.asarray(getattr(result, name))


def assert_maps(stacked: np.ndarray, result: FitResult, rate: DerivedMap) -> None:
    """Channels are the maps in single precision, NaN included."""
    for channel, name in zip(stacked[:6], NAMES, strict=True):
        np.testing.assert_array_equal(channel, expected(result, name).astype(np.float32))
    np.testing.assert_array_equal(stacked[6], rate.values.astype(np.float32))
    np.testing.assert_array_equal(stacked[7], rate.stderr.astype(np.float32))
    for channel, name in zip(stacked[8:], REST, strict=True):
        np.testing.assert_array_equal(channel, expected(result, name).astype(np.float32))
    assert np.isnan(stacked[1][0, 0, 0])


def test_ome_tiff(result: FitResult, rate: DerivedMap, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    written = write(result, tmp_path / "maps.ome.tif", transform=TRANSFORM, units=UNITS, derived=[rate])
    assert written == [tmp_path / "maps.ome.tif", tmp_path / "maps.recipe.json"]
    with tifffile.TiffFile(written[0]) as file:
        assert file.is_ome
        assert file.series[0].axes == "CZYX"
        stacked = file.asarray()
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert "tau in ms" in tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"]
    assert stacked.dtype == np.float32
    assert_maps(stacked, result, rate)
    assert [channel["Name"] for channel in pixels["Channel"]] == [*NAMES, "1/tau", "1/tau_stderr", *REST]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
    assert [pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"] == ["µm"] * 3


def test_the_recipe_can_be_run_again(result: FitResult, tmp_path: Path) -> None:
    *_, recipe = write(result, tmp_path, format="csv")
    said = json.loads(recipe.read_text(encoding="utf-8"))
    assert said["steps"][-1] == {"step": "fit", **result.recipe()}
    assert Recipe.load(recipe).to_dict() == said


@pytest.mark.parametrize(
    ("units", "scale", "sizes", "names"),
    [
        (("nm", "nm"), (5.0, 7.0), (5.0, 7.0), ("nm", "nm")),
        (("micron", "inch"), (5.0, 1.0), (5.0, 1.0), ("µm", "in")),
        (("pixel", "pixel"), (5.0, 7.0), (5.0, 7.0), ("pixel", "pixel")),
        (None, (5.0, -7.0), (5.0, 7.0), ("reference frame", "reference frame")),
        (("ms", "um"), (5.0, 7.0), (5.0, 7.0), ("reference frame", "µm")),
    ],
)
def test_ome_sizes(units: Any, scale: Any, sizes: Any, names: Any, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    plane = make((3, 4))
    write(plane, tmp_path / "plane.tif", transform={"scale": scale, "units": units})
    with tifffile.TiffFile(tmp_path / "plane.tif") as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        # OME's sizes are positive: what runs backwards is turned around
        tau = plane.params["tau"].astype(np.float32)[:, :: int(np.sign(scale[1]))]
        np.testing.assert_array_equal(file.asarray()[1], tau)
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == pytest.approx(sizes)
    assert (pixels["PhysicalSizeYUnit"], pixels["PhysicalSizeXUnit"]) == names


def test_a_line_and_frames_as_ome_tiff(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    line, frames = make((4,)), make((2, 3, 4, 5))
    write(line, tmp_path / "line.ome.tif")
    assert tifffile.imread(tmp_path / "line.ome.tif").shape == (11, 1, 4)
    write(frames, tmp_path / "frames.ome.tif", transform={"scale": (0.5, 1, 1, 1), "units": ("min", "mm", "mm", "mm")})
    with tifffile.TiffFile(tmp_path / "frames.ome.tif") as file:
        assert file.series[0].axes == "CTZYX"
        np.testing.assert_array_equal(file.asarray()[1], frames.params["tau"].astype(np.float32))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (0.5, "min")


def test_ome_tiff_says_where_the_maps_lie(result: FitResult, tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    backwards = {"scale": (2.0, -0.5, 0.25), "translate": (10.0, 20.0, 0.0), "units": ("um", "nm", "um")}
    frames = {"scale": (0.5, 1, 1, 1), "translate": (3, 0, 0, -7), "units": ("min", "mm", "mm", "mm")}
    write(result, tmp_path / "maps.ome.tif", transform=backwards)
    write(make((2, 3, 4, 5)), tmp_path / "frames.ome.tif", transform=frames)
    write(result, tmp_path / "nowhere.ome.tif", transform={"scale": (2, 2, 2)})
    said = {}
    for name in ("maps", "frames", "nowhere"):
        with tifffile.TiffFile(tmp_path / f"{name}.ome.tif") as file:
            said[name] = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
            if name == "maps":
                # a marked voxel: NaN at (0, 0, 0) lies at 10 µm, 20 nm
                at = tuple(int(i) for i in np.argwhere(np.isnan(file.asarray()[1]))[0])
    planes = {(p["TheC"], p["TheZ"]): p for p in said["maps"]["Plane"]}
    assert len(planes) == 11 * 3
    assert at == (0, 3, 0)
    here = planes[1, at[0]]
    assert (here["PositionZ"], here["PositionZUnit"]) == (10.0, "µm")
    assert here["PositionY"] + at[1] * said["maps"]["PhysicalSizeY"] == 20.0
    assert here["PositionYUnit"] == said["maps"]["PhysicalSizeYUnit"] == "nm"
    assert "PositionX" not in here
    assert planes[5, 2]["PositionZ"] == 14.0
    assert {(p["TheT"], p["DeltaT"], p["PositionX"]) for p in said["frames"]["Plane"]} == {(0, 3.0, -7), (1, 3.5, -7)}
    assert "Plane" not in said["nowhere"]


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def test_what_is_rotated_goes_into_nifti_only(result: FitResult, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    turned = {"scale": (3.0, 2, 1), "translate": (5.0, 6, 7), "rotate": rotation(30), "units": ("mm",) * 3}
    for name in ("maps.ome.tif", "maps.zarr"):
        with pytest.raises(FitInputError, match=r"is rotated or sheared, which OME-.* cannot say"):
            write(result, tmp_path / name, transform=turned)
    assert os.listdir(tmp_path) == []
    write(result, tmp_path / "maps.nii", transform=turned)
    image = nibabel.load(tmp_path / "maps_tau.nii")
    for index in ((0, 0, 0), (2, 1, 3)):
        place = rotation(30) @ np.diag((3.0, 2, 1)) @ index + (5, 6, 7)
        np.testing.assert_allclose((image.affine @ (*index[::-1], 1))[:3], place[::-1], atol=1e-5)
    # an affine of the whole stack: what moves the maps counts, what mixes the fitted axis with others does not go
    moved = np.eye(5)
    moved[1:4, 4] = 1, 2, 3
    write(result, tmp_path / "moved.nii", transform={"affine": moved, "units": ("s", "mm", "mm", "mm")})
    assert nibabel.load(tmp_path / "moved_tau.nii").affine[:3, 3].tolist() == [3, 2, 1]
    moved[0, 2] = 0.1
    with pytest.raises(FitInputError, match="affine of the transform mixes the fitted axis with the others"):
        write(result, tmp_path / "mixed.nii", transform={"affine": moved})


def test_nifti_keeps_an_affine(result: FitResult, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[0, -2.0, 0, 11], [1.5, 0, 0, -3], [0, 0.1, 3, 7], [0, 0, 0, 1]])
    written = write(result, tmp_path / "maps.nii.gz", affine=affine, units=UNITS)
    assert [path.name for path in written] == [*(f"maps_{name}.nii.gz" for name in NAMES + REST), "maps.recipe.json"]
    for path, name in zip(written, NAMES + REST, strict=False):
        image = nibabel.load(path)
        np.testing.assert_allclose(image.affine, affine, rtol=1e-6)
        values = np.asarray(image.dataobj)
        np.testing.assert_array_equal(values, expected(result, name).astype(values.dtype))
    image = nibabel.load(written[1])
    assert image.get_data_dtype() == np.float32
    assert image.header.get_xyzt_units()[0] == "mm"
    assert bytes(image.header["descrip"]).rstrip(b"\0") == b"tau [ms]"
    assert np.issubdtype(nibabel.load(tmp_path / "maps_status.nii.gz").get_data_dtype(), np.integer)


def test_nifti_from_scale_and_translate(result: FitResult, rate: DerivedMap, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    written = write(result, tmp_path, format="nifti", transform=TRANSFORM, derived=[rate])
    image = nibabel.load(tmp_path / "exponential_decay_tau.nii.gz")
    # x, y, z of napari's z, y, x, in millimetres
    np.testing.assert_allclose(np.diag(image.affine), [0.25e-3, 0.5e-3, 2e-3, 1], rtol=1e-6)
    np.testing.assert_allclose(image.affine[:3, 3], [30e-3, 20e-3, 10e-3], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(image.dataobj), result.params["tau"].astype(np.float32).transpose(2, 1, 0))
    assert tmp_path / "exponential_decay_1_tau.nii.gz" in written


@pytest.mark.parametrize("affine", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_an_affine_that_is_none(result: FitResult, affine: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(FitInputError, match="4×4"):
        write(result, tmp_path, format="nifti", affine=affine)


def test_nifti_of_planes_and_frames(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    plane, frames = make((3, 4)), make((2, 3, 4, 5))
    write(plane, tmp_path / "plane.nii")
    assert nibabel.load(tmp_path / "plane_tau.nii").shape == (4, 3, 1)
    write(frames, tmp_path / "frames.nii", transform={"scale": (0.5, 1, 2, 3), "units": ("min", "mm", "mm", "mm")})
    image = nibabel.load(tmp_path / "frames_tau.nii")
    assert image.shape == (5, 4, 3, 2)
    assert image.header.get_zooms() == pytest.approx((3, 2, 1, 30))
    assert image.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(np.asarray(image.dataobj), frames.params["tau"].astype(np.float32).transpose())
    backwards = {"scale": (-0.5, 1, 2, 3), "translate": (4, 0, 0, 0), "units": ("min", "mm", "mm", "mm")}
    write(frames, tmp_path / "back.nii", transform=backwards)
    image = nibabel.load(tmp_path / "back_tau.nii")
    assert (image.header.get_zooms()[3], float(image.header["toffset"])) == (30, 210)
    np.testing.assert_array_equal(
        np.asarray(image.dataobj)[..., ::-1], frames.params["tau"].astype(np.float32).transpose()
    )


def test_zarr(result: FitResult, rate: DerivedMap, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    written = write(result, tmp_path / "maps.zarr", transform=TRANSFORM, units=UNITS, derived=[rate])
    group = zarr.open_group(str(written[0]), mode="r")
    assert_maps(group["0"][:], result, rate)
    ome = group.attrs["ome"]
    (image,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in image["axes"]] == ["c", "z", "y", "x"]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "micrometer", "micrometer", "micrometer"]
    (dataset,) = image["datasets"]
    assert dataset["path"] == "0"
    assert dataset["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 2, 0.5, 0.25]},
        {"type": "translation", "translation": [0, 10, 20, 30]},
    ]
    assert [channel["label"] for channel in ome["omero"]["channels"]] == [*NAMES, "1/tau", "1/tau_stderr", *REST]
    assert {"name": "tau", "unit": "ms"} in group.attrs["napari_imagefit"]["maps"]
    steps = group.attrs["napari_imagefit"]["recipe"]["steps"]
    assert {"step": "fit", **result.recipe()} in steps
    assert steps[-1] == {"step": "derive", "expression": "1/tau", "units": UNITS}


def test_csv(result: FitResult, rate: DerivedMap, tmp_path: Path) -> None:
    path, _ = write(result, tmp_path / "table.csv", units=UNITS, derived=[rate])
    table = pd.read_csv(path)
    assert len(table) == 60
    own = result.to_dataframe()
    assert table["status_code"].tolist() == own["status"].tolist()
    assert table["status"].tolist() == own["message"].tolist()
    assert pd.read_csv(path, keep_default_na=False)["remarks"].tolist() == remark_words(result).tolist()
    for name in ("amplitude", "r2", "n_used", "flags", "attempt"):
        if own[name].dtype.kind == "f":
            np.testing.assert_allclose(table[name], own[name], rtol=1e-12)
        else:
            assert table[name].tolist() == own[name].tolist()
    np.testing.assert_allclose(table["tau [ms]"], result.params["tau"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(table["tau_stderr [ms]"], result.stderr["tau"].ravel(), rtol=1e-12)
    np.testing.assert_allclose(table["1/tau [1/ms]"], 1 / result.params["tau"].ravel(), rtol=1e-12)
    assert "tau" not in table


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("maps.nii.gz", "nibabel", '"napari-imagefit[export]"'),
        ("maps.zarr", "zarr", '"napari-imagefit[export]"'),
        ("table.parquet", "pyarrow", "pyarrow"),
    ],
)
def test_what_is_not_installed_is_said_first(
    result: FitResult, name: str, module: str, install: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    # nothing is looked at, let alone computed
    monkeypatch.setattr(export, "iter_maps", lambda *_: pytest.fail("too early"))
    with pytest.raises(FitInputError) as caught:
        write(result, tmp_path / name)
    said = str(caught.value)
    assert f"needs {module}, which is not installed; run: pip install {install}, or choose another format" in said
    assert os.listdir(tmp_path) == []


def test_parquet(result: FitResult, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path, _ = write(result, tmp_path / "table.parquet", units=UNITS)
    np.testing.assert_array_equal(pd.read_parquet(path)["tau [ms]"], result.params["tau"].ravel())


@pytest.mark.parametrize("name", ["maps.ome.tif", "maps.nii", "maps.zarr", "maps.csv"])
def test_nothing_is_overwritten_unless_asked(result: FitResult, name: str, tmp_path: Path) -> None:
    written = write(result, tmp_path / name)
    with pytest.raises(FitInputError, match="exists; choose another name"):
        write(result, tmp_path / name)
    before = sorted(os.listdir(tmp_path))
    (tmp_path / "maps.recipe.json").write_text("older", encoding="utf-8")
    assert write(result, tmp_path / name, overwrite=True) == written
    assert sorted(os.listdir(tmp_path)) == before
    assert "older" not in (tmp_path / "maps.recipe.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "function"),
    [("maps.ome.tif", "write_ome_tiff"), ("maps.nii", "write_nifti"), ("maps.zarr", "write_zarr")],
)
def test_a_failure_leaves_nothing(
    result: FitResult, name: str, function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really: Callable[..., None] = getattr(export, function)
    calls = [0]

    def fail(path: Path, *rest: Any, **named: Any) -> None:
        calls[0] += 1
        really(path, *rest, **named)
        if function != "write_nifti" or calls[0] == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, function, fail)
    with pytest.raises(FitInputError, match="cannot be written: No space left on device"):
        write(result, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_mistakes(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for arguments, said in (
        ({"path": tmp_path / "maps.png"}, "does not tell a format"),
        ({"path": tmp_path / "maps", "format": "png"}, "'png' is not known"),
        ({"path": tmp_path / "no" / "maps.csv"}, "does not exist"),
        ({"path": tmp_path / "file", "format": "csv"}, "is a file"),
        ({"path": tmp_path / "m.zarr", "transform": {"scale": (1, 2)}}, "has 2 values"),
        ({"path": tmp_path / "m.zarr", "transform": {"scale": (1, 0, 2)}}, "other than 0"),
        ({"path": tmp_path / "m.zarr", "transform": {"units": ("nonsense",) * 3}}, "is not a unit"),
    ):
        with pytest.raises(FitInputError, match=said):
            write(result, **arguments)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["file"]


def test_fits_that_make_no_map(tmp_path: Path) -> None:
    single = make(())
    y, x = np.mgrid[:12, :12]
    image = fit_image(np.exp(-((y - 5.0) ** 2 + (x - 6.0) ** 2) / 8), "gaussian_2d", should_stop=lambda: True)
    for other, said in ((single, "a single fit"), (image, "not of voxels")):
        with pytest.raises(FitInputError, match=said):
            write(other, tmp_path / "maps.ome.tif")
        assert len(write(other, tmp_path / f"{other.model.name}.csv")) == 2


def test_the_fitted_axis_in_the_middle(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    middle = make((3, 4), axis=1)
    write(middle, tmp_path / "m.zarr", transform={"scale": (2.0, 99.0, 3.0), "units": ("mm", "s", "mm")})
    image = zarr.open_group(str(tmp_path / "m.zarr"), mode="r").attrs["ome"]["multiscales"][0]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 2, 3]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "millimeter", "millimeter"]
