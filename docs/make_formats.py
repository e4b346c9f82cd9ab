"""Write the list of file formats, docs/formats.md, from their definitions.

python docs/make_formats.py
"""

from __future__ import annotations

from pathlib import Path

from napari_imagefit.imaging.files.formats import FORMATS, SPOT_FORMATS

PAGE = Path(__file__).parent / "formats.md"
HEAD = """# File formats

Written by `docs/make_formats.py` from `FORMATS` and `SPOT_FORMATS`; change them there.

## Results

*Export…* in the card *Results*, for voxels and regions; the format follows from the name that is typed. The recipe lies
beside each file as `<name>.recipe.json`. Tables are for all fits, images for maps of voxels. What a format needs beyond
the plugin comes with `pip install "napari-imagefit[export]"`.

| format | holds | file names end in | needs |
|---|---|---|---|
"""
SPOTS = """
## Spots

*Export…* for spots. What Picasso and ThunderSTORM write is read, too, and a table is known by its columns.

| format | holds | file names end in |
|---|---|---|
"""


def page() -> str:
    """Return the whole file."""
    results = [
        f"| {one.name} | {one.holds} | {', '.join(f'`{end}`' for end in one.suffixes)} | {one.module} |\n"
        for one in FORMATS.values()
    ]
    spots = [f"| {one.name} | {one.holds} | `{one.suffix}` |\n" for one in SPOT_FORMATS]
    return "".join([HEAD, *results, SPOTS, *spots])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
