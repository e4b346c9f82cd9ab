"""Samples make layers that napari accepts, placed in µm and ms, with what the widget needs to set itself up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from npe2 import PluginManifest
from scipy.spatial import cKDTree

import napari_imagefit as nif
from napari_imagefit.gui import sample_data
from napari_imagefit.gui.sample_data import make_clouds, make_hubble, make_phantom, make_spots, make_trouble
from napari_imagefit.imaging.simulation.simulate_spots import fluorescent_spots
from napari_imagefit.imaging.spot_analysis.photometry import photometry_table
from napari_imagefit.imaging.spots.detection import Detection, find_spots

MAKERS = [make_clouds, make_phantom, make_trouble, make_spots, make_hubble]


@pytest.mark.parametrize("make", MAKERS)
def test_layers_and_set_up(make: object) -> None:
    viewer = ViewerModel()
    layers = [viewer.add_layer(Layer.create(*data)) for data in make()]  # type: ignore[operator]
    image = layers[0]
    assert isinstance(image, Image)
    assert image.data.dtype == (np.uint16 if make is make_spots else np.float32)
    setup = image.metadata["napari_imagefit_sample"]
    assert set(setup) >= {"job", "model", "axis", "region"}
    assert json.loads(json.dumps(setup)) == setup
    if setup["job"] == "voxels":
        assert nif.models[setup["model"]].ndim == 1
        assert 0 <= setup["axis"] < image.ndim
        assert setup["region"] is None
    elif setup["job"] == "spots":
        assert nif.models[setup["model"]].ndim == 2
        assert Detection.of_recipe(setup["detection"]).threshold > 0
    else:
        assert setup["job"] == "region"
        assert nif.models[setup["model"]].ndim == 2
        corners = np.array(setup["region"])
        assert corners.shape == (4, 2)
        assert (corners >= 0).all()
        assert (corners <= np.array(image.data.shape[-2:]) - 1).all()


def test_clouds_are_in_micrometres() -> None:
    (data,) = make_clouds()
    layer = Layer.create(*data)
    assert layer.axis_labels == ("shot", "y", "x")
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    np.testing.assert_allclose(layer.scale, (1, 3.2, 3.2))


def test_phantom_has_echo_times_in_milliseconds() -> None:
    layer, compartments = (Layer.create(*data) for data in make_phantom())
    assert layer.axis_labels == ("echo", "y", "x")
    assert [str(unit) for unit in layer.units] == ["millisecond", "micrometer", "micrometer"]
    assert layer.data_to_world((0, 0, 0))[0] == 8
    assert layer.data_to_world((31, 0, 0))[0] == 256
    assert isinstance(compartments, Labels)
    assert compartments.data.shape == layer.data.shape[1:]
    np.testing.assert_allclose(compartments.scale, layer.scale[1:])
    assert compartments.units == layer.units[1:]


def test_suggested_detection_finds_the_sources_of_the_photograph() -> None:
    (data,) = make_hubble()
    detection = Detection.of_recipe(data[1]["metadata"]["napari_imagefit_sample"]["detection"])
    found = find_spots(data[0], detection)
    assert 1000 < found.count < 1500
    # a long galaxy, whose two ends are sources of their own
    assert np.linalg.norm(found.points - [488, 86], axis=1).min() < 6


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sample_data._hubble_file().parent == Path(skimage.data.__file__).parent
    monkeypatch.setattr(skimage.data, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(skimage.data, "data_dir", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="does not bring hubble_deep_field"):
        make_hubble()


def test_molecules_are_found_and_fitted_as_its_widget_is_set_up() -> None:
    """Nine of ten, hardly any that is none; places, photons and errors as the film was made."""
    film = fluorescent_spots()
    ((data, options, _),) = make_spots()
    np.testing.assert_array_equal(data, film.data)
    setup = options["metadata"]["napari_imagefit_sample"]
    found = find_spots(data, Detection.of_recipe(setup["detection"]))
    noise = {name: value for name, value in setup["noise"].items() if name != "kind"}
    result = nif.fit_spots(data, found.points, setup["model"], window=9, noise=nif.Camera(**noise))
    away, nearest = cKDTree(film.points * (100, 1, 1)).query(
        np.column_stack([100 * found.points[:, 0], result.params["y"], result.params["x"]])
    )
    true = result.converged & (away < 1)
    assert true.sum() > 0.9 * len(film.points)
    assert true.mean() > 0.97
    photons = photometry_table(result)["photons"].to_numpy()[true] / film.photons[nearest[true]]
    assert np.median(photons) == pytest.approx(1, abs=0.02)
    pulls = (result.params["x"][true] - film.points[nearest[true], 2]) / result.stderr["x"][true]
    assert np.sqrt(np.median(pulls**2) / 0.455) == pytest.approx(1, abs=0.1)


def test_manifest_names_the_samples() -> None:
    contributions = PluginManifest.from_distribution("napari-imagefit").contributions
    named = {sample.key: sample.command for sample in contributions.sample_data or ()}  # type: ignore[union-attr]
    targets = {command.id: str(command.python_name) for command in contributions.commands or ()}
    assert {key: targets[command].rpartition(":")[2] for key, command in named.items()} == {
        "clouds": "make_clouds",
        "phantom": "make_phantom",
        "trouble": "make_trouble",
        "spots": "make_spots",
        "hubble": "make_hubble",
    }
