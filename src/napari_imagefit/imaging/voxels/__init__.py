"""Voxel fits: one curve per voxel, coarse to fine, refitted where a fit failed, and of the mean curve.

It may import `fitting` and `layer_data`.
"""
