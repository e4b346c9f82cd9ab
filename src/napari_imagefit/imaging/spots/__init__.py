"""Spot fits: detection, windows, backgrounds, spots that are fitted together, filters.

It may import `fitting` and `layer_data`.
"""
