"""Settings taken apart: numbers, which every piece of the data shares, and arrays, which are cut with the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.noise.camera import Camera
from ..fitting.chunks import Argument, is_dask
from ..fitting.run import Settings

Key = tuple[str, ...]  # ("sigma",), ("fixed", "offset"), ("bounds", "tau", "lower"), ("camera", "gain")
BOUND_ENDS = ("lower", "upper")
CAMERA = ("gain", "offset", "read_noise")


@dataclass(frozen=True, eq=False)
class CameraPart(Camera):
    """Some pixels of a camera; what is made alike is made like the mean of all of them."""

    means: tuple[float, float] = (1.0, 0.0)  # gain, offset
    alike: bool = True

    def level(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return data as they would be if all pixels had the mean gain and offset; unchanged where pixels are alike."""
        if self.alike:
            return data
        gain, offset = (np.asarray(a, float) for a in (self.gain, self.offset))
        return np.asarray((data - offset) / gain * self.means[0] + self.means[1])

    def counts(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and shift, of the data's shape, with which ``scale·level(data) + shift`` is nearly Poisson."""
        gain, offset = self.means
        read = np.asarray(self.read_noise, float)
        return np.broadcast_to(1 / np.float64(gain), shape), np.broadcast_to(read**2 - offset / gain, shape)


def split(
    settings: Settings, data_axes: tuple[int, ...], grid_axes: tuple[int, ...]
) -> tuple[Settings, dict[Key, Argument]]:
    """Return the settings without their arrays, and the arrays."""
    found: dict[Key, Argument] = {}

    def apart(what: str, parameter_settings: Any) -> Any:
        if not isinstance(parameter_settings, Mapping):
            return parameter_settings
        rest = dict(parameter_settings)
        for name, value in parameter_settings.items():
            if what == "bounds" and isinstance(value, (tuple, list)) and len(value) == 2:
                if any(_is_array(end) for end in value):
                    found.update(
                        {(what, name, e): _argument(v, grid_axes) for e, v in zip(BOUND_ENDS, value, strict=True)}
                    )
                    del rest[name]
            elif what != "bounds" and _is_array(value):
                found[what, name] = _argument(value, grid_axes)
                del rest[name]
        return rest

    parameter_settings = {what: apart(what, getattr(settings, what)) for what in ("init", "bounds", "fixed")}
    sigma, camera = settings.sigma, settings.camera
    if _is_array(sigma):
        found["sigma",] = _argument(sigma, data_axes)
        # where there has to be one, a number stands in until a piece has its own
        sigma = 1.0 if settings.options.noise == "rician" else None
    if camera is not None and any(np.ndim(getattr(camera, name)) for name in CAMERA):
        found.update({("camera", name): _argument(getattr(camera, name), data_axes) for name in CAMERA})
        gain, offset = (np.asarray(a, float) for a in (camera.gain, camera.offset))
        camera = CameraPart(means=(float(gain.mean()), float(offset.mean())), alike=gain.size == 1 and offset.size == 1)
    return replace(settings, **parameter_settings, sigma=sigma, camera=camera), found


def join(settings: Settings, cut: Mapping[Key, NDArray[Any]]) -> Settings:
    """Return the settings for a piece: the inverse of `split`."""
    joined: dict[str, Any] = {what: dict(getattr(settings, what) or {}) for what in ("init", "bounds", "fixed")}
    more: dict[str, Any] = {}
    for key, array in cut.items():
        values: Any = array if array.ndim else array.item()
        if key[0] in ("init", "fixed"):
            joined[key[0]][key[1]] = values
        elif key[0] == "bounds" and key[2] == "lower":
            joined["bounds"][key[1]] = (
                values,
                upper if (upper := cut["bounds", key[1], "upper"]).ndim else upper.item(),
            )
        elif key[0] == "sigma":
            more["sigma"] = values
    if isinstance(settings.camera, CameraPart):
        camera: Any = {name: cut["camera", name] for name in CAMERA}
        more["camera"] = replace(settings.camera, **camera)
    return Settings(**vars(settings) | joined | more)


def without_dask(settings: Settings) -> Settings:
    """Keep only what is in memory."""

    def known(value: Any) -> bool:
        return not any(is_dask(v) for v in (value if isinstance(value, (tuple, list)) else (value,)))

    joined = {
        what: {name: value for name, value in (getattr(settings, what) or {}).items() if known(value)}
        for what in ("init", "bounds", "fixed")
    }
    return replace(settings, **joined, sigma=None)  # type: ignore[arg-type]


def _is_array(value: Any) -> bool:
    return is_dask(value) or (isinstance(value, (np.ndarray, list, tuple)) and np.ndim(np.asanyarray(value)) > 0)


def _argument(value: Any, axes: tuple[int, ...]) -> Argument:
    array = value if is_dask(value) else np.asanyarray(value)
    # one with more axes than there are is refused by its shape
    return Argument.along(array, axes) if array.ndim <= len(axes) else Argument(array, tuple(range(array.ndim)))
