"""napari opens tables of localisations: what we write is read, and what is something else is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest

import napari_imagefit
from napari_imagefit import FitResult, fit_image, fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.files.export import write
from napari_imagefit.imaging.files.localisations import read_localisations, write_localisations
from napari_imagefit.layers.files.spot_reader import napari_get_reader

POINTS = np.array([(0, 10, 12), (0, 28, 30), (1, 11, 14)])
Y, X = np.indices((40, 60))
STACK = np.zeros((2, 40, 60))
for at, cy, cx in POINTS:
    STACK[at] += 300 * np.exp(-0.5 * ((Y - cy - 0.25) ** 2 + (X - cx + 0.3) ** 2) / 1.4**2)
STACK[0, 4:17, 6:19] = np.nan  # the first has no answer


@pytest.fixture(autouse=True)
def plugins() -> Iterator[npe2.PluginManager]:
    """napari's test fixtures keep plugins away."""
    manager = npe2.PluginManager.instance()
    manifest = npe2.PluginManifest.from_file(Path(napari_imagefit.__file__).with_name("napari.yaml"))
    known = manifest.name in manager
    if not known:
        manager.register(manifest)
    yield manager
    if not known:
        manager.unregister(manifest.name)


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_spots(STACK, POINTS, "gaussian_2d", window=11)


def opened(path: Path) -> tuple[Any, dict[str, Any], str]:
    """By napari, where a person chose this plugin."""
    ((data, options, kind),) = npe2.read([str(path)], stack=False, plugin_name="napari-imagefit")
    return data, options, kind


@pytest.mark.parametrize("index", [True, False])
def test_what_to_dataframe_gives_is_read(result: FitResult, index: bool, tmp_path: Path) -> None:
    result.to_dataframe().to_csv(tmp_path / "x.spots.csv", index=index)
    points, options, kind = opened(tmp_path / "x.spots.csv")
    assert kind == "points"
    assert "scale" not in options
    expected = np.column_stack([POINTS[:, 0], result.params["y"], result.params["x"]])
    # without an answer it lies where it was asked for
    expected[0] = POINTS[0]
    np.testing.assert_allclose(points, expected, rtol=1e-12)
    assert read_localisations(tmp_path / "x.spots.csv").style == "imagefit"


def test_a_table_of_any_export_is_read(result: FitResult, tmp_path: Path) -> None:
    write(result, tmp_path / "x.spots.csv", units={"y": "px", "x": "px", "sigma": "px"})
    np.testing.assert_allclose(opened(tmp_path / "x.spots.csv")[0][1:, 1], result.params["y"][1:], rtol=1e-12)


def test_a_volume_without_units(tmp_path: Path) -> None:
    z, y, x = np.indices((9, 15, 15))
    square = ((z - 4.2) / 1.2) ** 2 + ((y - 7.3) / 1.5) ** 2 + ((x - 6.8) / 1.5) ** 2
    found = fit_spots(40 * np.exp(-0.5 * square) + 20, [[4, 7, 7]], "gaussian_3d_elliptic", window=(5, 7, 7))
    found.to_dataframe().to_csv(tmp_path / "bead.spots.csv")
    np.testing.assert_allclose(opened(tmp_path / "bead.spots.csv")[0], [[4.2, 7.3, 6.8]], atol=1e-4)


@pytest.mark.parametrize(
    "name", ["FOO_LOCS.CSV", "a.b_Locs.csv", "FOO.SPOTS.CSV", "Foo.Thunderstorm.CSV", "x_locs.csv"]
)
def test_capitals(result: FitResult, name: str, tmp_path: Path) -> None:
    write_localisations(result, tmp_path / name, "picasso")
    points, options, _ = opened(tmp_path / name)
    assert options["name"] == name
    assert len(points) == 2


@pytest.mark.parametrize("name", ["a_dots.csv", "a_locus.csv", "locs.csv", "a_2024.csv", "spots.csv", "a_plot.csv"])
def test_other_names_are_not_asked_for(name: str, plugins: npe2.PluginManager) -> None:
    readers = plugins.iter_compatible_readers([name])
    assert "napari-imagefit" not in {reader.plugin_name for reader in readers}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x_locs.csv", "index,axis-0,axis-1\n0,1,2\n", "has the columns index, axis-0, axis-1, and is no table of"),
        ("frames_locs.csv", "frame,x,y\n0,1,2\n", "has the columns frame, x, y, and is no table of localisations"),
        ("empty.spots.csv", "", "is no table: No columns to parse"),
        ("FOO_LOCS.CSV", "frame,x,y,photons\n1,two,3,4\n", "holds something else than numbers"),
        ("wide.spots.csv", "\ufffe", "is no table: "),
        ("wide.spots.parquet", "PAR1", "is no table: |needs pyarrow, which is not installed"),
    ],
)
def test_a_refusal_is_a_sentence(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-16" if text == "\ufffe" else "utf-8"))
    with pytest.raises(FitInputError, match=said):
        opened(tmp_path / name)


def test_fits_of_regions_are_no_localisations(tmp_path: Path) -> None:
    image = fit_image(np.nan_to_num(STACK[1]), "gaussian_2d", should_stop=lambda: True)
    image.to_dataframe().to_csv(tmp_path / "x.spots.csv")
    with pytest.raises(FitInputError, match="is no table of localisations"):
        opened(tmp_path / "x.spots.csv")


def test_what_is_gone_and_what_is_no_table(tmp_path: Path) -> None:
    assert napari_get_reader(str(tmp_path / "image.tif")) is None
    assert napari_get_reader([str(tmp_path / "a.csv"), str(tmp_path / "b.tif")]) is None
    reader = napari_get_reader(str(tmp_path / "gone_locs.csv"))
    assert reader is not None
    with pytest.raises(FitInputError, match=r"gone_locs\.csv' cannot be read: No such file"):
        reader(str(tmp_path / "gone_locs.csv"))
    with pytest.raises(FitInputError, match="2 tables make no stack of points; open them one by one"):
        npe2.read(["a_locs.csv", "b_locs.csv"], stack=True, plugin_name="napari-imagefit")
