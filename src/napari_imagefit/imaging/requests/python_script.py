"""Values, masks and settings as Python, in the lines of a script."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.models.model import Model
from ...engine.noise.camera import Camera
from ..fitting.run import Settings

MOST_TEXT = 400_000  # characters of one array
MOST_NUMBERS = 200  # of one array that is written out
UNPACK = '''
def unpack(text, shape, dtype):
    """An array from text."""
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype).reshape(shape)
'''


class Script:
    """Lines of Python, and what they need."""

    def __init__(self) -> None:
        self.imports = {"import numpy as np", "import napari_imagefit as nif"}
        self.lines: list[str] = []
        self.packed = False

    def value(self, name: str, value: Any) -> str:
        """Return a value as an expression; an array gets a line of its own."""
        if isinstance(value, Camera):
            parts = (f"{part}={self.value(part, getattr(value, part))}" for part in ("gain", "offset", "read_noise"))
            return f"nif.Camera({', '.join(parts)})"
        if isinstance(value, Mapping):
            parts = (f"{key!r}: {self.value(f'{name}_{key}', one)}" for key, one in value.items())
            return f"{{{', '.join(parts)}}}"
        if isinstance(value, tuple):
            ends = [self.value(f"{name}_{i}", one) for i, one in enumerate(value)]
            return f"({', '.join(ends)})"
        if isinstance(value, np.ndarray) and value.ndim:
            self.lines.append(f"{name} = {self.array(name, value)}")
            return name
        if isinstance(value, (float, np.floating, np.ndarray)):
            number = float(value)
            return repr(number) if np.isfinite(number) else f"{'-' if number < 0 else ''}np.inf"
        return repr(value)

    def array(self, name: str, values: NDArray[Any]) -> str:
        """Return an array as an expression: written out, or packed into text where it is long.

        Raises
        ------
        FitInputError
            If it is too long for a script.
        """
        if values.dtype == float and values.ndim == 1 and (even := _evenly(values)):
            return even
        if values.dtype != bool and values.size <= MOST_NUMBERS and values.ndim == 1 and np.isfinite(values).all():
            return f"np.array({values.tolist()!r})"
        small = values.astype(np.uint8) if values.dtype == bool else np.ascontiguousarray(values)
        text = base64.b85encode(zlib.compress(small.tobytes(), 9)).decode()
        if len(text) > MOST_TEXT:
            raise FitInputError(
                f"The array {name!r} of shape {values.shape} is too large for a script; take one number instead of a "
                "layer for it, or export the recipe."
            )
        self.packed = True
        self.imports |= {"import base64", "import zlib"}
        cast = ".astype(bool)" if values.dtype == bool else ""
        return f"unpack({text!r}, {values.shape}, {str(small.dtype)!r}){cast}"

    def mask(self, name: str, mask: NDArray[Any]) -> str:
        """Return a mask as an expression: as a rectangle where it is one."""
        filled = np.argwhere(mask)
        name = name if name == "mask" else f"{name}_{sum(line.startswith(name) for line in self.lines) + 1}"
        if filled.size:
            ends = zip(filled.min(axis=0).tolist(), filled.max(axis=0).tolist(), strict=True)
            box = tuple(slice(low, high + 1) for low, high in ends)
            if (mask[box] == 1).all():
                ranges = ", ".join(f"{part.start}:{part.stop}" for part in box)
                kind, one = ("bool", "True") if mask.dtype == bool else ("int", "1")
                self.lines += [f"{name} = np.zeros({mask.shape}, {kind})", f"{name}[{ranges}] = {one}"]
                return name
        return self.value(name, mask)

    def settings(self, settings: Settings, model: Model) -> dict[str, str]:
        """Return settings as the keyword arguments that all verbs share, without what is so by itself."""
        own = {p.name: (p.lower, p.upper) for p in model.parameters}
        given: dict[str, str] = {}
        for name in ("init", "bounds", "fixed", "tied"):
            said = dict(getattr(settings, name) or {})
            if name == "bounds":
                said = {key: pair for key, pair in said.items() if tuple(pair) != own[key]}
            if said:
                given[name] = self.value(name, said)
        if settings.shared:
            given["shared"] = repr(list(settings.shared))
        if settings.sigma is not None:
            given["sigma"] = self.value("sigma", settings.sigma)
        if settings.camera is not None:
            given["noise"] = self.value("camera", settings.camera)
        plain = Options()
        for name, value in vars(settings.options).items():
            if value != getattr(plain, name) and name not in given:
                given[name] = self.value(name, value)
        return given

    def text(self, title: str) -> str:
        """Return the whole script."""
        imports = sorted(self.imports, key=lambda line: (line.startswith("from"), "napari_imagefit" in line, line))
        parts = [f'"""{title}"""', "\n".join(imports)]
        return (
            "\n\n".join([*parts, *([UNPACK.strip("\n") + "\n"] if self.packed else []), "\n".join(self.lines)]) + "\n"
        )


def call(function: str, first: str, arguments: Mapping[str, str]) -> str:
    """Return a call as an expression of several lines; `first` are its arguments without a name."""
    return "\n".join(
        [f"{function}(", f"    {first},", *(f"    {name}={value}," for name, value in arguments.items()), ")"]
    )


def _evenly(values: NDArray[np.float64]) -> str:
    """Values as an expression of their numbers, empty where that is not the same to the last bit."""
    if values.size < 4:
        return ""
    first, steps = float(values[0]), (values[1] - values[0], (values[-1] - values[0]) / (values.size - 1))
    for step in map(float, steps):
        number = np.arange(values.size)
        if np.array_equal(step * number + first, values):
            return f"{step!r} * np.arange({values.size}) + {first!r}"
    return ""
