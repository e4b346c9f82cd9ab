"""Write the table of models, docs/models.md, from the catalogue.

python docs/make_models.py
"""

from __future__ import annotations

from pathlib import Path

from napari_imagefit.catalogue import models
from napari_imagefit.engine.functions.parameter import Parameter
from napari_imagefit.engine.models.model import Model

PAGE = Path(__file__).parent / "models.md"
HEAD = """# Models

Written by `docs/make_models.py` from the catalogue; change them there.

Units: *data* is the unit of the fitted values, *coord* that of the coordinates, *coord0* that of the first coordinate
alone. Δy is y less the centre's y, and so on. Every model has starts estimated from the data.
"""
KINDS = {1: ("Curves", "t"), 2: ("Surfaces", "(y, x)"), 3: ("Volumes", "(z, y, x)")}


def page() -> str:
    """The whole file."""
    parts = [HEAD]
    for ndim in (2, 3, 1):
        kind, coordinates = KINDS[ndim]
        parts.append(f"\n## {kind}\n\nOver {coordinates}.\n")
        parts += [section(model) for model in models.values() if model.ndim == ndim]
    return "".join(parts)


def section(model: Model) -> str:
    """One model."""
    rows = [
        f"| `{p.name}` | {p.unit or '1'} | {bounds(p)} | {p.description.replace('|', chr(92) + '|')} |"
        for p in model.parameters
    ]
    table = "\n".join(["| parameter | unit | bounds | |", "|---|---|---|---|", *rows])
    return f"\n### `{model.name}`\n\n    {model.formula}\n\n{table}\n\nReference: {model.reference}.\n"


def bounds(parameter: Parameter) -> str:
    """Such as ``0 … ∞``; nothing where there are none."""
    if (parameter.lower, parameter.upper) == (-float("inf"), float("inf")):
        return ""
    return f"{parameter.lower:g} … {parameter.upper:g}".replace("inf", "∞")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
