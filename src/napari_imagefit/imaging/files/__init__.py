"""Files: maps as TIFF, NIfTI and Zarr, localisation tables, recipes, results of resumable runs.

It may import `chunked`, `spot_analysis` and what they may.
"""
