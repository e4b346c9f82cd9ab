"""Readers of arrays in files, which need not fit into memory: TIFF, Zarr, HDF5 and NumPy, and where they lie in space.

May import `fitting`.
"""
