"""Fits of images: problems made of arrays, results as maps. It knows arrays, never napari."""
