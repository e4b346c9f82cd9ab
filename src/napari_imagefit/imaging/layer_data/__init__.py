"""Results as layer data: maps, outlines and points as napari's layer tuples, without napari.

It may import `fitting`.
"""
