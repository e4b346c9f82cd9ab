"""Tables of localisations, written and read back, in three styles."""

from __future__ import annotations

import doctest
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_imagefit import FitResult, fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.files import localisations as module
from napari_imagefit.imaging.files.localisations import read_localisations, write_localisations

SHAPE = (2, 40, 60)
POINTS = np.array([(0, 10, 12), (0, 28, 30), (1, 11, 14), (1, 29, 46)])
CENTRES = POINTS + np.array([0, 0.25, -0.3])
Y, X = np.indices(SHAPE[1:])
STACK = (
    np.random.default_rng(0)
    .poisson(
        [
            10 + sum(300 * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.4**2) for f, y, x in CENTRES if f == frame)
            for frame in (0, 1)
        ]
    )
    .astype(float)
)
# one without an answer
STACK[0, 4:17, 6:19] = np.nan
HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None


@pytest.fixture(scope="module")
def found() -> FitResult:
    result = fit_spots(STACK, POINTS, "gaussian_2d", window=11, noise="poisson")
    assert result.converged.tolist() == [False, True, True, True]
    return result


def test_our_own_table_has_every_spot_and_says_its_units(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    write_localisations(found, path, pixel_size=(0.2, 0.1), units="µm")
    back = read_localisations(path)
    assert back.style == "imagefit"
    assert back.pixel_size == (0.2, 0.1)
    assert len(back.features) == 4
    # without an answer it lies where it was asked for
    np.testing.assert_array_equal(back.points[0], POINTS[0])
    np.testing.assert_array_equal(back.points[1:, 0], POINTS[1:, 0])
    np.testing.assert_array_equal(back.points[1:, 1], found.params["y"][1:])
    np.testing.assert_array_equal(back.features["x_stderr [µm]"], 0.1 * found.stderr["x"])
    np.testing.assert_array_equal(back.features["amplitude [data]"], found.params["amplitude"])
    expected = {"frame", "point_y [px]", "sigma [px]", "fwhm_y [µm]", "photons [photons]", "photons_stderr [photons]"}
    assert expected | {"status", "flags", "message", "ellipticity", "precision [µm]"} <= set(back.features.columns)
    assert "too few" in back.features["message"][0] or "fewer" in back.features["message"][0]


def test_picasso(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    write_localisations(found, path, "picasso")
    names = ["frame", "x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy", "ellipticity"]
    assert path.read_text().splitlines()[0] == ",".join(names)
    back = read_localisations(path)
    assert back.style == "picasso"
    assert back.pixel_size is None
    good = found.converged
    expected = np.column_stack([POINTS[good, 0], found.params["y"][good], found.params["x"][good]])
    np.testing.assert_array_equal(back.points, expected)
    np.testing.assert_array_equal(back.features["lpx"], found.stderr["x"][good])
    photons = 2 * np.pi * found.params["amplitude"] * found.params["sigma"] ** 2
    np.testing.assert_allclose(back.features["photons"], photons[good])
    np.testing.assert_allclose(back.features["bg"], found.params["offset"][good])
    assert (back.features["ellipticity"] == 0).all()


def test_thunderstorm(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    write_localisations(found, path, "thunderstorm", pixel_size=0.1, units="µm")
    header = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]","bkgstd [photon]"'
    assert path.read_text().splitlines()[0] == header + ',"uncertainty [nm]"'
    table = pd.read_csv(path)
    good = found.converged
    assert table["frame"].tolist() == [1, 2, 2]
    assert table["id"].tolist() == [1, 2, 3]
    # the origin is the corner of the first pixel
    np.testing.assert_allclose(table["x [nm]"], 100 * (found.params["x"][good] + 0.5))
    np.testing.assert_allclose(table["sigma [nm]"], 100 * found.params["sigma"][good])
    left = found.residual()[good].reshape(3, -1)
    np.testing.assert_allclose(table["bkgstd [photon]"], np.sqrt((left**2).sum(axis=1) / (121 - 5)))
    back = read_localisations(path, pixel_size=0.1, units="µm")
    assert back.style == "thunderstorm"
    np.testing.assert_allclose(back.pixel_size, (100, 100))
    np.testing.assert_allclose(back.points[:, 1], found.params["y"][good], rtol=1e-12)
    np.testing.assert_array_equal(back.points[:, 0], POINTS[good, 0])
    with pytest.raises(FitInputError, match="are in nm; give pixel_size"):
        read_localisations(path)


def test_only_what_is_kept(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    for style, rows in (("imagefit", 2), ("picasso", 1)):
        write_localisations(found, path, style, keep=[True, False, True, False])  # type: ignore[arg-type]
        assert len(read_localisations(path).points) == rows
    write_localisations(found, path, "picasso", keep=np.zeros(4, bool))
    assert len(read_localisations(path).points) == 0
    with pytest.raises(FitInputError, match=r"keep has shape \(2,\)"):
        write_localisations(found, path, keep=[True, False])


def test_a_plane_without_frames(tmp_path: Path) -> None:
    result = fit_spots(STACK[1], POINTS[2:, 1:], "gaussian_2d", window=11, noise="poisson")
    path = tmp_path / "spots.csv"
    write_localisations(result, path)
    back = read_localisations(path)
    np.testing.assert_array_equal(back.points[:, 0], result.params["y"])
    assert back.points.shape == (2, 2)
    assert back.pixel_size is None
    write_localisations(result, path, "picasso")
    assert (read_localisations(path).points[:, 0] == 0).all()


@pytest.mark.slow
def test_volumes(tmp_path: Path) -> None:
    z, y, x = np.indices((9, 21, 21))
    square = ((z - 4.2) / 1.2) ** 2 + ((y - 10.3) / 1.5) ** 2 + ((x - 9.8) / 1.5) ** 2
    result = fit_spots(40 * np.exp(-0.5 * square) + 20, [[4, 10, 10]], "gaussian_3d_elliptic", window=(5, 7, 7))
    path = tmp_path / "bead.csv"
    size = (200, 65, 65)
    for style in ("imagefit", "picasso", "thunderstorm"):
        write_localisations(result, path, style, pixel_size=size, units="nm")  # type: ignore[arg-type]
        back = read_localisations(path, pixel_size=size)
        np.testing.assert_allclose(back.points[0, -3:], (4.2, 10.3, 9.8), atol=1e-5)
    assert {"z [nm]", "sigma1 [nm]", "sigma2 [nm]", "uncertainty_z [nm]"} <= set(back.features.columns)


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow is not installed")
def test_parquet(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.parquet"
    write_localisations(found, path, "picasso")
    assert len(read_localisations(path).points) == 3


@pytest.mark.skipif(HAS_PYARROW, reason="pyarrow is installed")
def test_parquet_without_pyarrow(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.parquet"
    with pytest.raises(FitInputError, match="pip install pyarrow"):
        write_localisations(found, path)
    path.write_bytes(b"PAR1")
    with pytest.raises(FitInputError, match="pip install pyarrow"):
        read_localisations(path)


def test_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FitInputError, match="has the columns a, b, and is no table of localisations"):
        read_localisations(path)
    path.write_text("frame,x,y,photons\n1,two,3,4\n")
    # ThunderSTORM's, in pixels: frames from 1, and the origin in a corner
    path.with_name("storm.csv").write_text('"id","frame","x [px]","y [px]","intensity [photon]"\n1,1,10.5,20.5,300\n')
    with pytest.raises(FitInputError, match="is no table of localisations"):
        read_localisations(path.with_name("storm.csv"))
    with pytest.raises(FitInputError, match="something else than numbers"):
        read_localisations(path)
    path.write_text("")
    with pytest.raises(FitInputError, match="is no table"):
        read_localisations(path)
    with pytest.raises(FitInputError, match="cannot be read"):
        read_localisations(tmp_path / "nowhere.csv")
    with pytest.raises(FitInputError, match="no kind that is read"):
        read_localisations(tmp_path / "spots.hdf5")


def test_what_makes_no_sense(found: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    with pytest.raises(FitInputError, match="units='px' is no length"):
        write_localisations(found, path, "thunderstorm")
    with pytest.raises(FitInputError, match="units='s' is no length"):
        write_localisations(found, path, "thunderstorm", units="s")
    with pytest.raises(FitInputError, match="style='storm' is not known"):
        write_localisations(found, path, "storm")  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match=r"end it in \.csv or \.parquet"):
        write_localisations(found, tmp_path / "spots.txt")
    with pytest.raises(FitInputError, match=r"reasons has shape \(1,\); give one for each of 4"):
        write_localisations(found, path, reasons=["a"])
    with pytest.raises(FitInputError, match=r"keep has shape \(4,\) and type int64"):
        write_localisations(found, path, keep=np.array([1, 0, 1, 0]))
    with pytest.raises(FitInputError, match="comes without its unit"):
        write_localisations(found, path, pixel_size=0.1)
    with pytest.raises(FitInputError, match="cannot be written"):
        write_localisations(found, tmp_path / "nowhere" / "spots.csv")


def test_the_example_runs() -> None:
    assert doctest.testmod(module).failed == 0
