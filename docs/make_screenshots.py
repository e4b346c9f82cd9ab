"""Draw the pictures of the documentation: open each sample, click Fit, save the window.

Run it with ``make screenshots``.
"""

from __future__ import annotations

from pathlib import Path

import napari

from napari_imagefit.gui.demo import fit_and_wait, open_sample, picture

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Save one picture per sample."""
    IMAGES.mkdir(exist_ok=True)
    for sample in ("clouds", "phantom"):
        viewer = napari.Viewer(title="napari-imagefit")
        viewer.window.resize(1400, 900)
        widget = open_sample(viewer, sample)
        fit_and_wait(widget)
        if sample == "clouds":
            viewer.dims.set_current_step(0, 8)
        if sample == "phantom":
            viewer.dims.set_current_step(0, 0)
        picture(viewer, IMAGES / f"{sample}.png")
        print(f"{sample}: {widget.message.text()}")
        viewer.close()


if __name__ == "__main__":
    main()
