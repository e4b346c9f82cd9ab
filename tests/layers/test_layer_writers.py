"""What napari's own File → Save writes of fits: tables that are read back, and maps with their place."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from npe2 import PluginManager

from napari_imagefit import FitInputError, models
from napari_imagefit.imaging.files.localisations import read_localisations
from napari_imagefit.layers.geometry.output_layers import put
from napari_imagefit.layers.request.choices import Choices, Row, SpotChoice
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

UM = {"scale": (1, 0.1, 0.1), "units": ("s", "um", "um")}


@pytest.fixture
def viewer() -> ViewerModel:
    PluginManager.instance().discover()
    return ViewerModel()


def save(viewer: ViewerModel, path: Path, *names: str) -> list[str]:
    """As the dialog of napari does with the writer that its list shows."""
    viewer.layers.selection = {viewer.layers[name] for name in names}
    kinds = [viewer.layers[name]._type_string for name in names]
    writer, _ = PluginManager.instance().get_writer(str(path), kinds, "napari-imagefit")
    assert writer is not None
    return viewer.layers.save(str(path), selected=True, _writer=writer)


def test_spots(viewer: ViewerModel, tmp_path: Path) -> None:
    y, x = np.mgrid[0:40, 0:40]
    at = [(0, 10.3, 12.6), (0, 28.2, 30.1), (1, 20.4, 20.2)]
    data = np.random.default_rng(0).normal(0, 0.01, (2, 40, 40))
    for frame, py, px in at:
        data[frame] += np.exp(-((y - py) ** 2 + (x - px) ** 2) / 4.5)
    image = viewer.add_image(data, name="beads", **UM)
    points = viewer.add_points(np.round(at), name="points", **UM)
    rows = tuple(Row(name) for name in models["gaussian_2d"].names)
    steps: Generator[Any, None, Any] = run_any(
        freeze(Choices(image, "spots", "gaussian_2d", rows, spots=SpotChoice(points=points, window=(11, 11))))
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome = end.value
            break
    layer = put(viewer.layers, outcome.outputs[0])
    assert save(viewer, tmp_path / "a.spots.csv", layer.name) == [str(tmp_path / "a.spots.csv")]
    found = read_localisations(tmp_path / "a.spots.csv")
    assert found.style == "imagefit"
    np.testing.assert_allclose(found.points, at, atol=0.05)
    assert {"remarks", "flags", "fwhm [µm]", "reason"} <= set(found.features.columns)
    with pytest.raises(FitInputError, match="'points' is no result of a fit of spots"):
        save(viewer, tmp_path / "b.spots.csv", "points")
    assert not (tmp_path / "b.spots.csv").exists()


def test_maps(viewer: ViewerModel, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    place: dict[str, Any] = {"scale": (0.5, 0.25), "translate": (3, 4), "units": ("um", "um")}
    viewer.add_image(values, name="tau [ms]", **place)
    viewer.add_image(2 * values, name="R²", **place)
    viewer.add_image(values, name="elsewhere")
    viewer.add_image(values, name="turned", rotate=30)
    save(viewer, tmp_path / "maps.ome.tif", "tau [ms]", "R²")
    with tifffile.TiffFile(tmp_path / "maps.ome.tif") as file:
        channels = np.sort(file.asarray(), axis=0)
        said = file.ome_metadata
    np.testing.assert_array_equal(channels, [values, 2 * values])
    assert said is not None
    assert 'PhysicalSizeX="0.25"' in said
    for names, why in (
        (("tau [ms]", "elsewhere"), "differ in shape or place"),
        (("turned",), "rotated or sheared, which OME-TIFF cannot say"),
    ):
        with pytest.raises(FitInputError, match=why):
            save(viewer, tmp_path / "no.ome.tif", *names)
    assert not (tmp_path / "no.ome.tif").exists()
