"""Draw the first picture of the documentation: open a sample, click Fit, save the window.

Run it with ``make screenshots``.
"""

from __future__ import annotations

from pathlib import Path

import napari

from napari_imagefit.gui.demo import WINDOW_SIZE, fit_and_wait, open_sample, picture

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Save the picture of the clouds; the walk-throughs draw the others."""
    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer(title="napari-imagefit")
    viewer.window.resize(*WINDOW_SIZE)
    widget = open_sample(viewer, "clouds")
    fit_and_wait(widget)
    viewer.dims.set_current_step(0, 8)
    picture(viewer, IMAGES / "clouds.png")
    print(widget.message.text())
    viewer.close()


if __name__ == "__main__":
    main()
