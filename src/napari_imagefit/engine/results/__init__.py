"""Results of a call: `FitResult`, on the grid of fits.

It imports `core` and `models`.
"""
