"""Fits that have parameters in common: one problem with an arrowhead matrix, then variable projection.

It imports `core`, `linalg`, `models`, `sums`, `solver` and `drive`.
"""
