"""What comes back from a call: `FitResult`, the results on the grid of fits.

It imports `core` and `models`.
"""
