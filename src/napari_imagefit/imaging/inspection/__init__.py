"""Single fits seen closely: the curve or cuts of one fit, the fit at a position of the grid, histograms of maps.

It may import `chunked` and what that may.
"""
