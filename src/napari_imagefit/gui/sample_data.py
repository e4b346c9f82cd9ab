"""File → Open Sample: data on which every part of the widget can be tried.

Each function returns napari ``LayerData`` tuples. The image layer's ``metadata["napari_imagefit_sample"]`` tells the
widget how to set itself up: ``job`` (``"region"``, ``"spots"`` or ``"voxels"``), ``model`` (a name of the catalogue),
``axis`` (the one along which voxels' curves run, or None), ``region`` (corners ``[y, x]`` of a suggested rectangle in
pixels of the layer, or None), ``detection`` (settings with which its spots are found, or None) and ``noise`` (what is
known of it, as `NoiseChoice` has it). A layer that holds regions names the image they belong to as ``region_of``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.results.fit_result import LayerTuple
    from ..imaging.simulation.simulate import Axis

Corners = list[list[float]]
# Some maxima of the noise are above 5.
MOLECULES = {"scale": 1.3, "threshold": 7.0, "min_distance": 3.0, "border": 3}
# Sources that stand well out of the sky; their rings do not meet the edge.
HUBBLE = {"scale": 2.0, "threshold": 12.0, "min_distance": 6.0, "border": 6}


def make_clouds() -> list[LayerTuple]:
    """Return a simulated series of absorption images: a cold gas becomes a condensate.

    Returns
    -------
    list of LayerData
        One image layer ``(shot, y, x)`` of optical densities, y and x in µm.

    Examples
    --------
    >>> data, options, kind = make_clouds()[0]
    >>> kind, data.shape, options["scale"]
    ('image', (12, 192, 256), (1.0, 3.2, 3.2))
    """
    from ..imaging.simulation.simulate import cold_clouds

    clouds = cold_clouds()
    options = {
        "name": "cold clouds (optical density)",
        "colormap": "inferno",
        "contrast_limits": (-0.1, 1.6),
        "metadata": _setup("region", clouds.model, region=_rectangle(8, 16, 156, 232)),
        **_placed(clouds.axes),
    }
    return [(clouds.data, options, "image")]


def make_phantom() -> list[LayerTuple]:
    """Return a simulated slice of tissues in 32 spin echoes, and its compartments.

    Returns
    -------
    list of LayerData
        An image layer ``(echo, y, x)``, the echo axis in ms and y and x in µm, and a labels layer ``(y, x)``, hidden.

    Examples
    --------
    >>> (data, options, kind), compartments = make_phantom()
    >>> kind, data.shape, options["scale"], options["translate"]
    ('image', (32, 128, 128), (8.0, 100.0, 100.0), (8.0, 0.0, 0.0))
    """
    from ..imaging.simulation.simulate import multi_echo_phantom

    phantom = multi_echo_phantom()
    image = {
        "name": "multi-echo phantom",
        "contrast_limits": (0.0, 1200.0),
        "metadata": _setup("voxels", phantom.model, axis=0),
        **_placed(phantom.axes),
    }
    labels = {
        "name": "compartments",
        "visible": False,
        "opacity": 0.5,
        "metadata": {"napari_imagefit_sample": {"region_of": image["name"]}},
        **_placed(phantom.axes[1:]),
    }
    return [(phantom.data, image, "image"), (phantom.labels, labels, "labels")]


def make_trouble() -> list[LayerTuple]:
    """Return simulated decays at three noise levels, with blocks of NaN, of zeros, of saturation, and of another model.

    Returns
    -------
    list of LayerData
        An image layer ``(echo, y, x)``, the echo axis in ms.

    Examples
    --------
    >>> ((data, options, kind),) = make_trouble()
    >>> kind, data.shape, options["units"]
    ('image', (32, 256, 256), ('ms', 'pixel', 'pixel'))
    """
    from ..imaging.simulation.phantom import troubled_phantom

    phantom = troubled_phantom()
    options = {
        "name": "decays with trouble",
        "contrast_limits": (0.0, 1500.0),
        "metadata": _setup("voxels", phantom.model, axis=0),
        **_placed(phantom.axes),
    }
    return [(phantom.data, options, "image")]


def make_spots() -> list[LayerTuple]:
    """Return a simulated film of single molecules that blink, as a camera of known gain and noise sees them.

    Returns
    -------
    list of LayerData
        One image layer ``(t, y, x)`` of camera units, y and x in µm.

    Examples
    --------
    >>> ((data, options, kind),) = make_spots()
    >>> kind, data.shape, options["scale"]
    ('image', (24, 128, 160), (1.0, 0.1, 0.1))
    """
    from ..imaging.simulation.simulate_spots import fluorescent_spots

    film = fluorescent_spots()
    camera = {name: float(getattr(film.camera, name)) for name in ("gain", "offset", "read_noise")}
    options = {
        "name": "fluorescent spots",
        "contrast_limits": (100.0, 700.0),
        "metadata": _setup("spots", "gaussian_2d", detection=dict(MOLECULES), noise={"kind": "camera", **camera}),
        **_placed(film.axes),
    }
    return [(film.data, options, "image")]


def make_hubble() -> list[LayerTuple]:
    """Return a real photograph: galaxies and stars in the Hubble eXtreme Deep Field, as scikit-image brings it.

    Returns
    -------
    list of LayerData
        One image layer ``(y, x)`` of grey values from 0 to 1, in pixels.

    Raises
    ------
    FileNotFoundError
        If this scikit-image does not hold the photograph; nothing is downloaded.

    Examples
    --------
    >>> data, options, kind = make_hubble()[0]
    >>> data.shape, data.dtype
    ((872, 1000), dtype('float32'))
    """
    import numpy as np
    from skimage.color import rgb2gray
    from skimage.io import imread

    grey = rgb2gray(imread(_hubble_file())).astype(np.float32)
    options = {
        "name": "Hubble deep field",
        "contrast_limits": (0.0, 1.0),
        "axis_labels": ("y", "x"),
        "metadata": _setup("spots", "gaussian_2d_elliptic", detection=dict(HUBBLE)),
    }
    return [(grey, options, "image")]


def _hubble_file() -> Path:
    """Return the photograph in the installed package, or where scikit-image keeps what it has downloaded before."""
    import skimage.data

    name = "hubble_deep_field.jpg"
    for folder in (Path(skimage.data.__file__).parent, Path(skimage.data.data_dir)):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"this version of scikit-image does not bring {name}; run skimage.data.hubble_deep_field() once to download it"
    )


def _setup(
    job: str,
    model: str,
    axis: int | None = None,
    region: Corners | None = None,
    detection: dict[str, float] | None = None,
    noise: dict[str, Any] | None = None,
) -> dict[str, Any]:
    setup = {"noise": noise or {}, "job": job, "model": model, "axis": axis, "region": region, "detection": detection}
    return {"napari_imagefit_sample": setup}


def _rectangle(top: float, left: float, bottom: float, right: float) -> Corners:
    return [[top, left], [top, right], [bottom, right], [bottom, left]]


def _placed(axes: tuple[Axis, ...]) -> dict[str, Any]:
    return {
        "scale": tuple(axis.step for axis in axes),
        "translate": tuple(axis.start for axis in axes),
        "units": tuple(axis.unit for axis in axes),
        "axis_labels": tuple(axis.label for axis in axes),
    }
